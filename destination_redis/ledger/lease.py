"""The lease of a stream: only the writer that holds it may update the stream's ledger.

Each update replaces the ledger in one atomic step. It has a number and the writer's token. So an update that is sent
twice, or late, changes nothing, and the next update of a writer that was replaced is refused.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from redis import exceptions as redis_errors

from destination_redis.errors import NodeRemoved, config_error, transient_error
from destination_redis.keys import StreamKeys
from destination_redis.ledger import transitions
from destination_redis.ledger.ledger import Ledger, parse
from destination_redis.ledger.scripts import EXCHANGE, RESUME, TAKE, UPDATE
from destination_redis.protocol.catalog import Stream
from destination_redis.resp import pack_command
from destination_redis.transport.pipeline import Pipeline
from destination_redis.transport.watermarks import Loss
from destination_redis.transport.window import Kind

#: Milliseconds, by the server's clock, for which a writer counts as alive after its last update.
LEASE = 30_000
#: More than the number of any update: compared with it, every ledger is behind.
_BEHIND = 1 << 53


class StreamLease:
    """One stream's ledger, which only this process may update while it holds the lease."""

    def __init__(self, pipeline: Pipeline, stream: Stream, keys: StreamKeys, token: str) -> None:
        self._pipeline = pipeline
        self._token = token
        self._number = 0
        self._answered_number = 0
        self._held = False
        self._registered = ""
        #: When the lease was taken, in microseconds by the server's clock.
        self.taken_at = 0
        self.stream = stream
        self.keys = keys
        #: The ledger after the last update, and after the last answered one.
        self.value = Ledger()
        self.answered = self.value

    def take(self, busy: Callable[["StreamLease", str, str, int, int], None], dead: str = "") -> None:
        """Request the lease, without waiting; `dead` is the token of a writer that is known to be dead.

        If another writer holds it, `busy` is called with that writer's token and connections, the end of its lease and
        the server's time, both in milliseconds.
        """

        def on_reply(reply: object) -> None:
            assert isinstance(reply, list)
            if reply[0] == b"busy":
                _, now, writer, connection, until = reply
                busy(self, writer.decode(), connection.decode(), int(until), int(now))
                return
            _, kind, counter, held, taken_at = reply
            if not (counter or b"0").isdigit():
                raise self._foreign()
            collection = kind not in (b"string", b"none")
            found = transitions.corrected(parse(held, counter), collection=collection)
            if kind != b"none" and not found.agrees(collection=collection):
                raise self._foreign()
            self.value = self.answered = found
            self.taken_at = int(taken_at)
            self._held = True

        self._registered = self._pipeline.connections
        command = self._pack(TAKE, self._token, self._registered, LEASE, dead)
        self._pipeline.send([command], on_reply, Kind.OTHER)

    def register_connections(self) -> None:
        """Make the ledger name the connections in use: one may have been replaced while the lease was requested."""
        while self._registered != self._pipeline.connections:
            try:
                self.resume()
            except (redis_errors.RedisError, OSError) as error:
                self._pipeline.retry.wait(error)
                for server in self._pipeline.servers:
                    with suppress(NodeRemoved):  # a lost connection is opened and registered again
                        self._pipeline.call("TIME", at=server)

    @property
    def held(self) -> bool:
        """Whether this process holds the lease, as of the last reply, and the server has lost nothing."""
        return self._held

    @property
    def token(self) -> str:
        """The text that identifies this writer."""
        return self._token

    def update(self, value: Ledger | None = None, *, sets_sent: bool = False) -> None:
        """Replace the ledger, or only renew the lease, without waiting.

        If each record has its own key, the counter is set to the last committed id. `sent`, which the scripts of a
        collection maintain, is written only with `sets_sent`.
        """
        before, self.value = self.value, value or self.value
        moved = self.value.live.committed != before.live.committed or before.collected
        counted = moved and not self.value.collected
        self._send(UPDATE, self._fields(sets_sent), str(self.value.live.committed) if counted else "")

    def exchange(self, value: Ledger, *, sets_sent: bool = False) -> None:
        """Replace the ledger, and in the same step the counter or collection by the staged collection, if there is one.

        The collection then has the expiry of the stream.
        """
        self.value = value
        self._send(EXCHANGE, self._fields(sets_sent), str(self.stream.expiry), self.keys.staged_collection)

    def release(self, clean: bool) -> None:
        """Release the lease; after a clean end no id stays reserved, so ids have gaps only after a crash."""
        if clean:
            self.value = transitions.released(self.value)
        released = ["writer", "", "writer_connection", "", "released_by", self._token]
        self._send(UPDATE, [*self.value.fields(), *released], "", last=True)

    def resume(self, loss: Loss = Loss.NOTHING) -> None:
        """On a new connection: check that the ledger has the last answered update, and sign it with the connection.

        `loss` is what other servers have lost: then this ledger counts as behind, too.
        """
        if not self._held:
            return
        registered = self._pipeline.connections
        number = self._answered_number if loss is Loss.NOTHING else _BEHIND
        arguments: tuple[str | bytes | int, ...] = (self._token, registered, LEASE, number)
        least = self.answered.live.committed if loss is not Loss.ACKNOWLEDGED else _BEHIND
        committed = (least, self.answered.staged.committed if self.answered.staged else 0)
        fields = transitions.reserve(self.answered, self.value.reserved).fields()
        keys = (self.keys.ledger, self.keys.counter)
        reply = self._pipeline.ask(self.keys.ledger, "EVAL", RESUME, 2, *keys, *arguments, *committed, *fields)
        self.check_reply(reply)
        self._registered = registered

    def _fields(self, sets_sent: bool) -> list[str]:
        fields = self.value.fields()
        return [*fields, "sent", str(self.value.sent)] if sets_sent else fields

    def _send(self, script: str, fields: Sequence[str], argument: str, *keys: bytes, last: bool = False) -> None:
        self._number += 1
        number, value = self._number, self.value

        def on_reply(reply: object) -> None:
            self.check_reply(reply)
            if number > self._answered_number:  # a redirected update may be answered after newer ones
                self.answered, self._answered_number = value, number
            if last:  # until then a new connection may lead to a server that has lost answered writes
                self._held = False

        command = self._pack(script, self._token, number, LEASE, argument, *fields, more=keys)
        self._pipeline.send([command], on_reply, Kind.LEDGER)

    def _pack(self, script: str, *arguments: str | int, more: Sequence[bytes] = ()) -> bytes:
        keys = (self.keys.ledger, self.keys.counter, *more)
        return pack_command("EVAL", script, len(keys), *keys, *arguments)

    def _foreign(self) -> AirbyteTracedException:
        return config_error(
            f"The key {self.keys.counter.decode()} was not written by this connector: move it away or "
            "choose another key_prefix"
        )

    def check_reply(self, reply: object) -> None:
        """Check a script's reply; raises if another writer holds the lease, or the server lost the ledger's writes."""
        match reply:
            case b"ok":
                return
            case b"taken":
                self._held = False
                raise transient_error(f"Another sync has taken over the stream {self.stream}")
            case b"behind":
                self._held = False
                raise transient_error(
                    f"The server lost writes to the stream {self.stream} that were not acknowledged yet; "
                    "run the sync again"
                )
        self._held = False
        raise config_error(
            f"The server lost acknowledged data of the stream {self.stream}: refresh it, so that all of it is sent "
            "again"
        )


class LeaseHeartbeat:
    """Renews the leases of a run during work that does not update the ledgers."""

    def __init__(self, leases: Sequence[StreamLease]) -> None:
        self._leases = leases
        self._kept_at = time.monotonic()

    def keep(self) -> None:
        """Renew every lease if it is time; never waits."""
        now = time.monotonic()
        if now - self._kept_at > LEASE / 3000:
            self._kept_at = now
            for lease in self._leases:
                lease.update()
