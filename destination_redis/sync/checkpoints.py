"""States on their way back: each waits for the records before it, then for its commit, and goes out in order.

States never make the pipeline wait, and many may share one commit.
"""

import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from destination_redis.sync.stream_writer import StreamWriter
from destination_redis.transport.pipeline import Pipeline

#: A stream that a state covers, its last id and its count of records then.
Covered = tuple[StreamWriter, int, int]
#: No batch has that number.
_NEVER = sys.maxsize


@dataclass(slots=True)
class _Pending:
    line: bytes
    covered: list[Covered]
    #: The batch whose answer it waits for: first the records', then the commit's.
    after: int = 0


class Checkpoints:
    """The states of a run that are not out yet."""

    def __init__(self, pipeline: Pipeline, put: Callable[[bytes], None]) -> None:
        """Take what puts a line out at once."""
        self._pipeline = pipeline
        self._put = put
        self._taken: list[_Pending] = []
        self._waiting: deque[_Pending] = deque()
        self._committing: deque[_Pending] = deque()
        #: Bytes of all that are not out.
        self.size = 0

    def take(self, line: bytes, covered: list[Covered]) -> None:
        """Take a state whose records may not be sent yet."""
        self._taken.append(_Pending(line, covered))
        self.size += len(line)

    def sent(self) -> None:
        """Take note that the records before every state taken are sent."""
        for state in self._taken:
            state.after = self._pipeline.sent
        if self._taken:
            self._pipeline.request_confirmation()
        self._waiting.extend(self._taken)
        self._taken.clear()

    def forget(self, number: int) -> None:
        """Let go of the states that wait for the batch `number` or a later one: they are never put out."""
        kept = [state for state in self._waiting if state.after < number]
        self.size = sum(len(state.line) for state in (*kept, *self._committing))
        self._waiting = deque(kept)
        self._taken.clear()

    def advance(self) -> None:
        """Commit what is covered once it is answered, and put states out once that is answered; never waits."""
        confirmed = self._pipeline.confirmed
        reached: dict[StreamWriter, tuple[int, int]] = {}
        group = []
        while self._waiting and self._waiting[0].after <= confirmed:
            state = self._waiting.popleft()
            reached |= {writer: (last_id, received) for writer, last_id, received in state.covered}
            group.append(state)
        # Before anything of their commit is sent: it may get through where nothing else does.
        self._committing.extend(group)
        if reached:
            after, group[0].after = group[-1].after, _NEVER
            self._pipeline.mark_acknowledged(after)
            for writer, (last_id, received) in reached.items():
                writer.confirm(last_id, received)
            self._pipeline.replicate()
            for state in group:
                state.after = self._pipeline.sent
        while self._committing and self._committing[0].after <= confirmed:
            self._out()

    def rescue(self) -> None:
        """Put out what is committed, whatever stopped the rest: the next run takes it for acknowledged."""
        if self._pipeline.durable:
            return  # what the ledger has may not be as safe as is asked for
        while self._committing and all(writer.committed(last) for writer, last, _ in self._committing[0].covered):
            self._out()

    def _out(self) -> None:
        line = self._committing.popleft().line
        self._put(line)
        self.size -= len(line)
