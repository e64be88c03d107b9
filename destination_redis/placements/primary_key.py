"""Records under their primary keys: keys found by SCAN, one pass for all streams, each decided by the id inside.

A staged record moves by a script that compares it with the live one in the order of upserts. In a promotion every
live record is of an older generation, so all of the staged are newer; in a merge both are of one order. What a sync
that died left unacknowledged stays: the source sends it again, with higher ids, and so it is replaced.
"""

from collections.abc import Sequence

from destination_redis.caches import Written
from destination_redis.keys import record_part
from destination_redis.ledger.lease import Claim, Lease
from destination_redis.ledger.ledger import Ledger, Task
from destination_redis.placements.record_scripts import Scripts
from destination_redis.placements.scan import scan
from destination_redis.protocol.catalog import SEQUENCE
from destination_redis.transport.pipeline import Pipeline


class PrimaryKeyPlacement:
    """Moves and removes records by what SCAN finds."""

    def __init__(self, lane: Pipeline, scripts: Scripts, lease: Lease) -> None:
        self._lane = lane
        self._scripts = scripts
        self._lease = lease

    def move(self, claims: Sequence[Claim]) -> None:
        """Give staged records their live keys, turn staged deletions into deletions, remove older generations'."""
        for found in scan(self._lane, self._lease, {claim.keys.staged: claim for claim in claims}):
            commands = []
            for claim, key, part in found:
                ledger = claim.value
                # In a promotion no live record is of this generation, but for those that moved already.
                staged_first = ledger.newest.first
                live_first = staged_first if ledger.task is Task.PROMOTE else ledger.live.first
                live, (gone, end) = claim.keys.live[0] + part, claim.keys.gone
                keys = (key, live, gone + part + end) if ledger.deletes else (key, live)
                commands.append(self._scripts.settle(ledger.live.storage.written, keys, staged_first, live_first))
            self._send(commands, found)
        self._lane.settle()

    def remove_old(self, claims: Sequence[Claim]) -> None:
        """Remove live records of older generations; a key with another number of parts is somebody else's."""
        parts = {claim: claim.value.live.storage.key_parts for claim in claims}
        for found in scan(self._lane, self._lease, {claim.keys.live: claim for claim in claims}):
            commands = [
                self._scripts.remove(claim.value.live.storage.written, key, 0, claim.value.newest.first - 1)
                for claim, key, part in found
                if record_part(key, claim.keys.live, parts[claim]) is not None and not _new_id(part, claim.value)
            ]
            self._send(commands, found)
        self._lane.settle()

    def enter(self, claim: Claim, promoted: Ledger) -> None:
        """Move the ledger on."""
        claim.move(promoted)

    def drop(self, claims: Sequence[Claim]) -> None:
        """Remove staged records up to the last id that is to go."""
        for found in scan(self._lane, self._lease, {claim.keys.staged: claim for claim in claims}):
            commands = [
                self._scripts.remove(Written(), key, 0, claim.value.dropped.last)
                for claim, key, _ in found
                if claim.value.dropped
            ]
            self._send(commands, found)
        self._lane.settle()

    def sweep(self, claims: Sequence[Claim]) -> None:
        """Leave all as it is."""

    def _send(self, commands: Sequence[bytes], found: Sequence[tuple[Claim, bytes, bytes]]) -> None:
        if commands:
            self._lane.send(commands)
            # A move at the end: a server that lost answered writes is found out.
            found[-1][0].move()


def _new_id(part: bytes, ledger: Ledger) -> bool:
    """Return whether a live key is one that sequential ids of the new generation gave: it may hold no id inside."""
    new = ledger.newest
    return new.placement == SEQUENCE and part.isdigit() and new.first <= int(part) <= new.committed
