"""The servers that hold the keys: one, or the primaries of a cluster."""

from collections.abc import Sequence
from typing import Protocol

from redis import Redis

from destination_redis.connection.slots import SLOTS, Address, SlotMap


class Servers(Protocol):
    """The servers of a deployment, and a client for each of them."""

    @property
    def clustered(self) -> bool:
        """Whether keys are distributed over several servers, between which they may move."""

    @property
    def replaceable(self) -> bool:
        """Whether a failover may replace a server that still answers."""

    def slot_map(self) -> SlotMap:
        """Query which primary serves which slot; raises redis-py's errors."""

    def client(self, address: Address) -> Redis:
        """Return the client, with its own pool, for a server from the slot map or a redirection."""

    def ask(self, key: bytes, *command: str | bytes | int) -> object:
        """Return the reply of the server that has `key` now, on a connection other than those of `client`."""

    def held(self, keys: Sequence[bytes]) -> list[object]:
        """Return the keys' values on their actual owners, whatever other servers claim to own them."""

    def topology_version(self, primaries: Sequence[Address]) -> str | None:
        """Return text that changes whenever a slot changes its server.

        A SCAN of `primaries` finds all keys if this text is the same before and after. None while a slot is migrating,
        or if `primaries` do not serve all slots.
        """


class Single:
    """One server, or one endpoint that leads to the primary."""

    clustered = False

    def __init__(self, client: Redis, *, replaceable: bool) -> None:
        self._client = client
        self.replaceable = replaceable

    def slot_map(self) -> SlotMap:
        """Return a map in which one server serves all slots."""
        return SlotMap(((0, SLOTS - 1, ("", 0)),))

    def client(self, address: Address) -> Redis:  # noqa: ARG002 - there is but one
        """Return the client."""
        return self._client

    def ask(self, key: bytes, *command: str | bytes | int) -> object:  # noqa: ARG002 - there is but one
        """Return the server's reply."""
        return self._client.execute_command(*command)

    def held(self, keys: Sequence[bytes]) -> list[object]:
        """Return the keys' values."""
        return [self._client.get(key) for key in keys]

    def topology_version(self, primaries: Sequence[Address]) -> str | None:  # noqa: ARG002 - there is but one
        """Return a constant: nothing ever changes."""
        return ""
