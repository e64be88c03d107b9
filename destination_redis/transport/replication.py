"""The confirmations of replicas and disks: they are requested after writes, and never waited for here."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from destination_redis.config.durability import Durability
from destination_redis.resp import pack_command
from destination_redis.transport.router import Router
from destination_redis.transport.window import Kind

if TYPE_CHECKING:
    from destination_redis.transport.node import NodePipeline
    from destination_redis.transport.window import ReplyHandler

#: Milliseconds that a replica has to confirm a change of a ledger. If it takes longer, a warning is enough.
_REPLICA_WAIT = 500
#: Bytes of unconfirmed batches, which are kept in memory, after which a confirmation is requested.
_UNCONFIRMED = 4 * 1024 * 1024

logger = logging.getLogger("airbyte")


class Replication:
    """Requests confirmations for what was sent to each node."""

    def __init__(
        self,
        router: Router,
        durability: Durability,
        send: Callable[["NodePipeline", Sequence[bytes], "ReplyHandler"], None],
    ) -> None:
        """`send` sends commands without keys to one node, and passes each reply on."""
        self._router = router
        self._durability = durability
        self._send = send
        #: Nodes with changes of ledgers that no confirmation was requested for.
        self._changed: set[NodePipeline] = set()
        self._unconfirmed = 0
        self._warned = False

    @property
    def due(self) -> bool:
        """Whether it is time to request a confirmation."""
        return self._unconfirmed > _UNCONFIRMED

    def sent(self, node: "NodePipeline", size: int, kind: Kind) -> None:
        """Count a batch that was sent to a node, and its bytes."""
        self._unconfirmed += size if self._durability else 0
        if kind in (Kind.COLLECTION, Kind.LEDGER):
            self._changed.add(node)

    def request(self, number: int) -> None:
        """Request what `durability` asks for, if anything, for all batches up to `number`, the last one sent."""
        self._unconfirmed = 0
        for node in self._router.all if self._durability else ():
            if node.open_since is not None and not node.removed:
                self._send(node, [pack_command(*self._durability.command)], partial(self._on_confirmed, node, number))

    def request_for_ledgers(self, number: int) -> None:
        """Request a confirmation for changes of ledgers: by `durability`, else by one replica if there is any."""
        if self._durability:
            self.request(number)
            return
        for node in self._changed:
            if not node.removed and node.peer.replicas:
                self._send(node, [pack_command("WAIT", 1, _REPLICA_WAIT)], self._on_replica_reply)
        self._changed.clear()

    def _on_confirmed(self, node: "NodePipeline", number: int, reply: object) -> None:
        self._durability.check_reply(reply)
        node.release(number)

    def _on_replica_reply(self, reply: object) -> None:
        if reply == 0 and not self._warned:
            self._warned = True
            logger.warning("No replica confirmed the ledger within %d ms", _REPLICA_WAIT)
