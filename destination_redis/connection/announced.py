"""Connections to announced addresses: if one cannot be reached, the error names the server that announced it.

Behind Docker or NAT, servers often announce addresses that are reachable from their own network only.
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
    """A connection to an address announced by another server, unless `announcer` returns None."""

    def __init__(self, *, announcer: Callable[[], str | None], **arguments: Any) -> None:  # noqa: ANN401 - redis-py's signature
        """`announcer` returns the server that announced the address; it is called if that cannot be reached."""
        self._announcer = announcer
        super().__init__(**arguments)  # type: ignore[no-untyped-call] # redis-py's

    def _connect(self) -> socket.socket:
        try:
            connected: socket.socket = super()._connect()  # type: ignore[no-untyped-call] # redis-py's
        except ssl.SSLError:
            raise  # the address was reached
        except (OSError, ValueError, OverflowError) as error:  # the last two: an invalid host name or port
            if (announcer := self._announcer()) is None:
                raise
            why = explain(error) if isinstance(error, OSError) else "It is not a valid address"
            raise UnreachableError(
                f"The address {shown((self.host, self.port))}, announced by {announcer}, cannot be reached ({why})"
            ) from error
        return connected


class AnnouncedTlsConnection(AnnouncedConnection, TlsConnection):
    """The same in TLS."""


def shown(address: Address) -> str:
    """Return "host:port", with an IPv6 address in brackets."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
