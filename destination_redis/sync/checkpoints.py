"""The checkpoints: each state waits for the records before it, then for its commit, and is printed in order.

States never make the pipeline wait, and many may share one commit.
"""

import sys
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from destination_redis.sync.stream_writer import Position, StreamWriter
from destination_redis.transport.pipeline import Pipeline

#: A stream that a state covers, and how far it was at that time.
Covered = tuple[StreamWriter, Position]
# No batch has this number.
_NEVER = sys.maxsize


@dataclass(slots=True)
class _Pending:
    line: bytes
    covered: list[Covered]
    #: The batch that has to be confirmed: first that of the records, then that of the commit.
    after: int = 0


class Checkpoints:
    """The states of a run that are not printed yet."""

    def __init__(self, pipeline: Pipeline, put: Callable[[bytes], None]) -> None:
        """`put` prints a line at once."""
        self._pipeline = pipeline
        self._put = put
        self._taken: list[_Pending] = []
        self._waiting: deque[_Pending] = deque()
        self._committing: deque[_Pending] = deque()
        #: Bytes of all states that are not printed.
        self.size = 0

    def take(self, line: bytes, covered: list[Covered]) -> None:
        """Add a state; its records may not be sent yet."""
        self._taken.append(_Pending(line, covered))
        self.size += len(line)

    def sent(self) -> None:
        """Note that the records before all added states are sent."""
        for state in self._taken:
            state.after = self._pipeline.sent
        if self._taken:
            self._pipeline.request_confirmation()
        self._waiting.extend(self._taken)
        self._taken.clear()

    def forget(self, number: int) -> None:
        """Discard the states that wait for the batch `number` or a later one: they are never printed."""
        kept = [state for state in self._waiting if state.after < number]
        self.size = sum(len(state.line) for state in (*kept, *self._committing))
        self._waiting = deque(kept)
        self._taken.clear()

    def advance(self) -> None:
        """Commit records that are confirmed, and print states whose commit is confirmed; never waits."""
        confirmed = self._pipeline.confirmed
        reached: dict[StreamWriter, Position] = {}
        group = []
        while self._waiting and self._waiting[0].after <= confirmed:
            state = self._waiting.popleft()
            reached |= dict(state.covered)
            group.append(state)
        # First, before their commit is sent: it may succeed even if an error ends this method.
        self._committing.extend(group)
        if reached:
            after, group[0].after = group[-1].after, _NEVER
            self._pipeline.mark_acknowledged(after)
            for writer, position in reached.items():
                writer.confirm(position)
            self._pipeline.replicate()
            for state in group:
                state.after = self._pipeline.sent
        while self._committing and self._committing[0].after <= confirmed:
            self._out()

    def rescue(self) -> None:
        """Print committed states after an error: the next run counts their records as acknowledged."""
        if self._pipeline.durable:
            return  # the commit may not be as durable as configured
        while self._committing and all(writer.committed(position) for writer, position in self._committing[0].covered):
            self._out()

    def _out(self) -> None:
        line = self._committing.popleft().line
        self._put(line)
        self.size -= len(line)
