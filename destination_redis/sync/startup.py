"""The opening of a sync: every stream claimed, recovered from whatever ended before, and begun."""

import dataclasses
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.caches import CACHES, CollectionCache, KeyedCache, Layout, Writer, plain
from destination_redis.config.parse import written
from destination_redis.config.settings import RedisConfig
from destination_redis.connection.deployment import Servers
from destination_redis.errors import config_error
from destination_redis.keys import DEFAULT_NAMESPACE, StreamKeys
from destination_redis.ledger.generations import Generations
from destination_redis.ledger.lease import Claim, Lease
from destination_redis.ledger.ledger import Storage
from destination_redis.ledger.takeover import take_all
from destination_redis.placements import placements
from destination_redis.placements.appends import Batches
from destination_redis.placements.promotion import Promotion
from destination_redis.placements.record_scripts import Scripts
from destination_redis.placements.upserts import Upserts
from destination_redis.protocol.catalog import PRIMARY_KEY, Stream
from destination_redis.search.maintenance import Indexes, Promote, search_indexes
from destination_redis.sync import memory_estimate
from destination_redis.sync.stream_writer import Route
from destination_redis.transport.pipeline import Pipeline

#: By the stream's name as messages may give it.
Routes = dict[tuple[str | None, str], Route]


def open_routes(
    config: RedisConfig,
    streams: Sequence[Stream],
    lane: Pipeline,
    servers: Servers,
    pause: Callable[[float], None],
    logger: logging.Logger,
) -> tuple[Routes, Promote]:
    """Return a route for each stream, ready for its records, and what promotes those that are complete in the end."""
    streams = [placed(config, stream) for stream in streams]
    caches = {stream: cache_of(config, stream) for stream in streams}
    token = uuid.uuid4().hex
    claims = [Claim(lane, stream, keys, token) for stream, keys in _keys(config, streams, lane).items()]

    def resume() -> None:
        loss = lane.loss()
        errors: list[AirbyteTracedException] = []
        for claim in claims:
            try:
                claim.resume(loss)
            except AirbyteTracedException as error:
                errors.append(error)
        if errors:  # each ledger says what it lost, the first one is reported
            raise errors[0]

    lane.call_on_reconnect(resume)
    take_all(claims, lane, servers, pause, logger)
    for claim in claims:
        claim.sign()
    try:
        lease = Lease(claims)
        indexes = search_indexes(config, claims, servers, lane.patience, lease, pause)
        routes, promote = _begin(config, claims, caches, lane, lease, indexes)
        both = {each.claim: each.generations.staging and each.generations.has_live() for each in routes.values()}
        for warning in memory_estimate.warnings(config, servers, list(both.items())):
            logger.warning(warning)
    except Exception:
        for claim in claims:
            claim.release(clean=False)
        raise
    return routes, promote


def _begin(
    config: RedisConfig,
    claims: Sequence[Claim],
    caches: Mapping[Stream, KeyedCache | CollectionCache],
    lane: Pipeline,
    lease: Lease,
    indexes: Indexes,
) -> tuple[Routes, Promote]:
    scripts = Scripts(lane, config.ttl_seconds or 0)
    promotion = Promotion(lane, placements(lane, scripts, lease), lease)
    promotion.recover(claims)
    begun = {claim: Generations(lane, claim, _storage(config, claim.stream), scripts.expiry) for claim in claims}
    merging = [claim for claim, generations in begun.items() if generations.start()]
    lane.replicate()
    promotion.merge(merging)
    promotion.drop(claims)
    indexes.begin([claim for claim, generations in begun.items() if not generations.staging])
    routes: Routes = {}
    names = [claim.stream.name for claim in claims]
    for claim, generations in begun.items():
        stream, keys, cache = claim.stream, claim.keys, caches[claim.stream]
        write: Writer
        flush: Callable[[], None] | None = None
        if isinstance(cache, CollectionCache):
            batches = Batches(lane, claim, cache, scripts.expiry, staged=generations.staging)
            write, flush = batches.write, batches.flush
        elif stream.placement == PRIMARY_KEY:
            write = Upserts(
                claim,
                cache,
                scripts,
                staged=generations.first_id if generations.staging else 0,
                soft=config.deletion_mode == "soft",
            ).writer()
        else:
            around, start = (keys.staged, plain) if generations.staging else (keys.live, scripts.start)
            write = cache.writer(around, start)
        route = Route(claim, generations, write, flush)
        routes[stream.namespace, stream.name] = route
        if names.count(stream.name) == 1:
            routes.setdefault((None, stream.name), route)
    lane.settle()
    return routes, indexes.around(promotion.promote)


def _storage(config: RedisConfig, stream: Stream) -> Storage:
    return Storage(stream.placement, stream.key_fields, written(config))


def _keys(config: RedisConfig, streams: Sequence[Stream], lane: Pipeline) -> dict[Stream, StreamKeys]:
    """Return each stream's keys; raises where two come to the same."""
    keys: dict[Stream, StreamKeys] = {}
    owners: dict[bytes, Stream] = {}
    found = _in_empty_namespace(config, streams, lane)
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


def _in_empty_namespace(config: RedisConfig, streams: Sequence[Stream], lane: Pipeline) -> set[Stream]:
    """Return the streams that live under the Java connector's empty namespace already: they stay there."""
    found: set[Stream] = set()
    if config.default_namespace is not None:
        return found

    def judge(stream: Stream, reply: object) -> None:
        if reply:
            found.add(stream)

    for stream in streams:
        if stream.namespace is None:
            empty = StreamKeys("", stream.name, config.key_prefix)
            for key in (empty.ledger, empty.counter):
                lane.send([lane.pack("EXISTS", key)], judge=partial(judge, stream))
    lane.settle()
    return found


def placed(config: RedisConfig, stream: Stream) -> Stream:
    """Return the stream as one that lives where the data type has it."""
    cache = CACHES[config.cache_type](Layout(config.record_format))
    return dataclasses.replace(stream, collected=isinstance(cache, CollectionCache))


def cache_of(config: RedisConfig, stream: Stream) -> KeyedCache | CollectionCache:
    """Return what writes the stream's records."""
    cache_type, record_format = written(config)
    layout = Layout(
        record_format,
        stream.sync_id,
        stream.generation_id,
        full=config.record_metadata == "full",
        max_length=config.stream_max_length,
        stream=str(stream),
        cursor=stream.cursor,
        cursor_order=stream.cursor_order,
    )
    cache = CACHES[cache_type](layout)
    if stream.placement == PRIMARY_KEY and not cache.lua.write:
        raise config_error(
            f"The stream {stream} has the sync mode append_dedup, for which cache_type {cache_type} with record_format "
            f"{record_format} has no room: choose another cache_type or record_format, or another sync mode"
        )
    return cache
