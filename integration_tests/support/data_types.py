"""Every data type in every format, and what reads and writes it."""

from destination_redis.caches import CACHES, CollectionCache, KeyedCache, RecordFormat, RecordOptions, RedisCache

#: A data type and a format.
Shape = tuple[str, RecordFormat]
HASH: Shape = ("hash", "envelope")
SHAPES: list[Shape] = [(cache_type, form) for cache_type, made in CACHES.items() for form in made.capabilities.formats]
#: Those that hold all records of a stream in one key, and those with a key for each.
COLLECTED = [shape for shape in SHAPES if CACHES[shape[0]].capabilities.collection]
KEYED = [shape for shape in SHAPES if shape not in COLLECTED]
UPSERTING = [shape for shape in SHAPES if shape[1] in CACHES[shape[0]].capabilities.upserts]

#: Data types in which equal records are one: what a sync that died had sent need not be swept away.
FOLDING = [
    name
    for name, made in CACHES.items()
    if isinstance(it := made(RecordOptions()), CollectionCache) and not it.collection.discard_unacknowledged
]


def cache(shape: Shape = HASH) -> RedisCache:
    """Return what reads records of that data type and format."""
    return CACHES[shape[0]](RecordOptions(shape[1]))


def keyed_cache(shape: Shape) -> KeyedCache:
    """Return what writes records under keys of their own."""
    found = CACHES[shape[0]](RecordOptions(shape[1]))
    assert not isinstance(found, CollectionCache)
    return found
