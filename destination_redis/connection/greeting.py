"""The greeting: what a server sends on a new connection before any command. Redis does so only to refuse it."""

from redis.connection import AbstractConnection, DefaultParser
from redis.exceptions import RedisError, ResponseError

from destination_redis.errors import NOT_REDIS, RefusedError, RetryDecision, UnreachableError, known, retry_decision
from destination_redis.redaction.replies import shown

#: Seconds to wait for a greeting.
_PATIENCE = 1.0
#: Bytes of a greeting to read, and characters to show of one in another protocol.
_LONGEST, _SHOWN = 4096, 60


def greeting(connection: AbstractConnection) -> RedisError | None:
    """Return the server's greeting on a second connection like this one, as an error; None if there is none.

    On the first connection it is lost if the server closes it before everything is sent.
    """
    received = b""
    try:
        with connection._connect() as second:  # noqa: SLF001 - redis-py's own way to a socket
            second.settimeout(_PATIENCE)
            while b"\n" not in received and len(received) < _LONGEST and (more := second.recv(_LONGEST)):
                received += more
    except (OSError, RedisError):
        pass  # what was received before counts
    return greeted(received) if received else None


def greeted(received: bytes) -> RedisError:
    """Return the error that a greeting stands for."""
    line = received.partition(b"\n")[0].decode(errors="replace").strip()
    if not line.startswith("-"):
        beginning = line[:_SHOWN]
        return RefusedError(f"{NOT_REDIS} ({beginning})" if beginning.isprintable() and beginning else NOT_REDIS)
    if line.startswith("-DENIED") and "protected mode" not in line:
        return RefusedError(f"The server refuses the connection: {line.removeprefix('-DENIED').strip()}")
    error: RedisError = DefaultParser.parse_error(line.removeprefix("-"))  # type: ignore[no-untyped-call] # redis-py's
    if not isinstance(error, ResponseError) or retry_decision(error) is not RetryDecision.FAIL or known(error):
        return error
    # Nothing was sent on this connection, so there is nothing to quote.
    return UnreachableError(f"The server closes each new connection: {shown(str(error), ())}")
