"""A promotion that dies after any number of bytes: a proxy cuts it off, also within a command."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from integration_tests.support.connector.process import Connector, Running
from integration_tests.support.faults.proxy import Cut, proxy
from integration_tests.support.messages import COMPLETE, Json, dedup, generation, record, state, stream
from integration_tests.support.servers.server import SERVERS, Server, running
from integration_tests.support.stored import ledger, rows, values
from integration_tests.support.waiting import wait_until


@pytest.fixture(scope="module", params=SERVERS)
def _server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.param) as server:
        yield server


@pytest.mark.parametrize("allowance", [0, 60, 130, 200, 1000, 2600, 3600])
def test_a_promotion_that_dies_after_any_number_of_bytes_is_finished_by_the_next_run(
    server: Server, tmp_path: Path, allowance: int
) -> None:
    old, new = list(range(-3, 0)), list(range(1, 4))
    direct = Connector(server.config, tmp_path)
    direct.write([stream(**generation(1, 0, 1))], [*map(record, old), COMPLETE])
    cut = Cut(b"$6\r\nRENAME\r\n", allowance)
    with proxy(server.port, cut) as way:
        through = Connector({**server.config, "port": way.port}, tmp_path)
        dying: Running = through.start([stream(**generation(2, 2, 2))])
        dying.send(*map(record, new), state(3), COMPLETE)
        assert dying.process.stdin
        dying.process.stdin.close()
        wait_until(lambda: cut.done.is_set() or dying.process.poll() is not None, 60)
        seen = values(server.client)
        dying.kill()

    # Readers see every old record until the last new one is in.
    assert set(old) <= set(seen) or set(new) <= set(seen)

    outcome = direct.write([stream(**generation(3, 0, 3))], [record(4), COMPLETE])
    assert outcome.code == 0, outcome.text
    assert values(server.client) == [*new, 4]
    assert server.client.keys("airbyte:tmp:*") == []


# About 8,500 bytes in all: SCAN, three scripts, a move, SCAN, six scripts, a move, and the last one.
@pytest.mark.parametrize("allowance", [0, 100, 300, 500, 800, 2300, 3000, 4800, 6500, 8000])
def test_a_promotion_by_primary_key_that_dies_after_any_number_of_bytes_is_finished_by_the_next_run(
    server: Server, tmp_path: Path, allowance: int
) -> None:
    old, new = {str(n): n for n in (1, 2, 3)}, {str(n): 10 * n for n in (2, 4)}
    direct = Connector(server.config, tmp_path)
    direct.write([dedup(**generation(1, 0, 1))], [*map(row, old, old.values()), COMPLETE])
    cut = Cut(b"$4\r\nSCAN\r\n", allowance)
    with proxy(server.port, cut) as way:
        through = Connector({**server.config, "port": way.port}, tmp_path)
        dying = through.start([dedup(**generation(2, 2, 2))])
        dying.send(*map(row, new, new.values()), deleted("3"), state(3), COMPLETE)
        assert dying.process.stdin
        dying.process.stdin.close()
        assert cut.done.wait(60)
        seen = rows(server.client)
        dying.kill()

    # A reader sees every key that both generations have, and none that neither has.
    assert "2" in seen
    assert seen.items() <= {*old.items(), *new.items()}

    outcome = direct.write([dedup(**generation(3, 0, 3))], [row("5", 5), row("3", 1), COMPLETE])
    assert outcome.code == 0, outcome.text
    assert rows(server.client) == {**new, "5": 5}
    assert server.client.keys("airbyte:tmp:*") == []


@pytest.mark.parametrize("allowance", [0, 100, 400, 700])
@pytest.mark.parametrize("next_one", ["adds", "refreshes"])
def test_a_merge_or_drop_by_primary_key_that_dies_after_any_number_of_bytes_is_finished_by_the_next_run(
    server: Server, tmp_path: Path, allowance: int, next_one: str
) -> None:
    direct = Connector(server.config, tmp_path)
    direct.write([dedup(**generation(1, 0, 1))], [row("1", 9), row("2", 1), row("3", 1), COMPLETE])
    cancelled = [row("1", 5), row("2", 2), row("4", 4), deleted("3"), state(4)]
    assert direct.write([dedup(**generation(2, 2, 2))], cancelled).code != 0
    minimum = 0 if next_one == "adds" else 3
    following = [dedup(**generation(3, minimum, 3))]
    cut = Cut(b"$4\r\nSCAN\r\n", allowance)
    with proxy(server.port, cut) as way:
        dying = Connector({**server.config, "port": way.port}, tmp_path).start(following)
        assert cut.done.wait(60)
        dying.kill()

    outcome = direct.write(following, [row("5", 5), COMPLETE])
    assert outcome.code == 0, outcome.text
    merged = {"1": 9, "2": 2, "4": 4, "5": 5}
    assert rows(server.client) == (merged if next_one == "adds" else {"5": 5})
    assert server.client.keys("airbyte:tmp:*") == []
    assert ledger(server.client)["task"] == ""


def row(key: str, value: int) -> Json:
    message = record(0)
    message["record"]["data"] = {"id": key, "at": value, "value": value}
    return message


def deleted(key: str) -> Json:
    message = record(0)
    message["record"]["data"] = {"id": key, "at": 5, "_ab_cdc_deleted_at": "now"}
    return message
