"""TLS connections: the handshake, and one sentence on why it failed.

OpenSSL reports most reasons, but not two. A server without TLS takes the handshake for the beginning of a command and
waits for the rest of it. A server that closes the connection after the handshake, or without one, may be down or may
require a different TLS setup. Both cases are diagnosed on a second connection.
"""

import socket
import ssl
from typing import Any

from redis.connection import AbstractConnection, Connection
from redis.exceptions import RedisError

from destination_redis.config.tls import SslRequire
from destination_redis.connection.greeting import greeting
from destination_redis.connection.tls import tls_context
from destination_redis.errors import TlsError, UnreachableError

#: Seconds of silence before a second connection is opened to find the reason, and the timeout of that one.
_SILENCE = 2.0


class TlsConnection(Connection):
    """A connection in TLS; all share one context."""

    def __init__(self, *, tls: ssl.SSLContext, **arguments: Any) -> None:  # noqa: ANN401 - redis-py's signature
        self._tls = tls
        super().__init__(**arguments)  # type: ignore[no-untyped-call] # redis-py's

    def _connect(self) -> socket.socket:
        secured = self._tls.wrap_socket(self._plain(), server_hostname=self.host, do_handshake_on_connect=False)
        try:
            self._shake_hands(secured)
        except BaseException as error:
            secured.close()
            if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
                raise _explained(error, self.host) from error
            raise
        secured.settimeout(self.socket_timeout)
        return secured

    def _plain(self) -> socket.socket:
        plain: socket.socket = super()._connect()  # type: ignore[no-untyped-call] # redis-py's
        return plain

    def _shake_hands(self, secured: ssl.SSLSocket) -> None:
        secured.settimeout(_SILENCE)
        try:
            secured.do_handshake()
        except TimeoutError:
            if self._answers_plainly():
                raise TlsError(_NOT_TLS) from None
            secured.settimeout(self.socket_connect_timeout)
            secured.do_handshake()

    def _answers_plainly(self) -> bool:
        try:
            with self._plain() as second:
                second.settimeout(_SILENCE)
                second.sendall(b"*1\r\n$4\r\nPING\r\n")
                return second.recv(1) in (b"+", b"-")
        except (OSError, RedisError):
            return False


def second_look(connection: AbstractConnection) -> RedisError | None:
    """Return why a server may have closed this new connection, None if that cannot be determined."""
    if isinstance(connection, TlsConnection):
        return _refused(connection) or greeting(connection)
    if isinstance(connection, Connection) and _speaks_tls(connection):
        # A service mesh accepts both on one port, where the connection may just be lost: so this error is retried.
        return UnreachableError("The server closed the connection; it speaks TLS on this port: turn ssl on")
    return greeting(connection)


def _refused(connection: TlsConnection) -> RedisError | None:
    """Return the server's error about the client certificate, which a client that writes at once may never receive."""
    try:
        with connection._connect() as second:  # noqa: SLF001 - redis-py's own way to a socket
            second.settimeout(_SILENCE)
            second.recv(1)
    except ssl.SSLEOFError:
        return None
    except ssl.SSLError as error:
        return _explained(error, connection.host)
    except (OSError, RedisError):
        return None
    return None


def _speaks_tls(connection: Connection) -> bool:
    try:
        with connection._connect() as second:  # noqa: SLF001 - redis-py's own way to a socket
            second.settimeout(_SILENCE)
            with tls_context(SslRequire(mode="require")).wrap_socket(second, server_hostname=connection.host):
                return True
    except ssl.SSLError as error:
        return _alert(error) != ""
    except (OSError, RedisError):
        return False


def _explained(error: ssl.SSLError, host: str) -> RedisError:
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code in _OTHER_HOST:
            return TlsError(f"The server's certificate is not valid for the host {host}")
        other = f"The server's certificate could not be verified: {error.verify_message}"
        return TlsError(_UNVERIFIED.get(error.verify_code, other))
    if sentence := _REASONS.get(_alert(error) or error.reason):
        return TlsError(sentence)
    return UnreachableError(f"The TLS connection to the server failed ({error.reason})")


def _alert(error: ssl.SSLError) -> str:
    """Return the name, as in RFC 8446, of the alert that the server sent; empty if it sent none."""
    return (error.reason or "").partition("_ALERT_")[2]


_NOT_TLS = "The server does not speak TLS on this port: turn ssl off, or set the TLS port"
_NO_VERSION = "The server does not support the TLS versions of this connector, 1.2 and 1.3"
_NO_AUTHORITY = (
    "The server's certificate is not signed by a trusted authority: "
    "set ca_certificate, or leave it empty to trust the system's authorities"
)

# X509_V_ERR_... of OpenSSL's x509_vfy.h: host name mismatch, and IP address mismatch.
_OTHER_HOST = (62, 64)
_UNVERIFIED = {
    2: _NO_AUTHORITY,
    7: _NO_AUTHORITY,  # a different authority of the same name
    9: "The server's certificate, or its authority's, is not valid yet; a clock may be wrong",
    10: "The server's certificate, or its authority's, has expired",
    18: "The server's certificate is self-signed: set it as ca_certificate to trust it",
    19: _NO_AUTHORITY,
    20: _NO_AUTHORITY,
    21: _NO_AUTHORITY,
}

_REFUSED = "The server does not accept the client certificate"
_REASONS = {
    "WRONG_VERSION_NUMBER": _NOT_TLS,
    "UNSUPPORTED_PROTOCOL": _NO_VERSION,
    "PROTOCOL_VERSION": _NO_VERSION,
    "CERTIFICATE_REQUIRED": "The server requires a client certificate",
    "UNKNOWN_CA": f"{_REFUSED}: it does not trust its authority",
    "CERTIFICATE_EXPIRED": f"{_REFUSED}: it has expired",
    "BAD_CERTIFICATE": _REFUSED,
    "CERTIFICATE_REVOKED": f"{_REFUSED}: it is revoked",
    "CERTIFICATE_UNKNOWN": _REFUSED,
    "UNSUPPORTED_CERTIFICATE": _REFUSED,
    # Before TLS 1.3 there is no more specific alert.
    "HANDSHAKE_FAILURE": "The server refuses the TLS connection; it may require a client certificate",
}
