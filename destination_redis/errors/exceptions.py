"""The typed errors: exceptions whose class decides what the connector does."""

from redis import exceptions as redis_errors


class Terminated(Exception):  # noqa: N818 - a signal, not an error
    """The process was asked to end (SIGTERM or SIGINT)."""


class NoElement(Exception):  # noqa: N818 - a finding, not an error
    """A record has no element: a field that it is taken from is null or missing."""


class RejectedRecord(Exception):  # noqa: N818 - a finding, not an error yet
    """A record that cannot be stored, however often it is sent; the text is the reason, which quotes no data."""


class NotReadableError(Exception):
    """Elements that cannot be read back from their data type; the text is a sentence for the user."""


class MayBeRefused(Exception):  # noqa: N818 - a finding, not an error
    """The server may refuse a record for what it contains: it has to be sent alone, and waited for."""


class NodeRemoved(Exception):  # noqa: N818 - a change, not an error
    """A server no longer serves any slots of its cluster."""


class UnreachableError(redis_errors.ConnectionError):
    """The server cannot be reached for now; the text is a sentence for the user."""


class ClosedAtCommandError(UnreachableError):
    """The server closed the connection instead of answering a command; the text is a sentence for the user."""


class RefusedError(redis_errors.ConnectionError):
    """The server cannot be reached until its or our settings change; the text is a sentence for the user."""


class TlsError(RefusedError):
    """The server cannot be reached with its or our TLS settings."""


class CommandError(redis_errors.ResponseError):
    """The server does not know or does not allow a command; the text is a sentence for the user."""

    own_words = True


class NotWrittenError(redis_errors.ResponseError):
    """A script for many records did not write this one; sent again alone, it meets the error itself."""

    own_words = True


class ForbiddenError(CommandError, redis_errors.NoPermissionError):
    """The user has no permission for a command."""
