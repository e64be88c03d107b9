"""The status of one stream: what the input has said so far about its completeness."""

from dataclasses import dataclass

from destination_redis.errors import system_error
from destination_redis.protocol.catalog import Stream
from destination_redis.protocol.messages import Status


@dataclass(slots=True)
class StreamStatusTracker:
    """Statuses, states and errors of one stream; `records` is set before it is needed, not with every record."""

    status: Status | None = None
    #: Whether the source reported an error that concerns the stream.
    failed: bool = False
    records: int = 0
    any_state: bool = False
    #: Number of records before the last state that covers the stream; None if there is no such state.
    covered: int | None = None
    #: Number of records before the stream's last own state, if that is an end mark.
    marked: int | None = None

    @property
    def ended(self) -> bool:
        """Whether a terminal status was received."""
        return self.status is not None and self.status.terminal

    def state(self, *, own: bool, end_mark: bool = False) -> None:
        """Record a state of the stream's own, or one for every stream."""
        self.any_state = True
        if own:
            self.marked = self.records if end_mark else None
        if own or self.records:
            self.covered = self.records

    def change(self, status: Status, stream: Stream) -> None:
        """Record a status; raises if two terminal ones contradict each other."""
        if self.ended and self.status is not None:
            if status.terminal and status is not self.status:
                raise system_error(f"The stream {stream} was reported {self.status} and then {status}")
            return
        self.status = status
