"""The stream writer: encodes the records of one stream, and counts them."""

import logging
from typing import NamedTuple

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.caches import Encoder
from destination_redis.errors import MayBeRefused, config_error, system_error
from destination_redis.ledger.generations import Generations
from destination_redis.ledger.lease import StreamLease
from destination_redis.ledger.ledger import NOT_REJECTED, RejectedId
from destination_redis.placements import Writer
from destination_redis.placements.rejected import RejectedWriter
from destination_redis.protocol.json_depth import is_deeper
from destination_redis.protocol.messages import Record
from destination_redis.protocol.stream_status import StreamStatusTracker
from destination_redis.sync.known_limits import KnownLimits
from destination_redis.transport.too_large import TooLarge

#: Levels of JSON that every server accepts.
_SHALLOW = 60

logger = logging.getLogger("airbyte")


class Keeping(NamedTuple):
    """How a stream keeps its rejected records."""

    writer: RejectedWriter
    limits: KnownLimits


class Position(NamedTuple):
    """How far a stream is: the last id, the last rejected record, and the number of records."""

    last_id: int
    rejected: RejectedId
    received: int


class Counts(NamedTuple):
    """Records read from the input, and how many of these were rejected."""

    received: int = 0
    rejected: int = 0

    def since(self, before: "Counts") -> "Counts":
        """Return what came after `before`."""
        return Counts(self.received - before.received, self.rejected - before.rejected)


class StreamWriter:
    """One stream of a sync: its lease, its ids, its encoder, and its records, states and statuses so far."""

    def __init__(
        self,
        lease: StreamLease,
        generations: Generations,
        writer: Writer,
        keeping: Keeping | None = None,
        *,
        parsed: bool = False,
    ) -> None:
        """Set a stream whose sync has started, what writes its records, and what keeps the rejected ones, if any.

        `parsed` is whether the server parses records as JSON, so that it may refuse their depth.
        """
        self.stream = lease.stream
        self.lease = lease
        self.generations = generations
        #: Encodes a record that is sent alone; `encode` raises MayBeRefused for one that has to be.
        self.encode_alone = self.encode = writer.encode
        self.take_gathered = writer.take_gathered
        self._writer = writer
        self._keeping = keeping
        if parsed:
            self.encode = _shallow(writer.encode)
        self._passed_over = 0
        self._first_id = generations.next_id
        self._tracker = StreamStatusTracker()
        #: Records without an element, and rejected ones. They take no id, for a collection counts its elements by ids,
        #: unless only the server's refusal told that a record is rejected.
        self.without_element = self.rejected = 0
        self.confirmed = 0
        # The last state of the stream, and the last state of all streams; and the records up to either of them.
        self._stated = self._globally_stated = Counts()
        self._covered = 0

    @property
    def label(self) -> str:
        """The stream's name."""
        return str(self.stream)

    @property
    def received(self) -> int:
        """Records read from the input."""
        stored = self.generations.next_id - self._first_id - self._passed_over
        return stored + self.without_element + self.rejected

    @property
    def past(self) -> int:
        """Records that were not written because their own expiry was past."""
        return self._writer.past()

    @property
    def keeps_rejected(self) -> bool:
        """Whether rejected records are kept, so that they do not end the sync."""
        return self._keeping is not None

    @property
    def rejected_key(self) -> str:
        """The key under which rejected records are kept."""
        return self.lease.keys.rejected.decode()

    @property
    def position(self) -> Position:
        """How far the stream is."""
        rejected = self._keeping.writer.last if self._keeping else NOT_REJECTED
        return Position(self.generations.last_id, rejected, self.received)

    @property
    def tracker(self) -> StreamStatusTracker:
        """The statuses and states of the stream so far."""
        self._tracker.records = self.received
        return self._tracker

    def state(self, *, own: bool, end_mark: bool = False) -> Counts:
        """Note a state; return the records since the last of its kind: the stream's `own`, or one for all streams."""
        counts = Counts(self.received, self.rejected)
        self.tracker.state(own=own, end_mark=end_mark)
        if own:
            before, self._stated = self._stated, counts
        else:
            before, self._globally_stated = self._globally_stated, counts
        return counts.since(before)

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

    def reject(self, record: Record, reason: str) -> None:
        """Keep a record that cannot be stored; raises a config error, which ends the sync, if it is not to be kept."""
        if self._keeping is None:
            raise self._refusal(reason) from None
        if not self.rejected:
            logger.warning(
                "A record of the stream %s cannot be stored: %s. Such records are kept in the Redis stream %s",
                *(self.stream, reason, self.rejected_key),
            )
        self.rejected += 1
        self._keeping.writer.add(self.generations.next_id, record, reason)

    def send_rejected(self) -> None:
        """Send the rejected records, without waiting."""
        if self._keeping:
            self._keeping.writer.send()

    def why_refused(self, record: Record) -> str | None:
        """Return why the server is known to refuse a record, None if it is not."""
        return self._keeping.limits.why_refused(record) if self._keeping else None

    def pass_over(self, key: bytes, number: int) -> bool:
        """Leave the id of a refused record unused; return whether the record is stored nevertheless."""
        stored = self._writer.pass_over(key, number)
        self._passed_over += not stored
        return stored

    def refused(self, record: Record, found: TooLarge) -> None:
        """Note a record that the server refused, so that others like it are not sent."""
        if self._keeping:
            self._keeping.limits.learn(record, found)

    def confirm(self, position: Position) -> None:
        """Commit the records up to a position: a state covers them, and all are confirmed."""
        self.generations.commit(position.last_id, position.rejected)
        self.confirmed = position.received

    def committed(self, position: Position) -> bool:
        """Return whether the commit of a position is answered and this sync still holds the lease."""
        return self.lease.held and self.generations.answered(position.last_id, position.rejected)

    def _refusal(self, reason: str) -> AirbyteTracedException:
        return config_error(
            f"A record of the stream {self.stream} cannot be stored: {reason}; acknowledged records are kept"
        )


def _shallow(encode: Encoder) -> Encoder:
    """Return an encoder that raises MayBeRefused for a record that is nested more deeply than most."""

    def shallow(number: int, record: Record) -> bytes:
        if is_deeper(bytes(record.data), _SHALLOW):
            raise MayBeRefused
        return encode(number, record)

    return shallow
