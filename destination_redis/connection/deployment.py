"""The servers that hold the keys: one, or the primaries of a cluster."""

from collections.abc import Sequence
from typing import Protocol

from redis import Redis

from destination_redis.connection.slots import SLOTS, Address, SlotMap


class Servers(Protocol):
    """Which servers there are, and a client for each of them."""

    @property
    def clustered(self) -> bool:
        """Whether keys are spread over several servers, between which they may move."""

    @property
    def replaceable(self) -> bool:
        """Whether a server may be replaced by another while it still answers."""

    def slot_map(self) -> SlotMap:
        """Ask which primary serves which slot; raises redis-py's errors."""

    def client(self, address: Address) -> Redis:
        """Return the client, with a pool of its own, for a server that the map or a redirection named."""

    def ask(self, key: bytes, *command: str | bytes | int) -> object:
        """Return the reply of the server that has `key` now, over another connection than those of `client`."""

    def held(self, keys: Sequence[bytes]) -> list[object]:
        """Return what the servers hold that have the keys by right, whoever else believes to have them."""

    def topology_version(self, primaries: Sequence[Address]) -> str | None:
        """Return text that changes whenever a slot changes its server.

        A SCAN of `primaries` finds all keys if this is the same text before and after. None while a slot is on its way,
        or where not all of them are at these.
        """


class Single:
    """One server, or one address that leads to the primary."""

    clustered = False

    def __init__(self, client: Redis, *, replaceable: bool) -> None:
        self._client = client
        self.replaceable = replaceable

    def slot_map(self) -> SlotMap:
        """Return that one server serves all slots."""
        return SlotMap(((0, SLOTS - 1, ("", 0)),))

    def client(self, address: Address) -> Redis:  # noqa: ARG002 - there is but one
        """Return the client."""
        return self._client

    def ask(self, key: bytes, *command: str | bytes | int) -> object:  # noqa: ARG002 - there is but one
        """Return the server's reply."""
        return self._client.execute_command(*command)

    def held(self, keys: Sequence[bytes]) -> list[object]:
        """Return what the server holds."""
        return [self._client.get(key) for key in keys]

    def topology_version(self, primaries: Sequence[Address]) -> str | None:  # noqa: ARG002 - there is but one
        """Return that nothing ever changes."""
        return ""
