"""The sentinels: which server is the primary now, asked anew for each connection."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from redis import ConnectionPool, Redis
from redis import exceptions as redis_errors
from redis.connection import Connection
from redis.sentinel import MasterNotFoundError, SentinelManagedConnection
from redis.sentinel import Sentinel as RedisSentinel

from destination_redis.choices import Sentinel
from destination_redis.errors import UnreachableError, Verdict, config_error, explain, verdict
from destination_redis.handshake import TlsConnection

#: Seconds after which the next sentinel is asked.
_ANSWER_TIMEOUT = 3.0


class Sentinels(RedisSentinel):
    """redis-py's sentinels, which also say why there is no primary."""

    def __init__(self, nodes: Sequence[tuple[str, int]], arguments: Mapping[str, Any]) -> None:
        """Take the hosts and ports, and redis-py's arguments for connections to them."""
        super().__init__([])  # type: ignore[no-untyped-call] # redis-py's
        kind = TlsConnection if "tls" in arguments else Connection
        pools = (ConnectionPool(connection_class=kind, host=host, port=port, **arguments) for host, port in nodes)
        self.sentinels = [Redis.from_pool(pool) for pool in pools]

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return the primary's host and port.

        Raises UnreachableError where another try may help, and a config error where it cannot.
        """
        try:
            host, port = super().discover_master(service_name)  # type: ignore[no-untyped-call] # redis-py's
        except (MasterNotFoundError, redis_errors.ResponseError) as error:
            self._complain(service_name, error)
        return host, port

    def _complain(self, service_name: str, cause: Exception) -> NoReturn:
        silent, knowing = [], 0
        for sentinel in self.sentinels:
            try:
                knowing += service_name in sentinel.sentinel_masters()
            except redis_errors.RedisError as error:
                silent.append(error)
        if knowing:
            raise UnreachableError(f"The sentinels see no living primary of {service_name} for now") from cause
        if not silent:
            raise config_error(f"The sentinels know no service of the name {service_name}", cause)
        if len(silent) < len(self.sentinels):
            raise UnreachableError(f"The sentinels that answer know no service of the name {service_name}") from cause
        for refusal in silent:
            if verdict(refusal) is Verdict.FAIL:
                raise config_error(_refusal(refusal), refusal)
        raise UnreachableError(f"No sentinel can be asked for the primary ({explain(silent[0])})") from cause


class SentinelTlsConnection(SentinelManagedConnection, TlsConnection):
    """A connection in TLS to the primary that the sentinels name."""


def sentinels(first: tuple[str, int], deployment: Sentinel, server: Mapping[str, Any]) -> Sentinels:
    """Return the sentinels that are to be asked, in connections like those to the server, made with `server`."""
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


def addresses(nodes: Sequence[str]) -> list[tuple[str, int]]:
    """Return host and port of nodes as the settings have them, each "host:port"."""
    parts = (node.rpartition(":") for node in nodes)
    return [(host.removeprefix("[").removesuffix("]"), int(port)) for host, _, port in parts]


def _refusal(error: Exception) -> str:
    if "unknown command" in str(error):
        return "The host and port are those of a server that is no sentinel"
    return f"No sentinel can be asked for the primary: {explain(error)}"
