"""What Redis replies and exceptions mean: typed errors, retry decisions, and errors with a sentence for the user."""

from destination_redis.errors.decision import RetryDecision, retry_decision
from destination_redis.errors.exceptions import (
    ClosedAtCommandError,
    CommandError,
    ForbiddenError,
    MayBeRefused,
    NodeRemoved,
    NoElement,
    NotReadableError,
    NotWrittenError,
    RefusedError,
    RejectedRecord,
    Terminated,
    TlsError,
    UnreachableError,
)
from destination_redis.errors.failures import config_error, system_error, traced, transient_error
from destination_redis.errors.sentences import (
    NO_MODULE,
    NO_VECTORS,
    NOT_REDIS,
    Sent,
    command_name,
    explain,
    known,
    safe_text,
)

__all__ = [
    "NOT_REDIS",
    "NO_MODULE",
    "NO_VECTORS",
    "ClosedAtCommandError",
    "CommandError",
    "ForbiddenError",
    "MayBeRefused",
    "NoElement",
    "NodeRemoved",
    "NotReadableError",
    "NotWrittenError",
    "RefusedError",
    "RejectedRecord",
    "RetryDecision",
    "Sent",
    "Terminated",
    "TlsError",
    "UnreachableError",
    "command_name",
    "config_error",
    "explain",
    "known",
    "retry_decision",
    "safe_text",
    "system_error",
    "traced",
    "transient_error",
]
