"""The pooled redis-py clients for a configuration.

Every kind of deployment is built here and nowhere else.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool, DefaultParser, UnixDomainSocketConnection
from redis.exceptions import (
    ConnectionError,  # noqa: A004 - not the built-in one
    InvalidResponse,
    ResponseError,
)
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool

from destination_redis.config.deployment import Cluster, Sentinel
from destination_redis.config.settings import RedisConfig
from destination_redis.config.tunnel import NoTunnel
from destination_redis.connection.announced import AnnouncedConnection, AnnouncedTlsConnection, shown
from destination_redis.connection.cluster import Cluster as NodesOfCluster
from destination_redis.connection.deployment import Servers, Single
from destination_redis.connection.greeting import greeting
from destination_redis.connection.refusals import about
from destination_redis.connection.sentinel import SentinelConnection, SentinelTlsConnection, addresses, sentinels
from destination_redis.connection.slots import Address
from destination_redis.connection.tls import tls_context
from destination_redis.connection.tls_connection import TlsConnection, second_look
from destination_redis.errors import known

#: Seconds to connect; seconds to wait for a reply.
CONNECT_TIMEOUT = 10.0
ANSWER_TIMEOUT = 60.0
#: Seconds after which another node is queried for the slots.
ASK_TIMEOUT = 5.0
#: Socket options: seconds of idle time before the first keepalive probe (sooner than load balancers drop a connection:
#: some do after a minute, most after four to ten), seconds between probes, and unanswered probes before the connection
#: is lost. The second option is macOS's name for the first.
KEEPALIVE = (("TCP_KEEPIDLE", 30), ("TCP_KEEPALIVE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6))
#: The connections' name in CLIENT LIST.
NAME = "destination-redis"


class Replies(DefaultParser):  # type: ignore[misc, valid-type] # redis-py chooses it at run time
    """redis-py's parser, available as `connection.replies`; it returns many replies at a time.

    Reading them one at a time in redis-py takes longer than everything else that is done for a record.
    """

    def on_connect(self, connection: Connection, **kwargs: Any) -> None:  # noqa: ANN401 - redis-py's signature
        """Take the connection's socket, and give the connection this parser."""
        super().on_connect(connection, **kwargs)
        self._nothing = self._reader.gets()  # its value for "no reply yet"
        connection.replies = self  # type: ignore[attr-defined] # transport/node.py reads it

    @classmethod
    def parse_error(cls, response: str) -> Exception:
        """Return the exception for an error reply; a redirection without a server is an ordinary error."""
        try:
            error: Exception = super().parse_error(response)
        except (ValueError, IndexError):
            error = ResponseError(response)
        return error

    def read(self, most: int) -> list[Any]:
        """Return the next 1 to `most` replies, error replies as values; waits for the first.

        Raises redis-py's ConnectionError or TimeoutError if the connection is lost.
        """
        while True:
            if self._reader is None:
                raise ConnectionError("Connection closed by server")
            replies = list(islice(iter(self._reader.gets, self._nothing), most))
            if replies:
                return replies
            self.read_from_socket()


class _Beginning:
    """The handshake of connections: redis-py's, then their name; without a name if the server closes them on it."""

    def __init__(self) -> None:
        self._named = True

    def __call__(self, connection: Connection) -> None:
        """Start a connection, possibly on a second socket; raises redis-py's errors."""
        begun = False
        try:
            connection.on_connect()
            begun = True
            if self._named:
                _name(connection)
        except (ConnectionError, InvalidResponse) as error:
            if type(error) not in (ConnectionError, InvalidResponse):  # their subclasses stand for valid replies
                raise
            if reason := second_look(connection):
                raise reason from error
            if not begun or isinstance(error, InvalidResponse):
                raise
            self._begin_unnamed(connection)
        except ResponseError as error:
            if type(error) is not ResponseError or known(error):
                raise
            # With a password, what is read as the reply to AUTH, the first command, may be a greeting.
            command = "SELECT" if connection.db and "auth" not in str(error).lower() else "AUTH"
            raise (greeting(connection) or about(error, command)) from error

    def _begin_unnamed(self, connection: Connection) -> None:
        connection.disconnect()
        connection._sock = connection._connect()  # noqa: SLF001 - redis-py's only way to a new socket here
        connection.on_connect()
        with suppress(ResponseError):
            connection.send_command("TIME", check_health=False)
            connection.read_response()
        self._named = False  # the server answers, just not to the name


def _name(connection: Connection) -> None:
    """Set the connection's name and library; an ACL or an old server may refuse that."""
    for command in (
        ("SETINFO", "LIB-NAME", NAME),
        *((("SETINFO", "LIB-VER", found),) if (found := _version()) else ()),
        ("SETNAME", NAME),
    ):
        connection.send_command("CLIENT", *command, check_health=False)
        with suppress(ResponseError):
            connection.read_response()


@contextmanager
def connect(config: RedisConfig, answer_timeout: float = ANSWER_TIMEOUT) -> Iterator[Servers]:
    """Yield the servers in `config`, each of whose clients has its own pool; nothing is sent before one is used.

    Their connections never retry by themselves: the sender must know what was lost.
    """
    with ExitStack() as stack:
        arguments: dict[str, Any] = {
            "username": config.username or None,
            "password": config.password.get_secret_value() if config.password else None,
            "socket_connect_timeout": CONNECT_TIMEOUT,
            "socket_timeout": answer_timeout,
            "socket_read_size": 65536,
            "protocol": 2,
            "parser_class": Replies,
            "retry": _never(),
            "redis_connect_func": _Beginning(),
            "driver_info": None,
        }
        tls = {"tls": tls_context(config.ssl_mode)} if config.ssl else {}
        if isinstance(config.deployment, Cluster):
            yield _cluster(config, config.deployment, arguments | tls, stack)
        else:
            client = _client(_pool(config, arguments | {"db": config.database}, tls, stack), stack)
            yield Single(client, replaceable=isinstance(config.deployment, Sentinel))


def _client(pool: ConnectionPool, stack: ExitStack) -> Redis:
    client = Redis(connection_pool=pool)
    stack.callback(pool.disconnect)
    stack.callback(client.close)
    return client


def _cluster(config: RedisConfig, deployment: Cluster, arguments: dict[str, Any], stack: ExitStack) -> Servers:
    """Return a cluster's servers; each node has its own clients."""
    kind = AnnouncedTlsConnection if config.ssl else AnnouncedConnection
    announced: dict[Address, Address] = {}

    def maker(**more: Any) -> Callable[[Address], Redis]:  # noqa: ANN401 - redis-py's arguments
        every = {**_keepalive(), **arguments, **more}

        def make(address: Address) -> Redis:
            def announcer() -> str | None:
                by = announced.get(address)
                return f"the node {shown(by)}" if by else None

            place: dict[str, Any] = {"host": address[0], "port": address[1], "announcer": announcer}
            return _client(ConnectionPool(connection_class=kind, **place, **every), stack)

        return make

    nodes = [(config.host, config.port), *addresses(deployment.nodes)]
    short = min(ASK_TIMEOUT, arguments["socket_timeout"])
    asking = maker(socket_timeout=short, socket_connect_timeout=short)
    return NodesOfCluster(nodes, maker(), asking, announced)


def _keepalive() -> dict[str, Any]:
    options = {getattr(socket, name): value for name, value in KEEPALIVE if hasattr(socket, name)}
    return {"socket_keepalive": True, "socket_keepalive_options": options}


def _never() -> Retry:
    return Retry(NoBackoff(), 0)


def _version() -> str | None:
    try:
        return version("airbyte-destination-redis")
    except PackageNotFoundError:  # run from source, not installed
        return None


def _pool(config: RedisConfig, arguments: dict[str, Any], tls: dict[str, Any], stack: ExitStack) -> ConnectionPool:
    """Return the pool for the configured kind of connection; its resources are released with `stack`."""
    method = None if isinstance(config.tunnel_method, NoTunnel) else config.tunnel_method
    if config.host.startswith("/"):
        return ConnectionPool(connection_class=UnixDomainSocketConnection, path=config.host, **arguments)
    address: dict[str, Any] = {"host": config.host, "port": config.port}
    arguments |= {**_keepalive(), **tls}
    if isinstance(config.deployment, Sentinel):
        asked = sentinels((config.host, config.port), config.deployment, arguments)
        stack.callback(asked.close)
        named = SentinelTlsConnection if config.ssl else SentinelConnection
        arguments |= {"connection_class": named, "announcer": lambda: asked.announcer}
        return SentinelConnectionPool(config.deployment.service_name, asked, **arguments)
    if method is None:
        return ConnectionPool(connection_class=TlsConnection if config.ssl else Connection, **address, **arguments)
    # Loading the SSH library takes time, so it is imported only if there is a tunnel.
    from destination_redis.connection.ssh_tunnel import TunnelConnection, TunnelTlsConnection, tunnelled  # noqa: PLC0415 - imports asyncssh

    tunnel = stack.enter_context(tunnelled(method, CONNECT_TIMEOUT))
    through = TunnelTlsConnection if config.ssl else TunnelConnection
    return ConnectionPool(connection_class=through, tunnel=tunnel, **address, **arguments)
