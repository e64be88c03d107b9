"""The caches: one for each Redis data type in which records can be stored, by their `cache_type` names."""

from collections.abc import Mapping
from types import MappingProxyType

from destination_redis.caches.base import (
    Capabilities,
    Collection,
    CollectionCache,
    Encoder,
    KeyedCache,
    Lua,
    RecordFormat,
    RecordOptions,
    RedisCache,
    RedisRecord,
    Start,
    StorageFormat,
    UpsertEncoder,
    plain,
)
from destination_redis.caches.bitmap import BitmapCache
from destination_redis.caches.geo import GeoCache
from destination_redis.caches.hash import HashCache
from destination_redis.caches.hyperloglog import HyperLogLogCache
from destination_redis.caches.json import JsonCache
from destination_redis.caches.list import ListCache
from destination_redis.caches.set import SetCache
from destination_redis.caches.sorted_set import SortedSetCache
from destination_redis.caches.stream import StreamCache
from destination_redis.caches.string import StringCache

CACHES: Mapping[str, type[KeyedCache] | type[CollectionCache]] = MappingProxyType(
    {
        "hash": HashCache,
        "json": JsonCache,
        "string": StringCache,
        "list": ListCache,
        "set": SetCache,
        "sorted_set": SortedSetCache,
        "stream": StreamCache,
        "geo": GeoCache,
        "bitmap": BitmapCache,
        "hyperloglog": HyperLogLogCache,
    }
)

__all__ = [
    "CACHES",
    "BitmapCache",
    "Capabilities",
    "Collection",
    "CollectionCache",
    "Encoder",
    "GeoCache",
    "HashCache",
    "HyperLogLogCache",
    "JsonCache",
    "KeyedCache",
    "ListCache",
    "Lua",
    "RecordFormat",
    "RecordOptions",
    "RedisCache",
    "RedisRecord",
    "SetCache",
    "SortedSetCache",
    "Start",
    "StorageFormat",
    "StreamCache",
    "StringCache",
    "UpsertEncoder",
    "plain",
]
