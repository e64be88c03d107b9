"""The startup of a sync: takes the lease of every stream, recovers from earlier syncs, and starts the streams."""

import dataclasses
import logging
import uuid
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.caches import CACHES, CollectionCache, KeyedCache, RecordOptions
from destination_redis.caches.extent import Measure, measure, measure_upsert
from destination_redis.config.default_fields import with_default_fields
from destination_redis.config.rules import check_stream
from destination_redis.config.settings import RedisConfig
from destination_redis.config.stream_configs import StreamConfigs
from destination_redis.connection.deployment import Servers
from destination_redis.errors import config_error
from destination_redis.keys import COLLECTION_KEY, RECORD_KEY, StreamKeys, namespace_in_keys
from destination_redis.ledger.collection_keys import check_collections, uses_templates
from destination_redis.ledger.generations import Generations
from destination_redis.ledger.heartbeat import LeaseHeartbeat
from destination_redis.ledger.lease import StreamLease
from destination_redis.ledger.storage import VECTORS, Storage
from destination_redis.ledger.takeover import take_all
from destination_redis.ledger.template_claims import TemplateClaims
from destination_redis.placements import Target, placements
from destination_redis.placements.promotion import Promotion
from destination_redis.placements.record_scripts import Scripts
from destination_redis.placements.rejected import RejectedRecords, RejectedWriter
from destination_redis.protocol.catalog import COLLECTION, PRIMARY_KEY, SEQUENCE, Stream
from destination_redis.resp import pack_command
from destination_redis.search.maintenance import Indexes, search_indexes
from destination_redis.sync import memory_estimate
from destination_redis.sync.known_limits import KnownLimits
from destination_redis.sync.stream_writer import Keeping, StreamWriter
from destination_redis.sync.streams import Streams
from destination_redis.transport.pipeline import Pipeline
from destination_redis.transport.probe import probe_many_keys
from destination_redis.transport.window import Kind

logger = logging.getLogger("airbyte")


def open_streams(config: RedisConfig, streams: Sequence[Stream], pipeline: Pipeline, servers: Servers) -> Streams:
    """Return the streams, ready for their records."""
    settings = settings_of(config, streams)
    for stream, own in settings.items():
        check_stream(own, stream)
    settings = {stream: with_default_fields(own, stream) for stream, own in settings.items()}
    _log_default_keys(settings)
    token = uuid.uuid4().hex
    keys_of = _keys(config, tuple(settings), pipeline)
    leases = [StreamLease(pipeline, stream, keys, token) for stream, keys in keys_of.items()]

    def resume() -> None:
        loss = pipeline.loss()
        errors: list[AirbyteTracedException] = []
        for lease in leases:
            try:
                lease.resume(loss)
            except AirbyteTracedException as error:
                errors.append(error)
        if errors:  # every ledger has noted its loss; the first one is reported
            raise errors[0]

    pipeline.call_on_reconnect(resume)
    take_all(leases, pipeline, servers, logger)
    for lease in leases:
        lease.register_connections()
    try:
        needed = uses_templates(leases)
        pipeline.many_keys = not servers.clustered and probe_many_keys(pipeline, config.key_prefix, needed=needed)
        indexed = [lease for lease in leases if settings[lease.stream].search_index]
        claims = TemplateClaims(leases, pipeline, config.key_prefix, indexed)
        claims.claim()
        check_collections(leases, pipeline)
        heartbeat = LeaseHeartbeat(leases)
        indexes = search_indexes(settings, leases, servers, pipeline.retry, heartbeat)
        opened = _begin(settings, leases, pipeline, heartbeat, indexes)
        opened.promote = claims.around(opened.promote)
        both = {each.lease: each.generations.staging and each.generations.has_live() for each in opened.all}
        for warning in memory_estimate.warnings(settings, servers, list(both.items()), config.database):
            logger.warning(warning)
    except Exception:
        for lease in leases:
            lease.release(clean=False)
        raise
    return opened


def _begin(
    settings: Mapping[Stream, RedisConfig],
    leases: Sequence[StreamLease],
    pipeline: Pipeline,
    heartbeat: LeaseHeartbeat,
    indexes: Indexes,
) -> Streams:
    scripts = Scripts(pipeline)
    by_name = placements(pipeline, scripts, heartbeat)
    promotion = Promotion(pipeline, by_name, RejectedRecords(pipeline, heartbeat), heartbeat)
    promotion.recover(leases)
    begun = {lease: Generations(pipeline, lease, _storage(settings[lease.stream], lease.stream)) for lease in leases}
    promotion.drop([lease for lease, generations in begun.items() if generations.drop_unacknowledged()])
    merging = [lease for lease, generations in begun.items() if generations.start()]
    pipeline.replicate()
    promotion.merge(merging)
    promotion.drop(leases)
    indexes.begin([lease for lease, generations in begun.items() if not generations.staging])
    writers: dict[tuple[str | None, str], StreamWriter] = {}
    names = [lease.stream.name for lease in leases]
    keeps = any(config.rejected_records == "keep" for config in settings.values())
    limit = pipeline.lowest_limit() if keeps else None
    for lease, generations in begun.items():
        stream, config = lease.stream, settings[lease.stream]
        cache = cache_of(config, stream)
        target = Target(lease, cache, generations.staging, config.deletion_mode == "soft")
        keeping = None
        if keeps:
            limits = KnownLimits(_measure(config, target), limit)
            kept = RejectedWriter(pipeline, lease, config.rejected_max_length)
            keeping = Keeping(kept, limits)
        write, parsed = by_name[stream.placement].writer(target), cache.capabilities.parsed
        writer = StreamWriter(lease, generations, write, keeping, parsed=parsed)
        writers[stream.namespace, stream.name] = writer
        if names.count(stream.name) == 1:
            writers.setdefault((None, stream.name), writer)
    pipeline.flush()
    return Streams(writers, indexes.around(promotion.promote))


def _measure(config: RedisConfig, target: Target) -> Measure:
    lease, stream = target.lease, target.lease.stream
    if stream.placement != PRIMARY_KEY:
        return measure(target.cache)
    keys = lease.newest_keys.staged if target.staged else lease.live_keys.live
    return measure_upsert(target.cache, keys, stream.primary_key, stream.cursor, hard=config.deletion_mode == "hard")


def _storage(config: RedisConfig, stream: Stream) -> Storage:
    fields = list(config.fields.items())
    if CACHES[config.cache_type].capabilities.primary_key and stream.catalog_key and config.value is None:
        fields.append(("primary_key", msgspec.json.encode(stream.catalog_key).decode()))
    if config.cache_type == "hash":  # stores a vector in another form than any other column, a document in the same
        fields += sorted((VECTORS, each.field) for each in config.vectors)
    return Storage(stream.placement, stream.key_fields, config.storage_format, stream.template, tuple(fields))


def _keys(config: RedisConfig, streams: Sequence[Stream], pipeline: Pipeline) -> dict[Stream, StreamKeys]:
    """Return each stream's keys; raises a config error if two streams map to the same keys."""
    keys: dict[Stream, StreamKeys] = {}
    owners: dict[bytes, Stream] = {}
    found = _in_empty_namespace(config, streams, pipeline)
    for stream in streams:
        namespace = namespace_in_keys(stream.namespace, config.default_namespace, in_empty=stream in found)
        keys[stream] = StreamKeys(namespace, stream.name, config.key_prefix)
        other = owners.setdefault(keys[stream].counter, stream)
        if other is not stream:
            raise config_error(
                f"The stream {stream} and another of its name map to the same keys "
                f"({keys[stream].counter.decode()}): change default_namespace or the stream's namespace"
            )
    return keys


def _in_empty_namespace(config: RedisConfig, streams: Sequence[Stream], pipeline: Pipeline) -> set[Stream]:
    """Return the streams that the Java connector stored in the empty namespace: they stay there."""
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
                pipeline.send([pack_command("EXISTS", key)], partial(on_reply, stream), Kind.OTHER)
    pipeline.flush()
    return found


def settings_of(config: RedisConfig, streams: Sequence[Stream]) -> dict[Stream, RedisConfig]:
    """Return the streams as their settings place them, with these settings; logs which settings have no effect."""
    configs = StreamConfigs(config)
    for sentence in configs.left_out:
        logger.info(sentence)
    for sentence in configs.without_effect(streams):
        logger.warning(sentence)
    found = ((stream, configs.of(stream.name, stream.namespace)) for stream in streams)
    return {placed(own, stream): own for stream, own in found}


def _log_default_keys(settings: Mapping[Stream, RedisConfig]) -> None:
    """Log which streams the setting `record_key` is not for."""
    names = [
        str(stream) for stream, own in settings.items() if stream.placement == SEQUENCE and own.record_key != RECORD_KEY
    ]
    if names:
        more = f" and {len(names) - 1} more" if names[1:] else ""
        logger.info("record_key is for streams in append_dedup: the keys of %s%s are the default ones", names[0], more)


def placed(config: RedisConfig, stream: Stream) -> Stream:
    """Return the stream with the placement that the data type requires, the template of its keys, and its expiry."""
    collected = CACHES[config.cache_type].capabilities.collection
    placed = dataclasses.replace(stream, collected=collected, expiry=config.expiry, expire_at=config.expire_at or "")
    templates = {PRIMARY_KEY: config.record_key, COLLECTION: config.collection_key}
    template = templates.get(placed.placement, RECORD_KEY)
    return dataclasses.replace(placed, template="" if template in (RECORD_KEY, COLLECTION_KEY) else template)


def cache_of(config: RedisConfig, stream: Stream) -> KeyedCache | CollectionCache:
    """Return the cache that encodes the stream's records."""
    cache_type, record_format = config.storage_format
    options = RecordOptions(
        record_format,
        stream.sync_id,
        stream.generation_id,
        full=config.record_metadata == "full",
        limits=config.limits,
        stream=str(stream),
        cursor=stream.cursor,
        cursor_order=stream.cursor_order,
        fields=config.fields,
        times=stream.times,
        vectors={each.field: each.dimensions for each in config.vectors},
        primary_key=stream.catalog_key,
    )
    return CACHES[cache_type](options)
