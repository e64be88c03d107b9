"""Config -> pooled redis-py client, and what a connection to its server can tell about itself.

A new kind of deployment is built here and nowhere else.
"""

import ssl
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from redis import Redis, SSLConnection
from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool, DefaultParser, UnixDomainSocketConnection
from redis.exceptions import ConnectionError  # noqa: A004 - not the built-in one
from redis.retry import Retry

from destination_redis.choices import NoTunnel, SslDisable, SslRequire, SslVerifyCa, SslVerifyFull
from destination_redis.config import RedisConfig
from destination_redis.errors import config_error

#: Seconds to connect; seconds a server may be silent while it owes an answer.
CONNECT_TIMEOUT = 10.0
ANSWER_TIMEOUT = 60.0


class Replies(DefaultParser):  # type: ignore[misc, valid-type] # redis-py chooses it at run time
    """redis-py's parser, at hand as `connection.replies`; it gives replies many at a time.

    One at a time, redis-py spends more on a reply than everything else costs that is done for a record.
    """

    def on_connect(self, connection: Connection, **kwargs: Any) -> None:  # noqa: ANN401 - redis-py's signature
        """Take the connection's socket, and give the connection this parser."""
        super().on_connect(connection, **kwargs)
        self._nothing = self._reader.gets()  # what it gives while it has no reply
        connection.replies = self  # type: ignore[attr-defined]

    def read(self, most: int) -> list[Any]:
        """Return the next replies, at least one and at most `most`, error replies as values; wait if none is there.

        Raises redis-py's ConnectionError or TimeoutError where the connection is lost.
        """
        while True:
            if self._reader is None:
                raise ConnectionError("Connection closed by server")
            replies = list(islice(iter(self._reader.gets, self._nothing), most))
            if replies:
                return replies
            self.read_from_socket()


@contextmanager
def connect(config: RedisConfig, answer_timeout: float = ANSWER_TIMEOUT) -> Iterator[Redis]:
    """Yield a client whose pool makes the connections `config` describes; nothing is sent before it is used.

    Its connections never try again by themselves: whoever sends must know what was lost.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="destination-redis-"))
        pool = ConnectionPool(
            **_way(config, stack),
            db=config.database,
            username=config.username or None,
            password=config.password.get_secret_value() if config.password else None,
            socket_connect_timeout=CONNECT_TIMEOUT,
            socket_timeout=answer_timeout,
            socket_read_size=65536,
            protocol=2,
            parser_class=Replies,
            retry=Retry(NoBackoff(), 0),
            **(_tls(config, Path(folder)) if config.ssl else {}),
        )
        client = Redis(connection_pool=pool)
        try:
            yield client
        finally:
            client.close()
            pool.disconnect()


def _way(config: RedisConfig, stack: ExitStack) -> dict[str, Any]:
    """Return the class of connection, where it leads to, and what it needs for that."""
    method = config.tunnel_method
    tunnel = None if isinstance(method, NoTunnel) else method
    if config.host.startswith("/"):
        if config.ssl or tunnel:
            what = "TLS: turn ssl off" if config.ssl else "SSH tunnel: set tunnel_method to NO_TUNNEL"
            raise config_error(f"A Unix socket (host begins with /) has no {what}")
        return {"connection_class": UnixDomainSocketConnection, "path": config.host}
    way = {"host": config.host, "port": config.port, "socket_keepalive": True}
    if tunnel is None:
        return {"connection_class": SSLConnection if config.ssl else Connection, **way}
    # What it takes to load the SSH library is left to those who have a tunnel.
    from destination_redis.tunnel import TunnelConnection, TunnelSSLConnection, tunnelled  # noqa: PLC0415

    through = stack.enter_context(tunnelled(tunnel, CONNECT_TIMEOUT))
    return {"connection_class": TunnelSSLConnection if config.ssl else TunnelConnection, "tunnel": through, **way}


def _tls(config: RedisConfig, folder: Path) -> dict[str, Any]:
    """Return redis-py's TLS arguments; keys go to files of this process alone, which is all that OpenSSL reads."""
    mode = config.ssl_mode or SslVerifyFull(mode="verify-full")
    if isinstance(mode, SslRequire):
        return {"ssl_cert_reqs": ssl.CERT_NONE}
    if isinstance(mode, SslDisable):
        return {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": False}
    arguments: dict[str, Any] = {
        "ssl_cert_reqs": ssl.CERT_REQUIRED,
        "ssl_check_hostname": not isinstance(mode, SslVerifyCa),
        "ssl_ca_data": mode.ca_certificate or None,
    }
    if bool(mode.client_certificate) != bool(mode.client_key):
        raise config_error("client_certificate and client_key belong together: set both or neither")
    if mode.client_certificate and mode.client_key:
        certificate, key = folder / "client.crt", folder / "client.key"
        certificate.write_text(mode.client_certificate)
        key.touch(mode=0o600)
        key.write_text(mode.client_key.get_secret_value())
        arguments |= {"ssl_certfile": str(certificate), "ssl_keyfile": str(key)}
        # Without one, OpenSSL would ask whoever sits at the terminal.
        password = mode.client_key_password
        arguments["ssl_password"] = password.get_secret_value() if password else ""
    return arguments
