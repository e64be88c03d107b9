"""Faults at every command boundary: exact in the end, or an honest failure after which a retry is exact."""

import random
from collections.abc import Iterator

import pytest

from integration_tests.support.data_types import HASH
from integration_tests.support.faults.attempts import Attempts, Fault
from integration_tests.support.faults.kinds import ALL, BREAKS, DEATHS, REFUSALS, unanswered
from integration_tests.support.faults.runner import Runners
from integration_tests.support.faults.scenarios import MODES, Scenario
from integration_tests.support.faults.seed import FULL, rng

pytestmark = pytest.mark.stress


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
