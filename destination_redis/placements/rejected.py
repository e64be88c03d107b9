"""The rejected records of a stream: a Redis stream keeps those that cannot be stored, with the reason.

An entry's id is `<record id>-<number>`. The first part is the id that the next record of the stream has, so the entries
belong to the generation that has this id. The second part counts the rejected records of the stream.

The script that adds entries goes by the numbers, which are in the ledger, in the same slot: it skips existing entries,
refuses a gap and adds the rest. Entries are removed by their ids, and only those of syncs and generations that have
ended. So a command that is sent twice, or late, does no harm.
"""

from collections.abc import Sequence

from destination_redis.caches.metadata import DATA, EMITTED_AT, GENERATION_ID
from destination_redis.ledger import transitions
from destination_redis.ledger.heartbeat import LeaseHeartbeat
from destination_redis.ledger.lease import StreamLease
from destination_redis.ledger.ledger import RejectedId
from destination_redis.ledger.scripts import GUARD, UNLINK
from destination_redis.protocol.json_fields import as_object, picker
from destination_redis.protocol.messages import UNREADABLE, Record
from destination_redis.resp import pack_arguments, pack_command
from destination_redis.transport.pipeline import Pipeline
from destination_redis.transport.window import Kind

#: Bytes of a record's data that are kept.
KEPT = 16 * 1024
REASON, SIZE, PRIMARY_KEY = b"_airbyte_reason", b"_airbyte_data_bytes", b"_airbyte_primary_key"

#: Entries that one script adds, with their bytes, and entries that one script removes.
_ADDED, _BYTES = 100, 60 * 1024
_REMOVED = 100
#: Scripts that are sent before their replies are read.
_AT_ONCE = 8

# KEYS: ledger, rejected records; ARGV: token, number of the first entry, length, then for each entry the record id, the
# number of its arguments, and these. If the ledger knows of no entries, those in the key are of a ledger that was lost.
_ADD = f"""{GUARD}
local known = redis.call('HMGET', KEYS[1], 'rejected_sent', 'rejected')
local last = math.max(tonumber(known[1] or 0), tonumber(known[2] or 0))
local number, at = tonumber(ARGV[2]), 4
if number > last + 1 then return redis.error_reply('GAP after rejected record ' .. string.format('%.0f', last)) end
if last == 0 and redis.call('EXISTS', KEYS[2]) == 1 then redis.call('UNLINK', KEYS[2]) end
while at <= #ARGV do
  local next_at = at + 2 + ARGV[at + 1]
  if number > last then
    local text = string.format('%.0f', number)
    redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[3], ARGV[at] .. '-' .. text, unpack(ARGV, at + 2, next_at - 1))
    redis.call('HSET', KEYS[1], 'rejected_sent', text)
  end
  number, at = number + 1, next_at
end
return 'ok'
"""

# KEYS: ledger, rejected records; ARGV: token, first and last entry as in XRANGE.
_REMOVE = f"""{GUARD}
local ids = {{}}
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], ARGV[2], ARGV[3], 'COUNT', {_REMOVED})) do
  ids[#ids + 1] = entry[1]
end
if #ids > 0 then redis.call('XDEL', KEYS[2], unpack(ids)) end
if #ids == {_REMOVED} then return 'more' end
if #redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1) == 0 then redis.call('UNLINK', KEYS[2]) end
return 'ok'
"""


def probes(key: bytes) -> Sequence[Sequence[str | bytes]]:
    """Return the commands for rejected records, to be tried on a key that does not exist."""
    return [
        ("XADD", key, "MAXLEN", "1", "1-1", REASON, "probe"),
        ("XRANGE", key, "(0-0", "+", "COUNT", "1"),
        ("XDEL", key, "1-1"),
    ]


class RejectedWriter:
    """Keeps the rejected records of one stream whose sync has started."""

    def __init__(self, pipeline: Pipeline, lease: StreamLease, length: int) -> None:
        """`length` is the number of entries that are kept, the newest."""
        self._pipeline = pipeline
        self._lease = lease
        self._length = length
        self._sha = b""
        self._pick = picker(lease.stream.primary_key)
        self._entries: list[bytes] = []
        self._arguments = self._size = 0
        #: The last record that was added.
        self.last = lease.value.rejected

    @property
    def key(self) -> bytes:
        """The key of the Redis stream."""
        return self._lease.keys.rejected

    def add(self, record_id: int, record: Record, reason: str) -> None:
        """Add a rejected record, without waiting; `record_id` is the id that the next record of the stream has."""
        fields = self._fields(record, reason)
        entry = pack_arguments(b"%d" % record_id, b"%d" % len(fields), *fields)
        if self._entries and (self._size + len(entry) > _BYTES or len(self._entries) == _ADDED):
            self.send()
        self._entries.append(entry)
        self._arguments += 2 + len(fields)
        self._size += len(entry)
        self.last = RejectedId(record_id, self.last.number + 1)

    def send(self) -> None:
        """Send the records that were added since the last call, without waiting."""
        if not self._entries:
            return
        self._sha = self._sha or self._pipeline.load(_ADD)
        lease, first = self._lease, self.last.number - len(self._entries) + 1
        shared = (lease.token.encode(), b"%d" % first, b"%d" % self._length)
        head = pack_arguments(b"EVALSHA", self._sha, b"2", lease.keys.ledger, lease.keys.rejected, *shared)
        command = b"".join((b"*%d\r\n" % (8 + self._arguments), head, *self._entries))
        self._entries.clear()
        self._arguments = self._size = 0
        self._pipeline.send([command], lease.check_reply, Kind.COLLECTION)
        # A ledger update ends the batch, to detect a server that lost answered writes.
        lease.update()

    def _fields(self, record: Record, reason: str) -> list[bytes]:
        generation, data = self._lease.stream.generation_id, bytes(record.data)
        fields = [REASON, reason.encode(), EMITTED_AT, bytes(record.emitted_at)]
        if generation is not None:
            fields += [GENERATION_ID, b"%d" % generation]
        fields += [DATA, data[:KEPT]]
        if len(data) > KEPT:
            fields += [SIZE, b"%d" % len(data)]
            if key := self._primary_key(record):
                fields += [PRIMARY_KEY, key[:KEPT]]
        return fields

    def _primary_key(self, record: Record) -> bytes:
        """Return the fields of the primary key as a JSON object; empty if there are none, or if they are unreadable."""
        paths = self._lease.stream.primary_key
        if not paths:
            return b""
        try:
            values = self._pick(record.data)
            return as_object({".".join(path): bytes(value) for path, value in zip(paths, values, strict=True)})
        except UNREADABLE:
            return b""


class RejectedRecords:
    """Removes rejected records, by the ledgers of the given leases; returns once everything is answered."""

    def __init__(self, pipeline: Pipeline, heartbeat: LeaseHeartbeat) -> None:
        self._pipeline = pipeline
        self._heartbeat = heartbeat

    def discard_unacknowledged(self, leases: Sequence[StreamLease]) -> None:
        """Remove those of a sync that died that no state covers: the source sends them again.

        A new ledger knows of none, so those that exist are of a ledger that was lost.
        """
        for lease in leases:
            ledger = lease.value
            if lease.new:
                self._remove_all(lease)
            elif ledger.last_rejected > ledger.rejected.number:
                last = max(ledger.reserved, ledger.rejected.record_id)
                self._remove(lease, f"({ledger.rejected}", f"({last + 1}-0")
                lease.value = transitions.rejected_discarded(ledger)

    def remove_old(self, leases: Sequence[StreamLease]) -> None:
        """Remove those of generations before the staged one."""
        for lease in leases:
            if lease.value.last_rejected:
                self._remove(lease, "-", f"({lease.value.newest.first}-0")
            elif lease.value.loss:
                self._remove_all(lease)

    def drop(self, leases: Sequence[StreamLease]) -> None:
        """Remove those of the staged generation that each ledger names as dropped."""
        for lease in leases:
            if (dropped := lease.value.dropped) and lease.value.last_rejected:
                self._remove(lease, f"{dropped.first}-0", f"({dropped.last + 1}-0")

    def _remove_all(self, lease: StreamLease) -> None:
        """Remove all entries, without waiting; unlike `_remove`, this needs no permission for them."""
        sha = self._pipeline.load(UNLINK)
        command = pack_command("EVALSHA", sha, 2, lease.keys.ledger, lease.keys.rejected, lease.token)
        self._pipeline.send([command], lease.check_reply, Kind.COLLECTION)

    def _remove(self, lease: StreamLease, first: str, last: str) -> None:
        """Remove the entries from `first` to `last`, in pages."""
        keys = (lease.keys.ledger, lease.keys.rejected)
        command = pack_command("EVALSHA", self._pipeline.load(_REMOVE), 2, *keys, lease.token, first, last)
        more = True

        def on_reply(reply: object) -> None:
            nonlocal more
            more = reply == b"more"
            if not more:
                lease.check_reply(reply)

        while more:
            self._pipeline.send([command] * _AT_ONCE, on_reply, Kind.COLLECTION)
            lease.update()
            self._heartbeat.keep()
            self._pipeline.flush()
