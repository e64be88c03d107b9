"""The kinds of faults that a command can meet: broken connections, deaths of the process, silences and refusals."""

import signal
from typing import TYPE_CHECKING

from integration_tests.support.faults.attempts import Fault, Faulty
from integration_tests.support.faults.proxy import Exchange

if TYPE_CHECKING:
    from concurrent.futures import Future

    from integration_tests.support.connector.fork_server import Forked


def lost(exchange: Exchange, process: object) -> None:  # noqa: ARG001
    exchange.reset()


def unanswered(exchange: Exchange, process: object) -> None:  # noqa: ARG001
    exchange.execute()
    exchange.reset()


def half_answered(exchange: Exchange, process: object) -> None:  # noqa: ARG001
    reply = exchange.execute()
    exchange.answer(reply[: len(reply) // 2])
    exchange.reset()


def answered(exchange: Exchange, process: object) -> None:  # noqa: ARG001
    exchange.forward()
    exchange.reset()


def swallowed(exchange: Exchange, process: object) -> None:  # noqa: ARG001
    exchange.fall_silent()


def silent(exchange: Exchange, process: object) -> None:  # noqa: ARG001
    exchange.execute()
    exchange.fall_silent()


def killed(exchange: Exchange, process: "Future[Forked]") -> None:
    process.result().kill()
    exchange.reset()


def killed_late(exchange: Exchange, process: "Future[Forked]") -> None:
    exchange.execute()
    process.result().kill()
    exchange.reset()


def asked_to_end(exchange: Exchange, process: "Future[Forked]") -> None:
    process.result().send_signal(signal.SIGTERM)
    exchange.forward()


def refused(reply: bytes) -> Faulty:
    return lambda exchange, process: exchange.answer(reply)  # noqa: ARG005


BREAKS = [
    Fault("lost", lost),
    Fault("unanswered", unanswered),
    Fault("half answered", half_answered),
    Fault("reset after the answer", answered),
]
DEATHS = [
    Fault("killed", killed, sudden=True),
    Fault("killed after it was executed", killed_late, sudden=True),
    Fault("asked to end", asked_to_end, survived=False),
]
SILENCES = [Fault("swallowed", swallowed), Fault("no answer", silent)]
REPLIES = {
    "LOADING": b"-LOADING Redis is loading the dataset in memory\r\n",
    "OOM": b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    "READONLY": b"-READONLY You can't write against a read only replica.\r\n",
    "BUSY": b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n",
    "NOSCRIPT": b"-NOSCRIPT No matching script. Please use EVAL.\r\n",
    "MISCONF": b"-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk.\r\n",
}
REFUSALS = [Fault(name, refused(reply)) for name, reply in REPLIES.items()]
ALL = [*BREAKS, *DEATHS, *SILENCES, *REFUSALS]
