"""The JSON document of a record: id and cursor come first, so that a script reads them without parsing the rest."""

from collections.abc import Callable, Sequence

import msgspec

from destination_redis.caches.base import RecordOptions, RedisRecord, UpsertEncoder
from destination_redis.caches.metadata import AB_ID, DATA, EMITTED_AT, META, Metadata, own_names
from destination_redis.protocol.json_fields import as_object, fields
from destination_redis.protocol.messages import Record

#: A record's data -> the bytes to store, and the changes made to it.
Adapt = Callable[[bytes], tuple[bytes, Sequence[object]]]
#: (id, cursor or None, record) -> JSON text.
Document = Callable[[int, bytes | None, Record], bytes]

#: Lua statements: `text` is the document in ARGV[at + 2], with `kept` as its cursor.
DOCUMENT = """
local text = ARGV[at + 2]
if kept ~= ARGV[at + 1] then
  local before = '{"_airbyte_ab_id":' .. ARGV[at] .. ',"_airbyte_cursor":"'
  text = before .. kept .. string.sub(text, #before + #ARGV[at + 1] + 1)
end
"""
#: Lua statements: `text` is the document of a staged deletion.
MARK = """
local text = '{"_airbyte_ab_id":' .. ARGV[at] .. ',"_airbyte_cursor":"' .. kept .. '","_airbyte_deleted":1}'
"""

_MAYBE_OWN, _MAYBE_NULL, _ESCAPE = b'"_airbyte_', b"null", b"\\u"


def documents(options: RecordOptions, adapt: Adapt | None = None, *, upserts: bool) -> Document:
    """Return a function that makes documents; `adapt` changes data that the data type cannot hold."""
    metadata = Metadata(options)
    own = own_names(options, upserts=upserts)
    columns = options.record_format == "columns"

    def document(number: int, cursor: bytes | None, record: Record) -> bytes:
        data, changes = (bytes(record.data), ()) if adapt is None else adapt(bytes(record.data))
        order = b"" if cursor is None else b',"_airbyte_cursor":"%b"' % cursor
        head = b'{"_airbyte_ab_id":%d%b,"_airbyte_emitted_at":%b' % (number, order, record.emitted_at)
        if changes or options.full or len(record.meta) > len(b"null"):
            head += b"".join([b',"%b":%b' % pair for pair in metadata(number, record, changes)])
        if not columns:
            return b"".join((head, b',"_airbyte_data":', data, b"}"))
        members = _members(data, own)
        return b"".join((head, b"," if members != b"}" else b"", members))

    return document


def _members(data: bytes, own: frozenset[str]) -> bytes:
    """Return the object without nulls and without the connector's own names, from after its opening brace."""
    untouched = not (_MAYBE_OWN in data or _MAYBE_NULL in data or _ESCAPE in data)
    if untouched and data[:2] == b'{"':
        return data[1:]
    kept = {name: value for name, raw in fields(data).items() if (value := bytes(raw)) != b"null" and name not in own}
    return as_object(kept)[1:]


def upsert_encoder(document: Document) -> UpsertEncoder:
    """Return a function that packs upserts whose only argument after the cursor is the document."""

    def upsert(number: int, cursor: bytes, record: Record) -> tuple[int, bytes]:
        text = document(number, cursor, record)
        order = b"$1\r\n3\r\n$%d\r\n%d\r\n$%d\r\n%b\r\n" % (len(str(number)), number, len(cursor), cursor)
        return 4, b"".join((order, b"$%d\r\n" % len(text), text, b"\r\n"))

    return upsert


def parsed(options: RecordOptions, text: bytes) -> RedisRecord | None:
    """Return the record in a document, None if it is not one."""
    try:
        held = fields(text)
        number = int(bytes(held.pop(AB_ID.decode())))
        at = bytes(held.pop(EMITTED_AT.decode()))
    except (KeyError, ValueError, msgspec.DecodeError):
        return None
    meta = held.get(META.decode())
    if options.record_format == "envelope":
        data = bytes(held[DATA.decode()])
    else:
        own = own_names(options, upserts=True)
        data = as_object({name: bytes(value) for name, value in held.items() if name not in own})
    return RedisRecord(number, at, data, None if meta is None else bytes(meta))
