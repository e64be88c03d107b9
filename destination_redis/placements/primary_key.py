"""Records under their primary keys: keys found by SCAN, one pass for all streams, each decided by the id inside.

A staged record moves by a script that compares it with the live one in the order of upserts. In a promotion every
live record is of an older generation, so all of the staged are newer; in a merge both are of one order. What a sync
that died left unacknowledged stays: the source sends it again, with higher ids, and so it is replaced.
"""

from collections.abc import Sequence

from destination_redis.caches import StorageFormat
from destination_redis.ledger.lease import LeaseHeartbeat, StreamLease
from destination_redis.ledger.ledger import Ledger, Task
from destination_redis.placements.base import Target, Writer
from destination_redis.placements.record_scripts import Scripts
from destination_redis.placements.scan import scan
from destination_redis.placements.upserts import Upserts
from destination_redis.protocol.catalog import SEQUENCE
from destination_redis.transport.pipeline import Pipeline


class PrimaryKeyPlacement:
    """Writes records by their primary keys, and moves and removes them by what SCAN finds."""

    def __init__(self, pipeline: Pipeline, scripts: Scripts, heartbeat: LeaseHeartbeat) -> None:
        self._pipeline = pipeline
        self._scripts = scripts
        self._heartbeat = heartbeat

    def writer(self, target: Target) -> Writer:
        """Return what makes records upserts and deletions."""
        return Writer(Upserts(target, self._scripts).encoder())

    def move(self, leases: Sequence[StreamLease]) -> None:
        """Give staged records their live keys, turn staged deletions into deletions, remove older generations'."""
        for found in scan(self._pipeline, self._heartbeat, {lease.keys.staged: lease for lease in leases}):
            commands = []
            for lease, key, part in found:
                ledger = lease.value
                # In a promotion no live record is of this generation, but for those that moved already.
                staged_first = ledger.newest.first
                live_first = staged_first if ledger.task is Task.PROMOTE else ledger.live.first
                live, tombstone = lease.keys.live.key(part), lease.keys.tombstone.key(part)
                keys = (key, live, tombstone) if ledger.deletes else (key, live)
                commands.append(
                    self._scripts.promote(ledger.live.storage.storage_format, keys, staged_first, live_first)
                )
            self._send(commands, found)
        self._pipeline.flush()

    def remove_old(self, leases: Sequence[StreamLease]) -> None:
        """Remove live records of older generations; a key with another number of parts is somebody else's."""
        parts = {lease: lease.value.live.storage.key_parts for lease in leases}
        for found in scan(self._pipeline, self._heartbeat, {lease.keys.live: lease for lease in leases}):
            commands = [
                self._scripts.remove(lease.value.live.storage.storage_format, key, 0, lease.value.newest.first - 1)
                for lease, key, part in found
                if lease.keys.live.part(key, parts[lease]) is not None and not _new_id(part, lease.value)
            ]
            self._send(commands, found)
        self._pipeline.flush()

    def enter(self, lease: StreamLease, promoted: Ledger) -> None:
        """Move the ledger on."""
        lease.move(promoted)

    def drop(self, leases: Sequence[StreamLease]) -> None:
        """Remove staged records up to the last id that is to go."""
        for found in scan(self._pipeline, self._heartbeat, {lease.keys.staged: lease for lease in leases}):
            commands = [
                self._scripts.remove(StorageFormat(), key, 0, lease.value.dropped.last)
                for lease, key, _ in found
                if lease.value.dropped
            ]
            self._send(commands, found)
        self._pipeline.flush()

    def discard_unacknowledged(self, leases: Sequence[StreamLease]) -> None:
        """Leave all as it is."""

    def _send(self, commands: Sequence[bytes], found: Sequence[tuple[StreamLease, bytes, bytes]]) -> None:
        if commands:
            self._pipeline.send(commands)
            # A move at the end: a server that lost answered writes is found out.
            found[-1][0].move()


def _new_id(part: bytes, ledger: Ledger) -> bool:
    """Return whether a live key is one that sequential ids of the new generation gave: it may hold no id inside."""
    new = ledger.newest
    return new.placement == SEQUENCE and part.isdigit() and new.first <= int(part) <= new.committed
