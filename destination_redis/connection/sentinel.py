"""The sentinels: they are queried for the current primary before each connection."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from redis import ConnectionPool, Redis
from redis import exceptions as redis_errors
from redis.connection import Connection
from redis.sentinel import SentinelManagedConnection

from destination_redis.config.deployment import Sentinel
from destination_redis.connection.announced import AnnouncedConnection, AnnouncedTlsConnection, shown
from destination_redis.connection.refusals import about
from destination_redis.connection.replies import ask, number
from destination_redis.connection.slots import Address
from destination_redis.connection.tls_connection import TlsConnection
from destination_redis.errors import (
    CommandError,
    RetryDecision,
    UnreachableError,
    config_error,
    explain,
    retry_decision,
)

#: Seconds after which the next sentinel is queried.
_ANSWER_TIMEOUT = 3.0
_ASKED = ("SENTINEL", "MASTERS")


class Sentinels:
    """The sentinels, queried for the primary; if they name none, the error says why.

    redis-py's pool uses it in place of its own `Sentinel`, whose parser raises on incomplete replies.
    """

    def __init__(self, nodes: Sequence[Address], arguments: Mapping[str, Any]) -> None:
        """Take the hosts and ports, and redis-py's arguments for connections to them."""
        kind = TlsConnection if "tls" in arguments else Connection
        pools = {
            (host, port): ConnectionPool(connection_class=kind, host=host, port=port, **arguments)
            for host, port in nodes
        }
        self._sentinels = {address: Redis(connection_pool=pool) for address, pool in pools.items()}
        #: The sentinel that last named a primary.
        self.announcer: str | None = None

    def close(self) -> None:
        """End all connections."""
        for sentinel in self._sentinels.values():
            sentinel.close()
            sentinel.connection_pool.disconnect()

    def discover_master(self, service_name: str) -> Address:
        """Return the primary's host and port.

        Raises UnreachableError if a retry may help, and a config error if it cannot.
        """
        silent: list[Exception] = []
        knowing = 0
        for address, sentinel in list(self._sentinels.items()):
            try:
                state = _state(ask(sentinel, *_ASKED), service_name)
            except (redis_errors.RedisError, OSError) as error:
                silent.append(error)
                continue
            if state is None:
                continue
            knowing += 1
            if (primary := _living(state)) is not None:
                self._sentinels = {address: sentinel, **self._sentinels}  # queried first next time
                self.announcer = f"the sentinel {shown(address)}"
                return primary
        raise self._why_none(service_name, silent, knowing) from (silent[0] if silent else None)

    def _why_none(self, service_name: str, silent: Sequence[Exception], knowing: int) -> Exception:
        if knowing:
            return UnreachableError(f"The sentinels currently report no live primary of {service_name}")
        if not silent:
            return config_error(f"The sentinels do not know a service named {service_name}")
        if len(silent) < len(self._sentinels):
            return UnreachableError(f"The sentinels that answer do not know a service named {service_name}")
        for refusal in silent:
            if retry_decision(refusal) is RetryDecision.FAIL:
                return config_error(_refusal(refusal))
        return UnreachableError(f"No sentinel can be queried for the primary ({explain(silent[0])})")


class SentinelConnection(SentinelManagedConnection, AnnouncedConnection):
    """A connection to the primary that the sentinels name."""


class SentinelTlsConnection(SentinelManagedConnection, AnnouncedTlsConnection):
    """The same in TLS."""


def sentinels(first: Address, deployment: Sentinel, server: Mapping[str, Any]) -> Sentinels:
    """Return the sentinels, connected to like the server, with the arguments `server`."""
    password = deployment.sentinel_password
    arguments: dict[str, Any] = {
        **server,
        "db": 0,
        "username": deployment.sentinel_username or None,
        "password": password.get_secret_value() if password else None,
        "socket_connect_timeout": _ANSWER_TIMEOUT,
        "socket_timeout": _ANSWER_TIMEOUT,
    }
    return Sentinels([first, *addresses(deployment.nodes)], arguments)


def addresses(nodes: Sequence[str]) -> list[Address]:
    """Return the host and port of nodes given as "host:port"."""
    parts = (node.rpartition(":") for node in nodes)
    return [(host.removeprefix("[").removesuffix("]"), int(port)) for host, _, port in parts]


def _state(reply: object, service_name: str) -> Mapping[str, str] | None:
    """Return what a sentinel reports of the service, None if it knows none of that name."""
    for state in _states(reply):
        if state.get("name") == service_name:
            return state
    return None


def _states(reply: object) -> Iterator[Mapping[str, str]]:
    """Yield the fields of each service; what is not text is skipped."""
    for flat in reply if isinstance(reply, list) else ():
        if isinstance(flat, list):
            pairs = zip(flat[::2], flat[1::2], strict=False)
            yield {
                name.decode(errors="replace"): value.decode(errors="replace")
                for name, value in pairs
                if isinstance(name, bytes) and isinstance(value, bytes)
            }


def _living(state: Mapping[str, str]) -> Address | None:
    """Return the primary's address, None if the sentinel considers it down or does not report it."""
    if {"s_down", "o_down"} & set(state.get("flags", "").split(",")):
        return None
    host, port = state.get("ip", ""), number(state.get("port"))
    return (host, port) if host and port else None


def _refusal(error: Exception) -> str:
    error = about(error, " ".join(_ASKED))
    if isinstance(error, CommandError):
        return "The host and port belong to a server that is not a sentinel"
    return f"No sentinel can be queried for the primary: {explain(error)}"
