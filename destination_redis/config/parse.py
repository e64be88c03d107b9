"""The settings and a stream -> how its records are written, and where; what cannot be combined is a config error."""

import dataclasses

from destination_redis.caches import CACHES, CollectionCache, KeyedCache, Layout, Written
from destination_redis.config.deployment import Cluster
from destination_redis.config.settings import RedisConfig
from destination_redis.errors import config_error
from destination_redis.protocol.catalog import PRIMARY_KEY, Stream


def written(config: RedisConfig) -> Written:
    """Return the data type and format; raises where they, or other settings, do not go together."""
    cache_type, record_format = chosen = Written(config.cache_type, config.record_format)
    formats = CACHES[cache_type].formats
    if record_format not in formats:
        raise config_error(f"cache_type {cache_type} has no record_format {record_format}, only {' or '.join(formats)}")
    if config.record_metadata == "full" and not CACHES[cache_type](Layout(record_format)).holds_more:
        raise config_error(
            f"record_metadata full has no room in cache_type {cache_type} with record_format {record_format}, which "
            "holds a record's data alone"
        )
    if config.search_index:
        _refuse_index(config, chosen)
    if config.stream_max_length is not None and cache_type != "stream":
        raise config_error(f"stream_max_length is for cache_type stream, which {cache_type} is not")
    return chosen


def _refuse_index(config: RedisConfig, chosen: Written) -> None:
    """Raise where there can be no search index."""
    cache_type, record_format = chosen
    if cache_type != "json" and chosen != ("hash", "columns"):
        raise config_error(
            "search_index needs cache_type json, or cache_type hash with record_format columns; "
            f"it has no columns to index in cache_type {cache_type} with record_format {record_format}"
        )
    if isinstance(config.deployment, Cluster):
        raise config_error("search_index is not possible in a cluster: an index holds only what its own node holds")
    if config.database:
        raise config_error(f"search_index needs the database 0, the only one that has indexes, not {config.database}")


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
