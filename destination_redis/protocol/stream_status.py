"""What the input has held so far for one stream, as far as it tells whether the stream is complete."""

from dataclasses import dataclass

from destination_redis.errors import system_error
from destination_redis.protocol.catalog import Stream
from destination_redis.protocol.messages import Status


@dataclass(slots=True)
class StreamStatusTracker:
    """Statuses, states and errors of one stream; `records` is set before it matters, not with every record."""

    status: Status | None = None
    #: Whether the source reported an error that concerns the stream.
    failed: bool = False
    records: int = 0
    any_state: bool = False
    #: Records before the last state that covers the stream; None where none does.
    covered: int | None = None
    #: Records before its last state of its own, if that is an end mark.
    marked: int | None = None

    @property
    def ended(self) -> bool:
        """Whether a terminal status came."""
        return self.status is not None and self.status.terminal

    def state(self, *, own: bool, end_mark: bool = False) -> None:
        """Take note of a state of its own, or of one for every stream."""
        self.any_state = True
        if own:
            self.marked = self.records if end_mark else None
        if own or self.records:
            self.covered = self.records

    def change(self, status: Status, stream: Stream) -> None:
        """Take note of a status; raises where two terminal ones contradict each other."""
        if self.ended and self.status is not None:
            if status.terminal and status is not self.status:
                raise system_error(f"The stream {stream} was reported {self.status} and then {status}")
            return
        self.status = status
