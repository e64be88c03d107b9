"""Faults at every command boundary: exact in the end, or an honest failure after which a retry is exact."""

import random
import signal
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from integration_tests.support.data_types import HASH
from integration_tests.support.faults.attempts import Attempts, Fault, Faulty
from integration_tests.support.faults.proxy import Exchange
from integration_tests.support.faults.runner import Runners
from integration_tests.support.faults.scenarios import MODES, Scenario
from integration_tests.support.faults.seed import FULL, rng

if TYPE_CHECKING:
    from concurrent.futures import Future

    from integration_tests.support.connector.fork_server import Forked

pytestmark = pytest.mark.stress


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

#: The command that takes the claim, and more commands than it takes to connect anew and to resume.
CLAIMING, MENDING = 9, 13
OFTEN = [*BREAKS[:2], *DEATHS[:2]]


def faults_to_try(chance: random.Random, count: int) -> Iterator[list[Fault]]:
    """Yield, for one command after the other, so many faults that it meets: all of them in turn, some more often."""
    while True:
        waiting = [*ALL, *OFTEN]
        chance.shuffle(waiting)
        while waiting:
            yield [waiting.pop() for _ in range(min(count, len(waiting)))]


@pytest.mark.parametrize("mode", MODES)
def test_a_fault_at_any_command_is_survived_or_an_honest_failure_after_which_a_retry_is_exact(
    mode: str, runners: Runners
) -> None:
    chance = rng(f"faults {mode}")
    scenarios = runners.scenarios(mode)
    attempts = Attempts()
    for scenario in scenarios if FULL else chance.sample(scenarios, 1):
        runner = runners.of(scenario)
        count = 1 if not FULL else 5 if scenario.shape == HASH else 2
        for number, faults in enumerate(faults_to_try(chance, count), 1):
            if not [fault for fault in faults if attempts.attempt(runner, {number: fault})]:
                break
    attempts.report(f"{mode}, a fault at every command")


@pytest.mark.parametrize("mode", MODES)
def test_faults_that_come_together_are_survived_or_honest_too(mode: str, runners: Runners) -> None:
    chance = rng(f"several faults {mode}")
    attempts = Attempts()
    scenarios = runners.scenarios(mode)
    for scenario in scenarios if FULL else chance.sample(scenarios, max(1, len(scenarios) // 4)):
        runner = runners.of(scenario)
        for _ in range(15 if FULL else 4):
            first = chance.randint(1, 30)
            numbers = [first, first + chance.randint(1, 12), first + chance.randint(13, 30)]
            faults = {number: chance.choice(ALL) for number in numbers[: chance.randint(2, 3)]}
            attempts.attempt(runner, faults, hasty=chance.random() < 0.7)
    attempts.report(f"{mode}, several faults in small batches")


@pytest.mark.parametrize("mode", MODES)
def test_a_fault_while_another_is_being_mended_is_survived(mode: str, runners: Runners) -> None:
    chance = rng(f"again {mode}")
    attempts = Attempts()
    runner = runners.of(Scenario(mode, HASH))
    first = Fault("unanswered", unanswered)
    for number in (CLAIMING, 12, 16, 21) if FULL else (CLAIMING,):
        for later in range(4, MENDING):
            attempts.attempt(runner, {number: first, number + later: chance.choice([*BREAKS, *REFUSALS])})
    attempts.report(f"{mode}, faults while others are mended")
