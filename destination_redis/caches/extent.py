"""The extent of a record: its bytes as a command, which servers limit, as do proxies before them."""

from collections.abc import Callable
from typing import NamedTuple

from destination_redis.caches.base import CollectionCache, KeyedCache, plain
from destination_redis.keys import KeyTemplate, key_part
from destination_redis.protocol.catalog import DELETED_AT
from destination_redis.protocol.json_fields import Path, picker, text
from destination_redis.protocol.messages import Record
from destination_redis.resp import unpack_command

#: Bytes of a key up to which no server refuses a record for it.
SHORT_KEY = 1024
# The data makes a record large. Its id and the script that writes it are small.
_ID = 1
#: The epoch and the kind of a cursor, in bytes.
_BEFORE_CURSOR = 5


class Extent(NamedTuple):
    """The bytes of a record as a command: of all of it, of its largest value, and of its key if that is data."""

    command: int
    value: int
    key: int = 0

    def reaches(self, other: "Extent") -> bool:
        """Return whether it is at least as large as `other` in every respect."""
        return all(own >= its for own, its in zip(self, other, strict=True))


#: Returns the extent of a record; raises what the cache's encoder raises.
Measure = Callable[[Record], Extent]


def measure(cache: KeyedCache | CollectionCache) -> Measure:
    """Return a function from a record to its extent."""
    if isinstance(cache, CollectionCache):
        return _measure_element(cache)
    encode = cache.encoder(KeyTemplate(b""), plain)
    return lambda record: _extent(encode(_ID, record))


def measure_upsert(
    cache: KeyedCache | CollectionCache, keys: KeyTemplate, primary_key: tuple[Path, ...], cursor: Path, *, hard: bool
) -> Measure:
    """Return the same for upserts, whose cursor is stored as hexadecimal text, and whose key is data.

    If deletions are `hard`, a deletion stores its cursor alone.
    """
    of, width = measure(cache), len(primary_key)
    pick = picker((*primary_key, (DELETED_AT,), *([cursor] if cursor else [])))

    def of_upsert(record: Record) -> Extent:
        values = pick(record.data)
        key = len(keys.key(b":".join(map(key_part, values[:width]))))
        deleted, *cursors = values[width:]
        encoded = sum(_BEFORE_CURSOR + 2 * len(text(bytes(value))) for value in cursors)
        command, value, _ = Extent(0, 0) if hard and bytes(deleted) != b"null" else of(record)
        return Extent(key + encoded + command, max(value, encoded), key)

    return of_upsert


def _measure_element(cache: CollectionCache) -> Measure:
    parts: list[bytes] = []
    gather = cache.gatherer(parts)

    def of_element(record: Record) -> Extent:
        gather(_ID, record)
        command = b"\n" + b"".join(parts)
        parts.clear()
        return _extent(command)

    return of_element


def _extent(command: bytes) -> Extent:
    return Extent(len(command), max(map(len, unpack_command(command))))
