"""Optional commands, which an ACL, a proxy or another server may refuse, or answer by closing the connection."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from redis import exceptions as redis_errors

from destination_redis.connection.refusals import name_of
from destination_redis.connection.replies import UNTOLD, clients, info
from destination_redis.errors import ClosedAtCommandError, RetryDecision, retry_decision

_SLOW_TAKEOVER = "after a killed sync the next one waits up to 30 seconds"
#: Command -> what is lost without it.
LOST = {
    "SCAN": "no stream in append_dedup can be refreshed",
    "WAIT": "states do not wait for a replica",
    "CLIENT LIST": _SLOW_TAKEOVER,
    "CLIENT INFO": _SLOW_TAKEOVER,
    "INFO": "states do not wait for a replica, and a server replaced during a sync is not always detected",
    "MEMORY USAGE": "no sync can warn in advance that its staged data does not fit in memory",
    "CLIENT KILL": "late commands of a paused sync may leave stray records",
}
#: Connections in a row closed on a command before it is left out: one may be a coincidence.
_PROOF = 2


#: Why a command is not available.
FORBIDDEN = "Without permission for {command}"
REFUSED = "Without the command {command}, which the server does not know or refuses"
CLOSED = "Without the command {command}, on which the connection is closed, maybe by a proxy in between"
EMPTY = "Without the information missing from the server's reply to {command}"


#: An id that no connection has.
_NO_CONNECTION = "9223372036854775807"


def optional_warnings(execute: Callable[..., object], key: bytes) -> Iterator[str]:
    """Try each optional command with `execute` and yield a warning for each that does not work.

    Raises redis-py's errors that are not about one command.
    """
    lost: set[str] = set()
    for name, command, tells in (
        ("SCAN", ("SCAN", "0", "COUNT", "1"), lambda reply: isinstance(reply, list)),
        ("WAIT", ("WAIT", "0", "1"), lambda reply: isinstance(reply, int)),
        ("CLIENT LIST", ("CLIENT", "LIST"), lambda reply: any(each != UNTOLD for each in clients(reply))),
        ("CLIENT INFO", ("CLIENT", "INFO"), lambda reply: any(each != UNTOLD for each in clients(reply))),
        ("INFO", ("INFO", "server"), lambda reply: info(reply).get("run_id")),
        ("INFO", ("INFO", "replication"), lambda reply: info(reply).get("connected_slaves")),
        ("MEMORY USAGE", ("MEMORY", "USAGE", key), lambda _: True),
        ("CLIENT KILL", ("CLIENT", "KILL", "ID", _NO_CONNECTION, "ADDR", "0.0.0.0:0"), lambda _: True),
    ):
        if name not in lost and (why := _why_not(execute, command, tells)):
            lost.add(name)
            yield without(name, why)


def _why_not(execute: Callable[..., object], command: Sequence[str | bytes], tells: Callable[[object], object]) -> str:
    """Return why a command is not available, one of the texts above; empty if it works."""
    try:
        return "" if tells(execute(*command)) else EMPTY
    except ClosedAtCommandError:
        return CLOSED
    except redis_errors.ResponseError as error:
        if retry_decision(error) is not RetryDecision.FAIL:
            raise
        return FORBIDDEN if isinstance(error, redis_errors.NoPermissionError) else REFUSED


def without(command: str, why: str) -> str:
    """Return the warning for a missing command; `why` is one of the texts above."""
    return f"{why.format(command=command)}, {LOST[command]}."


class ClosedAtOptionalError(ClosedAtCommandError):
    """The connection was closed on a command that the next one may omit."""


class OptionalCommands:
    """The optional commands sent at the start of connections to one server.

    If the server closes two connections in a row on a command, it is left out of the next connection. Only once that
    one is established is the command left out for good: a failing server closes connections on any command.
    """

    def __init__(self) -> None:
        self._closed_at: Counter[str] = Counter()
        self._left_out: set[str] = set()

    @property
    def suspected(self) -> bool:
        """Whether the last connection was closed on an optional command."""
        return bool(self._closed_at)

    def ask(self, ask: Callable[..., object], *command: str) -> object:
        """Return the reply; None if the command is refused or left out.

        Raises ClosedAtOptionalError if the caller should try another connection at once, and redis-py's other errors.
        """
        name = name_of(*command)
        if name in self._left_out or self._closed_at[name] >= _PROOF:
            return None
        try:
            return ask(*command)
        except ClosedAtCommandError as error:
            self._closed_at[name] += 1
            raise ClosedAtOptionalError(str(error)) from error
        except redis_errors.ResponseError as error:
            if retry_decision(error) is not RetryDecision.FAIL:
                raise
            return None

    def failed(self) -> None:
        """Note that a connection was lost for another reason, which may also have closed the previous ones."""
        self._closed_at.clear()

    def made(self) -> list[str]:
        """Note that a connection was established; return the commands that are now left out for good."""
        new = [name for name, times in self._closed_at.items() if times >= _PROOF]
        self._left_out.update(new)
        self._closed_at.clear()
        return new
