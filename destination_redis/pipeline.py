"""Commands on their way: sent in batches, answered late, every reply checked, sent again where that is called for.

Nothing sent through a lane may do harm when it is sent twice: after a lost connection whatever is unanswered is.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from redis import Redis
from redis import exceptions as redis_errors

from destination_redis.errors import Verdict, command_name, explain, traced, transient_error, verdict
from destination_redis.link import FIRST_PAUSE, LAST_PAUSE, PATIENCE, Link, Peer

#: Bytes sent but not answered; enough to keep a server busy, little enough for a small container.
WINDOW = 2 * 1024 * 1024
#: Batches left on their way while replies are read, so that the server never waits for us.
KEPT_BUSY = 4

#: Milliseconds a replica is waited for after a ledger moved; late is worth a warning, not more.
_REPLICA_WAIT = 500

logger = logging.getLogger("airbyte")

Judge = Callable[[object], None]
#: Of these none is an error.
_PLAIN = frozenset({int, bytes, type(None)})
_LOST = (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError)


@dataclass(slots=True)
class _Batch:
    number: int
    commands: Sequence[bytes]
    size: int
    judge: Judge | None
    forgive: str | None
    answered: int = 0
    failed: list[tuple[bytes, Exception]] = field(default_factory=list)


class Lane:
    """One connection to one primary, with a window of batches that wait for their replies in order."""

    def __init__(self, client: Redis, pause: Callable[[float], None] = time.sleep, patience: float = PATIENCE) -> None:
        """Take the pool's client; `pause` waits so many seconds and may raise to end the waiting for good."""
        self._link = Link(client, pause, patience)
        self._pause = pause
        self._flying: deque[_Batch] = deque()
        self._in_flight = 0
        self._refusal: AirbyteTracedException | None = None
        self._late = False
        #: The number of the last batch sent, and of the last of which all, and all before, is answered well.
        self.sent = 0
        self.settled = 0
        self.pack = self._link.pack
        self.ask = self._link.ask
        self.close = self._link.close

    @property
    def peer(self) -> Peer:
        """The connection as its server sees it."""
        return self._link.peer

    def call_on_reconnect(self, resume: Callable[[], None]) -> None:
        """Have `resume` called with every connection made after the first, before anything is sent again."""
        self._link.on_reconnect = resume

    def send(self, commands: Sequence[bytes], judge: Judge | None = None, forgive: str | None = None) -> int:
        """Send packed commands and return their batch's number; waits only where the window is full.

        `judge` is given every reply and raises on a bad one; an error that contains `forgive` is a good reply.
        """
        self._go_on()
        self.sent += 1
        batch = _Batch(self.sent, commands, sum(map(len, commands)), judge, forgive)
        self._flying.append(batch)
        self._in_flight += batch.size
        try:
            self._transmit(batch)
        except _LOST as error:
            self._recover(error)
        # What is answered is read soon, so that a commit's states are out before a death can come between them.
        while len(self._flying) > KEPT_BUSY and (self._in_flight > WINDOW or self._answered()):
            self._settle_oldest()
        return batch.number

    def settle(self) -> None:
        """Return when every command sent has been answered, and answered well."""
        self._go_on()
        while self._flying:
            self._settle_oldest()

    def call(self, *arguments: str | bytes | int) -> object:
        """Send one command, settle everything, and return its reply."""
        replies: list[object] = []
        self.send([self.pack(*arguments)], judge=replies.append)
        self.settle()
        return replies[-1]

    def load(self, script: str) -> bytes:
        """Return the SHA1 by which EVALSHA runs `script` here, on every connection to come as well; never waits."""
        sha, new = self._link.remember(script)
        if new:
            self.send([self.pack("SCRIPT", "LOAD", script)])
        return sha

    def replicate(self) -> None:
        """Have a replica confirm what was sent, if the server has any: after moves of a ledger; never waits here."""
        if self.peer.replicas:
            self.send([self.pack("WAIT", 1, _REPLICA_WAIT)], judge=self._judge_replica)

    def _judge_replica(self, reply: object) -> None:
        if reply == 0 and not self._late:
            self._late = True
            logger.warning("No replica confirmed the ledger within %d ms", _REPLICA_WAIT)

    def open(self) -> None:
        """Connect, trying again as `patience` allows; raises a traced error."""
        self._recover(None)

    def _go_on(self) -> None:
        """Raise again what the server refused for good: nothing after it may ever count as settled."""
        if self._refusal is not None:
            raise self._refusal

    def _answered(self) -> bool:
        """Whether any reply has arrived; a lost connection counts, for reading finds it."""
        try:
            return self._link.live().can_read(0)
        except _LOST:
            return True

    def _transmit(self, batch: _Batch) -> None:
        rest = batch.commands[batch.answered :] if batch.answered else batch.commands
        # A record of tens of megabytes is not copied once more.
        payload = list(rest) if batch.size > WINDOW else [b"".join(rest)]
        self._link.live().send_packed_command(payload, check_health=False)

    def _settle_oldest(self) -> None:
        batch = self._collect()
        if batch.failed:
            try:
                drained = [batch, *(self._collect() for _ in range(len(self._flying)))]
                self._insist([one for one in drained if one.failed])
            except BaseException as error:
                # Only here it is known what was refused: without it, nothing after it may ever count as settled.
                self._over(transient_error(f"Commands that the server refused were not sent again: {error}", error))
                raise
            self.settled = self.sent
        else:
            self.settled = batch.number

    def _collect(self) -> _Batch:
        """Read all replies of the oldest batch, over as many connections as it takes, and take it off."""
        batch = self._flying[0]
        while True:
            try:
                self._read(batch)
                break
            except _LOST as error:
                self._recover(error)
        self._flying.popleft()
        self._in_flight -= batch.size
        if not batch.failed:
            self._link.progressed()
        return batch

    def _read(self, batch: _Batch) -> None:
        read = self._link.live().replies.read  # type: ignore[attr-defined] # connection.Replies
        wanted = len(batch.commands)
        while batch.answered < wanted:
            replies = read(wanted - batch.answered)
            if batch.judge is None and set(map(type, replies)) <= _PLAIN:
                batch.answered += len(replies)
                continue
            for reply in replies:
                if isinstance(reply, redis_errors.ConnectionError):
                    raise reply
                if isinstance(reply, redis_errors.RedisError):
                    self._refused(batch, batch.commands[batch.answered], reply)
                elif batch.judge is not None:
                    self._judged(batch.judge, reply)
                batch.answered += 1

    def _refused(self, batch: _Batch, command: bytes, error: redis_errors.RedisError) -> None:
        if batch.forgive and batch.forgive in str(error):
            return
        if verdict(error) is Verdict.FAIL:
            raise self._over(traced(error, f"sending {command_name(command)}")) from error
        batch.failed.append((command, error))

    def _judged(self, judge: Judge, reply: object) -> None:
        try:
            judge(reply)
        except AirbyteTracedException as error:
            raise self._over(error) from error.__cause__

    def _over(self, error: AirbyteTracedException) -> AirbyteTracedException:
        """Remember what ends this lane, the first error alone, and return it."""
        self._refusal = self._refusal or error
        return error

    def _insist(self, troubled: list[_Batch]) -> None:
        """Send what the server refused for now again, with growing pauses, until it takes all of it."""
        since, pause = time.monotonic(), FIRST_PAUSE
        while troubled:
            error = troubled[0].failed[-1][1]
            if time.monotonic() - since > self._link.patience:
                raise transient_error(f"{explain(error)}; tried again for {self._link.patience:.0f} seconds", error)
            self._pause(pause)
            pause = min(2 * pause, LAST_PAUSE)
            again = [self._again(batch) for batch in troubled]
            wanted = sum(len(batch.commands) for batch in again)
            self._flying.extend(again)
            self._in_flight += sum(batch.size for batch in again)
            try:
                if verdict(error) is Verdict.RECONNECT:
                    self._recover(error)
                else:
                    for batch in again:
                        self._transmit(batch)
            except _LOST as lost:
                self._recover(lost)
            done = [self._collect() for _ in again]
            troubled = [batch for batch in done if batch.failed]
            if sum(len(batch.failed) for batch in troubled) < wanted:
                since = time.monotonic()

    @staticmethod
    def _again(batch: _Batch) -> _Batch:
        commands = [command for command, _ in batch.failed]
        return _Batch(batch.number, commands, sum(map(len, commands)), batch.judge, batch.forgive)

    def _recover(self, error: Exception | None) -> None:
        """Connect anew and send all that is unanswered again; what ends that ends this lane."""
        try:
            self._link.recover(error, self._transmit_all)
        except AirbyteTracedException as final:
            raise self._over(final) from final.__cause__

    def _transmit_all(self) -> None:
        for batch in self._flying:
            self._transmit(batch)
