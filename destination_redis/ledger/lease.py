"""A claim on a ledger: the one writer of a stream moves it, step by step.

A move replaces the ledger in one step, numbered, under the writer's token. So a move sent twice, or late, changes
nothing, and a writer that was replaced finds out at its next move.
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

#: Milliseconds by the server's clock for which a writer is believed alive without a sign of life.
LEASE = 30_000
#: More than any ledger says: in its place, a ledger is behind whatever it holds.
_BEHIND = 1 << 53


class StreamLease:
    """One stream's ledger in the hands of this process, the only one that may move it."""

    def __init__(self, pipeline: Pipeline, stream: Stream, keys: StreamKeys, token: str) -> None:
        self._pipeline = pipeline
        self._token = token
        self._number = 0
        self._answered_number = 0
        self._held = False
        self._signed = ""
        #: Microseconds by the server's clock when the claim was taken.
        self.taken_at = 0
        self.stream = stream
        self.keys = keys
        #: What the newest move says, and what the newest answered one said.
        self.value = Ledger()
        self.answered = self.value

    def take(self, busy: Callable[["StreamLease", str, str, int, int], None], dead: str = "") -> None:
        """Ask for the ledger, without waiting; `dead` is the token of a writer known to be gone.

        `busy` is called with the living writer's token, its connection, its lease's end and the server's time (ms).
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
            found = transitions.beside(parse(held, counter), collection=collection)
            if kind != b"none" and not found.agrees(collection=collection):
                raise self._foreign()
            self.value = self.answered = found
            self.taken_at = int(taken_at)
            self._held = True

        self._signed = self._pipeline.signature
        command = self._pack(TAKE, self._token, self._signed, LEASE, dead)
        self._pipeline.send([command], on_reply, Kind.OTHER)

    def sign(self) -> None:
        """See that the ledger names the connection in use: it may have changed while the claim was on its way."""
        while self._signed != self._pipeline.signature:
            try:
                self.resume()
            except (redis_errors.RedisError, OSError) as error:
                self._pipeline.retry.wait(error)
                for server in self._pipeline.servers:
                    with suppress(NodeRemoved):  # a connection that is lost is made anew, and signed
                        self._pipeline.call("TIME", at=server)

    @property
    def held(self) -> bool:
        """Whether the ledger is in our hands, as far as its server has said, and has lost nothing."""
        return self._held

    @property
    def token(self) -> str:
        """What tells this writer from others."""
        return self._token

    def update(self, value: Ledger | None = None, *, sets_sent: bool = False) -> None:
        """Replace the ledger, or only renew the lease, without waiting.

        Where records have keys of their own, the counter says what is committed. `sent`, which the scripts of a
        collection keep, is left alone unless asked for.
        """
        before, self.value = self.value, value or self.value
        moved = self.value.live.committed != before.live.committed or before.collected
        counted = moved and not self.value.collected
        self._send(UPDATE, self._fields(sets_sent), str(self.value.live.committed) if counted else "")

    def exchange(self, value: Ledger, expiry: int, *, sets_sent: bool = False) -> None:
        """Replace the ledger, and in the same step the counter or collection by the staged collection, if there is one.

        It lives for `expiry` seconds then, 0 for ever.
        """
        self.value = value
        self._send(EXCHANGE, self._fields(sets_sent), str(expiry), self.keys.staged_collection)

    def release(self, clean: bool) -> None:
        """Give the ledger back; after a clean end no id is left reserved, so ids have gaps only after a death."""
        if clean:
            self.value = transitions.released(self.value)
        released = ["writer", "", "writer_connection", "", "released_by", self._token]
        self._send(UPDATE, [*self.value.fields(), *released], "", last=True)

    def resume(self, loss: Loss = Loss.NOTHING) -> None:
        """On a new connection: see that the ledger still is what it was last answered to be, and sign it anew.

        `loss` is what is known to be missing elsewhere: the ledger counts as behind then.
        """
        if not self._held:
            return
        signed = self._pipeline.signature
        number = self._answered_number if loss is Loss.NOTHING else _BEHIND
        arguments: tuple[str | bytes | int, ...] = (self._token, signed, LEASE, number)
        least = self.answered.live.committed if loss is not Loss.ACKNOWLEDGED else _BEHIND
        committed = (least, self.answered.staged.committed if self.answered.staged else 0)
        fields = transitions.reserve(self.answered, self.value.reserved).fields()
        keys = (self.keys.ledger, self.keys.counter)
        reply = self._pipeline.ask(self.keys.ledger, "EVAL", RESUME, 2, *keys, *arguments, *committed, *fields)
        self.check_reply(reply)
        self._signed = signed

    def _fields(self, sets_sent: bool) -> list[str]:
        fields = self.value.fields()
        return [*fields, "sent", str(self.value.sent)] if sets_sent else fields

    def _send(self, script: str, fields: Sequence[str], argument: str, *keys: bytes, last: bool = False) -> None:
        self._number += 1
        number, value = self._number, self.value

        def on_reply(reply: object) -> None:
            self.check_reply(reply)
            if number > self._answered_number:  # redirected, it may come after newer ones
                self.answered, self._answered_number = value, number
            if last:  # until then a new connection may lead to a server that lacks what was answered
                self._held = False

        command = self._pack(script, self._token, number, LEASE, argument, *fields, more=keys)
        self._pipeline.send([command], on_reply, Kind.LEDGER)

    def _pack(self, script: str, *arguments: str | int, more: Sequence[bytes] = ()) -> bytes:
        keys = (self.keys.ledger, self.keys.counter, *more)
        return pack_command("EVAL", script, len(keys), *keys, *arguments)

    def _foreign(self) -> AirbyteTracedException:
        return config_error(
            f"The key {self.keys.counter.decode()} holds something that is not this connector's: move it away or "
            "choose another key_prefix"
        )

    def check_reply(self, reply: object) -> None:
        """Take what a script under this claim replied; raises where another writer has it, or the server lost it."""
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
            f"The server lost acknowledged data of the stream {self.stream}: refresh it, to have it all sent again"
        )


class LeaseHeartbeat:
    """Keeps the claims of a run, however long something takes that does not move their ledgers."""

    def __init__(self, leases: Sequence[StreamLease]) -> None:
        self._leases = leases
        self._kept_at = time.monotonic()

    def keep(self) -> None:
        """Renew every claim, where it is time to; never waits."""
        now = time.monotonic()
        if now - self._kept_at > LEASE / 3000:
            self._kept_at = now
            for lease in self._leases:
                lease.update()
