"""The set cache: the data, or one field, of all records of a stream in one set, where equal ones become one."""

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from redis import Redis

from destination_redis.caches.base import READ, Capabilities, Collection, Gatherer, RecordOptions, RedisRecord
from destination_redis.caches.elements import ask, chunked, value_gatherer
from destination_redis.protocol.messages import Record

_COLLECTION = Collection(
    append=chunked("SADD"),
    discard_unacknowledged="",
    merge="""
local members = redis.call('SPOP', KEYS[2], most)
if #members > 0 then redis.call('SADD', KEYS[3], unpack(members)) end
""",
)


class SetCache:
    """Writes records with SADD."""

    __slots__ = ("_value",)

    capabilities: ClassVar[Capabilities] = Capabilities(("columns",), collection=True, settings=("value",))
    collection = _COLLECTION

    def __init__(self, options: RecordOptions) -> None:
        """Take the field that is the member; without one a member is the data."""
        self._value = options.fields.get("value")

    def gatherer(self, parts: list[bytes]) -> Gatherer:
        """Return a function that adds a record's data, byte for byte, or the value of one of its fields."""
        if self._value:
            return value_gatherer(self._value, parts)
        add = parts.append

        def gather(_: int, record: Record) -> int:
            add(b"$%d\r\n%b\r\n" % (len(record.data), record.data))
            return 1

        return gather

    def get_all(self, client: Redis, keys: Iterable[bytes]) -> Iterator[RedisRecord]:
        """Yield the records of the sets, in no order; a record may come twice while the set changes."""
        for key in keys:
            cursor: bytes | int | None = b"0"
            while cursor is not None:
                reply = ask(client, ("SSCAN", key, cursor, "COUNT", READ))
                cursor, members = reply or (0, ())
                cursor = cursor if int(cursor or 0) else None
                for member in members:
                    yield RedisRecord(0, b"", member)

    def probes(self, key: bytes) -> Sequence[Sequence[str | bytes]]:
        """Return the commands for sets."""
        return [("SADD", key, "{}"), ("SPOP", key, "1")]
