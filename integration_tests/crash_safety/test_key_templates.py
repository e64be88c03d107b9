"""Syncs with templates of their own that are killed between any two commands, and syncs that claim one template."""

import signal
from concurrent.futures import Future
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from integration_tests.support.connector.library import config_of, failure, full_dedup, written
from integration_tests.support.connector.process import Connector, Running
from integration_tests.support.data_types import HASH
from integration_tests.support.faults.attempts import Attempts, Fault
from integration_tests.support.faults.kinds import BREAKS, DEATHS, REFUSALS
from integration_tests.support.faults.proxy import Exchange, at, proxy
from integration_tests.support.faults.runner import Runner
from integration_tests.support.faults.scenarios import TEMPLATES, Scenario
from integration_tests.support.faults.seed import FULL, rng
from integration_tests.support.messages import COMPLETE, Json, generation, record, state, status
from integration_tests.support.servers.server import Server
from integration_tests.support.stored import ledger, rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration_tests.support.connector.fork_server import Forked

#: An application's own keys beside those of the templates `user:{key}` and `u:{key}`, and of none.
APPLICATIONS: dict[str, Any] = {
    "user:42:cart": {"items": 3},
    "user:app": {"name": "Ann"},
    "u:app": {"_airbyte_ab_id": "none"},
    "default:users:app": {"name": "Ann"},
    "airbyte:tmp:{user:1:cart}": {"_airbyte_ab_id": 1, "_airbyte_data": "{}"},
}
#: A process that is killed, before a command or after it, and what may happen to the command.
FAULTS = [*DEATHS[:2], *BREAKS, *DEATHS[:2], *REFUSALS]
HEADS = {"user:{key}": "user:", "u:{key}": "u:", "": "default:users:"}


def row(key: int, value: int, name: str = "users") -> Json:
    return record(0, name, data={"id": key, "at": value, "value": value})


def instants(name: str) -> "Iterator[int]":
    """Yield the numbers of the commands at which a sync dies: all of them, or some that differ with each run."""
    return count(1) if FULL else count(rng(name).randint(1, 5), 5)


@pytest.mark.parametrize("scenario", TEMPLATES, ids=str)
def test_a_sync_under_a_template_survives_a_fault_at_any_command_or_is_exact_when_it_is_run_again(
    server: Server, tmp_path: Path, scenario: Scenario
) -> None:
    attempts = Attempts()
    runner = Runner(scenario, server, tmp_path)
    for number in instants(str(scenario)):
        if not attempts.attempt(runner, {number: FAULTS[number % len(FAULTS)]}):
            break
    attempts.report(f"{scenario}, a fault at its commands")


@pytest.mark.parametrize(("old", "new"), [("user:{key}", "u:{key}"), ("", "user:{key}"), ("user:{key}", "")])
@pytest.mark.parametrize("ending", ["completes", "is cancelled"])
def test_a_change_of_template_killed_at_any_command_takes_the_old_keys_and_leaves_an_applications(
    server: Server, tmp_path: Path, old: str, new: str, ending: str
) -> None:
    client = server.client
    before, after = ({"record_key": text} if text else {} for text in (old, new))
    refresh, new_rows = [full_dedup(**generation(2, 2, 2))], [row(1, 5), row(3, 3), state(2)]
    for number in instants(f"{old} {new} {ending}"):
        client.flushall()
        for key, fields in APPLICATIONS.items():
            client.hset(key, mapping=fields)
        foreign = {key: client.dump(key) for key in APPLICATIONS}
        assert written(server, HASH, [full_dedup(**generation(1, 0, 1))], row(1, 1), row(2, 2), COMPLETE, **before) == 0

        process: Future[Running] = Future()

        def act(exchange: Exchange, at: int = number, dying: Future[Running] = process) -> None:
            if exchange.number == at:
                dying.result().process.kill()
                exchange.reset()
            exchange.forward()

        with proxy(server.port, act) as way:
            running = Connector({**server.config, **after, "port": way.port}, tmp_path).start(refresh)
            process.set_result(running)
            running.feed([*new_rows, COMPLETE] if ending == "completes" else new_rows)
            outcome = running.finish()
        server.wait_until_alone()
        if ending == "completes":
            assert written(server, HASH, refresh, *new_rows, COMPLETE, **after) >= 0
        else:
            again = [full_dedup(**generation(3, 3, 3))]
            failure(config_of(server, HASH, **after), refresh, new_rows)
            assert written(server, HASH, again, *new_rows, COMPLETE, **after) >= 0
        assert rows(client, HEADS[new], {"1", "3"}) == {"1": 5, "3": 3}
        own = {f"{HEADS[new]}1", f"{HEADS[new]}3", "airbyte:{default:users}", *([] if new else ["default:users"])}
        left = {key.decode() for key in client.scan_iter()} - {"airbyte:templates"}
        left -= {key for key in left if key.startswith("airbyte:check:")}  # these expire after some seconds
        assert left == own | set(APPLICATIONS), (number, outcome.text)
        assert {key: client.dump(key) for key in APPLICATIONS} == foreign
        assert ledger(client)["template"] == new
        claims = client.hgetall("airbyte:templates")
        assert claims.get(b"default:users") == (f'["{new}"]'.encode() if new else None)
        if outcome.code != -signal.SIGKILL:
            break


def test_of_two_syncs_that_claim_at_the_same_time_exactly_one_gets_the_template(server: Server, tmp_path: Path) -> None:
    template, others = {"record_key": "user:{key}"}, [full_dedup("people")]
    won: list[int] = []

    def act(exchange: Exchange) -> None:
        if not won and exchange.words[0] == b"EVAL" and exchange.words[3] == b"airbyte:templates":
            ended = row(1, 7, "people"), status("COMPLETE", "people")
            won.append(written(server, HASH, others, *ended, **template))
        exchange.forward()

    with proxy(server.port, act) as way:
        config = {**server.config, "port": way.port, **template}
        outcome = Connector(config, tmp_path).write([full_dedup()], [row(1, 1), COMPLETE])
    assert won == [0]
    assert "could be the same" in outcome.error["message"]
    assert "users (user:{key})" in outcome.error["message"]
    assert "default:people (user:{key})" in outcome.error["message"]
    assert rows(server.client, "user:") == {"1": 7}
    assert set(server.client.hgetall("airbyte:templates")) == {b"default:people", b"version"}


def test_of_a_sync_that_claims_and_one_without_a_template_at_the_same_time_at_most_one_goes_on(
    server: Server, tmp_path: Path
) -> None:
    ended: list[int] = []

    def act(exchange: Exchange) -> None:
        reply = exchange.execute()
        if not ended and exchange.words[:2] == [b"HGETALL", b"airbyte:templates"]:
            orders = row(1, 7, "orders"), status("COMPLETE", "orders")
            ended.append(written(server, HASH, [full_dedup("orders")], *orders))
        exchange.answer(reply)

    with proxy(server.port, act) as way:
        config = {**server.config, "port": way.port, "record_key": "default:orders:{key}"}
        outcome = Connector(config, tmp_path).write([full_dedup()], [row(1, 1), COMPLETE])
    assert ended == [0]
    assert "could be the same" in outcome.error["message"]
    assert rows(server.client, "default:orders:") == {"1": 7}


@pytest.mark.parametrize(
    ("template", "key"),
    [("default:orders:{key}", [["id"]]), ("default:{key}", [["id"], ["at"]])],
    ids=["it names the other stream", "it may meet any stream"],
)
@pytest.mark.parametrize("death", DEATHS[:2], ids=str)
def test_a_claim_that_is_refused_and_killed_at_any_command_is_refused_again_and_then_withdrawn(
    server: Server, tmp_path: Path, template: str, key: list[list[str]], death: Fault
) -> None:
    client, claiming = server.client, [full_dedup(primary_key=key)]
    orders, ended = [full_dedup("orders")], status("COMPLETE", "orders")
    for number in count(1):
        client.flushall()
        assert written(server, HASH, orders, row(1, 7, "orders"), ended) == 0
        process: Future[Forked] = Future()
        act = at({number: partial(death.act, process=process)})
        with proxy(server.port, act) as way:
            config = {**server.config, "port": way.port, "record_key": template}
            running = Connector(config, tmp_path).start(claiming)
            process.set_result(running.process)
            running.feed([row(2, 2), COMPLETE])
            outcome = running.finish()
        server.wait_until_alone()
        again = failure(config_of(server, HASH, record_key=template), claiming, [row(2, 2), COMPLETE])
        assert "could be the same" in str(again), number
        assert written(server, HASH, orders, row(3, 3, "orders"), ended) == 0
        assert rows(client, "default:orders:") == {"1": 7, "3": 3}
        assert client.hgetall("airbyte:templates").keys() == {b"version"}
        if outcome.code != -signal.SIGKILL:
            assert "could be the same" in outcome.error["message"]
            break
