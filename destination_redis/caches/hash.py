"""The hash cache: a record as a hash with the Java connector's fields, or with a field for each column."""

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Final

from redis import Redis

from destination_redis.caches.base import (
    Capabilities,
    Encoder,
    Lua,
    RecordOptions,
    RedisRecord,
    Start,
    UpsertEncoder,
    read_all,
)
from destination_redis.caches.flat_fields import packer, reader
from destination_redis.caches.metadata import AB_ID, CURSOR
from destination_redis.keys import KeyTemplate
from destination_redis.protocol.messages import Record
from destination_redis.resp import PackedSizes

# Packed by hand: at 300,000 records a second a general packer alone takes longer than everything else together. Joining
# pieces takes half the time of formatting.
# What follows the key: the end of its argument and, in a script, the command's name; the id's field and size.
_ID = b"%b$14\r\n_airbyte_ab_id\r\n$%d\r\n"
# The first arguments of an upsert: the number of all, id, cursor, time.
_UPSERT = b"$%d\r\n%d\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n"
#: Each begins with the line break that ends the argument before it.
_SIZES = PackedSizes(b"\r\n")
_TIME_SIZES = PackedSizes(b"\r\n$19\r\n_airbyte_emitted_at\r\n")
_DATA_SIZES = PackedSizes(b"\r\n$13\r\n_airbyte_data\r\n")

_LUA = Lua(
    kind="hash",
    read="""
local held = redis.call('HMGET', key, '_airbyte_ab_id', '_airbyte_cursor', '_airbyte_deleted')
return tonumber(held[1]), held[2] or '', held[3]
""",
    # HLEN is 0 if there is no key, and takes no longer than EXISTS.
    size="redis.call('HLEN', key)",
    # Lua's stack holds about 8,000 arguments. HSET replies with the number of fields that it added: the
    # names are all different, so a field is left over if there are now more than the record has.
    write="""
local added = redis.call('HSET', key, '_airbyte_ab_id', ARGV[at], '_airbyte_cursor', kept,
  '_airbyte_emitted_at', ARGV[at + 2], unpack(ARGV, at + 3, math.min(last, at + 7002)))
for i = at + 7003, last, 7000 do
  added = added + redis.call('HSET', key, unpack(ARGV, i, math.min(last, i + 6999)))
end
if size + added ~= (last - at + 4) / 2 then
  local new = {_airbyte_ab_id = true, _airbyte_cursor = true, _airbyte_emitted_at = true}
  for i = at + 3, last, 2 do new[ARGV[i]] = true end
  for _, name in ipairs(redis.call('HKEYS', key)) do
    if not new[name] then redis.call('HDEL', key, name) end
  end
end
""",
    mark="""
local added = redis.call('HSET', key, '_airbyte_ab_id', ARGV[at], '_airbyte_cursor', kept, '_airbyte_deleted', '1')
if size + added ~= 3 then
  local new = {_airbyte_ab_id = true, _airbyte_cursor = true, _airbyte_deleted = true}
  for _, name in ipairs(redis.call('HKEYS', key)) do
    if not new[name] then redis.call('HDEL', key, name) end
  end
end
""",
)

_FORMATS: Final = ("envelope", "columns")
_CAPABILITIES = Capabilities(_FORMATS, metadata=_FORMATS, upserts=_FORMATS)


class HashCache:
    """Writes id and time under the Java connector's names, then the data as one field or as columns."""

    __slots__ = ("_options",)

    capabilities: ClassVar[Capabilities] = _CAPABILITIES

    def __init__(self, options: RecordOptions) -> None:
        self._options = options

    @property
    def lua(self) -> Lua:
        """How scripts read and write a hash."""
        return _LUA

    def encoder(self, keys: KeyTemplate, start: Start) -> Encoder:
        """Return a function that packs HSETs; received values keep their bytes."""
        before, after = keys.head, keys.tail
        body = packer(self._options, upserts=False)
        plain = self._options.record_format == "envelope" and not self._options.full
        limit, heads = 0, dict[int, tuple[bytes, bytes]]()
        head = id_head = b""

        def heads_of(count: int) -> tuple[bytes, bytes]:
            """Return what precedes the id in the key, and what then precedes it in the record.

            The record has `count` fields besides id and time.
            """
            if (made := heads.get(count)) is None:
                digits = len(str(limit)) - 1
                command, rest = start(b"HSET", 4 + 2 * count)
                size = len(before) + digits + len(after)
                key = b"%b$%d\r\n%b" % (command, size, before)
                made = heads[count] = key, _ID % (b"%b\r\n%b" % (after, rest), digits)
            return made

        def encode(number: int, record: Record) -> bytes:
            nonlocal limit, head, id_head
            if number >= limit:
                limit = 10 ** len(str(number))
                heads.clear()
                head, id_head = heads_of(1)
            own, at = b"%d" % number, record.emitted_at
            if plain and len(record.meta) <= len(b"null"):
                data = record.data
                pieces = (head, own, id_head, own, _TIME_SIZES[len(at)], at, _DATA_SIZES[len(data)], data, b"\r\n")
                return b"".join(pieces)
            count, packed = body(number, record)
            key, rest = heads_of(count)
            return b"".join((key, own, rest, own, _TIME_SIZES[len(at)], at, b"\r\n", *packed))

        return encode

    def upsert_encoder(self) -> UpsertEncoder:
        """Return a function that packs upserts; the arguments after the cursor are names and values."""
        body = packer(self._options, upserts=True)
        plain = self._options.record_format == "envelope" and not self._options.full
        limit, head = 0, b""

        def upsert(number: int, cursor: bytes, record: Record) -> tuple[int, bytes]:
            nonlocal limit, head
            if number >= limit:
                limit = 10 ** len(str(number))
                # Five arguments: id, cursor, time, and the name and the value of the data.
                head = b"$1\r\n5\r\n$%d\r\n" % len(str(number))
            own, at = b"%d" % number, record.emitted_at
            if plain and len(record.meta) <= len(b"null"):
                data, order, time = record.data, _SIZES[len(cursor)], _SIZES[len(at)]
                pieces = (head, own, order, cursor, time, at, _DATA_SIZES[len(data)], data, b"\r\n")
                return 6, b"".join(pieces)
            count, packed = body(number, record)
            order = _UPSERT % (len(str(3 + 2 * count)), 3 + 2 * count, len(own), own, len(cursor), cursor, len(at), at)
            return 4 + 2 * count, b"".join((order, *packed))

        return upsert

    def get_all(self, client: Redis, keys: Iterable[bytes]) -> Iterator[RedisRecord]:
        """Yield the records under `keys`; of columns only the text is stored, so `data` holds that."""
        read = reader(self._options)
        return read_all(client, keys, lambda key: ("HGETALL", key), lambda _, held: read(held))

    def probes(self, key: bytes) -> Sequence[Sequence[str | bytes]]:
        """Return the commands for hashes."""
        return [
            ("HSET", key, AB_ID, "1", CURSOR, "0"),
            ("HMGET", key, AB_ID, CURSOR),
            ("HLEN", key),
            ("HKEYS", key),
            ("HDEL", key, CURSOR),
        ]
