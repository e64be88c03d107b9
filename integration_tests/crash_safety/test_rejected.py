"""Rejected records between all others: whatever dies, is sent again or comes late, each of them is there once."""

from pathlib import Path

import pytest

from integration_tests.support.connector.process import Connector
from integration_tests.support.data_types import HASH, Shape
from integration_tests.support.faults.attempts import Attempts, Fault
from integration_tests.support.faults.kinds import BREAKS, DEATHS, REFUSALS, SILENCES, unanswered
from integration_tests.support.faults.proxy import Exchange, proxy
from integration_tests.support.faults.runner import Runners, dump, play
from integration_tests.support.faults.scenarios import Scenario
from integration_tests.support.faults.seed import FULL, rng
from integration_tests.support.messages import COMPLETE, record, state, stream
from integration_tests.support.servers.server import Server
from integration_tests.support.stored import rejected

KEY = b"airbyte:rejected:{default:users}"
COLUMNS: Shape = ("hash", "columns")
SCENARIOS = [
    *(Scenario(mode, COLUMNS, rejecting=True) for mode in ("append", "overwrite", "refresh")),
    *(Scenario(mode, HASH, rejecting=True) for mode in ("append_dedup", "refresh_dedup")),
    *(Scenario(mode, ("stream", "columns"), rejecting=True) for mode in ("append", "refresh")),
    Scenario("append", ("list", "columns"), valued=True, rejecting=True),
    Scenario("refresh", ("sorted_set", "columns"), valued=True, rejecting=True),
]
BY_SCENARIO = pytest.mark.parametrize("scenario", SCENARIOS, ids=str)


@BY_SCENARIO
@pytest.mark.parametrize("fault", [*DEATHS[:2], Fault("unanswered", unanswered)], ids=str)
def test_a_fault_at_any_command_leaves_every_rejected_record_once(
    runners: Runners, scenario: Scenario, fault: Fault
) -> None:
    runner = runners.of(scenario)
    attempts = Attempts()
    # The commands before the ninth open the connection and take the lease.
    number = 1 if FULL else 9 + rng(f"rejected {scenario} {fault}").randint(0, 2)
    while attempts.attempt(runner, {number: fault}):
        number += 1 if FULL else 3
    attempts.report(f"{scenario}, {fault} at a command after the other")


@BY_SCENARIO
def test_several_faults_in_small_batches_leave_every_rejected_record_once(runners: Runners, scenario: Scenario) -> None:
    chance = rng(f"several faults, rejected {scenario}")
    runner = runners.of(scenario)
    attempts = Attempts()
    for _ in range(15 if FULL else 3):
        first = chance.randint(9, 30)
        numbers = [first, first + chance.randint(1, 12), first + chance.randint(13, 30)]
        faults = {number: chance.choice([*BREAKS, *DEATHS, *SILENCES, *REFUSALS]) for number in numbers}
        attempts.attempt(runner, faults, hasty=True)
    attempts.report(f"{scenario}, several faults in small batches")


@BY_SCENARIO
def test_a_batch_of_rejected_records_that_comes_late_changes_nothing(runners: Runners, scenario: Scenario) -> None:
    runner = runners.of(scenario)
    runner.reset()
    held: list[int] = []

    def hold_the_first_batch(exchange: Exchange) -> None:
        if not held and exchange.words[0] == b"EVALSHA" and KEY in exchange.command:
            held.append(exchange.number)
            exchange.hold()
        exchange.forward()

    with proxy(runner.server.port, hold_the_first_batch) as way:
        outcome = play(runner.start(way.port, scenario.streams()), scenario.messages())
        assert outcome.code == 0, outcome.text
        before = dump(runner.server.client)
        way.release()
        assert held
        assert dump(runner.server.client) == before
    assert scenario.found(runner.server.client) == scenario.expected()
    assert scenario.untidy(runner.server.client) + scenario.rejections(runner.server.client) == []


def test_those_after_a_batch_that_was_refused_wait_for_it(server: Server, tmp_path: Path) -> None:
    refused: list[int] = []

    def refuse_the_first_batch(exchange: Exchange) -> None:
        if not refused and exchange.words[0] == b"EVALSHA" and KEY in exchange.command:
            refused.append(exchange.number)
            exchange.answer(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n")
        else:
            exchange.forward()

    with proxy(server.port, refuse_the_first_batch) as way:
        settings = {"port": way.port, "record_format": "columns", "rejected_records": "keep"}
        messages = [record(0, data=number) for number in range(1000)]
        outcome = Connector(server.config | settings, tmp_path).write([stream()], [*messages, state(1), COMPLETE])
    assert outcome.code == 0, outcome.text
    assert refused
    assert [int(entry["_airbyte_data"]) for _, entry in rejected(server.client)] == list(range(1000))
