"""Commands on their way: sent in batches, answered late, every reply checked, sent again where that is called for.

Nothing sent through a pipeline may do harm when it is sent twice, or late: after a lost connection whatever is
unanswered is sent again, and what a server redirects goes to another one, overtaken by what follows.
"""

import logging
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from redis import exceptions as redis_errors

from destination_redis.config.durability import Durability
from destination_redis.connection.deployment import Servers
from destination_redis.connection.many_keys import ONE_KEY, takes_many_keys
from destination_redis.connection.slots import Address
from destination_redis.errors import NodeRemoved, safe_text, transient_error
from destination_redis.resp import pack_command
from destination_redis.transport import watermarks
from destination_redis.transport.node import WINDOW, NodePipeline, Returned
from destination_redis.transport.resend import send_again
from destination_redis.transport.retry import RETRY_SECONDS, RetryPolicy
from destination_redis.transport.router import Router
from destination_redis.transport.watermarks import Loss, Watermarks
from destination_redis.transport.window import Batch, ReplyHandler, Split

#: Batches left on their way while replies are read, so that a server never waits for us.
KEPT_BUSY = 4
#: Milliseconds a replica is waited for after a ledger moved; late is worth a warning, not more.
_REPLICA_WAIT = 500
#: Bytes after which replicas are asked whether they have them, since until then they are kept.
_UNSECURED = 4 * 1024 * 1024

logger = logging.getLogger("airbyte")


class Pipeline:
    """Lanes to all servers, on which batches travel; their numbers rise with the time of sending."""

    def __init__(
        self,
        servers: Servers,
        pause: Callable[[float], None] = time.sleep,
        retry_seconds: float = RETRY_SECONDS,
        durability: Durability | None = None,
        prefix: str = "",
    ) -> None:
        """Take the servers; `pause` waits so many seconds and may raise to end the waiting for good."""
        self._servers = servers
        self.retry = RetryPolicy(pause, retry_seconds)
        self._durability = durability or Durability()
        self._watermarks = Watermarks(prefix, uuid.uuid4().hex)
        self._router = Router(servers, self.retry, self._watermarks, keeps=bool(durability))
        self._moved: set[NodePipeline] = set()
        self._refusal: AirbyteTracedException | None = None
        self._late = False
        self._unsecured = 0
        self._prefix = prefix
        #: Whether one command may have keys of several slots.
        self.many_keys = False
        #: The number of the last batch sent.
        self.sent = 0
        #: Whether an answer alone is not safe enough.
        self.secures = bool(durability)
        self.ask = self._router.ask
        self.loss = self._router.loss
        self.limit_on = self._router.limit_on

    def open(self) -> None:
        """Connect, trying again as patience allows; raises a traced error."""
        if self._servers.clustered:
            self._router.load(watermarks.SCRIPT)
        self._router.open()
        self.many_keys = not self._servers.clustered and self._takes_many_keys()

    def _takes_many_keys(self) -> bool:
        client = self._servers.client(self.servers[0])
        try:
            if takes_many_keys(client, self._prefix):
                return True
        finally:
            client.connection_pool.disconnect(inuse_connections=False)  # else it is idle until the sync ends
        logger.info(ONE_KEY)
        return False

    def close(self) -> None:
        """End all connections."""
        with suppress(redis_errors.RedisError, OSError, AirbyteTracedException):
            self._router.remove_watermarks()
        self._router.close()

    @property
    def signature(self) -> str:
        """All connections as their servers see them, comma-separated; empty where an ACL hides any."""
        return self._router.signature

    @property
    def servers(self) -> tuple[Address, ...]:
        """The addresses of all servers that hold keys now."""
        return self._router.primaries

    @property
    def confirmed(self) -> int:
        """The number of the last batch of which all, and all before, is answered well and as safe as is asked for."""
        if self._refusal is not None:
            return 0
        since = [number for node in self._router.all if (number := node.open_since) is not None]
        return min(since, default=self.sent + 1) - 1

    def call_on_reconnect(self, resume: Callable[[], None]) -> None:
        """Have `resume` called with every connection made from now on, before anything is sent on it."""
        self._router.on_connect = resume

    def load(self, script: str) -> bytes:
        """Return the SHA1 by which EVALSHA runs `script` here, on every connection to come as well; never waits."""
        sha, new = self._router.load(script)
        if new:
            for node in self._router.all:
                self._post(node, [pack_command("SCRIPT", "LOAD", script)])
        return sha

    def send(
        self,
        commands: Sequence[bytes],
        on_reply: ReplyHandler | None = None,
        ignore_error: str | None = None,
        *,
        moves: bool = False,
        covers: bool = False,
        split: Split | None = None,
    ) -> int:
        """Send packed commands, each to the server of its key, and return their number; waits where a window is full.

        `on_reply` is given every reply and raises on a bad one; an error that contains `ignore_error` is a good reply.
        `moves` is for what writes a ledger: `replicate` then waits for it. `covers` is for its numbered moves. `split`
        makes two commands of one that has many records.
        """
        self._go_on()
        self.sent += 1
        try:
            for node, some in self._router.split(commands):
                key, note = self._router.watermark(node, self.sent) if on_reply is None else (None, None)
                uncovered = not covers and key is None and (on_reply is None or moves)
                every = [*some, note] if note else some
                batch = Batch(self.sent, every, on_reply, ignore_error, False, key, covers, uncovered, split)
                node.send(batch)
                self._unsecured += batch.size if self._durability else 0
                if moves:
                    self._moved.add(node)
            if self._unsecured > _UNSECURED:
                self.secure()
            self._relieve()
        except AirbyteTracedException as error:
            raise self._over(error) from error.__cause__
        except BaseException as error:
            # Some may be on no lane: nothing after them may ever count as settled.
            self._over(transient_error(f"Commands were not sent: {safe_text(error)}", error))
            raise
        return self.sent

    def flush(self) -> None:
        """Return when every command sent has been answered, and answered well, and is as safe as is asked for.

        Raises TooLarge, for each batch once, where a server does not take it: what it was to write, and what was to be
        written after it, is left out. Until then it counts as open.
        """
        self._go_on()
        self._drain()
        while any(node.kept for node in self._router.all):
            self.secure()
            self._drain()
        for node in self._router.all:
            if node.window.rejected:
                raise node.window.rejected.pop(0)

    def call(self, *arguments: str | bytes | int, at: Address) -> object:
        """Send one command to a server, wait until all is answered, and return its reply.

        Raises NodeRemoved where the server serves no slots any more.
        """
        self._go_on()
        replies: list[object] = []
        self._post(self._router.at(at), [pack_command(*arguments)], replies.append)
        self._drain()
        if not replies:
            raise NodeRemoved
        return replies[-1]

    def secure(self) -> None:
        """Have replicas or the disk confirm what was sent, where that is asked for; never waits here."""
        self._unsecured = 0
        for node in self._router.all if self._durability else ():
            if node.open_since is not None and not node.over:
                on_reply = partial(self._on_durability_reply, node, self.sent)
                self._post(node, [pack_command(*self._durability.command)], on_reply)

    def replicate(self) -> None:
        """Have what moved ledgers confirmed: as is asked for, else by one replica if there is any; never waits here."""
        if self._durability:
            self.secure()
            return
        for node in self._moved:
            if not node.over and node.peer.replicas:
                self._post(node, [pack_command("WAIT", 1, _REPLICA_WAIT)], self._on_replica_reply)
        self._moved.clear()

    def mark_acknowledged(self, number: int) -> None:
        """Take note that a state or a ledger counts on the batches up to `number`."""
        self._watermarks.mark_acknowledged(number)

    def verify(self) -> None:
        """See that no server was replaced by one that lacks what was answered; raises what `resume` raises then."""
        if self._servers.clustered and self.retry.do(self.loss) is not Loss.NOTHING and self._router.on_connect:
            self.retry.do(self._router.on_connect)

    def topology_version(self) -> tuple[str, ...] | None:
        """Return what changes with every server that is replaced and every slot that moves; None while one does."""
        return self.retry.do(self._router.topology_version)

    def _post(self, node: NodePipeline, commands: Sequence[bytes], on_reply: ReplyHandler | None = None) -> None:
        self.sent += 1
        try:
            node.send(Batch(self.sent, commands, on_reply, keyless=True))
        except AirbyteTracedException as error:
            raise self._over(error) from error.__cause__

    def _on_replica_reply(self, reply: object) -> None:
        if reply == 0 and not self._late:
            self._late = True
            logger.warning("No replica confirmed the ledger within %d ms", _REPLICA_WAIT)

    def _on_durability_reply(self, node: NodePipeline, number: int, reply: object) -> None:
        self._durability.check_reply(reply)
        node.release(number)

    def _go_on(self) -> None:
        """Raise again what the server refused for good: nothing after it may ever count as settled."""
        if self._refusal is not None:
            raise self._refusal

    def _over(self, error: AirbyteTracedException) -> AirbyteTracedException:
        """Remember what ends this pipeline, the first error alone, and return it."""
        self._refusal = self._refusal or error
        return error

    def _relieve(self) -> None:
        """Read what is answered soon, so that a commit's states are out before a death can come between them."""
        for node in self._router.all:
            window = node.window
            while window.careful or (len(window.flying) > KEPT_BUSY and (window.size > WINDOW or node.has_reply())):
                self._collect(node)
        if any(node.returned for node in self._router.all):
            self._drain()

    def _collect(self, node: NodePipeline) -> None:
        batch = node.collect()
        if batch is not None and batch.watermark is not None:
            self._watermarks.answered(batch.watermark, batch.number)

    def _drain(self) -> None:
        """Return when all is answered; what was refused or redirected is sent again, until servers take all of it."""
        try:
            returned = self._answered()
        except AirbyteTracedException as error:
            raise self._over(error) from error.__cause__
        in_vain = False
        try:
            while returned:
                send_again(returned, self._router, self.retry, in_vain=in_vain)
                before, returned = len(returned), self._answered()
                in_vain = len(returned) >= before
        except BaseException as error:
            # Only here it is known what was refused: without it, nothing after it may ever count as settled.
            self._over(
                transient_error(f"Commands that the server refused were not sent again: {safe_text(error)}", error)
            )
            raise

    def _answered(self) -> list[Returned]:
        for node in self._router.all:
            while node.window:
                self._collect(node)
        return self._router.take_returned()
