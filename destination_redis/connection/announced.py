"""Connections to addresses that another server announced: where one cannot be reached, they say whose word it was.

Behind Docker or NAT a server often announces an address that only its own network can reach.
"""

import socket
import ssl
from collections.abc import Callable
from typing import Any

from redis.connection import Connection

from destination_redis.connection.slots import Address
from destination_redis.connection.tls_connection import TlsConnection
from destination_redis.errors import UnreachableError, explain


class AnnouncedConnection(Connection):
    """A connection whose host and port another server announced, if `announcer` names one."""

    def __init__(self, *, announcer: Callable[[], str | None], **arguments: Any) -> None:  # noqa: ANN401 - redis-py's signature
        """Take what names the server that announced the address, asked once it cannot be reached."""
        self._announcer = announcer
        super().__init__(**arguments)  # type: ignore[no-untyped-call] # redis-py's

    def _connect(self) -> socket.socket:
        try:
            connected: socket.socket = super()._connect()  # type: ignore[no-untyped-call] # redis-py's
        except ssl.SSLError:
            raise  # it was reached
        except (OSError, ValueError, OverflowError) as error:  # Python cannot look up what is no name and no port
            if (announcer := self._announcer()) is None:
                raise
            why = explain(error) if isinstance(error, OSError) else "It is no address"
            raise UnreachableError(
                f"{shown((self.host, self.port))}, the address that {announcer} announces, cannot be reached ({why})"
            ) from error
        return connected


class AnnouncedTlsConnection(AnnouncedConnection, TlsConnection):
    """The same in TLS."""


def shown(address: Address) -> str:
    """Return host and port as one writes them."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
