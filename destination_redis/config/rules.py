"""The rules across settings: a combination that is not possible is a config error that says what to change."""

from destination_redis.caches import CACHES
from destination_redis.config.deployment import Cluster, Sentinel
from destination_redis.config.settings import RedisConfig
from destination_redis.config.tls import SslVerifyCa, SslVerifyFull
from destination_redis.config.tunnel import NoTunnel
from destination_redis.errors import config_error
from destination_redis.protocol.catalog import PRIMARY_KEY, Stream


def check_settings(config: RedisConfig) -> None:
    """Raise a config error if two settings exclude each other."""
    _check_connection(config)
    _check_certificate(config)
    _check_records(config)
    if config.search_index:
        _check_search_index(config)


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


def _check_records(config: RedisConfig) -> None:
    cache_type, record_format = config.storage_format
    capabilities = CACHES[cache_type].capabilities
    if record_format not in capabilities.formats:
        formats = " or ".join(capabilities.formats)
        raise config_error(f"cache_type {cache_type} has no record_format {record_format}, only {formats}")
    if config.record_metadata == "full" and record_format not in capabilities.metadata:
        raise config_error(
            f"record_metadata full is not supported by cache_type {cache_type} with record_format {record_format}, "
            "which stores a record's data only"
        )
    if config.stream_max_length is not None and cache_type != "stream":
        raise config_error(f"stream_max_length needs cache_type stream, not {cache_type}")


def _check_search_index(config: RedisConfig) -> None:
    cache_type, record_format = config.storage_format
    if cache_type != "json" and (cache_type, record_format) != ("hash", "columns"):
        raise config_error(
            "search_index needs cache_type json, or cache_type hash with record_format columns; "
            f"cache_type {cache_type} with record_format {record_format} has no columns to index"
        )
    if isinstance(config.deployment, Cluster):
        raise config_error("search_index is not possible in a cluster: an index covers the keys of its own node only")
    if config.database:
        raise config_error(f"search_index needs database 0, the only one with indexes, not {config.database}")
