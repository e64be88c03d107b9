"""The opening of a sync: every stream claimed, recovered from whatever ended before, and begun."""

import dataclasses
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.caches import CACHES, CollectionCache, Encoder, KeyedCache, RecordOptions, plain
from destination_redis.config.parse import storage_format_of
from destination_redis.config.settings import RedisConfig
from destination_redis.connection.deployment import Servers
from destination_redis.errors import config_error
from destination_redis.keys import DEFAULT_NAMESPACE, StreamKeys
from destination_redis.ledger.generations import Generations
from destination_redis.ledger.lease import LeaseHeartbeat, StreamLease
from destination_redis.ledger.ledger import Storage
from destination_redis.ledger.takeover import take_all
from destination_redis.placements import placements
from destination_redis.placements.appends import Appender
from destination_redis.placements.promotion import Promotion
from destination_redis.placements.record_scripts import Scripts
from destination_redis.placements.upserts import Upserts
from destination_redis.protocol.catalog import PRIMARY_KEY, Stream
from destination_redis.resp import pack_command
from destination_redis.search.maintenance import Indexes, Promote, search_indexes
from destination_redis.sync import memory_estimate
from destination_redis.sync.stream_writer import StreamWriter
from destination_redis.transport.pipeline import Pipeline

#: By the stream's name as messages may give it.
StreamWriters = dict[tuple[str | None, str], StreamWriter]


def open_streams(
    config: RedisConfig,
    streams: Sequence[Stream],
    pipeline: Pipeline,
    servers: Servers,
    pause: Callable[[float], None],
    logger: logging.Logger,
) -> tuple[StreamWriters, Promote]:
    """Return a route for each stream, ready for its records, and what promotes those that are complete in the end."""
    streams = [placed(config, stream) for stream in streams]
    caches = {stream: cache_of(config, stream) for stream in streams}
    token = uuid.uuid4().hex
    leases = [StreamLease(pipeline, stream, keys, token) for stream, keys in _keys(config, streams, pipeline).items()]

    def resume() -> None:
        loss = pipeline.loss()
        errors: list[AirbyteTracedException] = []
        for lease in leases:
            try:
                lease.resume(loss)
            except AirbyteTracedException as error:
                errors.append(error)
        if errors:  # each ledger says what it lost, the first one is reported
            raise errors[0]

    pipeline.call_on_reconnect(resume)
    take_all(leases, pipeline, servers, pause, logger)
    for lease in leases:
        lease.sign()
    try:
        heartbeat = LeaseHeartbeat(leases)
        indexes = search_indexes(config, leases, servers, pipeline.retry, heartbeat, pause)
        writers, promote = _begin(config, leases, caches, pipeline, heartbeat, indexes)
        both = {each.lease: each.generations.staging and each.generations.has_live() for each in writers.values()}
        for warning in memory_estimate.warnings(config, servers, list(both.items())):
            logger.warning(warning)
    except Exception:
        for lease in leases:
            lease.release(clean=False)
        raise
    return writers, promote


def _begin(
    config: RedisConfig,
    leases: Sequence[StreamLease],
    caches: Mapping[Stream, KeyedCache | CollectionCache],
    pipeline: Pipeline,
    heartbeat: LeaseHeartbeat,
    indexes: Indexes,
) -> tuple[StreamWriters, Promote]:
    scripts = Scripts(pipeline, config.ttl_seconds or 0)
    promotion = Promotion(pipeline, placements(pipeline, scripts, heartbeat), heartbeat)
    promotion.recover(leases)
    begun = {lease: Generations(pipeline, lease, _storage(config, lease.stream), scripts.expiry) for lease in leases}
    merging = [lease for lease, generations in begun.items() if generations.start()]
    pipeline.replicate()
    promotion.merge(merging)
    promotion.drop(leases)
    indexes.begin([lease for lease, generations in begun.items() if not generations.staging])
    writers: StreamWriters = {}
    names = [lease.stream.name for lease in leases]
    for lease, generations in begun.items():
        stream, keys, cache = lease.stream, lease.keys, caches[lease.stream]
        encode: Encoder
        send_gathered: Callable[[], None] | None = None
        if isinstance(cache, CollectionCache):
            appender = Appender(pipeline, lease, cache, scripts.expiry, staged=generations.staging)
            encode, send_gathered = appender.gather, appender.send
        elif stream.placement == PRIMARY_KEY:
            encode = Upserts(
                lease,
                cache,
                scripts,
                staged=generations.first_id if generations.staging else 0,
                soft=config.deletion_mode == "soft",
            ).encoder()
        else:
            template, start = (keys.staged, plain) if generations.staging else (keys.live, scripts.start)
            encode = cache.encoder(template, start)
        writer = StreamWriter(lease, generations, encode, send_gathered)
        writers[stream.namespace, stream.name] = writer
        if names.count(stream.name) == 1:
            writers.setdefault((None, stream.name), writer)
    pipeline.flush()
    return writers, indexes.around(promotion.promote)


def _storage(config: RedisConfig, stream: Stream) -> Storage:
    return Storage(stream.placement, stream.key_fields, storage_format_of(config))


def _keys(config: RedisConfig, streams: Sequence[Stream], pipeline: Pipeline) -> dict[Stream, StreamKeys]:
    """Return each stream's keys; raises where two come to the same."""
    keys: dict[Stream, StreamKeys] = {}
    owners: dict[bytes, Stream] = {}
    found = _in_empty_namespace(config, streams, pipeline)
    for stream in streams:
        namespace = stream.namespace
        if namespace is None:
            namespace = config.default_namespace
        if namespace is None:
            namespace = "" if stream in found else DEFAULT_NAMESPACE
        keys[stream] = StreamKeys(namespace, stream.name, config.key_prefix)
        other = owners.setdefault(keys[stream].counter, stream)
        if other is not stream:
            raise config_error(
                f"The stream {stream} and another of its name come to the same keys "
                f"({keys[stream].counter.decode()}): change default_namespace or the stream's namespace"
            )
    return keys


def _in_empty_namespace(config: RedisConfig, streams: Sequence[Stream], pipeline: Pipeline) -> set[Stream]:
    """Return the streams that live under the Java connector's empty namespace already: they stay there."""
    found: set[Stream] = set()
    if config.default_namespace is not None:
        return found

    def on_reply(stream: Stream, reply: object) -> None:
        if reply:
            found.add(stream)

    for stream in streams:
        if stream.namespace is None:
            empty = StreamKeys("", stream.name, config.key_prefix)
            for key in (empty.ledger, empty.counter):
                pipeline.send([pack_command("EXISTS", key)], on_reply=partial(on_reply, stream))
    pipeline.flush()
    return found


def placed(config: RedisConfig, stream: Stream) -> Stream:
    """Return the stream as one that lives where the data type has it."""
    cache = CACHES[config.cache_type](RecordOptions(config.record_format))
    return dataclasses.replace(stream, collected=isinstance(cache, CollectionCache))


def cache_of(config: RedisConfig, stream: Stream) -> KeyedCache | CollectionCache:
    """Return what writes the stream's records."""
    cache_type, record_format = storage_format_of(config)
    options = RecordOptions(
        record_format,
        stream.sync_id,
        stream.generation_id,
        full=config.record_metadata == "full",
        max_length=config.stream_max_length,
        stream=str(stream),
        cursor=stream.cursor,
        cursor_order=stream.cursor_order,
    )
    cache = CACHES[cache_type](options)
    if stream.placement == PRIMARY_KEY and not cache.lua.write:
        raise config_error(
            f"The stream {stream} has the sync mode append_dedup, for which cache_type {cache_type} with record_format "
            f"{record_format} has no room: choose another cache_type or record_format, or another sync mode"
        )
    return cache
