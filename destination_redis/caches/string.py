"""The string cache: a record as JSON text with id and time, or its data alone, byte for byte."""

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

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
from destination_redis.caches.json_document import DOCUMENT, MARK, documents, parsed, upsert_encoder
from destination_redis.keys import KeyTemplate
from destination_redis.protocol.messages import Record

# The head of a document is enough to identify it; only a very long cursor needs more.
_READ = """
local head = redis.call('GETRANGE', key, 0, 255)
local id, rest = string.match(head, '^{"_airbyte_ab_id":(%d+)(,"_airbyte_[ced].*)')
if id then
  local cursor, after = string.match(rest, '^,"_airbyte_cursor":"([%x ]*)"(.*)')
  if not cursor and string.find(rest, '^,"_airbyte_cursor":"') then
    cursor, after = string.match(redis.call('GET', key), '^{"_airbyte_ab_id":%d+,"_airbyte_cursor":"([%x ]*)"(.*)')
  end
  return tonumber(id), cursor or '', after and string.find(after, '^,"_airbyte_deleted":') and '1'
end
"""
_NONE = "return nil, ''\n"
_ENVELOPE = Lua(
    kind="string",
    read=_READ + _NONE,
    write=f"{DOCUMENT}redis.call('SET', key, text)\n",
    mark=f"{MARK}redis.call('SET', key, text)\n",
)
# Data alone has no id: it is in the key, which is then sequential. The braces rule out other applications' text.
_COLUMNS = Lua(
    kind="string",
    read=_READ
    + """
local number = string.match(key, ':(%d+)}?$')
if number and string.sub(head, 1, 1) == '{' and redis.call('GETRANGE', key, -1, -1) == '}' then
  return tonumber(number), ''
end
"""
    + _NONE,
)


class StringCache:
    """Writes records with SET."""

    __slots__ = ("_options",)

    capabilities: ClassVar[Capabilities] = Capabilities(
        ("envelope", "columns"), metadata=("envelope",), upserts=("envelope",)
    )

    def __init__(self, options: RecordOptions) -> None:
        self._options = options

    @property
    def lua(self) -> Lua:
        """How scripts read and write a string; columns do not store the id."""
        return _ENVELOPE if self._options.record_format == "envelope" else _COLUMNS

    def encoder(self, keys: KeyTemplate, start: Start) -> Encoder:
        """Return a function that packs SETs; with GET the server refuses to overwrite a key of another type."""
        before, after = keys.head, keys.tail
        document = documents(self._options, upserts=False) if self._options.record_format == "envelope" else None
        command, rest = start(b"SET", 2)

        def encode(number: int, record: Record) -> bytes:
            text = record.data if document is None else document(number, None, record)
            key = b"%b%d%b" % (before, number, after)
            head = b"%b$%d\r\n%b\r\n%b$%d\r\n" % (command, len(key), key, rest, len(text))
            return b"".join((head, text, b"\r\n$3\r\nGET\r\n"))

        return encode

    def upsert_encoder(self) -> UpsertEncoder:
        """Return a function that packs upserts; the argument after the cursor is the document."""
        return upsert_encoder(documents(self._options, upserts=True))

    def get_all(self, client: Redis, keys: Iterable[bytes]) -> Iterator[RedisRecord]:
        """Yield the records under `keys`; data alone has its id in the key, and no time."""

        def record(key: bytes, text: bytes | None) -> RedisRecord | None:
            if text is None:
                return None
            if self._options.record_format == "envelope":
                return parsed(self._options, text)
            number = key.rpartition(b":")[2].rstrip(b"}")
            ours = number.isdigit() and text[:1] == b"{" and text[-1:] == b"}"
            return RedisRecord(int(number), b"", text) if ours else None

        return read_all(client, keys, lambda key: ("GET", key), record)

    def probes(self, key: bytes) -> Sequence[Sequence[str | bytes]]:
        """Return the commands for strings."""
        return [("SET", key, "{}", "GET"), ("GETRANGE", key, "0", "0"), ("GET", key)]
