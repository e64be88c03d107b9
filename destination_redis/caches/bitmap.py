"""The bitmap cache: one field of all records of a stream in one bitmap, as the positions of its bits."""

import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal, InvalidOperation
from typing import ClassVar

import msgspec
from redis import Redis

from destination_redis.caches.base import Capabilities, Collection, Gatherer, RecordOptions, RedisRecord
from destination_redis.caches.elements import ask, element_of, field_picker
from destination_redis.errors import RejectedRecord
from destination_redis.protocol.messages import Record

#: The highest position unless the settings have another: a bitmap of 16 MB.
MAX_POSITION = 2**27 - 1
#: Bytes of a bitmap that one script merges, in some milliseconds, and that are read at once.
_SLICE = 1024 * 1024
_READ = 64 * 1024

# Until its last byte, the live bitmap is made as long as the staged one, so that it grows once.
_MERGE = f"""
local size = redis.call('STRLEN', KEYS[2])
if redis.call('EXISTS', KEYS[3]) == 0 then
  redis.call('RENAME', KEYS[2], KEYS[3])
else
  if redis.call('STRLEN', KEYS[3]) < size then redis.call('SETBIT', KEYS[3], 8 * size - 1, 0) end
  local last = position + {_SLICE} - 1
  if redis.call('BITPOS', KEYS[2], 1, position, last) >= 0 then
    redis.call('SET', KEYS[4], redis.call('GETRANGE', KEYS[2], position, last))
    redis.call('SET', KEYS[5], redis.call('GETRANGE', KEYS[3], position, last))
    redis.call('BITOP', 'OR', KEYS[4], KEYS[4], KEYS[5])
    redis.call('SETRANGE', KEYS[3], position, redis.call('GET', KEYS[4]))
    redis.call('UNLINK', KEYS[4], KEYS[5])
  end
  position = last + 1
  if position >= size then redis.call('UNLINK', KEYS[2]) end
end
"""
_COLLECTION = Collection(
    append="for i = 4 + skip, #ARGV do redis.call('SETBIT', KEYS[2], ARGV[i], 1) end\n",
    discard_unacknowledged="",
    merge=_MERGE,
)
#: Of each byte, the positions of its bits that are set; the first is the highest.
_BITS = tuple(tuple(bit for bit in range(8) if byte & 0x80 >> bit) for byte in range(256))
_NOT_ZERO = re.compile(rb"[^\0]")


class BitmapCache:
    """Writes records with SETBIT."""

    __slots__ = ("_options",)

    capabilities: ClassVar[Capabilities] = Capabilities(
        ("columns",),
        collection=True,
        settings=("value", "bitmap_max_position"),
        required=("value",),
        string=True,
    )
    collection = _COLLECTION

    def __init__(self, options: RecordOptions) -> None:
        self._options = options

    def gatherer(self, parts: list[bytes]) -> Gatherer:
        """Return a function that adds the position in a field of a record."""
        name, most = self._options.fields["value"], self._options.limits.get("bitmap_max_position", MAX_POSITION)
        pick, add = field_picker((name,)), parts.append

        def gather(_: int, record: Record) -> int:
            (value,) = pick(record.data)
            position = _integer(value, name)
            if position is None or position > most:
                raise RejectedRecord(
                    f"its field {name}, which value names, is not an integer from 0 to {most:,} (bitmap_max_position)"
                )
            text = b"%d" % position
            add(b"$%d\r\n%b\r\n" % (len(text), text))
            return 1

        return gather

    def get_all(self, client: Redis, keys: Iterable[bytes]) -> Iterator[RedisRecord]:
        """Yield the positions of the bitmaps in ascending order, as the data of records."""
        for key in keys:
            first = 0
            while page := ask(client, ("GETRANGE", key, first, first + _READ - 1)):
                for found in _NOT_ZERO.finditer(page):
                    byte = 8 * (first + found.start())
                    for bit in _BITS[page[found.start()]]:
                        yield RedisRecord(0, b"", b"%d" % (byte + bit))
                first += len(page)

    def probes(self, key: bytes) -> Sequence[Sequence[str | bytes]]:
        """Return the commands for bitmaps."""
        return [
            ("SETBIT", key, "0", "1"),
            ("BITPOS", key, "1", "0", "0"),
            ("GETRANGE", key, "0", "0"),
            ("BITOP", "OR", key, key, key),
            ("SETRANGE", key, "0", "1"),
        ]


def _integer(value: msgspec.Raw, name: str) -> int | None:
    """Return a JSON number without a fraction, or a text of digits, as an integer; None for a negative or other one."""
    text = bytes(value)
    if text[:1] == b'"':
        text = element_of(value, name)
        return int(text) if text.isdigit() and len(text) <= 20 else None
    if text.isdigit() and len(text) <= 20:
        return int(text)
    try:
        number = Decimal(text.decode())
    except (InvalidOperation, UnicodeDecodeError):
        return None
    return int(number) if 0 <= number < 10**20 and number == number.to_integral_value() else None
