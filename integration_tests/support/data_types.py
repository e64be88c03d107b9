"""Every data type in every format, the records that it takes, and what reads and writes it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from redis import Redis

from destination_redis.caches import CACHES, CollectionCache, KeyedCache, RecordFormat, RecordOptions, RedisCache
from integration_tests.support.messages import Json, record

#: A data type and a format.
Shape = tuple[str, RecordFormat]
HASH: Shape = ("hash", "envelope")
SHAPES: list[Shape] = [(cache_type, form) for cache_type, made in CACHES.items() for form in made.capabilities.formats]
#: Those that hold all records of a stream in one key, and those with a key for each.
COLLECTED = [shape for shape in SHAPES if CACHES[shape[0]].capabilities.collection]
KEYED = [shape for shape in SHAPES if shape not in COLLECTED]
UPSERTING = [shape for shape in SHAPES if shape[1] in CACHES[shape[0]].capabilities.upserts]
#: Those that store a record's data, not a number of it alone; and those of whose records any number can be read back.
WHOLE = [shape for shape in SHAPES if not CACHES[shape[0]].capabilities.string]
READABLE = [shape for shape in SHAPES if shape[0] != "hyperloglog"]

#: Data types in which equal records are one: what a sync that died had sent need not be swept away.
FOLDING = [
    name
    for name, made in CACHES.items()
    if isinstance(it := made(RecordOptions()), CollectionCache) and not it.collection.discard_unacknowledged
]


class Needs(NamedTuple):
    """What a data type needs beside an "id": columns of a record, and the settings that name them."""

    settings: Json
    #: By the record's number.
    columns: Callable[[int], Json]
    #: Returns the numbers of the records in a collection of it, where these are not in what is read back.
    read: Callable[[Redis, str], list[int]] | None = None


def _positions(client: Redis, key: str) -> list[int]:
    return [int(each.data) - FIRST for each in cache(("bitmap", "columns")).get_all(client, [key.encode()])]


def _counted(client: Redis, key: str) -> list[int]:
    """Return those of some numbers that a HyperLogLog has counted: to add them to a copy changes nothing of it."""
    if client.type(key) != b"string" or client.getrange(key, 0, 3) != b"HYLL":
        return []
    client.restore("a copy", 0, client.dump(key), replace=True)  # type: ignore[arg-type] # it exists
    found = [number for number in FEW if not client.pfadd("a copy", number)]
    client.unlink("a copy")
    return found


#: The position of the record 0 in a bitmap: there are records with numbers below it.
FIRST = 1000
#: The numbers by which a HyperLogLog is read: no two of them share a register, so each is told for certain.
FEW = range(-20, 201)
NEEDS: Mapping[str, Needs] = {
    "geo": Needs(
        {"longitude": "lon", "latitude": "lat"},
        lambda number: {"lon": number % 360 - 179.5, "lat": number % 170 - 84.5},
    ),
    "bitmap": Needs({"value": "position"}, lambda number: {"position": number + FIRST}, _positions),
    "hyperloglog": Needs({"value": "id"}, lambda _: {}, _counted),
}


def settings_for(shape: Shape) -> Json:
    """Return the settings for a data type and format, with those that the columns below need."""
    cache_type, record_format = shape
    needs = NEEDS.get(cache_type)
    return {"cache_type": cache_type, "record_format": record_format, **(needs.settings if needs else {})}


def columns(number: int) -> Json:
    """Return the columns that a record needs so that every data type takes it."""
    return {name: value for needs in NEEDS.values() for name, value in needs.columns(number).items()}


def storable(number: int, name: str = "users", **more: Any) -> Json:
    """Return a record that every data type takes, unless it has other data."""
    return record(number, name, **{"data": {"id": number, **columns(number)}, **more})


def cache(shape: Shape = HASH) -> RedisCache:
    """Return what reads records of that data type and format."""
    return CACHES[shape[0]](RecordOptions(shape[1]))


def keyed_cache(shape: Shape) -> KeyedCache:
    """Return what writes records under keys of their own."""
    found = CACHES[shape[0]](RecordOptions(shape[1]))
    assert not isinstance(found, CollectionCache)
    return found
