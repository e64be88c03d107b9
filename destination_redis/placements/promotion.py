"""What becomes of a staged generation: promoted to be the live one, merged into it, or dropped.

Failure cases, each the reason for an order below: a process may die between any two commands, so what is to happen is
written into the ledger first, the keys follow, each by its id alone and doing no harm when done twice, and the ledger
then says that it is done. The next run, whatever it is for, starts with `recover`, which does again what was begun,
by the placements that the ledger names and not by those of its own catalog. A server may lose acknowledged records in
the midst of it: the ledger says so then, the next run still ends what was begun, since some of the old is gone already,
and the ledger goes on saying so, for only a refresh brings the records back.
"""

from collections.abc import Callable, Mapping, Sequence

from destination_redis.errors import NodeRemoved, UnreachableError
from destination_redis.ledger import transitions
from destination_redis.ledger.lease import LeaseHeartbeat, StreamLease
from destination_redis.ledger.ledger import Ledger, Task
from destination_redis.placements import Placement
from destination_redis.transport.pipeline import Pipeline


class Promotion:
    """Promotes, merges and drops, all by the ledgers of the claims it is given."""

    def __init__(self, pipeline: Pipeline, placements: Mapping[str, Placement], heartbeat: LeaseHeartbeat) -> None:
        self._pipeline = pipeline
        self._placements = placements
        self._heartbeat = heartbeat

    def recover(self, leases: Sequence[StreamLease]) -> None:
        """Finish what former runs began, and remove what they did not get acknowledged."""
        self._promote([lease for lease in leases if lease.value.task in {Task.PROMOTE, Task.REMOVE}])
        self.merge([lease for lease in leases if lease.value.task is Task.MERGE])
        self.drop(leases)
        for placement, some in self._by(leases, _of_staged):
            placement.discard_unacknowledged(some)

    def promote(self, leases: Sequence[StreamLease]) -> None:
        """Make what is staged, complete and committed the live data: first all of the new in, then the old out."""
        for lease in leases:
            lease.update(transitions.promoting(lease.value))
        self._answered()
        self._promote(leases)

    def merge(self, leases: Sequence[StreamLease]) -> None:
        """Move the acknowledged staged records of cancelled refreshes to the live ones: they are not sent again."""
        if not leases:
            return

        def all_of_it() -> None:
            for placement, some in self._by(leases, _of_staged):
                placement.move(some)

        self._steadily(all_of_it)
        self._pipeline.mark_acknowledged(self._pipeline.sent)
        for lease in leases:
            lease.update(transitions.merged(lease.value))
        self._answered()

    def drop(self, leases: Sequence[StreamLease]) -> None:
        """Remove what is staged by syncs that are over."""
        leases = [lease for lease in leases if lease.value.dropped]
        if not leases:
            return

        def all_of_it() -> None:
            for placement, some in self._by(leases, _of_dropped):
                placement.drop(some)

        self._steadily(all_of_it)
        for lease in leases:
            lease.update(transitions.dropped(lease.value))
        self._answered()

    def _promote(self, leases: Sequence[StreamLease]) -> None:
        if not leases:
            return

        def all_of_it() -> None:
            for placement, some in self._by(leases, _of_staged):
                placement.move(some)
            for placement, some in self._by(leases, _of_live):
                placement.remove_old(some)

        self._steadily(all_of_it)
        # Once the ledgers say that it is done nobody does it again.
        self._pipeline.mark_acknowledged(self._pipeline.sent)
        for placement, some in self._by(leases, _of_staged):
            for lease in some:
                placement.enter(lease, transitions.promoted(lease.value))
        self._answered()

    def _steadily(self, work: Callable[[], object]) -> None:
        """Do `work`, which does no harm when done twice, until all of it was done while no server and no slot changed.

        A server that was replaced meanwhile may have lost answered steps; a key that moved may not have been found.
        """
        self._pipeline.flush()
        while True:
            before = self._topology_version()
            try:
                work()
                self._pipeline.flush()
            except NodeRemoved:
                continue
            if self._topology_version() == before:
                return

    def _topology_version(self) -> tuple[str, ...]:
        while (version := self._pipeline.topology_version()) is None:
            self._pipeline.retry.wait(UnreachableError("Slots of the cluster are being moved from node to node"))
            self._heartbeat.keep()
        return version

    def _answered(self) -> None:
        """Return when moves of ledgers are answered, and a replica had its time to have them too."""
        self._pipeline.replicate()
        self._pipeline.flush()

    def _by(
        self, leases: Sequence[StreamLease], name: Callable[[Ledger], str]
    ) -> list[tuple[Placement, list[StreamLease]]]:
        groups: dict[str, list[StreamLease]] = {}
        for lease in leases:
            groups.setdefault(name(lease.value), []).append(lease)
        return [(self._placements[each], some) for each, some in groups.items()]


def _of_staged(ledger: Ledger) -> str:
    return (ledger.staged or ledger.live).placement


def _of_live(ledger: Ledger) -> str:
    return ledger.live.placement


def _of_dropped(ledger: Ledger) -> str:
    return (ledger.dropped or ledger.live).placement
