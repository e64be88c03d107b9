"""The largest value that a record is stored as: servers limit the bytes of one value."""

from collections.abc import Callable

from destination_redis.caches.base import CollectionCache, KeyedCache, plain
from destination_redis.keys import KeyTemplate
from destination_redis.protocol.json_fields import Path, picker, text
from destination_redis.protocol.messages import Record
from destination_redis.resp import unpack_command

# The data makes a record large. Its id, its key and the script that writes it are small.
_ID = 1
#: The epoch and the kind of a cursor, in bytes.
_BEFORE_CURSOR = 5


def largest_value(cache: KeyedCache | CollectionCache) -> Callable[[Record], int]:
    """Return a function from a record to the bytes of its largest value; it raises what the cache's encoder raises."""
    if isinstance(cache, CollectionCache):
        return _largest_argument(cache)
    encode = cache.encoder(KeyTemplate(b""), plain)
    return lambda record: _largest(encode(_ID, record))


def largest_upsert(
    cache: KeyedCache | CollectionCache, deleted_at: Path, cursor: Path, *, hard: bool
) -> Callable[[Record], int]:
    """Return the same for upserts, whose cursor is stored as hexadecimal text.

    If deletions are `hard`, a record with a value at `deleted_at` stores its cursor alone.
    """
    largest, pick = largest_value(cache), picker((deleted_at, *([cursor] if cursor else [])))

    def of(record: Record) -> int:
        deleted, *cursors = pick(record.data)
        encoded = sum(_BEFORE_CURSOR + 2 * len(text(bytes(value))) for value in cursors)
        return encoded if hard and bytes(deleted) != b"null" else max(largest(record), encoded)

    return of


def _largest_argument(cache: CollectionCache) -> Callable[[Record], int]:
    parts: list[bytes] = []
    gather = cache.gatherer(parts)

    def largest(record: Record) -> int:
        gather(_ID, record)
        command = b"\n" + b"".join(parts)
        parts.clear()
        return _largest(command)

    return largest


def _largest(command: bytes) -> int:
    return max(map(len, unpack_command(command)))
