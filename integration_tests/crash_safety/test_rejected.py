"""Rejected records between all others: whatever dies, is sent again or comes late, each of them is there once."""

import random
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from integration_tests.support.connector.process import Connector, Running
from integration_tests.support.data_types import HASH, Shape
from integration_tests.support.faults.attempts import Attempts, Fault, deliver_first_batch_late
from integration_tests.support.faults.kinds import BREAKS, DEATHS, REFUSALS, SILENCES, unanswered
from integration_tests.support.faults.proxy import Exchange, at, proxy
from integration_tests.support.faults.runner import Runners, dump
from integration_tests.support.faults.scenarios import Scenario
from integration_tests.support.faults.seed import FULL, rng
from integration_tests.support.messages import COMPLETE, Json, dedup, generation, record, state, stream
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
#: One of each placement.
PLACES: dict[str, tuple[Shape, Json]] = {
    "sequence": (COLUMNS, stream()),
    "primary_key": (HASH, dedup()),
    "collection": (("stream", "columns"), stream()),
}
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


def three_faults(chance: random.Random, first: range, apart: int) -> dict[int, Fault]:
    """Return faults of any kind, the first at a command of that range, by the numbers of their commands."""
    at = chance.choice(first)
    numbers = [at, at + chance.randint(1, 12), at + chance.randint(13, apart)]
    return {number: chance.choice([*BREAKS, *DEATHS, *SILENCES, *REFUSALS]) for number in numbers}


@BY_SCENARIO
def test_several_faults_in_small_batches_leave_every_rejected_record_once(runners: Runners, scenario: Scenario) -> None:
    chance = rng(f"several faults, rejected {scenario}")
    runner = runners.of(scenario)
    attempts = Attempts()
    for _ in range(15 if FULL else 3):
        attempts.attempt(runner, three_faults(chance, range(9, 31), 30), hasty=True)
    attempts.report(f"{scenario}, several faults in small batches")


@BY_SCENARIO
def test_a_batch_of_rejected_records_that_comes_late_changes_nothing(runners: Runners, scenario: Scenario) -> None:
    runner = runners.of(scenario)
    deliver_first_batch_late(runner, scenario, KEY)
    assert scenario.found(runner.server.client) == scenario.expected()
    assert scenario.untidy(runner.server.client) + scenario.rejections(runner.server.client) == []


REFUSED = [
    *(Scenario(mode, HASH, refused=True) for mode in ("append", "overwrite", "append_dedup", "refresh_dedup")),
    *(Scenario(mode, ("list", "columns"), refused=True) for mode in ("append", "refresh")),
    Scenario("append", ("stream", "envelope"), refused=True),
    Scenario("append", ("sorted_set", "columns"), refused=True),
]
BY_REFUSED = pytest.mark.parametrize("scenario", REFUSED, ids=str)


@pytest.fixture
def strict_runners(_server_with_json: Server, runners: Runners) -> Iterator[Runners]:
    """Yield runners on a server that takes no value above one megabyte, and does not tell so."""
    client, setting = _server_with_json.client, "proto-max-bulk-len"
    before: dict[str, str] = client.config_get(setting)  # type: ignore[assignment]
    client.config_set(setting, "1mb")
    client.execute_command("ACL", "SETUSER", "airbyte", "on", ">password", "~*", "+@all", "-config")
    yield runners
    client.config_set(setting, before[setting])
    client.execute_command("ACL", "DELUSER", "airbyte")


@BY_REFUSED
@pytest.mark.parametrize("fault", [*DEATHS[:2], Fault("unanswered", unanswered)], ids=str)
def test_a_fault_at_any_command_leaves_every_record_that_is_refused_once(
    strict_runners: Runners, scenario: Scenario, fault: Fault
) -> None:
    runner = strict_runners.of(scenario)
    attempts = Attempts()
    # The commands before these prepare the sync.
    step = 1 if FULL else 20
    number = 1 if FULL else 44 + rng(f"refused {scenario} {fault}").randrange(step)
    while attempts.attempt(runner, {number: fault}):
        number += step
    attempts.report(f"{scenario}, {fault} at a command after the other")


@BY_REFUSED
def test_several_faults_in_small_batches_leave_every_record_that_is_refused_once(
    strict_runners: Runners, scenario: Scenario
) -> None:
    chance = rng(f"several faults, refused {scenario}")
    runner = strict_runners.of(scenario)
    attempts = Attempts()
    for _ in range(15 if FULL else 2):
        attempts.attempt(runner, three_faults(chance, range(30, 61), 60), hasty=True)
    attempts.report(f"{scenario}, several faults in small batches")


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


@pytest.mark.parametrize(("minimum", "left"), [(0, [-1, 1, 2]), (3, [])], ids=["merge", "drop and promotion"])
@pytest.mark.parametrize("place", PLACES)
def test_a_merge_a_drop_and_a_promotion_that_die_at_any_command_are_finished_by_the_next_run(
    server: Server, tmp_path: Path, place: str, minimum: int, left: list[int]
) -> None:
    shape, configured = PLACES[place]
    settings = {"cache_type": shape[0], "record_format": shape[1], "rejected_records": "keep"}
    direct = Connector(server.config | settings, tmp_path)
    good = [record(number, data={"id": number, "at": 1}) for number in range(3)]
    first = [good[0], record(0, data=-1), state(1), COMPLETE]
    assert direct.write([configured | generation(1, 0, 1)], first).code == 0
    cancelled = [record(0, data=1), good[1], record(0, data=2), state(2), good[2], record(0, data=3)]
    assert direct.write([configured | generation(2, 2, 2)], cancelled).code != 0
    before = dump(server.client)
    following = [configured | generation(3, minimum, 3)]
    number = 9 + rng(f"{place} {minimum}").randint(0, 2)
    while True:
        server.client.flushall()
        for key, content in before.items():
            server.client.restore(key, 0, content)
        killed: Future[Running] = Future()

        def kill(exchange: Exchange, killed: "Future[Running]" = killed) -> None:
            killed.result().process.kill()
            exchange.reset()

        with proxy(server.port, at({number: kill})) as way:
            killed.set_result(Connector({**direct.config, "port": way.port}, tmp_path).start(following))
            killed.result().feed([COMPLETE])
            ended = killed.result().finish()
            server.wait_until_alone()
        outcome = direct.write(following, [COMPLETE])
        assert outcome.code == 0, outcome.text
        assert [int(entry["_airbyte_data"]) for _, entry in rejected(server.client)] == left, number
        if ended.code == 0:
            break
        number += 1 if FULL else 3
    assert number > 20
