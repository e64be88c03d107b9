"""The stream cache: all records of a stream in one Redis stream, as entries with their ids and the fields of a hash."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

from redis import Redis

from destination_redis.caches.base import READ, Capabilities, Collection, Gatherer, RecordOptions, RedisRecord
from destination_redis.caches.elements import ask
from destination_redis.caches.flat_fields import packer, reader
from destination_redis.caches.metadata import AB_ID, EMITTED_AT
from destination_redis.errors import RejectedRecord
from destination_redis.protocol.messages import Record

#: Names and values that a script can pass to XADD: Lua's stack holds about 8,000 values.
_WIDEST = 7900

# An element is its number of arguments, followed by these. The server itself refuses an id that is not the highest.
_APPEND = """
local at, id = 4, first
while at <= #ARGV do
  local count = tonumber(ARGV[at])
  if skip > 0 then
    skip = skip - 1
  else
    redis.call('XADD', KEYS[2], string.format('%.0f-0', id), unpack(ARGV, at + 1, at + count))
  end
  at, id = at + count + 1, id + 1
end
"""
_DISCARD_UNACKNOWLEDGED = """
local ids = {}
for id = low + 1, sent do ids[#ids + 1] = string.format('%.0f-0', id) end
redis.call('XDEL', KEYS[2], unpack(ids))
"""
_MERGE = """
local ids = {}
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', most)) do
  redis.call('XADD', KEYS[3], entry[1], unpack(entry[2]))
  ids[#ids + 1] = entry[1]
end
if #ids > 0 then redis.call('XDEL', KEYS[2], unpack(ids)) end
if #ids < most then redis.call('UNLINK', KEYS[2]) end
"""


class StreamCache:
    """Writes records with XADD."""

    __slots__ = ("_options",)

    capabilities: ClassVar[Capabilities] = Capabilities(
        ("envelope", "columns"), metadata=("envelope", "columns"), collection=True, settings=("stream_max_length",)
    )

    def __init__(self, options: RecordOptions) -> None:
        self._options = options

    @property
    def collection(self) -> Collection:
        """How scripts append, remove and move entries of a stream, which is trimmed with every batch."""
        most = self._options.limits.get("stream_max_length")
        trim = f"redis.call('XTRIM', KEYS[2], 'MAXLEN', {most})\n" if most is not None else ""
        return Collection(
            append=_APPEND + trim,
            discard_unacknowledged=_DISCARD_UNACKNOWLEDGED,
            merge=_MERGE,
            width=lambda count: 1 + int(count),
        )

    def gatherer(self, parts: list[bytes]) -> Gatherer:
        """Return a function that adds a record's number of arguments, its names and values."""
        pack = packer(self._options, upserts=False)
        add = parts.extend

        def gather(number: int, record: Record) -> int:
            count, packed = pack(number, record)
            arguments, at = 4 + 2 * count, record.emitted_at
            if arguments > _WIDEST:
                raise RejectedRecord(
                    f"it has {count:,} columns, more than one entry of a Redis stream can be written with: choose "
                    "record_format envelope or another cache_type"
                )
            head = b"$%d\r\n%d\r\n$14\r\n%b\r\n$%d\r\n%d\r\n$19\r\n%b\r\n$%d\r\n%b\r\n" % (
                *(len(str(arguments)), arguments, AB_ID, len(str(number)), number),
                *(EMITTED_AT, len(at), at),
            )
            add((head, *packed))
            return 1 + arguments

        return gather

    def get_all(self, client: Redis, keys: Iterable[bytes]) -> Iterator[RedisRecord]:
        """Yield the records of the streams; entries added by other clients are skipped."""
        read = reader(self._options)
        for key in keys:
            start = b"-"
            while entries := ask(client, ("XRANGE", key, start, b"+", "COUNT", READ)):
                for _, held in entries:
                    if (record := read(_fields(held))) is not None:
                        yield record
                start = b"(" + entries[-1][0]

    def probes(self, key: bytes) -> Sequence[Sequence[str | bytes]]:
        """Return the commands for streams."""
        trim = [] if "stream_max_length" not in self._options.limits else [("XTRIM", key, "MAXLEN", "1")]
        return [("XADD", key, "1-0", AB_ID, "1"), ("XRANGE", key, "-", "+", "COUNT", "1"), *trim, ("XDEL", key, "1-0")]


def _fields(held: Any) -> dict[bytes, bytes]:  # noqa: ANN401 - redis-py's reply
    return held if isinstance(held, dict) else dict(zip(held[::2], held[1::2], strict=True))
