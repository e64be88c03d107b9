"""The lease of a stream: only the writer that holds it may update the stream's ledger.

Each update replaces the ledger in one atomic step. It has a number and the writer's token. So an update that is sent
twice, or late, changes nothing, and the next update of a writer that was replaced is refused.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress

from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from redis import exceptions as redis_errors

from destination_redis.errors import NodeRemoved, config_error, transient_error
from destination_redis.keys import DataKeys, StreamKeys
from destination_redis.ledger import transitions
from destination_redis.ledger.ledger import Ledger, OwnKey
from destination_redis.ledger.own_key import holds
from destination_redis.ledger.scripts import EXCHANGE, NOT_USED, RESUME, TAKE, UPDATE
from destination_redis.ledger.storage import Storage
from destination_redis.ledger.stored import parse
from destination_redis.protocol.catalog import COLLECTION, Stream
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
        #: The text that identifies this writer.
        self.token = token
        self._number = 0
        self._answered_number = 0
        self._held = False
        self._registered = ""
        self._has_counter = False
        #: Whether there was no ledger when the lease was taken.
        self.new = False
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
            _, kind, text, held, taken_at = reply
            self.value = self.answered = self._found(kind, text, held)
            self.new = b"reserved" not in held[::2]
            self.taken_at = int(taken_at)
            self._held = True

        self._registered = self._pipeline.connections
        command = self._pack(TAKE, self.token, self._registered, LEASE, dead)
        self._pipeline.send([command], on_reply, Kind.OTHER)

    def _found(self, kind: bytes, text: bytes, held: Sequence[bytes]) -> Ledger:
        """Return the ledger, given the type and the text of the stream's key; raises if that key is not the stream's.

        With a template of its own a stream does not use that key, so another application may.
        """
        found = parse(held, b"")
        own_key = holds(found, kind, text)
        if own_key is OwnKey.COUNTER:
            found = parse(held, text)
        if not found.uses_own_key(self.stream.template):
            return found
        if own_key is None:
            raise self._foreign(self.keys.counter)
        self._has_counter = own_key is OwnKey.COUNTER
        if found.newest.storage.template:
            return found
        return transitions.corrected(found, collection=own_key is OwnKey.COLLECTION)

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
    def wanted(self) -> Storage:
        """Where this sync stores records; without the format."""
        stream = self.stream
        return Storage(stream.placement, stream.key_fields, template=stream.template)

    @property
    def live_keys(self) -> DataKeys:
        """The keys of the live records."""
        return self.value.live.storage.keys_of(self.keys)

    @property
    def newest_keys(self) -> DataKeys:
        """The keys of the latest records, staged or live."""
        return self.value.newest.storage.keys_of(self.keys)

    def owns(self, key: bytes) -> bool:
        """Return whether a key belongs to the stream or to one of its records."""
        own = (self.keys.counter, self.keys.ledger, self.keys.rejected)
        return key in own or any(keys.owns(key) for keys in (self.live_keys, self.newest_keys))

    def update(self, value: Ledger | None = None, *, sets_sent: bool = False) -> None:
        """Replace the ledger, or only renew the lease, without waiting.

        If each record has its own key, and no template, the counter is set to the last committed id. `sent` and
        `passed`, which the scripts of a collection maintain, are written only with `sets_sent`.
        """
        before, self.value = self.value, value or self.value
        counter = ""
        if self.value.counted:
            moved = self.value.live.committed != before.live.committed or not before.counted
            counter = str(self.value.live.committed) if moved else ""
        elif self._has_counter or (before.collected and not self.value.collected):
            counter = NOT_USED
        if counter:
            self._has_counter = counter != NOT_USED
        self._send(UPDATE, self._fields(sets_sent), counter)

    def exchange(self, value: Ledger, *, sets_sent: bool = False) -> None:
        """Replace the ledger, and in the same step the counter or collection by the staged collection, if there is one.

        The collection then has the expiry of the stream.
        """
        old, before = self.live_keys.collection, self.value.live.placement
        self.value = value
        keys = self.newest_keys
        replaced = [keys.collection] if value.newest.placement == COLLECTION else []
        replaced += [old] if before == COLLECTION and old not in replaced else []
        self._has_counter = self._has_counter and self.keys.counter not in replaced
        more = (keys.staged_collection, keys.collection, *replaced)
        self._send(EXCHANGE, self._fields(sets_sent), str(self.stream.expiry), *more)

    def found_collection(self, key: bytes, *, staged: bool, final: bool) -> None:
        """Correct the ledger by the key of a collection under a template; raises if that key is not the stream's.

        `staged` and `final` are whether its staged key and the key itself exist. Only a promotion in progress can have
        put the collection there: then nothing is staged.
        """
        promoted = self.value.changes_key and self.newest_keys.collection == key
        if final and (staged or not promoted):
            raise self._foreign(key)
        if promoted:
            self.value = self.answered = transitions.corrected(self.value, collection=final)

    def release(self, clean: bool) -> None:
        """Release the lease; after a clean end no id stays reserved, so only a crash leaves unused ids behind."""
        if clean:
            self.value = transitions.released(self.value)
        released = ["writer", "", "writer_connection", "", "released_by", self.token]
        self._send(UPDATE, [*self.value.fields(), *released], "", last=True)

    def resume(self, loss: Loss = Loss.NOTHING) -> None:
        """On a new connection: check that the ledger has the last answered update, and sign it with the connection.

        `loss` is what other servers have lost: then this ledger counts as behind, too.
        """
        if not self._held:
            return
        registered = self._pipeline.connections
        number = self._answered_number if loss is Loss.NOTHING else _BEHIND
        arguments: tuple[str | bytes | int, ...] = (self.token, registered, LEASE, number)
        least = self.answered.live.committed if loss is not Loss.ACKNOWLEDGED else _BEHIND
        staged = self.answered.staged.committed if self.answered.staged else 0
        committed = (least, staged, self.answered.rejected.number)
        fields = transitions.reserve(self.answered, self.value.reserved).fields()
        keys = (self.keys.ledger, self.keys.counter)
        reply = self._pipeline.ask(self.keys.ledger, "EVAL", RESUME, 2, *keys, *arguments, *committed, *fields)
        self.check_reply(reply)
        self._registered = registered

    def _fields(self, sets_sent: bool) -> list[str]:
        fields = self.value.fields()
        # Nothing above it is sent, so no id is passed over.
        return [*fields, "sent", str(self.value.sent), "passed", ""] if sets_sent else fields

    def _send(self, script: str, fields: Sequence[str], argument: str, *keys: bytes, last: bool = False) -> None:
        self._number += 1
        number, value = self._number, self.value

        def on_reply(reply: object) -> None:
            self.check_reply(reply)
            if number > self._answered_number:  # a redirected update may be answered after newer ones
                self.answered, self._answered_number = value, number
            if last:  # until then a new connection may lead to a server that has lost answered writes
                self._held = False

        command = self._pack(script, self.token, number, LEASE, argument, *fields, more=keys)
        self._pipeline.send([command], on_reply, Kind.LEDGER)

    def _pack(self, script: str, *arguments: str | int, more: Sequence[bytes] = ()) -> bytes:
        keys = (self.keys.ledger, self.keys.counter, *more)
        return pack_command("EVAL", script, len(keys), *keys, *arguments)

    def _foreign(self, key: bytes) -> AirbyteTracedException:
        return config_error(
            f"The key {key.decode()} was not written by this connector: move it away or choose another key_prefix"
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
