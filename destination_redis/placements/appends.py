"""The appender of a collection: gathers records until the next send, and appends them by one script.

To append a batch twice would double its elements. So the script uses the ledger, which is in the same slot and holds
the last appended id (`sent`): it skips existing elements, refuses a gap, and appends the rest. A batch may be sent
again, or late: its elements exist already, or its writer no longer holds the lease.
"""

from collections.abc import Sequence

from destination_redis.caches import CollectionCache
from destination_redis.ledger.scripts import GUARD, NOTE_COLLECTION
from destination_redis.placements.base import Target
from destination_redis.placements.expiry import expire
from destination_redis.protocol.messages import Record
from destination_redis.resp import pack_arguments, pack_command, unpack_command
from destination_redis.transport.pipeline import Pipeline
from destination_redis.transport.window import Kind


def _append(cache: CollectionCache, note: str, lives: str) -> str:
    """KEYS: ledger, collection; ARGV: token, first id, last id, the elements."""
    return f"""{GUARD}
local first, last = tonumber(ARGV[2]), tonumber(ARGV[3])
if first > sent + 1 then return redis.error_reply('GAP after ' .. string.format('%.0f', sent)) end
if last <= sent then return 'ok' end
local skip = sent + 1 - first
{note}{cache.collection.append}{lives}
redis.call('HSET', KEYS[1], 'sent', ARGV[3])
return 'ok'
"""


# KEYS: ledger; ARGV: token, id. An id that is passed over has no element. The ledger holds these ids until the next
# sync has counted the elements.
_PASS_OVER = f"""{GUARD}
local id, passed = tonumber(ARGV[2]), redis.call('HMGET', KEYS[1], 'passed')[1] or ''
if id > sent + 1 then return redis.error_reply('GAP after ' .. string.format('%.0f', sent)) end
if id == sent + 1 then
  passed = passed .. ARGV[2] .. ' '
  redis.call('HSET', KEYS[1], 'sent', ARGV[2], 'passed', passed)
end
return string.find(' ' .. passed, ' ' .. ARGV[2] .. ' ', 1, true) and 'passed' or 'ok'
"""


class Appender:
    """Gathers and appends the records of one stream whose sync has started."""

    def __init__(self, pipeline: Pipeline, target: Target) -> None:
        cache = target.cache
        assert isinstance(cache, CollectionCache)
        self._pipeline = pipeline
        self._lease = lease = target.lease
        key = lease.newest_keys.staged_collection if target.staged else lease.live_keys.collection
        note = NOTE_COLLECTION if key == lease.keys.counter and cache.capabilities.string else ""
        script = _append(cache, note, "" if target.staged else expire("KEYS[2]", lease.stream.expiry))
        keys = pack_arguments(lease.keys.ledger, key, lease.token.encode())
        self._head = b"$7\r\nEVALSHA\r\n$40\r\n%b\r\n$1\r\n2\r\n%b" % (pipeline.load(script), keys)
        self._parts: list[bytes] = []
        self._gather = cache.gatherer(self._parts)
        self._width = cache.collection.width
        self._arguments = 0
        self._first = self._last = 0

    def gather(self, number: int, record: Record) -> bytes:
        """Gather a record; return nothing to send yet."""
        self._arguments += self._gather(number, record)
        self._first = self._first or number
        self._last = number
        return b""

    def send(self) -> list[bytes]:
        """Send the gathered records, without waiting; return no commands."""
        if not self._first:
            return []
        command = self._command(self._first, self._last, self._arguments, self._parts)
        self._parts.clear()
        self._arguments = self._first = 0
        self._pipeline.send([command], self._lease.check_reply, Kind.COLLECTION, split=self._split)
        # A ledger update ends the batch, to detect a server that lost answered writes.
        self._lease.update()
        return []

    def pass_over(self, _: bytes, number: int) -> bool:
        """Pass over the id of a record that was refused, as the next id; return whether the record is stored."""
        passed = False

        def on_reply(reply: object) -> None:
            nonlocal passed
            passed = reply == b"passed"
            if not passed:
                self._lease.check_reply(reply)

        sha, lease = self._pipeline.load(_PASS_OVER), self._lease
        command = pack_command("EVALSHA", sha, 1, lease.keys.ledger, lease.token, number)
        self._pipeline.send([command], on_reply, Kind.COLLECTION)
        lease.update()
        self._pipeline.flush()
        return not passed

    def _split(self, command: bytes) -> list[bytes]:
        """Return two commands with half the records each; one with a single record is returned as it is."""
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
        """Return the command that appends records, given their first and last id and their packed arguments."""
        ids = pack_arguments(b"%d" % first, b"%d" % last)
        return b"".join((b"*%d\r\n" % (8 + arguments), self._head, ids, *parts))
