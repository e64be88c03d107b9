"""Which streams are complete, decided at the end of input from what was seen on the way."""

from dataclasses import dataclass

from destination_redis.errors import system_error
from destination_redis.messages import Status
from destination_redis.streams import Stream


@dataclass(slots=True)
class Seen:
    """What the input held for one stream so far; `records` is set before it matters, not with every record."""

    status: Status | None = None
    records: int = 0
    any_state: bool = False
    #: Records before the last state that covers the stream; None where none does.
    covered: int | None = None

    @property
    def ended(self) -> bool:
        """Whether a terminal status came."""
        return self.status is not None and self.status.terminal

    def state(self, own: bool) -> None:
        """Take note of a state of its own, or of one for every stream."""
        self.any_state = True
        if own or self.records:
            self.covered = self.records

    def change(self, status: Status, stream: Stream) -> None:
        """Take note of a status; raises where two terminal ones contradict each other."""
        if self.ended and self.status is not None:
            if status.terminal and status is not self.status:
                raise system_error(f"The stream {stream} was reported {self.status} and then {status}")
            return
        self.status = status


def why_incomplete(
    stream: Stream, seen: Seen, *, replaces: bool, has_live: bool, others_ended: bool, input_had_records: bool
) -> str | None:
    """Return why `stream` is not complete at the end of input, None if it is.

    `replaces` and `has_live` speak of this sync and of what is live; `others_ended` says that another stream got a
    terminal status.
    """
    match seen.status:
        case Status.COMPLETE:
            return None
        case Status.INCOMPLETE:
            return "the source reported it incomplete"
        case Status.STARTED | Status.RUNNING:
            return "it was started but never reported complete"
    if others_ended:
        return "it got no status while another stream did"
    if stream.needs_complete:
        return "a refresh ends with the status COMPLETE, which never came"
    nothing_at_stake = not seen.records and not (replaces and has_live)
    global_state_alone = seen.any_state and not input_had_records
    no_platform = not seen.any_state and stream.sync_id is None
    if seen.covered == seen.records or global_state_alone or nothing_at_stake or no_platform:
        return None
    return "its last records were followed by no state, so the source may have failed"
