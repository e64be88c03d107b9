"""Commands that a sync can do without: an ACL, a proxy or another server may refuse them, or close the connection."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from redis import exceptions as redis_errors

from destination_redis.connection.refusals import name_of
from destination_redis.connection.replies import UNTOLD, clients, info
from destination_redis.errors import ClosedAtCommandError, RetryDecision, retry_decision

_SLOW_TAKEOVER = "after a killed sync the next one waits up to 30 seconds"
#: What is lost without each of them.
LOST = {
    "SCAN": "no stream in append_dedup can be refreshed",
    "WAIT": "states do not wait for a replica",
    "CLIENT LIST": _SLOW_TAKEOVER,
    "CLIENT INFO": _SLOW_TAKEOVER,
    "INFO": "states do not wait for a replica, and a server replaced during a sync is not always noticed",
    "MEMORY USAGE": "no sync can tell ahead that what it stages does not fit",
    "CLIENT KILL": "late commands of a paused sync may leave stray records",
}
#: How often in a row the connection has to be closed at a command before connections do without it: once may be chance.
_PROOF = 2


#: What is wrong with a command.
FORBIDDEN = "Without permission for {command}"
REFUSED = "Without the command {command}, which the server does not know or refuses"
CLOSED = "Without the command {command}, at which the connection is closed, maybe by a proxy in between"
EMPTY = "Without what the server's reply to {command} leaves out"


#: The id of no connection.
_NO_CONNECTION = "9223372036854775807"


def optional_warnings(execute: Callable[..., object], key: bytes) -> Iterator[str]:
    """Try each optional command with `execute` and yield what is lost without those that do not work.

    Raises redis-py's errors where there is more to them than one command.
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
    """Return why a command is lost, one of the texts above; empty where it works."""
    try:
        return "" if tells(execute(*command)) else EMPTY
    except ClosedAtCommandError:
        return CLOSED
    except redis_errors.ResponseError as error:
        if retry_decision(error) is not RetryDecision.FAIL:
            raise
        return FORBIDDEN if isinstance(error, redis_errors.NoPermissionError) else REFUSED


def without(command: str, why: str) -> str:
    """Return the warning of what is lost without a command; `why` is one of the texts above."""
    return f"{why.format(command=command)}, {LOST[command]}."


class ClosedAtOptionalError(ClosedAtCommandError):
    """The connection was closed at a command that the next one may do without."""


class OptionalCommands:
    """The optional commands with which connections to one server begin.

    A command at which the server closed two connections in a row is left out of the next one. Only once that one has
    been made is it left out for good: a server that is failing closes connections at any command.
    """

    def __init__(self) -> None:
        self._closed_at: Counter[str] = Counter()
        self._left_out: set[str] = set()

    @property
    def suspected(self) -> bool:
        """Whether the last connection was closed at an optional command."""
        return bool(self._closed_at)

    def ask(self, ask: Callable[..., object], *command: str) -> object:
        """Return the reply, None where the server refuses the command or it is left out.

        Raises ClosedAtOptionalError where another connection is to be tried at once, and redis-py's other errors.
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
        """Take note that a connection was lost in another way: the server may have closed the last ones for that."""
        self._closed_at.clear()

    def made(self) -> list[str]:
        """Take note that a connection was made; return the commands that are left out for good from now on."""
        new = [name for name, times in self._closed_at.items() if times >= _PROOF]
        self._left_out.update(new)
        self._closed_at.clear()
        return new
