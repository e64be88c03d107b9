"""Servers that stall, start again with or without their data, or are replaced by a replica, at any command."""

import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration_tests.support.data_types import HASH
from integration_tests.support.faults.attempts import Attempts, Fault, Faulty
from integration_tests.support.faults.failover import Pair, promoted
from integration_tests.support.faults.proxy import Act, Exchange, at, proxy
from integration_tests.support.faults.runner import Runner, Runners, cursor_of, play
from integration_tests.support.faults.scenarios import MODES, SCENARIOS, Scenario
from integration_tests.support.faults.seed import FULL, report, rng
from integration_tests.support.servers.server import Server, running

pytestmark = pytest.mark.stress

#: Milliseconds for which a server stalls: less and more than it is waited for.
SHORT, LONG = 300, 2500


def paused(server: Server, milliseconds: int) -> Faulty:
    def act(exchange: Exchange, process: object) -> None:  # noqa: ARG001
        server.client.client_pause(milliseconds)
        exchange.forward()

    return act


def stopped(server: Server, milliseconds: int) -> Faulty:
    def act(exchange: Exchange, process: object) -> None:  # noqa: ARG001
        server.signal(signal.SIGSTOP)
        threading.Timer(milliseconds / 1000, server.signal, [signal.SIGCONT]).start()
        exchange.forward()

    return act


def restarted(server: Server) -> Faulty:
    def act(exchange: Exchange, process: object) -> None:  # noqa: ARG001
        server.stop()
        server.start()
        exchange.reset()

    return act


def emptied(server: Server) -> Act:
    def act(exchange: Exchange) -> None:
        server.crash()
        server.start()
        exchange.reset()

    return act


def some(chance: random.Random, count: int, scenarios: list[Scenario]) -> list[Scenario]:
    return scenarios if FULL else chance.sample(scenarios, count)


@pytest.mark.parametrize("mode", MODES)
def test_a_server_that_stalls_or_starts_again_with_its_data_costs_time_and_nothing_else(
    mode: str, runners: Runners
) -> None:
    chance = rng(f"stalls {mode}")
    attempts = Attempts()
    for scenario in some(chance, 1, runners.scenarios(mode)):
        runner = runners.of(scenario)
        faults = [
            Fault("paused", paused(runner.server, SHORT)),
            Fault("paused for long", paused(runner.server, LONG)),
            Fault("stopped", stopped(runner.server, SHORT)),
            Fault("stopped for long", stopped(runner.server, LONG)),
            Fault("started again", restarted(runner.server)),
        ]
        for fault in chance.sample(faults[:4], 2 if FULL else 1) + faults[4:]:
            attempts.attempt(runner, {chance.randint(1, scenario.commands): fault})
    attempts.report(f"{mode}, stalls and restarts")


@pytest.mark.parametrize("mode", MODES)
def test_a_server_that_comes_back_empty_is_an_honest_failure_and_a_refresh_is_exact(
    mode: str, runners: Runners
) -> None:
    chance = rng(f"emptied {mode}")
    instants = records = 0
    for scenario in some(chance, 1, runners.scenarios(mode)):
        runner = runners.of(scenario)
        late = [chance.randint(26, scenario.commands)] if scenario.commands > 26 else []  # while it is promoted
        numbers = range(10, 60) if FULL and scenario.shape == HASH else chance.sample(range(10, 22), 2) + late
        for number in numbers:
            runner.reset()
            client = runner.server.client
            with proxy(runner.server.port, at({number: emptied(runner.server)})) as way:
                outcome = play(runner.start(way.port, scenario.streams()), scenario.messages())
                if len(way.seen) < number:
                    break
            what = f"{scenario}, emptied at {number} ({way.seen[number - 1]}): {outcome.text}"
            assert outcome.code > 0, what
            assert outcome.error["failure_type"] == "config_error", what
            assert "refresh" in outcome.error["message"], what
            cursor = cursor_of(outcome)
            again = play(runner.start(runner.server.port, scenario.streams()), scenario.messages(cursor))
            # A refresh of which nothing was acknowledged sends all again anyway.
            assert (again.code == 0) == (scenario.replaces and cursor == 0), f"{what}\n{again.text}"
            if again.code != 0:
                assert "refresh" in again.error["message"], what
                again = play(runner.start(runner.server.port, scenario.streams(3)), scenario.messages())
                assert again.code == 0, f"{what}\n{again.text}"
            assert scenario.found(client) == scenario.expected(anew=True), what
            assert scenario.untidy(client) == [], what
            instants += 1
            records += len(scenario.expected(anew=True))
    report(f"{mode}, emptied", instants_tried=instants, faults_survived=instants, records_compared=records)
    assert instants


@pytest.fixture(scope="module")
def two_servers() -> Iterator[tuple[Server, Server]]:
    options = ("--repl-diskless-sync-delay", "0")
    with running("redis-7.0", *options) as primary, running("redis-7.0", *options) as replica:
        yield primary, replica


@pytest.mark.parametrize("mode", MODES)
def test_a_replica_that_takes_over_in_step_loses_nothing_and_one_behind_is_found_out(
    mode: str,
    two_servers: tuple[Server, Server],
    tmp_path: Path,
) -> None:
    chance = rng(f"promoted {mode}")
    scenarios = [each for each in SCENARIOS if each.mode == mode and each.shape[0] != "json"]
    counts = dict.fromkeys(("in_step", "went_on", "ran_again", "refreshed"), 0)
    records = 0
    for scenario in some(chance, 1, scenarios):
        pair = Pair(Runner(scenario, two_servers[0], tmp_path), two_servers[1])
        for lag in [0, 1, 3, 6] if FULL else [0, chance.randint(1, 6)]:
            number = chance.randint(10, scenario.commands)
            kind = promoted(pair, number, lag)
            counts[kind] += 1
            records += len(scenario.expected())
    report(f"{mode}, a replica promoted", instants_tried=sum(counts.values()), **counts, records_compared=records)
    assert counts["in_step"]
