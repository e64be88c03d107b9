"""The list cache: all records of a stream in one list, in order of arrival: JSON texts, their data or one field."""

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from redis import Redis

from destination_redis.caches.base import READ, Capabilities, Collection, Gatherer, RecordOptions, RedisRecord
from destination_redis.caches.elements import by_ranges, chunked, value_gatherer
from destination_redis.caches.json_document import documents, parsed
from destination_redis.protocol.messages import Record

_COLLECTION = Collection(
    append=chunked("RPUSH"),
    # Consumers pop elements from the left: counted from the right, they are what the sync sent last.
    discard_unacknowledged="redis.call('LTRIM', KEYS[2], 0, string.format('%.0f', -count - 1))\n",
    merge="""
local elements = redis.call('LRANGE', KEYS[2], 0, most - 1)
if #elements > 0 then
  redis.call('RPUSH', KEYS[3], unpack(elements))
  redis.call('LTRIM', KEYS[2], #elements, -1)
end
""",
)


class ListCache:
    """Writes records with RPUSH."""

    __slots__ = ("_options",)

    capabilities: ClassVar[Capabilities] = Capabilities(
        ("envelope", "columns"), metadata=("envelope",), collection=True, settings=("value",)
    )

    def __init__(self, options: RecordOptions) -> None:
        self._options = options

    @property
    def collection(self) -> Collection:
        """How scripts append, remove and move elements of a list."""
        return _COLLECTION

    def gatherer(self, parts: list[bytes]) -> Gatherer:
        """Return a function that adds a record's text, or the value of one of its fields."""
        if value := self._options.fields.get("value"):
            return value_gatherer(value, parts)
        document = documents(self._options, upserts=False) if self._options.record_format == "envelope" else None
        add = parts.append

        def gather(number: int, record: Record) -> int:
            text = bytes(record.data) if document is None else document(number, None, record)
            add(b"$%d\r\n%b\r\n" % (len(text), text))
            return 1

        return gather

    def get_all(self, client: Redis, keys: Iterable[bytes]) -> Iterator[RedisRecord]:
        """Yield the records of the lists."""
        envelope = self._options.record_format == "envelope"
        for text in by_ranges(client, keys, lambda key, first: ("LRANGE", key, first, first + READ - 1)):
            record = parsed(self._options, text) if envelope else RedisRecord(0, b"", text)
            if record is not None:
                yield record

    def probes(self, key: bytes) -> Sequence[Sequence[str | bytes]]:
        """Return the commands for lists."""
        return [("RPUSH", key, "{}"), ("LRANGE", key, "0", "0"), ("LTRIM", key, "0", "-2")]
