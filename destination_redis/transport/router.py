"""The router: the node pipelines of all primaries, and which of them serves a command."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from redis import exceptions as redis_errors

from destination_redis.connection.deployment import Servers
from destination_redis.connection.slots import Address, SlotMap, slot_of, slots_of
from destination_redis.errors import NodeRemoved
from destination_redis.resp import first_key, pack_command
from destination_redis.transport import watermarks
from destination_redis.transport.node import NodePipeline
from destination_redis.transport.reconnect import ReconnectingConnection
from destination_redis.transport.retry import RetryPolicy
from destination_redis.transport.too_large import SizeLimit, TooLarge, limit_on, lowest_limit
from destination_redis.transport.watermarks import Loss, Watermarks
from destination_redis.transport.window import Returned


class Router:
    """One node pipeline per primary: opened on first use, removed once its server no longer serves any slots."""

    def __init__(self, servers: Servers, retry: RetryPolicy, watermarks: Watermarks, *, until_confirmed: bool) -> None:
        """Set the servers; `until_confirmed` is passed to the node pipelines."""
        self._servers = servers
        self._retry = retry
        self._until_confirmed = until_confirmed
        self._watermarks = watermarks
        self._watermark_keys: dict[NodePipeline, bytes] = {}
        self._scripts: dict[str, bytes] = {}
        self._nodes: dict[Address, NodePipeline] = {}
        self._removed: list[NodePipeline] = []
        self._map = SlotMap(())
        self._table: list[Address | None] = []
        self._patched = False
        # The node pipeline of each slot, None if it is not open; built on first use.
        self._ready: list[NodePipeline | None] | None = None
        #: Called for every new connection, before anything is sent on it.
        self.on_connect: Callable[[], None] | None = None

    @property
    def all(self) -> tuple[NodePipeline, ...]:
        """All node pipelines, and the removed ones that still have commands to return."""
        return (*self._nodes.values(), *self._removed)

    @property
    def clustered(self) -> bool:
        """Whether there may be more than one node."""
        return self._servers.clustered

    @property
    def primaries(self) -> tuple[Address, ...]:
        """The addresses of all servers that serve slots."""
        return self._map.primaries

    @property
    def connections(self) -> str:
        """All connections as their servers see them; empty if an ACL hides any."""
        peers = [str(node.peer) for node in self._nodes.values()]
        return ",".join(peers) if all(peers) else ""

    def open(self) -> None:
        """Connect to all primaries, and retry as the policy allows; raises a traced error."""
        self._retry.do(self.refresh)
        while missing := [each for each in self.primaries if each not in self._nodes]:
            with suppress(NodeRemoved):  # the slot map has changed then
                self.at(missing[0])

    def close(self) -> None:
        """Close all connections."""
        for node in self.all:
            node.close()

    def at(self, address: Address) -> NodePipeline:
        """Return the open node pipeline of a server; raises NodeRemoved if it serves no slots."""
        node = self._nodes.get(address)
        if node is None:
            connection = ReconnectingConnection(
                self._servers.client(address),
                self._retry,
                self._scripts,
                lost=lambda: self._check(address),
                connected=lambda: self.on_connect and self.on_connect(),
            )
            node = self._nodes[address] = NodePipeline(
                address,
                connection,
                self._retry,
                replaceable=self._servers.replaceable,
                until_confirmed=self._until_confirmed,
            )
            node.open()
        if node.removed:
            self._removed.append(self._nodes.pop(address))
            raise NodeRemoved
        return node

    def of(self, command: bytes) -> NodePipeline:
        """Return the node pipeline that serves the slot of the command's key."""
        if not self._servers.clustered:
            return self.all[0]
        while True:
            address = self._table[slot_of(first_key(command))]
            try:
                if address is not None:
                    return self.at(address)
            except NodeRemoved:
                pass
            self._retry.wait(redis_errors.ClusterDownError("Hash slot not served"))
            self._retry.do(self.refresh)

    def split(self, commands: Sequence[bytes]) -> Iterable[tuple[NodePipeline, Sequence[bytes]]]:
        """Return the node pipelines with their commands."""
        if not self._servers.clustered:
            return [(self.all[0], commands)]
        if self._ready is None:
            self._ready = [self._nodes.get(address) if address else None for address in self._table]
        ready = self._ready
        found: dict[NodePipeline | None, list[bytes]] = defaultdict(list)
        for command, slot in zip(commands, slots_of(commands), strict=True):
            found[ready[slot]].append(command)
        parts: dict[NodePipeline, list[bytes]] = {}
        for node, some in found.items():
            if node is not None and not node.removed:
                parts.setdefault(node, []).extend(some)
            else:
                for command in some:
                    parts.setdefault(self.of(command), []).append(command)
        return parts.items()

    def refresh(self) -> None:
        """Query the slot map again; raises redis-py's errors."""
        new = self._servers.slot_map()
        if new != self._map or self._patched:
            self._patched, self._ready = False, None
            self._map, self._table = new, list(new.table())
            self._watermark_keys.clear()

    def move(self, slot: int, address: Address) -> None:
        """Note the new server of a slot, from a reply of its former server."""
        self._table[slot] = address
        self._patched, self._ready = True, None

    def take_returned(self) -> list[Returned]:
        """Return the commands to send again, and forget the removed node pipelines."""
        returned = [each for node in self.all for each in node.returned]
        for node in self.all:
            node.returned.clear()
        self._nodes = {address: node for address, node in self._nodes.items() if not node.removed}
        self._removed.clear()
        return returned

    def take_rejected(self) -> TooLarge | None:
        """Return a batch that a server refuses for its size, each once; None if there is none."""
        return next((node.window.rejected.pop(0) for node in self.all if node.window.rejected), None)

    def go_on_after(self, found: TooLarge) -> None:
        """Take records again after a rejected batch; none may have been sent after it."""
        for node in self.all:
            if node.address == found.address:
                node.window.reopen()

    def ask(self, key: bytes, *command: str | bytes | int) -> object:
        """Return the reply of the server that has `key`; for use during a reconnect."""
        if self._servers.clustered:
            return self._servers.ask(key, *command)
        return self.all[0].ask(*command)

    def load(self, script: str) -> tuple[bytes, bool]:
        """Return the SHA1 of a script that every new connection loads, and whether the present ones lack it."""
        new = script not in self._scripts
        if new:
            self._scripts[script] = hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest().encode()
        return self._scripts[script], new

    def watermark(self, node: NodePipeline, number: int) -> tuple[bytes, bytes] | tuple[None, None]:
        """Return the key and the command by which a node stores `number` as its last batch."""
        if not self._servers.clustered:
            return None, None
        key = self._watermark_keys.get(node)
        if key is None:
            if node.address not in self.primaries:
                return None, None
            key = self._watermark_keys[node] = self._watermarks.key(self._map.key_at(node.address))
        sha = self._scripts[watermarks.SCRIPT]
        return key, pack_command("EVALSHA", sha, *self._watermarks.arguments(key, number))

    def loss(self) -> Loss:
        """Return which answered commands are missing, by the watermarks that the servers hold."""
        keys = self._watermarks.keys
        held = zip(keys, self._servers.held(keys) if keys else (), strict=True)
        return self._watermarks.loss({key: int(value or 0) for key, value in held})  # type: ignore[call-overload] # text or None

    def limit_on(self, found: TooLarge) -> SizeLimit | None:
        """Return the server setting that the largest value of a command exceeds, and its limit; None if unknown."""
        return limit_on(self._servers.client(found.address), found)

    def lowest_limit(self) -> SizeLimit | None:
        """Return the lowest limit on the bytes of one value, of all servers; None if no server tells it."""
        return lowest_limit(map(self._servers.client, self.primaries))

    def topology_version(self) -> tuple[str, ...] | None:
        """Return a value that changes if a server is replaced or a slot moves; None while one is migrating."""
        self.refresh()  # a server that joined may not have received anything yet
        version = self._servers.topology_version(self.primaries)
        return None if version is None else (version, *(node.peer.run_id for node in self.all))

    def remove_watermarks(self) -> None:
        """Remove the watermarks; one whose server does not answer expires later."""
        for key in self._watermarks.named:
            with suppress(redis_errors.RedisError, OSError):
                self._servers.ask(key, "UNLINK", key)

    def _check(self, address: Address) -> None:
        """Raise NodeRemoved if a server, whose connection was lost, no longer serves any slot."""
        self.refresh()
        if address not in self.primaries:
            raise NodeRemoved
