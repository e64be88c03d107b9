"""Collections of type string, as a counter is: whatever dies, is lost or goes back, none is taken for another."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from integration_tests.support.data_types import HASH, Shape
from integration_tests.support.faults.attempts import Attempts, Fault, deliver_first_batch_late
from integration_tests.support.faults.failover import Pair, promoted
from integration_tests.support.faults.kinds import DEATHS, unanswered
from integration_tests.support.faults.proxy import proxy
from integration_tests.support.faults.runner import Runner, Runners, play
from integration_tests.support.faults.scenarios import CHANGES_OF_STRINGS, KEY, Scenario
from integration_tests.support.faults.seed import FULL, report, rng
from integration_tests.support.servers.server import Server, running

STRINGS: list[Shape] = [("bitmap", "columns"), ("hyperloglog", "columns")]
SAME = [Scenario(mode, shape) for mode in ("append", "overwrite", "refresh") for shape in STRINGS]
#: Faults that leave the server a step ahead of what the writer was answered, or not.
FAULTS = [*DEATHS[:2], Fault("unanswered", unanswered)]


@pytest.mark.parametrize("scenario", [*SAME, *CHANGES_OF_STRINGS], ids=str)
def test_a_fault_at_any_command_leaves_what_a_calm_sync_leaves(runners: Runners, scenario: Scenario) -> None:
    runner = runners.of(scenario)
    attempts = Attempts()
    # The commands before the ninth open the connection and take the lease.
    for number in count(9 + rng(f"strings {scenario}").randrange(4), 1 if FULL else 4):
        faults = FAULTS if FULL else [FAULTS[number % len(FAULTS)]]
        if not [fault for fault in faults if attempts.attempt(runner, {number: fault})]:
            break
    attempts.report(f"{scenario}, a fault at a command after the other")


@pytest.mark.parametrize("scenario", SAME, ids=str)
def test_a_batch_that_comes_late_changes_nothing(runners: Runners, scenario: Scenario) -> None:
    runner = runners.of(scenario)
    deliver_first_batch_late(runner, scenario, KEY.encode())
    assert scenario.found(runner.server.client) == scenario.expected()
    assert scenario.untidy(runner.server.client) == []


@pytest.fixture(scope="module")
def two_servers() -> Iterator[tuple[Server, Server]]:
    options = ("--repl-diskless-sync-delay", "0")
    with running("redis-7.0", *options) as primary, running("redis-7.0", *options) as replica:
        yield primary, replica


@pytest.mark.parametrize("scenario", [*CHANGES_OF_STRINGS, Scenario("refresh", HASH)], ids=str)
def test_a_replica_that_takes_over_some_commands_behind_has_a_key_and_a_ledger_of_the_same_age(
    two_servers: tuple[Server, Server], tmp_path: Path, scenario: Scenario
) -> None:
    pair = Pair(Runner(scenario, two_servers[0], tmp_path), two_servers[1])
    last = commands(pair.runner)
    chance = rng(f"strings behind {scenario}")
    counts = dict.fromkeys(("went_on", "ran_again", "refreshed"), 0)
    for number in range(12, last) if FULL else chance.sample(range(12, last), 4):
        for lag in (1, 2) if FULL else (chance.randint(1, 2),):
            counts[promoted(pair, number, lag)] += 1
    report(f"{scenario}, a replica behind", instants_tried=sum(counts.values()), **counts)
    assert sum(counts.values())


def commands(runner: Runner) -> int:
    """Return how many commands a calm sync sends at least."""
    runner.reset()
    with proxy(runner.server.port, lambda exchange: exchange.forward()) as way:
        outcome = play(runner.start(way.port, runner.scenario.streams()), runner.scenario.messages())
        assert outcome.code == 0, outcome.text
        return len(way.seen) - 2
