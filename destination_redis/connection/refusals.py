"""Refusals: the error for a command that a server does not know or does not allow.

Servers and proxies word such replies in many ways, and some just close the connection. The connector knows which
command it sent, so it names that one instead of relying on the reply's text.
"""

import re

from redis import exceptions as redis_errors

from destination_redis.errors import (
    NO_MODULE,
    NO_VECTORS,
    ClosedAtCommandError,
    CommandError,
    ForbiddenError,
    RetryDecision,
    Sent,
    known,
    retry_decision,
)
from destination_redis.redaction.replies import COMMANDS, reply_of, shown

#: Commands whose name includes a subcommand.
_CONTAINERS = ("ACL", "CLIENT", "CLUSTER", "CONFIG", "MEMORY", "SCRIPT", "SENTINEL")
_SCRIPTS = ("EVAL", "EVALSHA")
# In the text of redis-py's error for a connection that is lost while in use.
_CLOSED = ("closed by server", "while reading", "while writing")


def name_of(*arguments: str | bytes | int) -> str:
    """Return the name of the command with these arguments, including its subcommand."""
    words = [each.decode(errors="replace") if isinstance(each, bytes) else str(each) for each in arguments[:2]]
    name = words[0].upper()
    return f"{name} {words[1].upper()}" if name in _CONTAINERS and len(words) > 1 else name


def packed_name(command: bytes) -> str:
    """Return the name of a packed command."""
    return name_of(*command[:200].split(b"\r\n")[2:5:2])


def closed(error: Exception) -> bool:
    """Return whether `error`, raised on an open connection, means that the server closed it."""
    return type(error) is redis_errors.ConnectionError and any(mark in str(error) for mark in _CLOSED)


def closed_at(command: str) -> ClosedAtCommandError:
    """Return the error for a connection that the server closed instead of answering `command`."""
    return ClosedAtCommandError(
        f"The server closed the connection on the command {command}; a proxy in between may refuse it"
    )


def about(error: Exception, command: str, sent: Sent | None = None) -> Exception:
    """Return `error`, the server's reply to `command`, as an error that names the command if it was refused.

    `sent` is what the reply may quote; if it is None, the reply's words are dropped.
    """
    text = str(error)
    if isinstance(error, redis_errors.NoPermissionError) and _names_no_cause(text):
        return ForbiddenError(f"The user has no permission for the command {command}")
    if (
        not isinstance(error, redis_errors.ResponseError)
        or retry_decision(error) is not RetryDecision.FAIL
        or known(error)
    ):
        return error
    if command in _SCRIPTS and "script" in text.lower():
        return _inside_script(error)
    return CommandError(_sentence(error, command, sent))


def _names_no_cause(text: str) -> bool:
    """Return whether a NOPERM reply names neither a key nor a command that the connector knows."""
    if named := re.search(r"run the '([^']+)' command", text):
        return named[1].upper() not in COMMANDS and "script" not in text.lower()
    return "key" not in text


def _inside_script(error: redis_errors.ResponseError) -> Exception:
    if "command" not in str(error).lower():
        return error  # the script itself is wrong
    return CommandError(
        "The server does not know a command of the connector's scripts, maybe a module's, or refuses it in scripts"
    )


def _sentence(error: redis_errors.ResponseError, command: str, sent: Sent | None) -> str:
    if "field type" in str(error).lower() and "VECTOR" in (sent or ()):
        return NO_VECTORS
    if "unknown" not in str(error).lower():
        words = "" if sent is None else shown(reply_of(error), sent).removeprefix("ERR").strip().rstrip(".")
        return f"The server refuses the command {command}{words and ': '}{words}"
    lacking = (sentence for prefix, sentence in NO_MODULE.items() if command.startswith(prefix))
    return next(lacking, f"The server does not know the command {command}")
