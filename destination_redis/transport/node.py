"""The node pipeline: batches of commands to one server, which answers them in order.

After a lost connection all unanswered batches are sent again, and so are those answered since the last answered update
of a ledger. The server that answers now may be a replica without them, and the ledger shows only the loss of what came
before its update. Commands that the server refuses for now are returned to the caller. If the server no longer serves
any slots, all its open commands are returned.
"""

import math
import time
from collections.abc import Sequence

from redis import exceptions as redis_errors

from destination_redis.connection.refusals import about, packed_name
from destination_redis.connection.slots import Address
from destination_redis.errors import (
    NodeRemoved,
    NotWrittenError,
    RetryDecision,
    TlsError,
    UnreachableError,
    command_name,
    retry_decision,
    traced,
)
from destination_redis.redaction.replies import is_reply
from destination_redis.transport.many_records import divided
from destination_redis.transport.reconnect import Peer, ReconnectingConnection
from destination_redis.transport.retry import RetryPolicy
from destination_redis.transport.too_large import says_too_deep, says_too_large
from destination_redis.transport.unconfirmed import Unconfirmed
from destination_redis.transport.window import Batch, Returned, Window

#: Unanswered bytes per connection: enough to keep a server busy, and little enough for a small container.
WINDOW = 2 * 1024 * 1024
#: Seconds without a reply after which a server may have been replaced without knowing it, so that its answers may be
#: lost; and seconds until the same server is suspected again.
_SILENCE, _TRUST = 1.0, 60.0
#: Precedes a command to a server that is still importing the command's slot.
ASKING = b"*1\r\n$6\r\nASKING\r\n"

# Types of replies that are no errors.
_PLAIN = frozenset({int, bytes, type(None)})
_LOST = (redis_errors.ConnectionError, redis_errors.TimeoutError, OSError)


class NodePipeline:
    """One connection to one server, with a window of batches that wait for their replies."""

    def __init__(
        self,
        address: Address,
        connection: ReconnectingConnection,
        retry: RetryPolicy,
        *,
        replaceable: bool,
        until_confirmed: bool,
    ) -> None:
        """Set the connection.

        A `replaceable` server may have been replaced during a long silence: the connection is then opened again, to
        find out. `until_confirmed` keeps answered batches until `release`, since replicas or the disk have to confirm
        them.
        """
        self.address = address
        self._connection = connection
        self._retry = retry
        self._unconfirmed = Unconfirmed(until_released=until_confirmed)
        self._suspected_at = -_TRUST if replaceable else math.inf
        #: Batches without a reply.
        self.window = Window(address)
        self.returned: list[Returned] = []
        #: Why to reconnect before anything is sent again.
        self.suspicion: Exception | None = None
        #: The server no longer serves any slots: nothing is sent here.
        self.removed = False
        self.release = self._unconfirmed.release
        self.ask = connection.ask
        self.close = connection.close

    @property
    def peer(self) -> Peer:
        """The connection as its server sees it."""
        return self._connection.peer

    @property
    def open_since(self) -> int | None:
        """The number of the oldest batch that is unanswered, unconfirmed or returned; None if there is none."""
        numbers = [found.number for found in self.window.rejected]
        numbers += [each.number for each in (self._unconfirmed.oldest, self.window.oldest) if each]
        return min([*numbers, *(each.batch.number for each in self.returned)], default=None)

    @property
    def kept(self) -> bool:
        """Whether any answered batch waits for `release`."""
        return bool(self._unconfirmed)

    def open(self) -> None:
        """Connect, and retry as the policy allows; raises a traced error."""
        self.recover(None)

    def send(self, batch: Batch) -> None:
        """Send a batch as soon as the window allows; waits only if the connection is lost."""
        self.window.add(batch)
        self._transmit_next()

    def has_reply(self) -> bool:
        """Return whether a reply has arrived; true for a lost connection, since reading detects it."""
        try:
            return self._connection.live().can_read(0)
        except _LOST:
            return True

    def collect(self) -> Batch | None:
        """Read all replies of the oldest batch, reconnecting if needed, and return the batch.

        None if it was returned or rejected. Raises a traced error if the server refuses a command permanently.
        """
        before = len(self.returned)
        while True:
            if not self.window.in_flight:
                self._transmit_next()
            if not self.window.in_flight:
                return None
            # On a new connection this may be another batch: answered ones are sent again.
            batch = self.window.in_flight[0]
            try:
                self._read(batch)
                break
            except _LOST as error:
                self.recover(error)
        self.window.answered()
        if batch.on_zeros:
            batch.on_zeros(batch.zeros)
        self._unconfirmed.add(batch)
        returned = self.returned[before:]
        if batch.covers and not returned:
            self._unconfirmed.covered()
        if not returned:
            self._retry.progressed()
        elif returned[-1].command is batch.commands[-1]:
            batch.watermark = None  # the watermark is the last command, and was refused
        self._transmit_next()
        return batch

    def recover(self, error: Exception | None) -> None:
        """Reconnect and send all open batches again; return them if the server no longer serves any slots."""
        self.suspicion = None
        if error is not None and _is_closed(error):
            self.window.lost()
            if self.window.in_flight and self.window.in_flight[0].closed:
                self._retry.wait(error)  # whatever the cause is, it may be temporary
        try:
            self._connection.recover(error, self._transmit_all)
        except NodeRemoved as removed:
            self.removed = True
            self._connection.close()
            for batch in (*self._unconfirmed.take(), *self.window.clear()):
                self.returned += [Returned(batch, command, error or removed, self) for command in batch.commands]

    def _transmit_all(self) -> None:
        # `on_reply` has seen the replies of the unconfirmed batches already.
        self.window.restart(self._unconfirmed.take())
        try:
            self._transmit_window()
        except _LOST as error:
            if _is_closed(error):
                self.window.lost()
            raise

    def _transmit_next(self) -> None:
        try:
            self._transmit_window()
        except _LOST as error:
            self.recover(error)

    def _transmit_window(self) -> None:
        while (batch := self.window.next()) is not None:
            self._transmit(batch)

    def _transmit(self, batch: Batch) -> None:
        # A record of tens of megabytes is not copied again.
        payload = list(batch.commands) if batch.size > WINDOW else [b"".join(batch.commands)]
        self._connection.live().send_packed_command(payload, check_health=False)

    def _read(self, batch: Batch) -> None:
        read = self._connection.live().replies.read  # type: ignore[attr-defined] # connection.Replies
        wanted = len(batch.commands)
        while batch.answered < wanted:
            since = time.monotonic()
            replies = read(wanted - batch.answered)
            now = time.monotonic()
            if now - since > _SILENCE and now - self._suspected_at > _TRUST and not batch.keyless:
                self._suspected_at = now
                raise UnreachableError("The server was silent for long and may have been replaced")
            batch.zeros += replies.count(0) if batch.on_zeros else 0
            if batch.on_reply is None and set(map(type, replies)) <= _PLAIN:
                batch.answered += len(replies)
                continue
            for reply in replies:
                command = batch.commands[batch.answered]
                if isinstance(reply, redis_errors.ConnectionError):
                    raise reply
                if isinstance(reply, redis_errors.RedisError):
                    self._refused(batch, command, reply)
                elif batch.on_reply is None:
                    self._not_written(batch, command, reply)
                elif command is not ASKING:
                    batch.on_reply(reply)
                batch.answered += 1

    def _not_written(self, batch: Batch, command: bytes, reply: object) -> None:
        """Return the records that a script for many reports as not written; each is sent again alone."""
        if isinstance(reply, list):
            alone = divided(command)
            some = [number for number in reply if isinstance(number, int) and 0 <= number < len(alone)]
            self._take_back(batch, [alone[number] for number in some] if len(some) == len(reply) else alone)

    def _take_back(self, batch: Batch, commands: Sequence[bytes]) -> None:
        error = NotWrittenError("The server did not write every record of a script")
        self.returned += [Returned(batch, command, error, self) for command in commands]

    def _refused(self, batch: Batch, command: bytes, error: redis_errors.RedisError) -> None:
        if batch.ignore_error and batch.ignore_error in str(error):
            return
        what = retry_decision(error)
        blames_record = says_too_large(error) or says_too_deep(error)
        if what is RetryDecision.FAIL and blames_record and not (batch.keyless or batch.covers):
            if len(alone := divided(command)) > 1:
                self._take_back(batch, alone)
                return
            batch.refused = command, error
            # Records after it must not be written: on a new connection they are left out.
            raise UnreachableError("The server does not take this record")
        if what is RetryDecision.FAIL:
            sent = self.window.records
            refused = about(error, packed_name(command), sent)
            raise traced(refused, f"sending {command_name(command)}", sent) from error
        if what is RetryDecision.RECONNECT:
            self.suspicion = error
        self.returned.append(Returned(batch, command, error, self))


def _is_closed(error: Exception) -> bool:
    """Return whether an error means that the server, or a proxy before it, closed the connection."""
    otherwise = TimeoutError | redis_errors.TimeoutError | UnreachableError | TlsError
    return not isinstance(error, otherwise) and not is_reply(error)
