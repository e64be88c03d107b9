"""The traced errors: AirbyteTracedException with a failure type and a message for the user."""

from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from redis import exceptions as redis_errors

from destination_redis.errors.decision import RetryDecision, error_code, retry_decision
from destination_redis.errors.exceptions import CommandError, RefusedError
from destination_redis.errors.sentences import NOT_IN_SCRIPT, Sent, explain
from destination_redis.redaction.replies import redact

#: Maximum characters of a message: names in it may have any length.
_LONGEST = 1000
# Replies without a code of their own whose cause is in the settings or the server's configuration.
_MENDED = (
    "DB index",
    NOT_IN_SCRIPT,
    "wrong Redis type",
    "unknown command",
    "called from script",
    "XADD is equal or smaller",
    "bit offset is not an integer",
)
_MENDED_ERRORS = (
    redis_errors.AuthenticationError,
    redis_errors.NoPermissionError,
    redis_errors.InvalidResponse,
    RefusedError,
    CommandError,
)


def config_error(message: str, cause: BaseException | None = None) -> AirbyteTracedException:
    """Return an error the user can fix in the configuration, in the catalog or at the server."""
    return _traced(message, FailureType.config_error, cause)


def transient_error(message: str, cause: BaseException | None = None) -> AirbyteTracedException:
    """Return an error that a retry may avoid."""
    return _traced(message, FailureType.transient_error, cause)


def system_error(message: str, cause: BaseException | None = None) -> AirbyteTracedException:
    """Return an error of the input or of the connector itself."""
    return _traced(message, FailureType.system_error, cause)


def traced(error: Exception, doing: str, sent: Sent | None = None) -> AirbyteTracedException:
    """Return the traced error for `error`, raised while `doing` something ("writing default:users:1").

    `sent` is what a reply may quote, None if that is unknown.
    """
    if isinstance(error, AirbyteTracedException):
        return error
    sentence = f"{explain(error, sent)} (while {doing})"
    if retry_decision(error) is not RetryDecision.FAIL:
        return transient_error(sentence, error)
    if isinstance(error, redis_errors.RedisError):
        known = isinstance(error, _MENDED_ERRORS) or error_code(error) in ("WRONGTYPE", "NOPERM", "DENIED")
        known = known or any(mark in str(error) for mark in _MENDED)
        return config_error(sentence, error) if known else system_error(sentence, error)
    return system_error(sentence, error)


def _traced(message: str, failure: FailureType, cause: BaseException | None) -> AirbyteTracedException:
    if len(message) > _LONGEST:
        message = f"{message[:_LONGEST]}…"
    error = AirbyteTracedException(message=message, internal_message=message, failure_type=failure)
    error.__cause__ = cause
    redact(cause)
    return error
