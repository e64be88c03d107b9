"""The reader: yields the live records of one stream from any deployment."""

from collections.abc import Iterator
from dataclasses import replace

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.caches import CACHES, CollectionCache, RecordOptions, RedisRecord
from destination_redis.config.settings import RedisConfig
from destination_redis.config.stream_configs import StreamConfigs
from destination_redis.connection.clients import connect
from destination_redis.connection.deployment import Servers
from destination_redis.connection.slots import Address, slot_of
from destination_redis.errors import NotReadableError, config_error, traced
from destination_redis.keys import KeyTemplate, StreamKeys, namespace_in_keys
from destination_redis.ledger.ledger import Ledger, OwnKey
from destination_redis.ledger.stored import parse
from destination_redis.ledger.transitions import corrected

#: COUNT of a SCAN.
_COUNT = 2000


def read(config: RedisConfig, name: str, namespace: str | None = None) -> Iterator[RedisRecord]:
    """Yield the records in the format recorded in their ledger; raises a traced error if they cannot be read.

    The order is undefined, and a record may come twice while keys are added or cluster slots migrate.
    """
    own = StreamConfigs(config).of(name, namespace)
    try:
        with connect(config) as servers:
            keys = _keys(config, name, namespace, servers)
            ledger = _ledger(keys, servers)
            storage = ledger.readable
            cache_type, record_format = storage.storage_format
            full, vectors = own.record_metadata == "full", dict.fromkeys(storage.vectors, 0)
            cache = CACHES[cache_type](RecordOptions(record_format, full=full, vectors=vectors))
            slots = servers.slot_map()
            data = storage.keys_of(keys)
            if isinstance(cache, CollectionCache):
                address = slots.table()[slot_of(data.collection)]
                counts = data.collection == keys.counter and ledger.own_key is OwnKey.COUNTER  # it lags behind
                places = [(address, iter([data.collection]))] if address and not counts else []
            else:
                places = [(address, _scan(servers, address, data.live)) for address in slots.primaries]
            for address, found in places:
                yield from cache.get_all(servers.client(address), found)
    except AirbyteTracedException:
        raise
    except NotReadableError as error:
        raise config_error(str(error)) from error
    except Exception as error:
        raise traced(error, "reading") from error


def _keys(config: RedisConfig, name: str, namespace: str | None, servers: Servers) -> StreamKeys:
    """Return the stream's keys, with the namespace that a sync would use."""
    in_empty = False
    if not namespace and config.default_namespace is None:
        empty = StreamKeys("", name, config.key_prefix)
        in_empty = any(servers.ask(key, "EXISTS", key) for key in (empty.ledger, empty.counter))
    effective = namespace_in_keys(namespace, config.default_namespace, in_empty=in_empty)
    return StreamKeys(effective, name, config.key_prefix)


def _ledger(keys: StreamKeys, servers: Servers) -> Ledger:
    """Return the ledger; if there is none, the default one, which describes the Java connector's records.

    If a collection may be in the stream's own key, the ledger is corrected by what string is there.
    """
    held = servers.ask(keys.ledger, "HGETALL", keys.ledger)
    assert isinstance(held, dict)
    ledger = parse([part for pair in held.items() for part in pair], b"")
    if not ledger.own_key or not (ledger.collected or ledger.changes_key):
        return ledger
    if servers.ask(keys.counter, "TYPE", keys.counter) != b"string":
        return replace(ledger, own_key=OwnKey.NONE)
    if ledger.newest.storage.template:
        return ledger
    return corrected(ledger, collection=ledger.own_key is OwnKey.COLLECTION)


def _scan(servers: Servers, address: Address, live: KeyTemplate) -> Iterator[bytes]:
    """Yield a server's keys that match the stream's live records."""
    for key in servers.client(address).scan_iter(live.pattern, _COUNT):
        if live.part(key) is not None:
            yield key
