"""The stream writer: encodes the records of one stream, and counts them."""

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.errors import RejectedRecord, config_error, system_error
from destination_redis.ledger.generations import Generations
from destination_redis.ledger.lease import StreamLease
from destination_redis.placements import Writer
from destination_redis.protocol.stream_status import StreamStatusTracker


class StreamWriter:
    """One stream of a sync: its lease, its ids, its encoder, and its records, states and statuses so far."""

    def __init__(self, lease: StreamLease, generations: Generations, writer: Writer) -> None:
        """Set a stream whose sync has started, and what writes its records."""
        self.stream = lease.stream
        self.lease = lease
        self.generations = generations
        self.encode, self.take_gathered = writer
        self._first_id = generations.next_id
        self._tracker = StreamStatusTracker()
        #: Records without an element: they take no id, for a collection counts its elements by their ids.
        self.without_element = 0
        self.confirmed = 0
        # Records up to the last state of the stream, up to the last state of all streams, and up to either.
        self._stated = self._globally_stated = self._covered = 0

    @property
    def label(self) -> str:
        """The stream's name."""
        return str(self.stream)

    @property
    def received(self) -> int:
        """Records read from the input."""
        return self.generations.next_id - self._first_id + self.without_element

    @property
    def tracker(self) -> StreamStatusTracker:
        """The statuses and states of the stream so far."""
        self._tracker.records = self.received
        return self._tracker

    def state(self, *, own: bool, end_mark: bool = False) -> int:
        """Note a state; return the records since the last of its kind: the stream's `own`, or one for all streams."""
        received = self.received
        self.tracker.state(own=own, end_mark=end_mark)
        if own:
            count, self._stated = received - self._stated, received
        else:
            count, self._globally_stated = received - self._globally_stated, received
        return count

    def cover(self) -> bool:
        """Note that a state covers all records so far; return whether any of them was not covered before."""
        before, self._covered = self._covered, self.received
        return before < self._covered

    def end(self) -> None:
        """End the stream: `admit` is called for the next record, and refuses it."""
        self.generations.reserve_above = -1

    def admit(self) -> None:
        """Reserve the id of the next record; raises a system error if the stream has ended."""
        if self._tracker.ended:
            raise system_error(f"A record of the stream {self.stream} came after its status {self._tracker.status}")
        self.generations.reserve()

    def refusal(self, reason: RejectedRecord) -> AirbyteTracedException:
        """Return the error that ends a sync at a record which cannot be stored."""
        return config_error(
            f"A record of the stream {self.stream} cannot be stored: {reason}; acknowledged records are kept"
        )

    def confirm(self, last_id: int, received: int) -> None:
        """Commit the records up to `last_id`, the first `received`: a state covers them, and all are confirmed."""
        self.generations.commit(last_id)
        self.confirmed = received

    def committed(self, last_id: int) -> bool:
        """Return whether the commit of the records up to `last_id` is answered and this sync still holds the lease."""
        return self.lease.held and self.generations.answered_id >= last_id
