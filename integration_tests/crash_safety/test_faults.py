"""A sync that dies, or whose server does, at any instant: what is there in the end is what a calm sync leaves."""

import json
import random
import threading
import time
from pathlib import Path

import pytest
from redis import Redis

from integration_tests.support.connector.process import Connector
from integration_tests.support.data_types import COLLECTED, FOLDING, HASH, READABLE, Shape, cache, settings_for
from integration_tests.support.data_types import storable as record
from integration_tests.support.messages import COMPLETE, Json, generation, lines, state, stream
from integration_tests.support.servers.server import Server, needs_json
from integration_tests.support.stored import elements, ledger, values


@pytest.fixture(scope="module")
def _server(_server_with_json: Server) -> Server:
    return _server_with_json


@pytest.fixture(params=READABLE, ids="-".join)
def shape(request: pytest.FixtureRequest, server: Server, connector: Connector) -> Shape:
    """Return every data type and format in turn; the connector writes it."""
    chosen: Shape = request.param
    needs_json(server, chosen)
    connector.config |= settings_for(chosen)
    return chosen


RECORDS = 40_000
DEATHS = 4
EVERY = 500


def source(after: int = 0) -> bytes:
    """Return what a source sends when it resumes after the record `after`."""
    messages: list[Json] = []
    for number in range(after + 1, RECORDS + 1):
        messages.append(record(number))
        if number % EVERY == 0:
            messages.append(state(number))
    messages.append(COMPLETE)
    return lines(*messages)


def killed_and_resumed(
    connector: Connector, client: Redis, seed: int, streams: list[Json], shape: Shape = HASH
) -> tuple[int, list[int]]:
    """Kill the sync at random instants, resuming from the last acknowledged state.

    Return how often it died, and which records may come twice: those that a commit covers whose state was not handed
    over when it died, the one instant that no destination can close.
    """
    chance = random.Random(seed)
    cursor = deaths = 0
    twice: list[int] = []
    while True:
        running = connector.start(streams)
        feeder = threading.Thread(target=running.feed_all, args=(source(cursor),))
        feeder.start()
        if deaths < DEATHS:
            running.wait_for_states(chance.randint(1, 4))
            time.sleep(chance.uniform(0, 0.02))
            running.process.kill()
        outcome = running.ended()
        feeder.join()
        if outcome.states:
            cursor = outcome.states[-1]["stream"]["stream_state"]["cursor"]
        if outcome.code == 0:
            return deaths, twice
        assert outcome.code == -9, outcome.text
        deaths += 1
        twice += range(cursor + 1, committed(client, cursor, shape) + 1)


def committed(client: Redis, cursor: int, shape: Shape) -> int:
    """Return the number of the last record that the ledger says is committed, at least `cursor`."""
    held = ledger(client)
    staged = int(held["staged_first"]) > 0
    if shape[0] in FOLDING:
        return cursor
    if shape in COLLECTED:
        there = elements(client, "airbyte:tmp:{default:users}" if staged else "default:users", shape)
        if ledger(client) != held:  # what was on its way when the sync died still arrives
            return committed(client, cursor, shape)
        open_ones = int(held["sent"]) - int(held["staged_committed" if staged else "committed"])
        return max([cursor, *there[: len(there) - open_ones][-1:]])
    key = f"default:users:{held['committed']}"
    if staged:
        key = f"airbyte:tmp:{{default:users:{held['staged_committed']}}}"
    found = list(cache(shape).get_all(client, [key.encode()]))
    return max([cursor, *(int(json.loads(each.data)["id"]) for each in found)])


def test_an_append_killed_at_random_instants_ends_with_exactly_the_records(
    connector: Connector, server: Server, shape: Shape
) -> None:
    seed = READABLE.index(shape)
    deaths, twice = killed_and_resumed(connector, server.client, seed, [stream(**generation(1, 0, 1))], shape)
    assert deaths > 0
    assert sorted(values(server.client, shape=shape)) == sorted([*range(1, RECORDS + 1), *twice])


def test_a_refresh_killed_at_random_instants_ends_with_exactly_the_records(
    connector: Connector, server: Server, shape: Shape
) -> None:
    if shape not in (HASH, *COLLECTED):
        return  # a key for each record is staged as a hash is
    connector.write([stream(**generation(1, 0, 1))], [record(-1), record(-2), COMPLETE])
    deaths, twice = killed_and_resumed(connector, server.client, 3, [stream(**generation(2, 2, 2))], shape)
    assert deaths > 0
    assert sorted(values(server.client, shape=shape)) == sorted([*range(1, RECORDS + 1), *twice])
    assert server.client.keys("airbyte:tmp:*") == []


def test_connections_cut_while_it_runs_lose_and_double_nothing(
    connector: Connector, server: Server, shape: Shape
) -> None:
    running = connector.start([stream(**generation(2, 2, 2))])
    feeder = threading.Thread(target=running.feed_all, args=(source(),))
    feeder.start()
    own = server.client.client_id()
    cuts = 0
    while running.process.poll() is None:
        time.sleep(0.005 if shape in COLLECTED else 0.015)
        for client in server.client.client_list():
            if int(client["id"]) != own:
                cuts += bool(server.client.client_kill_filter(_id=client["id"]))
    outcome = running.ended()
    feeder.join()

    assert cuts > 2
    assert outcome.code == 0, outcome.text
    assert values(server.client, shape=shape) == list(range(1, RECORDS + 1))
    assert [s["stream"]["stream_state"]["cursor"] for s in outcome.states] == list(range(EVERY, RECORDS + 1, EVERY))


def test_a_server_stopped_and_started_again_with_its_data_loses_and_doubles_nothing(
    connector: Connector, server: Server
) -> None:
    running = connector.start([stream()])
    half = source().split(b"\n")
    middle = len(half) // 2
    assert running.process.stdin
    running.process.stdin.write(b"\n".join(half[:middle]) + b"\n")
    running.process.stdin.flush()
    running.wait_for_states(10)
    server.stop()
    feeder = threading.Thread(target=running.feed_all, args=(b"\n".join(half[middle:]),))
    feeder.start()
    time.sleep(0.5)
    server.start()
    outcome = running.ended()
    feeder.join()

    assert outcome.code == 0, outcome.text
    assert values(server.client) == list(range(1, RECORDS + 1))


def test_a_server_that_comes_back_empty_fails_the_sync_and_asks_for_a_refresh(
    connector: Connector, server: Server
) -> None:
    running = connector.start([stream(sync_id=1)])
    running.send(record(1), state(1))
    running.wait_for_states(1)
    server.client.flushall()
    server.client.set("default:users:1:cart", "mine")
    running.send(record(2), state(2), COMPLETE)
    outcome = running.finish()

    assert outcome.code != 0
    assert "refresh" in outcome.error["message"]
    assert len(outcome.states) == 1
    plain = connector.write([stream(sync_id=2)], [record(3), COMPLETE])
    assert plain.error["failure_type"] == "config_error"
    refreshed = connector.write([stream(**generation(2, 2, 3))], [record(4), COMPLETE])
    assert refreshed.code == 0, refreshed.text
    assert [key for key in server.client.scan_iter("default:users:*") if key.count(b":") == 2] == [
        f"default:users:{ledger(server.client)['committed']}".encode()
    ]
    assert server.client.get("default:users:1:cart") == b"mine"


@pytest.mark.parametrize("commands", range(1, 11))
def test_a_promotion_cut_off_after_any_command_is_finished_by_the_next_run(
    server: Server, tmp_path: Path, commands: int
) -> None:
    # The state after n commands of a promotion of three records over two old ones is built command by command.
    connector = Connector(server.config, tmp_path)
    connector.write([stream(**generation(1, 0, 1))], [record(-1), record(-2), COMPLETE])
    connector.write([stream(**generation(2, 2, 2))], [record(1), record(2), record(3), state(3)])
    held = ledger(server.client)
    first, last = int(held["staged_first"]), int(held["staged_committed"])
    steps: list[tuple[str, ...]] = [("HSET", "airbyte:{default:users}", "task", "promote")]
    steps += [
        ("RENAME", f"airbyte:tmp:{{default:users:{number}}}", f"default:users:{number}")
        for number in range(first, last + 1)
    ]
    steps += [("UNLINK", f"default:users:{number}") for number in range(1, first)][:6]
    for step in steps[:commands]:
        server.client.execute_command(*step)
    outcome = connector.write([stream(**generation(3, 0, 3))], [record(4), COMPLETE])

    assert outcome.code == 0, outcome.text
    assert values(server.client) == [1, 2, 3, 4]
    assert server.client.keys("airbyte:tmp:*") == []
    assert ledger(server.client)["task"] == ""


def test_after_a_kill_the_next_run_takes_over_at_once(connector: Connector, server: Server) -> None:
    running = connector.start([stream()])
    running.send(record(1), state(1))
    running.wait_for_states(1)
    running.kill()
    began = time.monotonic()
    outcome = connector.write([stream()], [record(2), COMPLETE])

    assert outcome.code == 0, outcome.text
    assert time.monotonic() - began < 25  # a lease lasts 30
    assert values(server.client) == [1, 2]
