"""The promotion of a staged generation to the live one, or its merge into the live one, or its removal.

The order of steps follows from these failures:

- A process may die between any two commands. So the task is first written to the ledger. Then the keys are changed,
  each by its id alone, so that repeating it does no harm. Then the ledger notes that the task is done.
- The next run, whatever its catalog, starts with `recover`. It repeats an unfinished task, with the placements that the
  ledger names instead of those of its catalog.
- A server may lose acknowledged records meanwhile. Then the ledger notes the loss. The next run still finishes the
  task, since some of the old records are already removed. The note stays, for only a refresh restores the records.
"""

from collections.abc import Callable, Mapping, Sequence

from destination_redis.errors import NodeRemoved, UnreachableError
from destination_redis.ledger import transitions
from destination_redis.ledger.heartbeat import LeaseHeartbeat
from destination_redis.ledger.lease import StreamLease
from destination_redis.ledger.ledger import Ledger, Task
from destination_redis.placements import Placement
from destination_redis.placements.rejected import RejectedRecords
from destination_redis.transport.pipeline import Pipeline


class Promotion:
    """Promotes, merges and drops staged generations, by the ledgers of the given leases."""

    def __init__(
        self,
        pipeline: Pipeline,
        placements: Mapping[str, Placement],
        rejected: RejectedRecords,
        heartbeat: LeaseHeartbeat,
    ) -> None:
        self._pipeline = pipeline
        self._placements = placements
        self._rejected = rejected
        self._heartbeat = heartbeat

    def recover(self, leases: Sequence[StreamLease]) -> None:
        """Finish the tasks of earlier runs, and remove their unacknowledged records."""
        self._promote([lease for lease in leases if lease.value.task in {Task.PROMOTE, Task.REMOVE}])
        self.merge([lease for lease in leases if lease.value.task is Task.MERGE])
        self.drop(leases)
        for placement, some in self._by(leases, _of_staged):
            placement.discard_unacknowledged(some)
        self._rejected.discard_unacknowledged(leases)

    def promote(self, leases: Sequence[StreamLease]) -> None:
        """Make complete and committed staged records live: move all new records first, then remove the old ones."""
        for lease in leases:
            lease.update(transitions.promoting(lease.value))
        self._flush_ledgers()
        self._promote(leases)

    def merge(self, leases: Sequence[StreamLease]) -> None:
        """Move the acknowledged staged records of cancelled refreshes to the live ones: no source sends them again."""
        if not leases:
            return

        def work() -> None:
            for placement, some in self._by(leases, _of_staged):
                placement.move(some)

        self._repeat_until_stable(work)
        self._pipeline.mark_acknowledged(self._pipeline.sent)
        for lease in leases:
            lease.update(transitions.merged(lease.value))
        self._flush_ledgers()

    def drop(self, leases: Sequence[StreamLease]) -> None:
        """Remove the staged records that no later sync will use."""
        leases = [lease for lease in leases if lease.value.dropped]
        if not leases:
            return

        def work() -> None:
            for placement, some in self._by(leases, _of_dropped):
                placement.drop(some)
            self._rejected.drop(leases)

        self._repeat_until_stable(work)
        for lease in leases:
            lease.update(transitions.dropped(lease.value))
        self._flush_ledgers()

    def _promote(self, leases: Sequence[StreamLease]) -> None:
        if not leases:
            return

        def work() -> None:
            for placement, some in self._by(leases, _of_staged):
                placement.move(some)
            for placement, some in self._by(leases, _of_live):
                placement.remove_old(some)
            self._rejected.remove_old(leases)

        self._repeat_until_stable(work)
        # Once the ledgers note the end of the task, no run repeats it.
        self._pipeline.mark_acknowledged(self._pipeline.sent)
        for placement, some in self._by(leases, _of_staged):
            for lease in some:
                placement.end_promotion(lease, transitions.promoted(lease.value))
        self._flush_ledgers()

    def _repeat_until_stable(self, work: Callable[[], object]) -> None:
        """Do `work`, which is idempotent, until no server was replaced and no slot moved while it was done.

        A replaced server may have lost answered steps, and a key in a moved slot may not have been found.
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

    def _flush_ledgers(self) -> None:
        """Return when the ledger updates are answered, and replicas have confirmed them or had time to."""
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
