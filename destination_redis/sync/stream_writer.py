"""A route: one stream on its way from the input to its place."""

from destination_redis.errors import system_error
from destination_redis.ledger.generations import Generations
from destination_redis.ledger.lease import StreamLease
from destination_redis.placements import Writer
from destination_redis.protocol.stream_status import StreamStatusTracker


class StreamWriter:
    """What a stream's records need on their way, and what was seen of it."""

    def __init__(self, lease: StreamLease, generations: Generations, writer: Writer) -> None:
        """Take a stream whose sync has begun, and what writes its records."""
        self.stream = lease.stream
        self.lease = lease
        self.generations = generations
        self.encode, self.take_gathered = writer
        self._first_id = generations.next_id
        self._tracker = StreamStatusTracker()
        self.confirmed = 0
        # Records up to the last state: of its own, for all streams, of either kind.
        self._stated = self._globally_stated = self._covered = 0

    @property
    def label(self) -> str:
        """The stream's name."""
        return str(self.stream)

    @property
    def received(self) -> int:
        """Records taken from the input."""
        return self.generations.next_id - self._first_id

    @property
    def tracker(self) -> StreamStatusTracker:
        """What the input held for the stream."""
        self._tracker.records = self.received
        return self._tracker

    def state(self, *, own: bool, end_mark: bool = False) -> int:
        """Take note of a state; return the records since the last of its kind: of the stream's own, or for all."""
        received = self.received
        self.tracker.state(own=own, end_mark=end_mark)
        if own:
            count, self._stated = received - self._stated, received
        else:
            count, self._globally_stated = received - self._globally_stated, received
        return count

    def cover(self) -> bool:
        """Take note that a state covers all records so far; return whether no state before did."""
        before, self._covered = self._covered, self.received
        return before < self._covered

    def end(self) -> None:
        """Let no record come any more: the next one meets `admit`."""
        self.generations.reserve_above = -1

    def admit(self) -> None:
        """Let the next record in, once its id is reserved; raises where the stream has ended."""
        if self._tracker.ended:
            raise system_error(f"A record of the stream {self.stream} came after its status {self._tracker.status}")
        self.generations.reserve()

    def confirm(self, last_id: int, received: int) -> None:
        """Take note that a state covers the records up to `last_id`, the first `received`, and all are answered."""
        self.generations.commit(last_id)
        self.confirmed = received

    def committed(self, last_id: int) -> bool:
        """Whether the ledger was answered to cover the records up to `last_id`, and is still ours."""
        return self.lease.held and self.generations.answered_id >= last_id
