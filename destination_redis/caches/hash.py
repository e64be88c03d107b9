"""A record as a hash, with the field names of the Java connector."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar

import msgspec
from redis import Redis

from destination_redis.caches.base import Layout, Lua, RecordFormat, RedisRecord, Upserter, Writer
from destination_redis.messages import Record

# Packed by hand: at 300,000 records a second the general packer alone takes longer than everything else together.
# Of the key and the id only the digits differ between records, so their lengths are filled in once for each length.
_ENVELOPE = (
    b"*%d\r\n$4\r\nHSET\r\n$%d\r\n%b%%d%b\r\n"
    b"$14\r\n_airbyte_ab_id\r\n$%d\r\n%%d\r\n"
    b"$19\r\n_airbyte_emitted_at\r\n$%%d\r\n%%b\r\n"
    b"$13\r\n_airbyte_data\r\n$%%d\r\n"
)
_META_FIELD = b"\r\n$13\r\n_airbyte_meta\r\n$%d\r\n%b\r\n"
# An upsert's id, cursor, first id, time and data.
_UPSERT = b"%%b$%%d\r\n%%d\r\n$%%d\r\n%%b\r\n$%d\r\n%d\r\n$%%d\r\n%%b\r\n$%%d\r\n"
_LUA = Lua(
    kind="hash",
    read="""
local held = redis.call('HMGET', key, '_airbyte_ab_id', '_airbyte_cursor', '_airbyte_gone')
return tonumber(held[1]), held[2] or '', held[3]
""",
    write="""
local count = 4
if ARGV[6] then
  count = 5
  redis.call('HSET', KEYS[1], '_airbyte_ab_id', ARGV[1], '_airbyte_cursor', ARGV[2],
    '_airbyte_emitted_at', ARGV[4], '_airbyte_data', ARGV[5], '_airbyte_meta', ARGV[6])
else
  redis.call('HSET', KEYS[1], '_airbyte_ab_id', ARGV[1], '_airbyte_cursor', ARGV[2],
    '_airbyte_emitted_at', ARGV[4], '_airbyte_data', ARGV[5])
end
if held and redis.call('HLEN', KEYS[1]) ~= count then
  redis.call('HDEL', KEYS[1], '_airbyte_gone')
  if count == 4 then redis.call('HDEL', KEYS[1], '_airbyte_meta') end
end
""",
    mark="""
redis.call('HSET', KEYS[1], '_airbyte_ab_id', ARGV[1], '_airbyte_cursor', ARGV[2], '_airbyte_gone', '1')
redis.call('HDEL', KEYS[1], '_airbyte_emitted_at', '_airbyte_data', '_airbyte_meta')
""",
)


class _Meta(msgspec.Struct, frozen=True, gc=False):
    changes: list[msgspec.Raw] | None = None


_META = msgspec.json.Decoder(_Meta | None)


class HashCache:
    """Writes id, time and data under the Java connector's names, and `_airbyte_meta` where the source has changes."""

    __slots__ = ("_sync_id",)

    formats: ClassVar[Sequence[RecordFormat]] = ("envelope",)

    def __init__(self, layout: Layout) -> None:
        self._sync_id = layout.sync_id

    def writer(self, around: tuple[bytes, bytes]) -> Writer:
        """Return what makes HSETs; all that was received stays the bytes it came as."""
        head, tail = around
        # A percent sign in a name is no place to fill in.
        parts = (head.replace(b"%", b"%%"), tail.replace(b"%", b"%%"))
        around_size = len(head) + len(tail)
        limit, envelope, envelope_with_meta = 0, b"", b""

        def write(number: int, record: Record) -> bytes:
            nonlocal limit, envelope, envelope_with_meta
            if number >= limit:
                digits = len(str(number))
                limit = 10**digits
                envelope, envelope_with_meta = (
                    _ENVELOPE % (count, around_size + digits, *parts, digits) for count in (8, 10)
                )
            at, data = record.emitted_at, record.data
            # Joined, not filled in: that copies large data twice.
            if len(record.meta) > len(b"null") and (meta := self._meta(record.meta)):
                head = envelope_with_meta % (number, number, len(at), at, len(data))
                return b"".join((head, data, _META_FIELD % (len(meta), meta)))
            return b"".join((envelope % (number, number, len(at), at, len(data)), data, b"\r\n"))

        return write

    @property
    def lua(self) -> Lua:
        """How scripts read and write a hash."""
        return _LUA

    def upserter(self, head: Callable[[int], bytes], first_id: int) -> Upserter:
        """Return what makes upserts; the arguments after the first id are time, data and, where there is any, meta."""
        two, three = head(2), head(3)
        first = b"%d" % first_id
        arguments = _UPSERT % (len(first), first_id)

        def upsert(keys: bytes, number: int, cursor: bytes, record: Record) -> bytes:
            at, data = record.emitted_at, record.data
            values = (keys, len(str(number)), number, len(cursor), cursor, len(at), at, len(data))
            if len(record.meta) > len(b"null") and (meta := self._meta(record.meta)):
                tail = b"\r\n$%d\r\n%b\r\n" % (len(meta), meta)
                return b"".join((three, arguments % values, data, tail))
            return b"".join((two, arguments % values, data, b"\r\n"))

        return upsert

    def get_all(self, client: Redis, keys: Iterable[bytes]) -> Iterator[RedisRecord]:
        """Yield the records under `keys`, in their order; a missing key is left out."""
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.hgetall(key.decode())
        for fields in pipeline.execute():
            if fields:
                yield RedisRecord(
                    id=int(fields[b"_airbyte_ab_id"]),
                    emitted_at=fields[b"_airbyte_emitted_at"],
                    data=fields[b"_airbyte_data"],
                    meta=fields.get(b"_airbyte_meta"),
                )

    def probes(self, key: bytes) -> Sequence[Sequence[str | bytes]]:
        """Return the commands for hashes."""
        return [("HSET", key, "probe", "1"), ("HMGET", key, "probe"), ("HLEN", key), ("HDEL", key, "probe")]

    def _meta(self, meta: msgspec.Raw) -> bytes:
        decoded = _META.decode(meta)
        if decoded is None or not decoded.changes:
            return b""
        return msgspec.json.encode({"sync_id": self._sync_id, "changes": decoded.changes})
