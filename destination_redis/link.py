"""A link: one connection to one primary, and how it is made anew when it is lost."""

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from redis import Redis
from redis import exceptions as redis_errors
from redis.connection import Connection

from destination_redis.errors import Verdict, explain, traced, transient_error, verdict

#: Seconds without any progress after which a sync gives up.
PATIENCE = 180.0
#: Seconds; pauses double from the first to the last.
FIRST_PAUSE, LAST_PAUSE = 0.05, 5.0


@dataclass(frozen=True, slots=True)
class Peer:
    """A connection as its server sees it; `id` and `address` are empty where the ACL hides them."""

    id: str = ""
    address: str = ""
    run_id: str = ""
    replicas: int = 0

    def __str__(self) -> str:
        return f"{self.id} {self.address}" if self.id else ""


class Link:
    """One connection at a time; it never heals behind the back of whoever sends."""

    def __init__(self, client: Redis, pause: Callable[[float], None], patience: float) -> None:
        """Take the pool's client; `pause` waits so many seconds and may raise to end the waiting for good."""
        self._client = client
        self._pause = pause
        self._connection: Connection | None = None
        self._stalled_since: float | None = None
        self._scripts: dict[str, bytes] = {}
        self.patience = patience
        self.peer = Peer()
        #: Called with every connection made after the first, before anything is sent again; may raise.
        self.on_reconnect: Callable[[], None] | None = None

    def live(self) -> Connection:
        """Return the connection; raises redis-py's ConnectionError where it is lost."""
        # redis-py would connect again by itself, and lose what was on its way.
        if self._connection is None or not self._connection.is_connected:
            raise redis_errors.ConnectionError("Connection closed by server")
        return self._connection

    def ask(self, *arguments: str | bytes | int) -> object:
        """Send one command and return its reply; only where nothing is on its way."""
        connection = self.live()
        connection.send_packed_command([self.pack(*arguments)], check_health=False)
        return connection.read_response()

    def pack(self, *arguments: str | bytes | int) -> bytes:
        """Return a command's bytes."""
        assert self._connection is not None, "packed before it was opened"
        return b"".join(self._connection.pack_command(*arguments))

    def remember(self, script: str) -> tuple[bytes, bool]:
        """Return a script's SHA1, and whether it is new: every connection to come loads it, this one not yet has."""
        new = script not in self._scripts
        if new:
            self._scripts[script] = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest().encode()
        return self._scripts[script], new

    def progressed(self) -> None:
        """Take note that the server answered: patience begins anew."""
        self._stalled_since = None

    def close(self) -> None:
        """Give the connection back to the pool, closed."""
        if self._connection is not None:
            self._connection.disconnect()
            self._client.connection_pool.release(self._connection)
            self._connection = None

    def recover(self, error: Exception | None, resend: Callable[[], None]) -> None:
        """Connect anew after `error` and call `resend`, again and again as patience allows; raises a traced error."""
        pause = 0.0
        self._stalled_since = self._stalled_since or time.monotonic()
        while True:
            if error is not None and verdict(error) is Verdict.FAIL:
                raise traced(error, "connecting to the server") from error
            if error is not None and time.monotonic() - self._stalled_since > self.patience:
                raise transient_error(
                    f"{explain(error)}; tried again for {self.patience:.0f} seconds", error
                ) from error
            if pause:
                self._pause(pause)
            pause = min(2 * pause, LAST_PAUSE) or FIRST_PAUSE
            try:
                self._connect()
                resend()
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
            self.on_reconnect()

    def _identify(self) -> Peer:
        info = _fields(self._try_ask("CLIENT", "INFO"), b" ", b"=")
        server = _fields(self._try_ask("INFO", "server"), b"\r\n", b":")
        replication = _fields(self._try_ask("INFO", "replication"), b"\r\n", b":")
        replicas = int(replication.get("connected_slaves", "0"))
        return Peer(
            id=info.get("id", ""),
            address=info.get("addr", ""),
            run_id=server.get("run_id", "?"),
            # Without permission to wait for them it is as if there were none; check warns of that.
            replicas=replicas if replicas and self._try_ask("WAIT", "0", "0") is not None else 0,
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
