"""Batches of a collection: records gathered until the next flush, then appended by one script.

Appending twice would double an element, so the script goes by the ledger, which lives in the same slot and says what
the collection has (`sent`): it skips what is there, refuses a gap, and appends the rest. So a batch may be sent again,
and late: what it holds is there already, or its writer is not the ledger's any more.
"""

from collections.abc import Sequence

from destination_redis.caches import CollectionCache
from destination_redis.ledger.scripts import GUARD
from destination_redis.placements.base import Target
from destination_redis.placements.record_scripts import expire
from destination_redis.protocol.messages import Record
from destination_redis.resp import pack_arguments, unpack_command
from destination_redis.transport.pipeline import Pipeline
from destination_redis.transport.window import Kind


def _append(cache: CollectionCache, lives: str) -> str:
    """KEYS: ledger, collection; ARGV: token, first id, last id, the elements."""
    return f"""{GUARD}
local first, last = tonumber(ARGV[2]), tonumber(ARGV[3])
if first > sent + 1 then return redis.error_reply('GAP after ' .. string.format('%.0f', sent)) end
if last <= sent then return 'ok' end
local skip = sent + 1 - first
{cache.collection.append}{lives}
redis.call('HSET', KEYS[1], 'sent', ARGV[3])
return 'ok'
"""


class Appender:
    """The batches of one stream, whose sync has begun."""

    def __init__(self, pipeline: Pipeline, target: Target, expiry: int) -> None:
        """Take the seconds after which a live collection expires, 0 for never; a staged one has no expiry."""
        cache = target.cache
        assert isinstance(cache, CollectionCache)
        self._pipeline = pipeline
        self._lease = lease = target.lease
        key = lease.keys.staged_collection if target.staged else lease.keys.collection
        script = _append(cache, "" if target.staged else expire("KEYS[2]", expiry))
        keys = pack_arguments(lease.keys.ledger, key, lease.token.encode())
        self._head = b"$7\r\nEVALSHA\r\n$40\r\n%b\r\n$1\r\n2\r\n%b" % (pipeline.load(script), keys)
        self._parts: list[bytes] = []
        self._gather = cache.gatherer(self._parts)
        self._width = cache.collection.width
        self._arguments = 0
        self._first = self._last = 0

    def gather(self, number: int, record: Record) -> bytes:
        """Gather a record; nothing is to be sent yet."""
        self._arguments += self._gather(number, record)
        self._first = self._first or number
        self._last = number
        return b""

    def send(self) -> list[bytes]:
        """Send what was gathered, without waiting; return nothing."""
        if not self._first:
            return []
        command = self._command(self._first, self._last, self._arguments, self._parts)
        self._parts.clear()
        self._arguments = self._first = 0
        self._pipeline.send([command], self._lease.check_reply, Kind.COLLECTION, split=self._split)
        # A move at the end: a server that lost answered writes is found out.
        self._lease.update()
        return []

    def _split(self, command: bytes) -> list[bytes]:
        """Return two commands for a batch, each of half its records; that of a single record as it is."""
        arguments = list(unpack_command(command))
        first, last = int(arguments[6]), int(arguments[7])
        if first == last:
            return [command]
        middle, at = (first + last) // 2, 8
        for _ in range(first, middle + 1):
            at += self._width(arguments[at])
        halves = ((first, middle, arguments[8:at]), (middle + 1, last, arguments[at:]))
        return [self._command(low, high, len(some), [pack_arguments(*some)]) for low, high, some in halves]

    def _command(self, first: int, last: int, arguments: int, parts: Sequence[bytes]) -> bytes:
        """Return the command that appends records by their first and last id, and their packed arguments."""
        ids = pack_arguments(b"%d" % first, b"%d" % last)
        return b"".join((b"*%d\r\n" % (8 + arguments), self._head, ids, *parts))
