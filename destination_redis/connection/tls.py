"""The TLS context, made from the settings and shared by all connections.

redis-py would make one per connection: it would need the key's file for as long as the sync lasts, and would trust the
system's authorities in addition to the configured one.
"""

import os
import ssl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from destination_redis.config.tls import SslDisable, SslRequire, SslVerifyCa, SslVerifyFull
from destination_redis.errors import config_error

#: What OpenSSL and Python raise for text that is not a certificate, or not even ASCII.
_NO_PEM = (ssl.SSLError, ValueError, TypeError)


def tls_context(mode: SslDisable | SslRequire | SslVerifyCa | SslVerifyFull | None) -> ssl.SSLContext:
    """Return the context for `mode`; None means verify-full.

    Raises a config error if a certificate or a key cannot be read.
    """
    mode = mode or SslVerifyFull(mode="verify-full")
    own = mode if isinstance(mode, SslVerifyCa | SslVerifyFull) else None
    try:
        context = ssl.create_default_context(cadata=own.ca_certificate if own else None)
    except _NO_PEM as error:
        raise config_error("The CA certificate in the settings is not valid PEM", error) from error
    # Python 3.13 sets both flags by default; the second refuses certificates of many private authorities. The connector
    # trusts the same certificates under every Python version.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.check_hostname = isinstance(mode, SslVerifyFull)
    if isinstance(mode, SslRequire):
        context.verify_mode = ssl.CERT_NONE
    if own is not None:
        _identify(context, own)
    return context


def _identify(context: ssl.SSLContext, mode: SslVerifyCa | SslVerifyFull) -> None:
    """Load the client certificate and its key into the context, if they are set."""
    if not mode.client_certificate or not mode.client_key:
        return
    key = mode.client_key.get_secret_value()
    # Without one, OpenSSL would prompt for it on the terminal.
    password = mode.client_key_password.get_secret_value() if mode.client_key_password else ""
    try:
        with _readable(mode.client_certificate) as certificate_path, _readable(key) as key_path:
            context.load_cert_chain(certificate_path, key_path, password)
    except (ssl.SSLError, ValueError) as error:
        raise config_error(_refusal(error, mode.client_certificate, key, password), error) from error


@contextmanager
def _readable(text: str) -> Iterator[str]:
    """Yield a path to a file with `text`, since OpenSSL reads keys from files only.

    On Linux the file is in memory. Elsewhere it is readable by this process's user only, and removed as soon as OpenSSL
    has read it.
    """
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").exists():
        with os.fdopen(os.memfd_create("pem"), "w") as memory:
            memory.write(text)
            memory.flush()
            yield f"/proc/self/fd/{memory.fileno()}"
    else:
        with tempfile.NamedTemporaryFile("w", prefix="destination-redis-") as file:  # its mode is 0600
            file.write(text)
            file.flush()
            yield file.name


def _refusal(error: ssl.SSLError | ValueError, certificate: str, key: str, password: str) -> str:
    """Return what is wrong with a client certificate or its key; OpenSSL does not say which it could not read."""
    text = str(error)
    if "MISMATCH" in text or "NO_CERTIFICATE_ASSIGNED" in text:
        return "The client key does not match the client certificate"
    if "PEM" not in text and isinstance(error, ssl.SSLError):
        return f"The client certificate and its key cannot be used: {error.reason}"
    try:
        ssl.create_default_context(cadata=certificate)
    except _NO_PEM:
        return "The client certificate in the settings is not valid PEM"
    if "ENCRYPTED" not in key:
        return "The client key in the settings is not valid PEM"
    if not password:
        return "The client key is encrypted: set client_key_password"
    return "The client key cannot be read: client_key_password is wrong"
