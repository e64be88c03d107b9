"""A record as a hash: with the field names of the Java connector, or a field for each column."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar

import msgspec
from redis import Redis

from destination_redis.caches.base import Layout, Lua, RecordFormat, RedisRecord, Start, Upserter, Writer, read_all
from destination_redis.caches.columns import fields, text
from destination_redis.caches.metadata import AB_ID, CURSOR, DATA, EMITTED_AT, META, Metadata, own_names
from destination_redis.messages import Record

# Packed by hand: at 300,000 records a second the general packer alone takes longer than everything else together.
# Of the key and the id only the digits differ between records, so their lengths are filled in once for each length.
_HEAD = b"%b$%d\r\n%b%%d%b\r\n%b$14\r\n_airbyte_ab_id\r\n$%d\r\n%%d\r\n$19\r\n_airbyte_emitted_at\r\n$%%d\r\n%%b\r\n"
# An upsert's id, cursor, first id and time.
_UPSERT = b"%%b%%b$%%d\r\n%%d\r\n$%%d\r\n%%b\r\n$%d\r\n%d\r\n$19\r\n_airbyte_emitted_at\r\n$%%d\r\n%%b\r\n"
_DATA = b"$13\r\n_airbyte_data\r\n$%d\r\n"
#: What stands before a value of so many bytes.
_SIZES = tuple(b"$%d\r\n" % size for size in range(1024))
#: Names whose packed form is remembered: data may have ever new ones.
_NAMES = 10_000

#: (id, record) -> the number of fields beyond id and time, and what they are packed.
_Body = Callable[[int, Record], tuple[int, Sequence[bytes]]]

_LUA = Lua(
    kind="hash",
    read="""
local held = redis.call('HMGET', key, '_airbyte_ab_id', '_airbyte_cursor', '_airbyte_gone')
return tonumber(held[1]), held[2] or '', held[3]
""",
    # Lua's stack holds some 8,000 arguments.
    write="""
redis.call('HSET', KEYS[1], '_airbyte_ab_id', ARGV[1], '_airbyte_cursor', ARGV[2],
  unpack(ARGV, 4, math.min(#ARGV, 7003)))
for i = 7004, #ARGV, 7000 do redis.call('HSET', KEYS[1], unpack(ARGV, i, math.min(#ARGV, i + 6999))) end
if held and redis.call('HLEN', KEYS[1]) ~= (#ARGV + 1) / 2 then
  local new = {_airbyte_ab_id = true, _airbyte_cursor = true}
  for i = 4, #ARGV, 2 do new[ARGV[i]] = true end
  for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
    if not new[name] then redis.call('HDEL', KEYS[1], name) end
  end
end
""",
    mark="""
redis.call('HSET', KEYS[1], '_airbyte_ab_id', ARGV[1], '_airbyte_cursor', ARGV[2], '_airbyte_gone', '1')
if redis.call('HLEN', KEYS[1]) > 3 then
  local new = {_airbyte_ab_id = true, _airbyte_cursor = true, _airbyte_gone = true}
  for _, name in ipairs(redis.call('HKEYS', KEYS[1])) do
    if not new[name] then redis.call('HDEL', KEYS[1], name) end
  end
end
""",
)


class HashCache:
    """Writes id and time under the Java connector's names; then the data as one field, or each of its columns."""

    __slots__ = ("_layout", "_metadata")

    formats: ClassVar[Sequence[RecordFormat]] = ("envelope", "columns")

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._metadata = Metadata(layout)

    @property
    def lua(self) -> Lua:
        """How scripts read and write a hash."""
        return _LUA

    @property
    def holds_more(self) -> bool:
        """Always: another field."""
        return True

    def writer(self, around: tuple[bytes, bytes], start: Start) -> Writer:
        """Return what makes HSETs; all that was received stays the bytes it came as."""
        before, after = around
        # A percent sign in a name is no place to fill in.
        key = (before.replace(b"%", b"%%"), after.replace(b"%", b"%%"))
        body = self._body(upserts=False)
        plain = self._layout.record_format == "envelope" and not self._layout.full
        limit, envelope = 0, b""
        templates: dict[int, bytes] = {}

        def template(count: int) -> bytes:
            if (made := templates.get(count)) is None:
                digits = len(str(limit)) - 1
                command, rest = start(b"HSET", 4 + 2 * count)
                size = len(before) + digits + len(after)
                made = templates[count] = _HEAD % (command, size, *key, rest, digits)
            return made

        def write(number: int, record: Record) -> bytes:
            nonlocal limit, envelope
            if number >= limit:
                limit = 10 ** len(str(number))
                templates.clear()
                envelope = template(1) + _DATA
            at = record.emitted_at
            # Joined, not filled in: that copies large data twice.
            if plain and len(record.meta) <= len(b"null"):
                data = record.data
                return b"".join((envelope % (number, number, len(at), at, len(data)), data, b"\r\n"))
            count, packed = body(number, record)
            return b"".join((template(count) % (number, number, len(at), at), *packed))

        return write

    def upserter(self, head: Callable[[int], bytes], first_id: int) -> Upserter:
        """Return what makes upserts; the arguments after the first id are names and values."""
        body = self._body(upserts=True)
        arguments = _UPSERT % (len(str(first_id)), first_id)

        def upsert(keys: bytes, number: int, cursor: bytes, record: Record) -> bytes:
            count, packed = body(number, record)
            at = record.emitted_at
            values = (head(2 + 2 * count), keys, len(str(number)), number, len(cursor), cursor, len(at), at)
            return b"".join((arguments % values, *packed))

        return upsert

    def get_all(self, client: Redis, keys: Iterable[bytes]) -> Iterator[RedisRecord]:
        """Yield the records under `keys`; of columns all that is known is their text, so that is what `data` holds."""
        own = {name.encode() for name in own_names(self._layout, upserts=True)}

        def record(_: bytes, held: dict[bytes, bytes]) -> RedisRecord | None:
            if AB_ID not in held or EMITTED_AT not in held:
                return None
            if self._layout.record_format == "envelope":
                data = held[DATA]
            else:
                texts = {name.decode(): value.decode() for name, value in held.items() if name not in own}
                data = msgspec.json.encode(texts)
            return RedisRecord(int(held[AB_ID]), held[EMITTED_AT], data, held.get(META))

        return read_all(client, keys, lambda key: ("HGETALL", key), record)

    def probes(self, key: bytes) -> Sequence[Sequence[str | bytes]]:
        """Return the commands for hashes."""
        return [
            ("HSET", key, AB_ID, "1", CURSOR, "0"),
            ("HMGET", key, AB_ID, CURSOR),
            ("HLEN", key),
            ("HKEYS", key),
            ("HDEL", key, CURSOR),
        ]

    def _body(self, *, upserts: bool) -> _Body:
        return self._columns(upserts=upserts) if self._layout.record_format == "columns" else self._envelope()

    def _envelope(self) -> _Body:
        metadata, full = self._metadata, self._layout.full

        def body(number: int, record: Record) -> tuple[int, Sequence[bytes]]:
            data = record.data
            if (full or len(record.meta) > len(b"null")) and (pairs := metadata(number, record)):
                return 1 + len(pairs), (_DATA % len(data), data, b"\r\n", *map(_pair, pairs))
            return 1, (_DATA % len(data), data, b"\r\n")

        return body

    def _columns(self, *, upserts: bool) -> _Body:
        metadata, full = self._metadata, self._layout.full
        own = own_names(self._layout, upserts=upserts)
        names: dict[str, bytes] = {}

        def head(name: str) -> bytes:
            if len(names) >= _NAMES:
                names.clear()
            encoded = name.encode()
            names[name] = b"" if name in own else b"$%d\r\n%b\r\n" % (len(encoded), encoded)
            return names[name]

        def body(number: int, record: Record) -> tuple[int, Sequence[bytes]]:
            packed: list[bytes] = []
            add = packed.extend
            for name, raw in fields(record.data).items():
                value = bytes(raw)
                first = value[0]
                if first == 0x22:  # a quotation mark
                    value = text(value) if b"\\" in value else value[1:-1]
                elif first == 0x6E:  # null
                    continue
                packed_name = names.get(name)
                if packed_name is None:
                    packed_name = head(name)
                if packed_name:
                    size = len(value)
                    add((packed_name, _SIZES[size] if size < len(_SIZES) else b"$%d\r\n" % size, value, b"\r\n"))
            count = len(packed) // 4
            if full or len(record.meta) > len(b"null"):
                pairs = metadata(number, record)
                count += len(pairs)
                add(map(_pair, pairs))
            return count, packed

        return body


def _pair(pair: tuple[bytes, bytes]) -> bytes:
    name, value = pair[0], text(pair[1])
    return b"$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(name), name, len(value), value)
