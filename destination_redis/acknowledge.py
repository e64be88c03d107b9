"""States on their way back: each waits for the records before it, then for its commit, and goes out in order.

States never make the pipeline wait, and many may share one commit.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from destination_redis.pipeline import Lane
from destination_redis.route import Route

#: Milliseconds a replica is waited for after the ledger moved; late is worth a warning, not more.
_REPLICA_WAIT = 500

#: A stream that a state covers, its last id and its count of records then.
Covered = tuple[Route, int, int]


@dataclass(slots=True)
class _Pending:
    line: bytes
    covered: list[Covered]
    #: The batch whose answer it waits for: first the records', then the commit's.
    after: int = 0


class Acknowledgements:
    """The states of a run that are not out yet."""

    def __init__(self, lane: Lane, put: Callable[[bytes], None], logger: logging.Logger) -> None:
        """Take what puts a line out at once."""
        self._lane = lane
        self._put = put
        self._logger = logger
        self._taken: list[_Pending] = []
        self._waiting: deque[_Pending] = deque()
        self._committing: deque[_Pending] = deque()
        self._warned = False
        #: Bytes of all that are not out.
        self.size = 0

    def take(self, line: bytes, covered: list[Covered]) -> None:
        """Take a state whose records may not be sent yet."""
        self._taken.append(_Pending(line, covered))
        self.size += len(line)

    def sent(self) -> None:
        """Take note that the records before every state taken are sent."""
        for state in self._taken:
            state.after = self._lane.sent
        self._waiting.extend(self._taken)
        self._taken.clear()

    def advance(self) -> None:
        """Commit what is covered once it is answered, and put states out once that is answered; never waits."""
        settled = self._lane.settled
        reached: dict[Route, tuple[int, int]] = {}
        group = []
        while self._waiting and self._waiting[0].after <= settled:
            state = self._waiting.popleft()
            reached |= {route: (last_id, received) for route, last_id, received in state.covered}
            group.append(state)
        if reached:
            for route, (last_id, received) in reached.items():
                route.confirm(last_id, received)
            self.wait_for_replica()
        for state in group:
            state.after = self._lane.sent if reached else state.after
        self._committing.extend(group)
        while self._committing and self._committing[0].after <= settled:
            line = self._committing.popleft().line
            self._put(line)
            self.size -= len(line)

    def wait_for_replica(self) -> None:
        """After a move of a ledger: let a replica of the server have it too; never waits here."""
        if self._lane.peer.replicas:
            wait = self._lane.pack("WAIT", 1, _REPLICA_WAIT)
            # Where the ACL refuses it, check has warned.
            self._lane.send([wait], judge=self._judge_wait, forgive="no permissions to run")

    def _judge_wait(self, reply: object) -> None:
        if reply == 0 and not self._warned:
            self._warned = True
            self._logger.warning("No replica confirmed the ledger within %d ms", _REPLICA_WAIT)
