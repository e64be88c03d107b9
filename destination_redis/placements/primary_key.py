"""The placement of records under their primary keys. One SCAN finds the keys of all streams.

The id inside a record decides what happens to it. A script moves each staged record, after it has compared it with the
live one in the order of upserts. In a promotion all live records belong to an older generation, so every staged one is
newer. In a merge both belong to one order. Unacknowledged records of a sync that died stay: the source sends them
again, with higher ids, which replaces them.
"""

from collections.abc import Mapping, Sequence

from destination_redis.ledger.heartbeat import LeaseHeartbeat
from destination_redis.ledger.lease import StreamLease
from destination_redis.ledger.ledger import Ledger, Task
from destination_redis.ledger.storage import Storage
from destination_redis.placements.base import Target, Writer
from destination_redis.placements.expiry import Expiry
from destination_redis.placements.record_scripts import Scripts
from destination_redis.placements.scan import scan
from destination_redis.placements.upserts import Upserts
from destination_redis.protocol.catalog import SEQUENCE
from destination_redis.resp import pack_arguments
from destination_redis.transport.many_records import ManyRecords
from destination_redis.transport.pipeline import Pipeline

# The arguments of a record without any: their number.
_NO_ARGUMENTS = pack_arguments(b"0")


class PrimaryKeyPlacement:
    """Writes records under their primary keys, and moves and removes those that SCAN finds."""

    def __init__(self, pipeline: Pipeline, scripts: Scripts, heartbeat: LeaseHeartbeat) -> None:
        self._pipeline = pipeline
        self._scripts = scripts
        self._heartbeat = heartbeat

    def writer(self, target: Target) -> Writer:
        """Return a writer that encodes records as upserts and deletions."""
        return Upserts(target, self._scripts).writer()

    def move(self, leases: Sequence[StreamLease]) -> None:
        """Move staged records to their live keys, apply staged deletions, and remove stale staged records."""
        data = {lease: lease.newest_keys for lease in leases}
        for found in scan(self._pipeline, self._heartbeat, [(keys.staged, lease) for lease, keys in data.items()]):
            gathered: dict[StreamLease, ManyRecords] = {}
            for lease, key, part in found:
                keys = pack_arguments(key, data[lease].live.key(part))
                if lease.value.deletes:
                    keys += pack_arguments(data[lease].tombstone.key(part))
                if (many := gathered.get(lease)) is None:
                    many = gathered[lease] = self._promotions(lease)
                many.add(keys, 1, _NO_ARGUMENTS)
            self._send(gathered)
        self._pipeline.flush()

    def _promotions(self, lease: StreamLease) -> ManyRecords:
        ledger = lease.value
        scripts = self._scripts.named(lease, ledger.newest.storage)
        # In a promotion the only live records of this generation are those that were already moved.
        staged_first = ledger.newest.first
        live_first = staged_first if ledger.task is Task.PROMOTE else ledger.live.first
        keys = 3 if ledger.deletes else 2
        live_format, expiry = ledger.live.storage.storage_format, Expiry(lease.stream.expiry, own=ledger.expires)
        return scripts.promotions(live_format, keys, staged_first, live_first, expiry=expiry)

    def remove_old(self, leases: Sequence[StreamLease]) -> None:
        """Remove live records of older generations."""
        for found in scan(self._pipeline, self._heartbeat, [(lease.live_keys.live, lease) for lease in leases]):
            gathered: dict[StreamLease, ManyRecords] = {}
            for lease, key, part in found:
                ledger = lease.value
                if not _new_id(part, ledger):
                    self._remove(gathered, lease, key, ledger.live.storage, ledger.newest.first - 1)
            self._send(gathered)
        self._pipeline.flush()

    def end_promotion(self, lease: StreamLease, promoted: Ledger) -> None:
        """Update the ledger."""
        lease.update(promoted)

    def drop(self, leases: Sequence[StreamLease]) -> None:
        """Remove staged records up to the last dropped id."""
        places = [
            (lease.keys.data(dropped.template, dropped.key_parts).staged, lease)
            for lease in leases
            if (dropped := lease.value.dropped)
        ]
        for found in scan(self._pipeline, self._heartbeat, places):
            gathered: dict[StreamLease, ManyRecords] = {}
            for lease, key, _ in found:
                if dropped := lease.value.dropped:
                    self._remove(gathered, lease, key, Storage(template=dropped.template), dropped.last)
            self._send(gathered)
        self._pipeline.flush()

    def discard_unacknowledged(self, leases: Sequence[StreamLease]) -> None:
        """Do nothing: the source sends these records again, which replaces them."""

    def _remove(
        self,
        gathered: dict[StreamLease, ManyRecords],
        lease: StreamLease,
        key: bytes,
        storage: Storage,
        highest: int,
    ) -> None:
        """Add the removal of a record if its id is up to `highest`."""
        if (many := gathered.get(lease)) is None:
            many = gathered[lease] = self._scripts.named(lease, storage).removals(storage.storage_format)
        many.add(pack_arguments(key), 3, pack_arguments(b"2", b"0", b"%d" % highest))

    def _send(self, gathered: Mapping[StreamLease, ManyRecords]) -> None:
        commands = [command for many in gathered.values() for command in many.take()]
        if commands:
            self._pipeline.send(commands)
            # A ledger update ends the batch, to detect a server that lost answered writes.
            next(iter(gathered)).update()


def _new_id(part: bytes, ledger: Ledger) -> bool:
    """Return whether a live key has a sequential id of the new generation; such a record may have no id inside."""
    new = ledger.newest
    if ledger.live.storage.template:  # no sequential id has such a key
        return False
    return new.placement == SEQUENCE and part.isdigit() and new.first <= int(part) <= new.committed
