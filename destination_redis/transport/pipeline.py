"""The pipeline: commands are sent to all nodes in batches, all replies are checked, and failed commands are retried.

A command must do no harm if it is sent twice or late: after a lost connection all unanswered commands are sent again,
and a redirected command reaches its node after commands that were sent later.
"""

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress

from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from redis import exceptions as redis_errors

from destination_redis.config.durability import Durability
from destination_redis.connection.deployment import Servers
from destination_redis.connection.slots import Address
from destination_redis.errors import NodeRemoved, safe_text, transient_error
from destination_redis.resp import pack_command
from destination_redis.transport import watermarks
from destination_redis.transport.node import WINDOW, NodePipeline
from destination_redis.transport.replication import Replication
from destination_redis.transport.resend import send_again
from destination_redis.transport.retry import RETRY_SECONDS, RetryPolicy
from destination_redis.transport.router import Router
from destination_redis.transport.watermarks import Loss, Watermarks
from destination_redis.transport.window import Batch, Kind, ReplyHandler, Returned, Split

#: Batches left in flight while replies are read, so that the server always has work.
_BUSY = 4

logger = logging.getLogger("airbyte")


class Pipeline:
    """The connections to all nodes. Batch numbers rise in the order of sending."""

    def __init__(
        self,
        servers: Servers,
        pause: Callable[[float], None] = time.sleep,
        retry_seconds: float = RETRY_SECONDS,
        durability: Durability | None = None,
        prefix: str = "",
    ) -> None:
        """`pause` waits for that many seconds and may raise to end the waiting."""
        self._servers = servers
        self.retry = RetryPolicy(pause, retry_seconds)
        self._watermarks = Watermarks(prefix, uuid.uuid4().hex)
        self._router = Router(servers, self.retry, self._watermarks, until_confirmed=bool(durability))
        self._replication = Replication(self._router, durability or Durability(), self._post)
        self._refusal: AirbyteTracedException | None = None
        #: Whether one command may have keys of several slots.
        self.many_keys = False
        #: The number of the last batch sent.
        self.sent = 0
        #: Whether replicas or the disk have to confirm each write.
        self.durable = bool(durability)
        self.ask = self._router.ask
        self.loss = self._router.loss
        self.limit_on = self._router.limit_on
        self.lowest_limit = self._router.lowest_limit
        self.take_rejected = self._router.take_rejected
        self.go_on_after = self._router.go_on_after

    def open(self) -> None:
        """Connect, and retry as the policy allows; raises a traced error."""
        if self._servers.clustered:
            self._router.load(watermarks.SCRIPT)
        self._router.open()

    def close(self) -> None:
        """Close all connections."""
        with suppress(redis_errors.RedisError, OSError, AirbyteTracedException):
            self._router.remove_watermarks()
        self._router.close()

    @property
    def connections(self) -> str:
        """All connections as their servers see them, comma-separated; empty if an ACL hides any."""
        return self._router.connections

    @property
    def servers(self) -> tuple[Address, ...]:
        """The addresses of all servers that serve keys now."""
        return self._router.primaries

    @property
    def confirmed(self) -> int:
        """The number of the last batch up to which every command succeeded and is as durable as configured."""
        if self._refusal is not None:
            return 0
        since = [number for node in self._router.all if (number := node.open_since) is not None]
        return min(since, default=self.sent + 1) - 1

    def call_on_reconnect(self, resume: Callable[[], None]) -> None:
        """Call `resume` for every new connection from now on, before anything is sent on it."""
        self._router.on_connect = resume

    def load(self, script: str) -> bytes:
        """Load a script on all connections, later ones too, and return its SHA1 for EVALSHA; never waits."""
        sha, new = self._router.load(script)
        if new:
            for node in self._router.all:
                self._post(node, [pack_command("SCRIPT", "LOAD", script)])
        return sha

    def send(
        self,
        commands: Sequence[bytes],
        on_reply: ReplyHandler | None = None,
        kind: Kind = Kind.RECORDS,
        *,
        ignore_error: str | None = None,
        split: Split | None = None,
        on_zeros: Callable[[int], None] | None = None,
    ) -> int:
        """Send packed commands, each to the node of its key, and return their batch number; waits if a window is full.

        `on_reply` is called with every reply and raises on a bad one; without it, any reply but an error is good. An
        error that contains `ignore_error` is a good reply. `split` makes two commands of one that has many records.
        `on_zeros` is called for each batch with the number of replies that are 0.
        """
        self._raise_refusal()
        self.sent += 1
        try:
            for node, some in self._router.split(commands):
                key, note = self._router.watermark(node, self.sent) if kind is Kind.RECORDS else (None, None)
                every = [*some, note] if note else some
                batch = Batch(self.sent, every, on_reply, ignore_error, watermark=key, split=split, on_zeros=on_zeros)
                batch.covers = kind is Kind.LEDGER
                batch.uncovered = key is None and kind in (Kind.RECORDS, Kind.COLLECTION)
                node.send(batch)
                self._replication.sent(node, batch.size, kind)
            if self._replication.due:
                self.request_confirmation()
            self._read_early()
        except AirbyteTracedException as error:
            raise self._end(error) from error.__cause__
        except BaseException as error:
            # Some may not have been sent: nothing after them may ever count as confirmed.
            self._end(transient_error(f"Commands were not sent: {safe_text(error)}", error))
            raise
        return self.sent

    def flush(self) -> None:
        """Return when every command sent has succeeded and is as durable as configured.

        Raises TooLarge, once for each batch that a server refuses for its size. The records of the batch and all later
        ones are left out. Until it is raised, the batch counts as unconfirmed.
        """
        self.drain()
        while any(node.kept for node in self._router.all):
            self.request_confirmation()
            self.drain()
        if found := self.take_rejected():
            raise found

    def call(self, *arguments: str | bytes | int, at: Address) -> object:
        """Send one command to a server, wait for all replies, and return its own.

        Raises NodeRemoved if the server no longer serves any slots.
        """
        self._raise_refusal()
        replies: list[object] = []
        self._post(self._router.at(at), [pack_command(*arguments)], replies.append)
        self.drain()
        if not replies:
            raise NodeRemoved
        return replies[-1]

    def request_confirmation(self) -> None:
        """Request confirmation by replicas or the disk of all batches so far, if that is configured; never waits."""
        self._replication.request(self.sent)

    def replicate(self) -> None:
        """Request confirmation of ledger updates: as configured, else by one replica if there is any; never waits."""
        self._replication.request_for_ledgers(self.sent)

    def mark_acknowledged(self, number: int) -> None:
        """Note that a state or a ledger relies on the batches up to `number`."""
        self._watermarks.mark_acknowledged(number)

    def verify(self) -> None:
        """Check that no failover lost answered commands; otherwise raises what `resume` raises."""
        if self._servers.clustered and self.retry.do(self.loss) is not Loss.NOTHING and self._router.on_connect:
            self.retry.do(self._router.on_connect)

    def topology_version(self) -> tuple[str, ...] | None:
        """Return a value that changes if a server is replaced or a slot moves; None while one is migrating."""
        return self.retry.do(self._router.topology_version)

    def _post(self, node: NodePipeline, commands: Sequence[bytes], on_reply: ReplyHandler | None = None) -> None:
        self.sent += 1
        try:
            node.send(Batch(self.sent, commands, on_reply, keyless=True))
        except AirbyteTracedException as error:
            raise self._end(error) from error.__cause__

    def _raise_refusal(self) -> None:
        """Raise the error that ended this pipeline, if any: nothing sent after it may ever count as confirmed."""
        if self._refusal is not None:
            raise self._refusal

    def _end(self, error: AirbyteTracedException) -> AirbyteTracedException:
        """End this pipeline with an error, of which only the first is kept, and return it."""
        self._refusal = self._refusal or error
        return error

    def _read_early(self) -> None:
        """Read replies soon after they arrive, so that a crash seldom comes between a commit and its states."""
        for node in self._router.all:
            window = node.window
            while window.holds_back or (len(window.in_flight) > _BUSY and (window.size > WINDOW or node.has_reply())):
                self._collect(node)
        if any(node.returned for node in self._router.all):
            self.drain()

    def _collect(self, node: NodePipeline) -> None:
        batch = node.collect()
        if batch is not None and batch.watermark is not None:
            self._watermarks.answered(batch.watermark, batch.number)

    def drain(self) -> None:
        """Return when all is answered; refused and redirected commands are sent again until all are accepted."""
        self._raise_refusal()
        try:
            returned = self._answered()
        except AirbyteTracedException as error:
            raise self._end(error) from error.__cause__
        repeated = False
        try:
            while returned:
                send_again(returned, self._router, self.retry, repeated=repeated)
                before, returned = len(returned), self._answered()
                repeated = len(returned) >= before
        except BaseException as error:
            # Only `returned` has the refused commands: nothing after them may ever count as confirmed.
            text = f"Commands that the server refused were not sent again: {safe_text(error)}"
            self._end(transient_error(text, error))
            raise

    def _answered(self) -> list[Returned]:
        for node in self._router.all:
            while node.window:
                self._collect(node)
        return self._router.take_returned()
