"""The JSON cache: a record as a RedisJSON document, with its data in one member or a member for each column."""

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
from destination_redis.caches.json_document import DOCUMENT, MARK, Adapt, documents, parsed, upsert_encoder
from destination_redis.caches.json_numbers import exact
from destination_redis.caches.vectors import vector_checker
from destination_redis.keys import KeyTemplate
from destination_redis.protocol.messages import Record

_LUA = Lua(
    kind="ReJSON-RL",
    read="""
local held = redis.call('JSON.GET', key, '$._airbyte_ab_id', '$._airbyte_cursor', '$._airbyte_deleted')
if not held then return nil, '' end
held = cjson.decode(held)
return tonumber(held['$._airbyte_ab_id'][1]), held['$._airbyte_cursor'][1] or '', held['$._airbyte_deleted'][1]
""",
    write=f"{DOCUMENT}redis.call('JSON.SET', key, '$', text)\n",
    mark=f"{MARK}redis.call('JSON.SET', key, '$', text)\n",
)

_FORMATS: Final = ("envelope", "columns")
_CAPABILITIES = Capabilities(_FORMATS, metadata=_FORMATS, upserts=_FORMATS, parsed=True)


class JsonCache:
    """Writes records with JSON.SET."""

    __slots__ = ("_options",)

    capabilities: ClassVar[Capabilities] = _CAPABILITIES

    def __init__(self, options: RecordOptions) -> None:
        self._options = options

    @property
    def lua(self) -> Lua:
        """How scripts read and write a document."""
        return _LUA

    def encoder(self, keys: KeyTemplate, start: Start) -> Encoder:
        """Return a function that packs JSON.SETs."""
        before, after = keys.head, keys.tail
        document = documents(self._options, self._adapt(), upserts=False)
        command, rest = start(b"JSON.SET", 2)

        def encode(number: int, record: Record) -> bytes:
            text = document(number, None, record)
            key = b"%b%d%b" % (before, number, after)
            head = b"%b$%d\r\n%b\r\n%b$1\r\n$\r\n$%d\r\n" % (command, len(key), key, rest, len(text))
            return b"".join((head, text, b"\r\n"))

        return encode

    def upsert_encoder(self) -> UpsertEncoder:
        """Return a function that packs upserts; the argument after the cursor is the document."""
        return upsert_encoder(documents(self._options, self._adapt(), upserts=True))

    def get_all(self, client: Redis, keys: Iterable[bytes]) -> Iterator[RedisRecord]:
        """Yield the records under `keys`; their data is JSON text as the server formats it."""

        def record(_: bytes, text: bytes | None) -> RedisRecord | None:
            return None if text is None else parsed(self._options, text)

        return read_all(client, keys, lambda key: ("JSON.GET", key), record)

    def probes(self, key: bytes) -> Sequence[Sequence[str | bytes]]:
        """Return the commands for documents."""
        return [("JSON.SET", key, "$", "{}"), ("JSON.GET", key, "$._airbyte_ab_id")]

    def _adapt(self) -> Adapt:
        """Return what changes numbers that a document cannot hold; vectors stay as they are, but are checked."""
        vectors = self._options.vectors
        if not vectors:
            return exact
        check = vector_checker(vectors)

        def adapt(data: bytes) -> tuple[bytes, Sequence[object]]:
            check(data)
            return exact(data, vectors)

        return adapt
