"""The placement of all records of a stream in one collection, which is staged and promoted as a whole.

Every script checks the writer's token and the ledger, which is in the same slot. So a script that is sent twice, or
late, does nothing. UNLINK frees large collections in the background. Single elements are removed in small steps.
"""

from collections.abc import Sequence

from destination_redis.caches import CACHES, Collection, CollectionCache, RecordOptions, StorageFormat
from destination_redis.ledger import transitions
from destination_redis.ledger.heartbeat import LeaseHeartbeat
from destination_redis.ledger.lease import StreamLease
from destination_redis.ledger.ledger import Ledger, Task
from destination_redis.ledger.scripts import GUARD, NOTE_COLLECTION, UNLINK
from destination_redis.placements.appends import Appender
from destination_redis.placements.base import Target, Writer
from destination_redis.placements.expiry import expire
from destination_redis.protocol.catalog import COLLECTION
from destination_redis.resp import pack_command
from destination_redis.transport.pipeline import Pipeline
from destination_redis.transport.window import Kind

#: Elements that one script removes or moves, in some milliseconds of the server's time.
_MOST = 1000
#: Scripts that are sent before their replies are read.
_AT_ONCE = 8


# KEYS: ledger, collection; ARGV: token, last id to keep.
def _discard_unacknowledged(collection: Collection) -> str:
    return f"""{GUARD}
local low = math.max(tonumber(ARGV[2]), sent - {_MOST})
if sent <= low then return 'ok' end
local count = sent - low
for id in string.gmatch(redis.call('HMGET', KEYS[1], 'passed')[1] or '', '%d+') do
  if tonumber(id) > low and tonumber(id) <= sent then count = count - 1 end
end
{collection.discard_unacknowledged}
redis.call('HSET', KEYS[1], 'sent', string.format('%.0f', low))
return 'ok'
"""


# KEYS: ledger, staged, live, and two for parts; ARGV: token. The position of a merge is stored with the first id of the
# staged generation, so that it counts for no other.
def _merge(collection: Collection, note: str, expiry: int) -> str:
    return f"""{GUARD}
if held[3] ~= 'merge' or redis.call('EXISTS', KEYS[2]) == 0 then return 'ok' end
local most = {_MOST}
local merge = redis.call('HMGET', KEYS[1], 'staged_first', 'merge_first', 'merge_position')
local before = merge[2] == merge[1] and tonumber(merge[3]) or 0
local position = before
{note}{collection.merge}
if position > before then
  redis.call('HSET', KEYS[1], 'merge_first', merge[1], 'merge_position', string.format('%.0f', position))
end
if redis.call('EXISTS', KEYS[3]) == 1 then {expire("KEYS[3]", expiry)} end
return 'more'
"""


class CollectionPlacement:
    """Writes, moves and removes collections."""

    def __init__(self, pipeline: Pipeline, heartbeat: LeaseHeartbeat) -> None:
        self._pipeline = pipeline
        self._heartbeat = heartbeat

    def writer(self, target: Target) -> Writer:
        """Return a writer that gathers records and appends them."""
        appender = Appender(self._pipeline, target)
        return Writer(appender.gather, appender.send, appender.pass_over)

    def move(self, leases: Sequence[StreamLease]) -> None:
        """In a merge, move the staged elements to the live ones; in a promotion, put the collection in place.

        If it replaces another collection, `end_promotion` does that instead, in the step that ends the promotion.
        """
        for lease in leases:
            if lease.value.task is Task.PROMOTE and lease.value.live.placement != COLLECTION:
                lease.exchange(transitions.collection_in_place(lease.value))
            elif lease.value.task is Task.MERGE:
                self._merge(lease)
        self._pipeline.flush()

    def remove_old(self, leases: Sequence[StreamLease]) -> None:
        """UNLINK the old collections, if the records of the new generation have their own keys."""
        for lease in leases:
            if lease.value.newest.placement != lease.value.live.placement:
                self._run(lease, [self._pack(lease, UNLINK, lease.live_keys.collection)])

    def end_promotion(self, lease: StreamLease, promoted: Ledger) -> None:
        """Replace a live collection by the staged one, in the step that updates the ledger."""
        if lease.value.task is Task.REMOVE:
            lease.update(promoted)
        else:
            lease.exchange(promoted)

    def drop(self, leases: Sequence[StreamLease]) -> None:
        """UNLINK the staged collections."""
        for lease in leases:
            if dropped := lease.value.dropped:
                key = lease.keys.data(dropped.template).staged_collection
                self._run(lease, [self._pack(lease, UNLINK, key)])

    def discard_unacknowledged(self, leases: Sequence[StreamLease]) -> None:
        """Remove the elements above the last acknowledged one, if the source would double them by resending."""
        for lease in leases:
            ledger, keys = lease.value, lease.newest_keys
            collection = _collection(ledger.newest.storage.storage_format)
            if collection.discard_unacknowledged and (count := ledger.sent - ledger.top) > 0:
                key = keys.staged_collection if ledger.staged else keys.collection
                step = self._pack(lease, _discard_unacknowledged(collection), key, arguments=(ledger.top,))
                self._run(lease, [step] * -(-count // _MOST))

    def _merge(self, lease: StreamLease) -> None:
        storage, keys = lease.value.newest.storage, lease.newest_keys
        note = NOTE_COLLECTION if keys.collection == lease.keys.counter and storage.in_string else ""
        script = _merge(_collection(storage.storage_format), note, lease.stream.expiry)
        step = self._pack(lease, script, keys.staged_collection, keys.collection, *keys.parts)
        while self._run(lease, [step] * _AT_ONCE)[-1] == b"more":
            pass

    def _pack(self, lease: StreamLease, script: str, *keys: bytes, arguments: Sequence[int] = ()) -> bytes:
        sha = self._pipeline.load(script)
        return pack_command("EVALSHA", sha, 1 + len(keys), lease.keys.ledger, *keys, lease.token, *arguments)

    def _run(self, lease: StreamLease, commands: Sequence[bytes]) -> list[bytes]:
        """Return the replies; raises if another writer holds the lease."""
        replies: list[bytes] = []

        def on_reply(reply: object) -> None:
            assert isinstance(reply, bytes)
            if reply != b"more":
                lease.check_reply(reply)
            replies.append(reply)

        self._pipeline.send(commands, on_reply, Kind.COLLECTION)
        lease.update()
        self._heartbeat.keep()
        self._pipeline.flush()
        return replies


def _collection(storage_format: StorageFormat) -> Collection:
    cache = CACHES[storage_format.cache_type](RecordOptions(storage_format.record_format))
    assert isinstance(cache, CollectionCache), f"{storage_format.cache_type} is not a collection"
    return cache.collection
