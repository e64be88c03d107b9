"""A stream's generations in a run: which one it writes to, the ids it gives out, what is reserved and committed.

A process may die between any two commands, so an id is reserved in the ledger before it is used, and a generation
begins in the ledger before its first record is sent.
"""

from destination_redis.ledger import transitions
from destination_redis.ledger.lease import StreamLease
from destination_redis.ledger.ledger import Storage
from destination_redis.ledger.transitions import FIRST_RESERVE
from destination_redis.protocol.catalog import COLLECTION
from destination_redis.transport.pipeline import Pipeline

#: Ids reserved at most in one go; far more than a window of the pipeline holds.
LARGEST_RESERVE = 65_536


class Generations:
    """One stream's generations in this run; live and staged ids are one sequence, none is used twice."""

    def __init__(self, pipeline: Pipeline, lease: StreamLease, storage: Storage, expiry: int) -> None:
        """Take the seconds that a live collection lives, 0 for ever."""
        self._pipeline = pipeline
        self._lease = lease
        self._storage = storage
        self._expiry = expiry
        self._step = FIRST_RESERVE
        #: Whether this sync's records are staged.
        self.staging = False
        self._had_live = False
        self._had_staged = False
        #: The id the next record gets, and the id above which `reserve` must be called before it is used.
        self.next_id = 1
        self.reserve_above = 0

    @property
    def last_id(self) -> int:
        """The last id given out."""
        return self.next_id - 1

    @property
    def first_id(self) -> int:
        """The first id of the generation this sync writes to."""
        return self._lease.value.newest.first

    @property
    def answered_id(self) -> int:
        """The last id of this sync's generation that the ledger was answered to cover."""
        return self._lease.answered.newest.committed

    def start(self) -> bool:
        """Begin this sync after `recover`; return whether a cancelled refresh is to be merged before a record is sent.

        What it sends must be answered before a record is sent. Raises a config error where what is there does not fit,
        and only a refresh can help.
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
            lease.exchange(begun.ledger, self._expiry, sets_sent=collected)  # what an emptied stream left there goes
        else:
            lease.update(begun.ledger, sets_sent=collected)
        return merges and not begun.stages

    def reserve(self) -> None:
        """Make sure that the next id is reserved, ahead of need; waits only where the server is far behind."""
        lease = self._lease
        if self.next_id + self._step // 2 > lease.value.reserved:
            self._step = min(2 * self._step, LARGEST_RESERVE)
            lease.update(transitions.reserve(lease.value, self.last_id + self._step))
            self._pipeline.replicate()
        if self.next_id > lease.answered.reserved:
            self._pipeline.flush()
        self.reserve_above = min(lease.answered.reserved, lease.value.reserved - self._step // 2)

    def commit(self, last_id: int) -> None:
        """Move `committed` up to `last_id`; every record up to it must have been answered well."""
        if last_id > self._lease.value.newest.committed:
            self._lease.update(transitions.commit(self._lease.value, last_id))

    def has_live(self) -> bool:
        """Whether any live record may have existed when this sync began."""
        return self._had_live

    def has_data(self) -> bool:
        """Whether any live record may have existed when this sync began, or a staged one that it goes on with."""
        return self._had_live or self._had_staged
