"""The generations of a stream in a run: the one it writes to, and the ids that it assigns, reserves and commits.

A process may die between any two commands. So an id is reserved in the ledger before it is used, and a generation is
in the ledger before its first record is sent.
"""

from destination_redis.ledger import transitions
from destination_redis.ledger.lease import StreamLease
from destination_redis.ledger.ledger import RejectedId
from destination_redis.ledger.storage import Storage
from destination_redis.ledger.transitions import FIRST_RESERVE
from destination_redis.protocol.catalog import COLLECTION
from destination_redis.transport.pipeline import Pipeline

#: Maximum ids reserved at a time; far more than a window of the pipeline holds.
LARGEST_RESERVE = 65_536


class Generations:
    """One stream's generations in this run. Live and staged ids are one sequence; no id is used twice."""

    def __init__(self, pipeline: Pipeline, lease: StreamLease, storage: Storage) -> None:
        self._pipeline = pipeline
        self._lease = lease
        self._storage = storage
        self._step = FIRST_RESERVE
        #: Whether this sync's records are staged.
        self.staging = False
        self._had_live = False
        self._had_staged = False
        #: The id of the next record, and the id above which `reserve` must be called first.
        self.next_id = 1
        self.reserve_above = 0

    @property
    def last_id(self) -> int:
        """The last id that was assigned."""
        return self.next_id - 1

    @property
    def first_id(self) -> int:
        """The first id of the generation that this sync writes to."""
        return self._lease.value.newest.first

    def answered(self, last_id: int, rejected: RejectedId) -> bool:
        """Return whether the commit of the records up to `last_id`, and of those up to `rejected`, was answered."""
        answered = self._lease.answered
        return answered.newest.committed >= last_id and answered.rejected >= rejected

    def drop_unacknowledged(self) -> bool:
        """Note in the ledger, before `start`, that staged records are dropped which this sync stores in another way.

        Return whether there are any. They must be removed before this sync starts: a script that puts a collection in
        place takes the staged one.
        """
        lease = self._lease
        ledger = transitions.dropping(lease.value, self._storage)
        if ledger == lease.value:
            return False
        lease.update(ledger, sets_sent=ledger.sent != lease.value.sent)
        return True

    def start(self) -> bool:
        """Start this sync after `recover`; return whether a cancelled refresh has to be merged before the first record.

        The commands sent here must be answered before the first record is sent. Raises a config error if the existing
        records do not fit, so that only a refresh helps.
        """
        lease = self._lease
        lease.value = transitions.first_ids(lease.value, self._storage, lease.taken_at)
        merges = lease.value.staged is not None
        begun = transitions.start(lease.value, lease.stream, self._storage)
        self._had_live = lease.value.has_live
        self._had_staged = begun.continues_staged
        self.next_id, self.staging = begun.next_id, begun.stages
        collected = self._storage.placement == COLLECTION
        if begun.changes_key:
            lease.exchange(begun.ledger, sets_sent=collected)  # removes what an emptied stream left there
        else:
            lease.update(begun.ledger, sets_sent=collected)
        return merges and not begun.stages

    def reserve(self) -> None:
        """Reserve ids ahead of need; waits only if the server is far behind."""
        lease = self._lease
        if self.next_id + self._step // 2 > lease.value.reserved:
            self._step = min(4 * self._step, LARGEST_RESERVE)
            lease.update(transitions.reserve(lease.value, self.last_id + self._step))
            self._pipeline.replicate()
        if self.next_id > lease.answered.reserved:
            self._pipeline.flush()
        self.reserve_above = min(lease.answered.reserved, lease.value.reserved - self._step // 2)

    def commit(self, last_id: int, rejected: RejectedId) -> None:
        """Commit the records up to `last_id`, and those up to `rejected`; their writes must have succeeded."""
        value = self._lease.value
        if last_id > value.newest.committed or rejected > value.rejected:
            self._lease.update(transitions.commit(value, last_id, rejected))

    def has_live(self) -> bool:
        """Return whether live records may have existed when this sync started."""
        return self._had_live

    def has_data(self) -> bool:
        """Return whether live records, or staged ones that this sync continues, may have existed when it started."""
        return self._had_live or self._had_staged
