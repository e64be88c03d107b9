"""The sorted-set cache: the data, or one field, of all records of a stream, with a score; equal ones become one.

The score is the cursor or else the record's time, unless the settings name a field: then it is that field alone.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import ClassVar

import msgspec
from redis import Redis

from destination_redis.caches.base import READ, Capabilities, Collection, Gatherer, RecordOptions, RedisRecord
from destination_redis.caches.elements import by_ranges, chunked, element_of, field_picker
from destination_redis.errors import RejectedRecord
from destination_redis.protocol.cursor import Order, number_of, warn_unreadable
from destination_redis.protocol.json_fields import picker
from destination_redis.protocol.messages import Record

_COLLECTION = Collection(
    append=chunked("ZADD", 2),
    discard_unacknowledged="",
    merge="""
local popped, members = redis.call('ZPOPMIN', KEYS[2], most), {}
for i = 1, #popped, 2 do
  members[i], members[i + 1] = popped[i + 1], popped[i]
end
if #members > 0 then redis.call('ZADD', KEYS[3], unpack(members)) end
""",
    width=lambda _: 2,
)


class SortedSetCache:
    """Writes records with ZADD."""

    __slots__ = ("_options",)

    capabilities: ClassVar[Capabilities] = Capabilities(("columns",), collection=True, settings=("value", "score"))
    collection = _COLLECTION

    def __init__(self, options: RecordOptions) -> None:
        self._options = options

    def gatherer(self, parts: list[bytes]) -> Gatherer:
        """Return a function that adds a record's score, and its data byte for byte or the text of one of its fields."""
        if self._options.fields:
            return self._by_fields(parts)
        score = self._score()
        add = parts.append

        def gather(_: int, record: Record) -> int:
            number = repr(score(record)).encode()
            add(b"$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(number), number, len(record.data), record.data))
            return 2

        return gather

    def get_all(self, client: Redis, keys: Iterable[bytes]) -> Iterator[RedisRecord]:
        """Yield the records of the sorted sets, lowest score first."""
        for member in by_ranges(client, keys, lambda key, first: ("ZRANGE", key, first, first + READ - 1)):
            yield RedisRecord(0, b"", member)

    def probes(self, key: bytes) -> Sequence[Sequence[str | bytes]]:
        """Return the commands for sorted sets."""
        return [("ZADD", key, "1", "{}"), ("ZPOPMIN", key, "1")]

    def _by_fields(self, parts: list[bytes]) -> Gatherer:
        """Return the same function if the settings name a field for the element, the score or both."""
        value, score = self._options.fields.get("value"), self._options.fields.get("score")
        pick = field_picker([name for name in (value, score) if name])
        by_cursor = self._score()
        add = parts.append

        def gather(_: int, record: Record) -> int:
            fields = pick(record.data)
            member = element_of(fields[0], value) if value else bytes(record.data)
            number = repr(self._score_in(fields[-1], score) if score else by_cursor(record)).encode()
            add(b"$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(number), number, len(member), member))
            return 2

        return gather

    def _score_in(self, value: msgspec.Raw, name: str) -> float:
        """Return the score in the field `name`; no time stands in for one that is not a number."""
        order = Order.INSTANT if name in self._options.times else Order.NUMBER
        if (found := number_of(value, order)) is None:
            kind = "time" if order is Order.INSTANT else "number"
            raise RejectedRecord(f"its field {name}, which score names, is not a {kind}")
        return found

    def _score(self) -> Callable[[Record], float]:
        """Return a function from a record to the score in its cursor or, without one, to its time."""
        stream, cursor, order = self._options.stream, self._options.cursor, self._options.cursor_order
        # If the cursor is a time, in seconds, a record without one is scored by its own time in seconds.
        unit = 1000.0 if order is Order.INSTANT else 1.0
        if not cursor:
            return lambda record: float(msgspec.json.decode(record.emitted_at, type=float))
        pick = picker((cursor,))
        warned = False

        def score(record: Record) -> float:
            nonlocal warned
            (value,) = pick(record.data)
            if (found := number_of(value, order)) is not None:
                return found
            if not warned and order is not Order.TEXT and bytes(value) != b"null":
                warned = True
                warn_unreadable(stream, cursor, order, "such records get their _airbyte_emitted_at as score")
            return msgspec.json.decode(record.emitted_at, type=float) / unit

        return score
