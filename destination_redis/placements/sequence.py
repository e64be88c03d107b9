"""Records under ids that rise with arrival: one key per record, all ranges known, no SCAN."""

from collections.abc import Iterator, Sequence

from destination_redis.ledger.lease import Claim, Lease
from destination_redis.ledger.ledger import Ledger
from destination_redis.placements.record_scripts import Scripts
from destination_redis.placements.scan import scan
from destination_redis.protocol.catalog import SEQUENCE
from destination_redis.transport.pipeline import Pipeline

#: Commands in a batch while keys are moved or removed.
_BATCH = 1000


class SequencePlacement:
    """Moves and removes records by their ids alone."""

    def __init__(self, lane: Pipeline, scripts: Scripts, lease: Lease) -> None:
        self._lane = lane
        self._scripts = scripts
        self._lease = lease

    def move(self, claims: Sequence[Claim]) -> None:
        """RENAME the acknowledged staged records."""
        for claim in claims:
            staged = claim.value.newest
            (head, tail), (live, _) = claim.keys.staged, claim.keys.live
            template = b"*3\r\n$6\r\nRENAME\r\n$%d\r\n%b%d%b\r\n$%d\r\n%b%d\r\n"
            for ids in _digits(staged.first, staged.committed):
                digits = len(str(ids[0]))
                source, target = len(head) + digits + len(tail), len(live) + digits
                if self._scripts.expiry:
                    move = self._scripts.move
                    commands = [move(b"%b%d%b" % (head, i, tail), b"%b%d" % (live, i)) for i in ids]
                else:
                    commands = [template % (source, head, i, tail, target, live, i) for i in ids]
                # Moved already, or an id of a sync that died: both are as they should be.
                self._lane.send(commands, forgive="no such key")
                self._mark(claim)
        self._lane.settle()

    def remove_old(self, claims: Sequence[Claim]) -> None:
        """UNLINK the ids below the staged generation's; after a loss, all that SCAN finds outside of it."""
        for claim in claims:
            ledger, live = claim.value, claim.keys.live
            old, new = ledger.live, ledger.newest
            if new.placement != old.placement:
                # A key named like an old id may hold a record of the new generation.
                self._remove_older(claim, old.first, new.first - 1)
            else:
                self._unlink(claim, live, old.first, new.first - 1)
            if ledger.loss:
                # Of a lost ledger nobody knows which ids there were; only sequential ones of today are to stay.
                ours = new.placement == SEQUENCE
                self._unlink_found(claim, live, new.first, new.committed if ours else 0)
                self._unlink_found(claim, claim.keys.staged, new.first, ledger.reserved if ours else 0)
        self._lane.settle()

    def enter(self, claim: Claim, promoted: Ledger) -> None:
        """Move the ledger on."""
        claim.move(promoted)

    def drop(self, claims: Sequence[Claim]) -> None:
        """UNLINK the staged ids that are to go."""
        for claim in claims:
            if dropped := claim.value.dropped:
                self._unlink(claim, claim.keys.staged, dropped.first, dropped.last)
        self._lane.settle()

    def sweep(self, claims: Sequence[Claim]) -> None:
        """UNLINK the ids above the last acknowledged one: the source sends those records again."""
        for claim in claims:
            ledger = claim.value
            around = claim.keys.staged if ledger.staged else claim.keys.live
            self._unlink(claim, around, ledger.top + 1, ledger.reserved)
        self._lane.settle()

    def _unlink(self, claim: Claim, around: tuple[bytes, bytes], first: int, last: int) -> None:
        head, tail = around
        for ids in _digits(first, last):
            size = len(head) + len(str(ids[0])) + len(tail)
            self._lane.send([b"*2\r\n$6\r\nUNLINK\r\n$%d\r\n%b%d%b\r\n" % (size, head, i, tail) for i in ids])
            self._mark(claim)

    def _remove_older(self, claim: Claim, first: int, last: int) -> None:
        head, _ = claim.keys.live
        below = claim.value.newest.first
        for ids in _digits(first, last):
            written = claim.value.live.storage.written
            self._lane.send([self._scripts.remove(written, head + b"%d" % i, 0, below - 1) for i in ids])
            self._mark(claim)

    def _unlink_found(self, claim: Claim, around: tuple[bytes, bytes], first: int, last: int) -> None:
        """Remove records, found by SCAN, whose ids are outside `first` to `last`; keys of others are left alone."""
        remove, written = self._scripts.remove, claim.value.live.storage.written
        for found in scan(self._lane, self._lease, {around: claim}):
            commands = []
            for _, key, part in found:
                if part.isdigit() and not first <= int(part) <= last:
                    commands.append(remove(written, key, int(part), int(part)))
            if commands:
                self._lane.send(commands)
                self._mark(claim)
        self._lane.settle()

    def _mark(self, claim: Claim) -> None:
        """End a batch with a move, so that a server that lost answered writes is found out."""
        claim.move()
        self._lease.keep()


def _digits(first: int, last: int) -> Iterator[range]:
    """Yield `first` to `last` in batches whose ids have equally many digits."""
    while first <= last:
        end = min(last, first + _BATCH - 1, 10 ** len(str(first)) - 1)
        yield range(first, end + 1)
        first = end + 1
