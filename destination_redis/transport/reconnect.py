"""The reconnecting connection: one connection to one server, which is opened again if it is lost."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from redis import Redis
from redis import exceptions as redis_errors
from redis.connection import Connection

from destination_redis.connection.optional import CLOSED, ClosedAtOptionalError, OptionalCommands, without
from destination_redis.connection.refusals import about, closed, closed_at, name_of
from destination_redis.connection.replies import UNTOLD, clients, info, number
from destination_redis.resp import pack_command
from destination_redis.transport.retry import RetryPolicy

logger = logging.getLogger("airbyte")


@dataclass(frozen=True, slots=True)
class Peer:
    """A connection as its server sees it; `id` and `address` are empty if the ACL hides them."""

    id: str = ""
    address: str = ""
    run_id: str = ""
    replicas: int = 0

    def __str__(self) -> str:
        return f"{self.id} {self.address}" if self.id else ""


class ReconnectingConnection:
    """One connection at a time; it reconnects only in `recover`, so that the caller knows what to send again."""

    def __init__(
        self,
        client: Redis,
        retry: RetryPolicy,
        scripts: Mapping[str, bytes],
        lost: Callable[[], None],
        connected: Callable[[], None],
    ) -> None:
        """Set the client with the pool, and the scripts that every new connection loads.

        `lost` is called before each reconnect, `connected` after it, before anything is sent; both may raise.
        """
        self._client = client
        self._retry = retry
        self._scripts = scripts
        self._lost = lost
        self._connected = connected
        self._connection: Connection | None = None
        #: The last connection, even if it is closed.
        self.peer = Peer()
        self._uncut: set[Peer] = set()
        self._optional = OptionalCommands()

    def live(self) -> Connection:
        """Return the connection; raises redis-py's ConnectionError if it is lost."""
        # redis-py would reconnect by itself, and lose what was in flight.
        if self._connection is None or not self._connection.is_connected:
            raise redis_errors.ConnectionError("Connection closed by server")
        return self._connection

    def ask(self, *arguments: str | bytes | int) -> object:
        """Send one command and return its reply; nothing else may be in flight."""
        connection = self.live()
        try:
            connection.send_packed_command([pack_command(*arguments)], check_health=False)
            return connection.read_response()
        except redis_errors.ResponseError as error:
            raise about(error, name_of(*arguments)) from error
        except redis_errors.ConnectionError as error:
            if closed(error):
                raise closed_at(name_of(*arguments)) from error
            raise

    def close(self) -> None:
        """Close the connection, and return it to the pool."""
        if self._connection is not None:
            self._connection.disconnect()
            self._client.connection_pool.release(self._connection)
            self._connection = None

    def recover(self, error: Exception | None, resend: Callable[[], None]) -> None:
        """Reconnect after `error` and call `resend`; retries as the policy allows, then raises a traced error."""
        tried = False
        while True:
            if error is not None:
                if tried:
                    self._retry.wait(error)
                else:
                    self._retry.check_deadline(error)
            try:
                if error is not None:
                    self._lost()
                tried = True
                self._connect()
                resend()
            except (redis_errors.RedisError, OSError) as next_error:
                error = next_error
            else:
                return

    def _connect(self) -> None:
        while True:
            try:
                self._connect_once()
            except ClosedAtOptionalError:
                continue  # this ends: a command at which it happens twice is no longer sent
            except (redis_errors.RedisError, OSError):
                self._optional.failed()
                raise
            break
        for command in self._optional.made():
            logger.warning(without(command, CLOSED))

    def _connect_once(self) -> None:
        if self.peer.id:
            self._uncut.add(self.peer)
        self.close()
        self._connection = self._client.connection_pool.get_connection()
        if self._optional.suspected:
            self.ask("TIME")  # if the server closes the connection here too, the optional command is not the cause
        self.peer = self._identify()
        # A proxy or a tunnel may keep an old connection open, with commands in it. There may be several: if one is
        # lost before it has killed the one before it, the next has to kill both.
        for former in [each for each in self._uncut if each.run_id == self.peer.run_id]:
            self._try_ask("CLIENT", "KILL", "ID", former.id, "ADDR", former.address)
            self._uncut.remove(former)
        for script in self._scripts:
            self.ask("SCRIPT", "LOAD", script)
        self._connected()

    def _identify(self) -> Peer:
        own_id, address = next(clients(self._try_ask("CLIENT", "INFO")), UNTOLD)
        if (
            " " in address or "," in address
        ):  # a Unix socket's address would break the list of connections in the ledger
            own_id, address = UNTOLD
        server = info(self._try_ask("INFO", "server"))
        replicas = number(info(self._try_ask("INFO", "replication")).get("connected_slaves"))
        return Peer(
            id=own_id,
            address=address,
            run_id=server.get("run_id") or "?",
            # Without permission for WAIT, replicas are ignored; check warns of that.
            replicas=replicas if replicas and self._try_ask("WAIT", "0", "0") is not None else 0,
        )

    def _try_ask(self, *arguments: str) -> object:
        return self._optional.ask(self.ask, *arguments)
