"""The retry decision: what the connector does about a failed command."""

import re
from enum import Enum

from redis import exceptions as redis_errors

from destination_redis.errors.exceptions import CommandError, NotWrittenError, RefusedError


class RetryDecision(Enum):
    """What to do about a failed command."""

    RETRY = "send it again on this connection"
    RECONNECT = "reconnect, then send it again"
    REDIRECT = "send it to the server named in the reply"
    FAIL = "stop: a retry does not help"


# Codes (first words) of replies that redis-py has no class for.
_RETRIED_CODES = ("BUSY", "NOREPLICAS", "UNBLOCKED", "MISCONF", "OOM", "TRYAGAIN", "CLUSTERDOWN", "GAP")
# An error inside a script, as Redis before 7 reports it: "Error running script (call to f_…): …: -OOM command …".
_IN_SCRIPT = re.compile(r"Error running script .*@user_script: ?\d+: -?([A-Z]{2,}) ")
#: A server replies this to every new connection, then closes it, until others are closed.
NO_CONNECTION = "max number of clients"
# The first is the reply to WAIT of a primary that became a replica.
_ELSEWHERE = ("cannot be used with replica instances", NO_CONNECTION)


def retry_decision(error: Exception) -> RetryDecision:
    """Return what to do about `error`; the most specific class wins."""
    match error:
        case redis_errors.AuthenticationError() | redis_errors.AuthorizationError():
            return RetryDecision.FAIL
        case redis_errors.NoPermissionError() | RefusedError() | CommandError():
            return RetryDecision.FAIL
        case redis_errors.AskError():  # MOVED is one too
            return RetryDecision.REDIRECT
        case redis_errors.NoScriptError():
            return RetryDecision.RECONNECT  # every new connection loads its scripts
        case redis_errors.ReadOnlyError() | redis_errors.ConnectionError() | redis_errors.TimeoutError():
            return RetryDecision.RECONNECT  # LOADING is a ConnectionError: redis-py closes the connection at once
        case (
            NotWrittenError()
            | redis_errors.OutOfMemoryError()
            | redis_errors.TryAgainError()
            | redis_errors.ClusterDownError()
        ):
            return RetryDecision.RETRY
        case redis_errors.ResponseError() if error_code(error) in _RETRIED_CODES:
            return RetryDecision.RETRY
        case redis_errors.ResponseError() if error_code(error) == "READONLY" or any(
            mark in str(error) for mark in _ELSEWHERE
        ):
            return RetryDecision.RECONNECT
        case OSError():
            return RetryDecision.RECONNECT
    return RetryDecision.FAIL


def error_code(error: Exception) -> str:
    """Return the code of an error reply, or of the error inside a script that it reports."""
    if inside := _IN_SCRIPT.match(str(error)):
        return inside[1]
    return getattr(error, "status_code", None) or str(error).split(" ", 1)[0]
