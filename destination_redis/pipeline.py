"""Commands on their way: sent in batches, answered late, every reply checked, sent again where that is called for.

Nothing sent through a lane may do harm when it is sent twice: after a lost connection whatever is unanswered is.
"""

import hashlib
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from redis import Redis
from redis import exceptions as redis_errors
from redis.connection import Connection

from destination_redis.errors import Verdict, explain, traced, transient_error, verdict

#: Bytes sent but not answered; enough to keep a server busy, little enough for a small container.
WINDOW = 2 * 1024 * 1024
#: Batches left on their way while replies are read, so that the server never waits for us.
KEPT_BUSY = 4
#: Seconds without any progress after which a sync gives up.
PATIENCE = 180.0
#: Seconds; pauses double from the first to the last.
FIRST_PAUSE, LAST_PAUSE = 0.05, 5.0

Judge = Callable[[object], None]
#: Of these none is an error.
_PLAIN = frozenset({int, bytes})
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


@dataclass(frozen=True, slots=True)
class Peer:
    """A connection as its server sees it; `id` and `address` are empty where the ACL hides them."""

    id: str = ""
    address: str = ""
    run_id: str = ""
    replicas: int = 0

    def __str__(self) -> str:
        return f"{self.id} {self.address}" if self.id else ""


class Lane:
    """One connection to one primary, with a window of batches that wait for their replies in order."""

    def __init__(self, client: Redis, pause: Callable[[float], None] = time.sleep, patience: float = PATIENCE) -> None:
        """Take the pool's client; `pause` waits so many seconds and may raise to end the waiting for good."""
        self._client = client
        self._pause = pause
        self._patience = patience
        self._connection: Connection | None = None
        self._flying: deque[_Batch] = deque()
        self._in_flight = 0
        self._stalled_since: float | None = None
        self._refusal: AirbyteTracedException | None = None
        self._scripts: dict[str, bytes] = {}
        self.peer = Peer()
        #: Called with every connection made after the first, before anything is sent again; may raise.
        self.on_reconnect: Callable[[], None] | None = None
        #: The number of the last batch sent, and of the last of which all, and all before, is answered well.
        self.sent = 0
        self.settled = 0

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
        if script not in self._scripts:
            self._scripts[script] = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest().encode()
            self.send([self.pack("SCRIPT", "LOAD", script)])
        return self._scripts[script]

    def ask(self, *arguments: str | bytes | int) -> object:
        """Send one command on the bare connection and return its reply; only where nothing is on its way."""
        connection = self._live()
        connection.send_packed_command([self.pack(*arguments)], check_health=False)
        return connection.read_response()

    def pack(self, *arguments: str | bytes | int) -> bytes:
        """Return a command's bytes."""
        return b"".join(self._live().pack_command(*arguments))

    def open(self) -> None:
        """Connect, trying again as `patience` allows; raises a traced error."""
        self._recover(None)

    def close(self) -> None:
        """Give the connection back to the pool, closed."""
        if self._connection is not None:
            self._connection.disconnect()
            self._client.connection_pool.release(self._connection)
            self._connection = None

    def _live(self) -> Connection:
        # redis-py would connect again by itself, behind our back, and lose what was on its way.
        if self._connection is None or not self._connection.is_connected:
            raise redis_errors.ConnectionError("Connection closed by server")
        return self._connection

    def _go_on(self) -> None:
        """Raise again what the server refused for good: nothing after it may ever count as settled."""
        if self._refusal is not None:
            raise self._refusal

    def _answered(self) -> bool:
        """Whether any reply has arrived; a lost connection counts, for reading finds it."""
        try:
            return self._live().can_read(0)
        except _LOST:
            return True

    def _transmit(self, batch: _Batch) -> None:
        rest = batch.commands[batch.answered :] if batch.answered else batch.commands
        # A record of tens of megabytes is not copied once more.
        payload = list(rest) if batch.size > WINDOW else [b"".join(rest)]
        self._live().send_packed_command(payload, check_health=False)

    def _settle_oldest(self) -> None:
        batch = self._collect()
        if batch.failed:
            drained = [batch, *(self._collect() for _ in range(len(self._flying)))]
            self._insist([one for one in drained if one.failed])
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
        self._stalled_since = None if not batch.failed else self._stalled_since
        return batch

    def _read(self, batch: _Batch) -> None:
        read = self._live().replies.read  # type: ignore[attr-defined] # connection.Replies
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
            raise self._over(traced(error, f"sending {_name(command)}")) from error
        batch.failed.append((command, error))

    def _judged(self, judge: Judge, reply: object) -> None:
        try:
            judge(reply)
        except AirbyteTracedException as error:
            raise self._over(error) from error.__cause__

    def _over(self, error: AirbyteTracedException) -> AirbyteTracedException:
        """Remember what ends this lane, and return it."""
        self._refusal = error
        return error

    def _insist(self, troubled: list[_Batch]) -> None:
        """Send what the server refused for now again, with growing pauses, until it takes all of it."""
        since, pause = time.monotonic(), FIRST_PAUSE
        while troubled:
            error = troubled[0].failed[-1][1]
            if time.monotonic() - since > self._patience:
                raise transient_error(f"{explain(error)}; tried again for {self._patience:.0f} seconds", error)
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
        """Connect anew and send all that is unanswered again."""
        pause = 0.0
        self._stalled_since = self._stalled_since or time.monotonic()
        while True:
            if error is not None and verdict(error) is Verdict.FAIL:
                raise traced(error, "connecting to the server") from error
            if error is not None and time.monotonic() - self._stalled_since > self._patience:
                raise transient_error(
                    f"{explain(error)}; tried again for {self._patience:.0f} seconds", error
                ) from error
            if pause:
                self._pause(pause)
            pause = min(2 * pause, LAST_PAUSE) or FIRST_PAUSE
            try:
                self._connect()
                for batch in self._flying:
                    self._transmit(batch)
            except (redis_errors.RedisError, OSError) as next_error:
                error = next_error
            else:
                if error is None:
                    self._stalled_since = None
                return

    def _connect(self) -> None:
        former = self.peer
        self.close()
        self._connection = self._client.connection_pool.get_connection()
        self.peer = self._identify()
        if former.id and former.run_id == self.peer.run_id:
            # A proxy or a tunnel may hold the old connection open with commands inside.
            self._try_ask("CLIENT", "KILL", "ID", former.id, "ADDR", former.address)
        for script in self._scripts:
            self.ask("SCRIPT", "LOAD", script)
        if former != Peer() and self.on_reconnect is not None:
            try:
                self.on_reconnect()
            except AirbyteTracedException as error:
                raise self._over(error) from error.__cause__

    def _identify(self) -> Peer:
        info = _fields(self._try_ask("CLIENT", "INFO"), b" ", b"=")
        server = _fields(self._try_ask("INFO", "server"), b"\r\n", b":")
        replication = _fields(self._try_ask("INFO", "replication"), b"\r\n", b":")
        return Peer(
            id=info.get("id", ""),
            address=info.get("addr", ""),
            run_id=server.get("run_id", "?"),
            replicas=int(replication.get("connected_slaves", "0")),
        )

    def _try_ask(self, *arguments: str) -> object:
        """Ask what an ACL or an old server may refuse; None then."""
        try:
            return self.ask(*arguments)
        except redis_errors.ResponseError as error:
            if verdict(error) is not Verdict.FAIL:
                raise
            return None


def _fields(reply: object, between: bytes, inside: bytes) -> dict[str, str]:
    if not isinstance(reply, bytes):
        return {}
    pairs = (part.strip().partition(inside) for part in reply.split(between))
    return {name.decode(): value.decode() for name, _, value in pairs}


def _name(command: bytes) -> str:
    """Return a packed command's name and key, never its data."""
    parts = command[:2000].split(b"\r\n")[2::2]
    if parts[:1] == [b"EVAL"]:
        return "a script for the ledger"
    if parts[:1] == [b"EVALSHA"]:
        return f"a script for {b' '.join(parts[3:4]).decode(errors='replace')}"
    return b" ".join(parts[:2]).decode(errors="replace")
