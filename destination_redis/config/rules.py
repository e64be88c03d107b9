"""The rules across settings: a combination that is not possible is a config error that says what to change."""

from collections.abc import Iterator
from dataclasses import dataclass

from destination_redis.caches import CACHES
from destination_redis.config.deployment import Cluster, Sentinel
from destination_redis.config.records import types_with
from destination_redis.config.settings import RedisConfig
from destination_redis.config.tls import SslVerifyCa, SslVerifyFull
from destination_redis.config.tunnel import NoTunnel
from destination_redis.errors import config_error
from destination_redis.keys import COLLECTION_KEY, RECORD_KEY
from destination_redis.protocol.catalog import PRIMARY_KEY, Stream

_KEYED = " or ".join(name for name, cache in CACHES.items() if not cache.capabilities.collection)


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A setting that the data type cannot have: its name, why, and the value that the data type can have."""

    name: str
    why: str
    instead: object = None


def check_settings(config: RedisConfig) -> None:
    """Raise a config error if two settings exclude each other; those of single streams are left to `StreamConfigs`."""
    _check_connection(config)
    _check_certificate(config)
    for found in unsupported(config):
        raise config_error(found.why)
    check_required(config)
    check_server(config)


def check_required(config: RedisConfig) -> None:
    """Raise a config error if the data type needs a setting that is not set."""
    for name in CACHES[config.cache_type].capabilities.required:
        if getattr(config, name) is None:
            raise config_error(
                f"cache_type {config.cache_type} needs {name}: set it to the field that becomes the element"
            )


def check_server(config: RedisConfig) -> None:
    """Raise a config error if the settings of records need another kind of server or connection."""
    if config.has_collection_key and isinstance(config.deployment, Cluster):
        raise config_error(
            "collection_key is not possible in a cluster, which runs no script with keys of two slots, the "
            "collection's and the ledger's: leave it empty"
        )
    if config.search_index:
        _check_search_index(config)


def unsupported(config: RedisConfig) -> Iterator[Unsupported]:
    """Yield the settings that the data type cannot have; one that is yielded may be the reason for those after it."""
    yield from _unsupported_elements(config)
    cache_type, record_format = config.storage_format
    capabilities = CACHES[cache_type].capabilities
    if record_format not in capabilities.formats:
        formats = " or ".join(capabilities.formats)
        why = f"cache_type {cache_type} has no record_format {record_format}, only {formats}"
        yield Unsupported("record_format", why, capabilities.formats[0])
    if config.record_metadata == "full" and record_format not in capabilities.metadata:
        yield Unsupported(
            "record_metadata",
            f"record_metadata full is not supported by cache_type {cache_type} with record_format {record_format}, "
            "which stores a record's data only",
            "minimal",
        )
    if config.expire_at is not None and capabilities.collection:
        why = f"expire_at needs a key for each record (cache_type {_KEYED}), not cache_type {cache_type}"
        yield Unsupported("expire_at", why)
    for name in config.limits:
        if name not in capabilities.settings:
            yield _needs_type(name, cache_type)
    if config.search_index and cache_type != "json" and (cache_type, record_format) != ("hash", "columns"):
        yield Unsupported(
            "search_index",
            "search_index needs cache_type json, or cache_type hash with record_format columns; "
            f"cache_type {cache_type} with record_format {record_format} has no columns to index",
            False,
        )
    if config.vectors:
        yield from _unsupported_vectors(config)


def _unsupported_vectors(config: RedisConfig) -> Iterator[Unsupported]:
    if not config.search_index:
        yield Unsupported("vectors", "vectors needs search_index: turn search_index on, or leave vectors empty", ())
    fields = [vector.field for vector in config.vectors]
    for field in dict.fromkeys(fields):
        if fields.count(field) > 1:
            yield Unsupported("vectors", f"vectors names the field {field} more than once", ())


def _unsupported_elements(config: RedisConfig) -> Iterator[Unsupported]:
    cache_type = config.cache_type
    for name in config.fields:
        if name not in CACHES[cache_type].capabilities.settings:
            yield _needs_type(name, cache_type)
    if config.value is not None and config.record_metadata == "full":
        yield Unsupported(
            "record_metadata",
            "record_metadata full is not possible with value, which stores one field of a record alone: set "
            "record_metadata to minimal, or leave value empty",
            "minimal",
        )


def _needs_type(name: str, cache_type: str) -> Unsupported:
    return Unsupported(name, f"{name} needs cache_type {types_with(name)}, not {cache_type}")


def without_effect(config: RedisConfig) -> Iterator[Unsupported]:
    """Yield the templates of keys that have no effect on the data type."""
    cache_type = config.cache_type
    if CACHES[cache_type].capabilities.collection:
        if config.record_key != RECORD_KEY:
            yield Unsupported("record_key", f"record_key is not for cache_type {cache_type}: set collection_key")
    elif config.collection_key != COLLECTION_KEY:
        yield Unsupported("collection_key", f"collection_key is not for cache_type {cache_type}: set record_key")


def check_stream(config: RedisConfig, stream: Stream) -> None:
    """Raise a config error if the stream's sync mode and the settings exclude each other."""
    cache_type, record_format = config.storage_format
    if stream.placement == PRIMARY_KEY and record_format not in CACHES[cache_type].capabilities.upserts:
        raise config_error(
            f"The stream {stream} has the sync mode append_dedup, which cache_type {cache_type} with record_format "
            f"{record_format} does not support: choose another cache_type or record_format, or another sync mode"
        )


def _check_connection(config: RedisConfig) -> None:
    tunnelled = not isinstance(config.tunnel_method, NoTunnel | None)
    sentinel = isinstance(config.deployment, Sentinel)
    cluster = isinstance(config.deployment, Cluster)
    if config.host.startswith("/"):
        if config.ssl:
            raise config_error("A Unix socket (host begins with /) cannot be used with TLS: turn ssl off")
        if tunnelled:
            raise config_error(
                "A Unix socket (host begins with /) cannot be used with an SSH tunnel: set tunnel_method to NO_TUNNEL"
            )
        if sentinel:
            raise config_error("Sentinels cannot be reached over a Unix socket: set the host and port of one")
        if cluster:
            raise config_error("A cluster cannot be reached over a Unix socket: set the host and port of a node")
    if cluster and tunnelled:
        raise config_error("A cluster cannot be reached through an SSH tunnel: set tunnel_method to NO_TUNNEL")
    if sentinel and tunnelled:
        raise config_error("Sentinels cannot be reached through an SSH tunnel: set tunnel_method to NO_TUNNEL")


def _check_certificate(config: RedisConfig) -> None:
    mode = config.ssl_mode
    if isinstance(mode, SslVerifyCa | SslVerifyFull) and bool(mode.client_certificate) != bool(mode.client_key):
        raise config_error("client_certificate and client_key belong together: set both or neither")


def _check_search_index(config: RedisConfig) -> None:
    if config.record_key.startswith("{key}"):
        raise config_error(
            "search_index needs a record_key that begins with other text than {key}, such as user:{key}: an index "
            "covers all keys that begin with it"
        )
    if isinstance(config.deployment, Cluster):
        raise config_error("search_index is not possible in a cluster: an index covers the keys of its own node only")
    if config.database:
        raise config_error(f"search_index needs database 0, the only one with indexes, not {config.database}")
