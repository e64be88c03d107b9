"""What becomes of a staged generation: promoted to be the live one, merged into it, or dropped.

Failure cases, each the reason for an order below: a process may die between any two commands, so what is to happen is
written into the ledger first, the keys follow, each by its id alone and doing no harm when done twice, and the ledger
then says that it is done. The next run, whatever it is for, starts with `recover`, which does again what was begun,
by the placements that the ledger names and not by those of its own catalog. A server may lose acknowledged records in
the midst of it: the ledger says so then, the next run still ends what was begun, since some of the old is gone already,
and the ledger goes on saying so, for only a refresh brings the records back.
"""

from collections.abc import Callable, Mapping, Sequence

from destination_redis.errors import Superseded, UnreachableError
from destination_redis.ledger import transitions
from destination_redis.ledger.lease import Claim, Lease
from destination_redis.ledger.ledger import Ledger, Task
from destination_redis.placements import Placement
from destination_redis.transport.pipeline import Pipeline


class Promotion:
    """Promotes, merges and drops, all by the ledgers of the claims it is given."""

    def __init__(self, lane: Pipeline, placements: Mapping[str, Placement], lease: Lease) -> None:
        self._lane = lane
        self._placements = placements
        self._lease = lease

    def recover(self, claims: Sequence[Claim]) -> None:
        """Finish what former runs began, and remove what they did not get acknowledged."""
        self._promote([claim for claim in claims if claim.value.task in {Task.PROMOTE, Task.REMOVE}])
        self.merge([claim for claim in claims if claim.value.task is Task.MERGE])
        self.drop(claims)
        for placement, some in self._by(claims, _of_staged):
            placement.sweep(some)

    def promote(self, claims: Sequence[Claim]) -> None:
        """Make what is staged, complete and committed the live data: first all of the new in, then the old out."""
        for claim in claims:
            claim.move(transitions.promoting(claim.value))
        self._answered()
        self._promote(claims)

    def merge(self, claims: Sequence[Claim]) -> None:
        """Move the acknowledged staged records of cancelled refreshes to the live ones: they are not sent again."""
        if not claims:
            return

        def all_of_it() -> None:
            for placement, some in self._by(claims, _of_staged):
                placement.move(some)

        self._steadily(all_of_it)
        self._lane.rely(self._lane.sent)
        for claim in claims:
            claim.move(transitions.merged(claim.value))
        self._answered()

    def drop(self, claims: Sequence[Claim]) -> None:
        """Remove what is staged by syncs that are over."""
        claims = [claim for claim in claims if claim.value.dropped]
        if not claims:
            return

        def all_of_it() -> None:
            for placement, some in self._by(claims, _of_dropped):
                placement.drop(some)

        self._steadily(all_of_it)
        for claim in claims:
            claim.move(transitions.dropped(claim.value))
        self._answered()

    def _promote(self, claims: Sequence[Claim]) -> None:
        if not claims:
            return

        def all_of_it() -> None:
            for placement, some in self._by(claims, _of_staged):
                placement.move(some)
            for placement, some in self._by(claims, _of_live):
                placement.remove_old(some)

        self._steadily(all_of_it)
        # Once the ledgers say that it is done nobody does it again.
        self._lane.rely(self._lane.sent)
        for placement, some in self._by(claims, _of_staged):
            for claim in some:
                placement.enter(claim, transitions.promoted(claim.value))
        self._answered()

    def _steadily(self, work: Callable[[], object]) -> None:
        """Do `work`, which does no harm when done twice, until all of it was done while no server and no slot changed.

        A server that was replaced meanwhile may have lost answered steps; a key that moved may not have been found.
        """
        self._lane.settle()
        while True:
            before = self._standing()
            try:
                work()
                self._lane.settle()
            except Superseded:
                continue
            if self._standing() == before:
                return

    def _standing(self) -> tuple[str, ...]:
        while (standing := self._lane.standing()) is None:
            self._lane.patience.wait(UnreachableError("Slots of the cluster are being moved from node to node"))
            self._lease.keep()
        return standing

    def _answered(self) -> None:
        """Return when moves of ledgers are answered, and a replica had its time to have them too."""
        self._lane.replicate()
        self._lane.settle()

    def _by(self, claims: Sequence[Claim], name: Callable[[Ledger], str]) -> list[tuple[Placement, list[Claim]]]:
        groups: dict[str, list[Claim]] = {}
        for claim in claims:
            groups.setdefault(name(claim.value), []).append(claim)
        return [(self._placements[each], some) for each, some in groups.items()]


def _of_staged(ledger: Ledger) -> str:
    return (ledger.staged or ledger.live).placement


def _of_live(ledger: Ledger) -> str:
    return ledger.live.placement


def _of_dropped(ledger: Ledger) -> str:
    return (ledger.dropped or ledger.live).placement
