"""A merge and a drop of staged records that were cut off midway: the next run, whatever it is for, finishes them."""

import signal
from collections.abc import Iterator

import pytest
from redis import Redis

from integration_tests.support.connector.process import Connector
from integration_tests.support.messages import COMPLETE, Json, generation, record, state, stream
from integration_tests.support.servers.server import SERVERS, Server, running
from integration_tests.support.stored import LEDGER, ledger, values
from integration_tests.support.waiting import wait_until

Command = tuple[str | int, ...]

OLD, STAGED = [-2, -1], [1, 2, 3]


@pytest.fixture(scope="module", params=SERVERS)
def _server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.param) as server:
        yield server


@pytest.fixture(scope="module")
def _cancelled(_server: Server, tmp_path_factory: pytest.TempPathFactory) -> dict[bytes, bytes]:
    """Return every key, dumped, as a refresh leaves them that had all its records acknowledged and never ended."""
    connector = Connector(_server.config, tmp_path_factory.mktemp("cancelled"))
    connector.write([stream(**generation(1, 0, 1))], [*map(record, OLD), COMPLETE])
    connector.write([stream(**generation(2, 2, 2))], [*map(record, STAGED), state(3)])
    assert values(_server.client) == OLD
    return {key: _server.client.dump(key) for key in _server.client.scan_iter()}  # type: ignore[misc]


@pytest.fixture
def cancelled(server: Server, _cancelled: dict[bytes, bytes], connector: Connector) -> Connector:
    for key, content in _cancelled.items():
        server.client.restore(key, 0, content)
    assert len(server.client.keys("airbyte:tmp:*")) == len(STAGED)
    return connector


def staged(client: Redis) -> list[int]:
    """Return the ids of the staged records that the ledger knows."""
    held = ledger(client)
    return list(range(int(held["staged_first"]), int(held["staged_committed"]) + 1))


@pytest.mark.parametrize("commands", [1, 3])
def test_a_merge_cut_off_after_any_command_is_finished_by_an_append(
    cancelled: Connector, server: Server, commands: int
) -> None:
    begin_merge(server.client, commands)
    outcome = cancelled.write([stream(**generation(3, 0, 5))], [record(4), COMPLETE])

    assert outcome.code == 0, outcome.text
    assert values(server.client) == [*OLD, *STAGED, 4]
    is_tidy(server.client)


def test_a_merge_cut_off_midway_is_finished_by_another_refresh_before_it_begins(
    cancelled: Connector, server: Server
) -> None:
    begin_merge(server.client, 2)
    refresh = [stream(**generation(4, 4, 5))]
    failed = cancelled.write(refresh, [record(4), state(4)])

    assert failed.code != 0
    assert values(server.client) == [*OLD, *STAGED]

    outcome = cancelled.write(refresh, [record(5), COMPLETE])
    assert outcome.code == 0, outcome.text
    assert values(server.client) == [4, 5]
    is_tidy(server.client)


@pytest.mark.parametrize(
    ("commands", "next_run", "left"),
    [
        (1, generation(5, 0, 6), [*OLD, 4]),  # an append
        (3, generation(5, 0, 6), [*OLD, 4]),
        (2, generation(3, 3, 3), [4]),  # the refresh that was dropping, tried again
        (3, generation(4, 4, 5), [4]),  # one more refresh
    ],
)
def test_a_drop_cut_off_midway_is_finished_by_the_next_run(
    cancelled: Connector, server: Server, commands: int, next_run: Json, left: list[int]
) -> None:
    begin_drop(server.client, commands)
    outcome = cancelled.write([stream(**next_run)], [record(4), COMPLETE])

    assert outcome.code == 0, outcome.text
    assert values(server.client) == left
    is_tidy(server.client)


def test_a_promotion_whose_server_lost_acknowledged_records_in_the_midst_of_it_does_not_count_as_complete(
    cancelled: Connector, server: Server
) -> None:
    # As a writer leaves it that found so on its next connection.
    server.client.hset(LEDGER, mapping={"task": "promote", "lost": 1})
    first = staged(server.client)[0]
    server.client.rename(f"airbyte:tmp:{{default:users:{first}}}", f"default:users:{first}")
    server.client.delete(f"airbyte:tmp:{{default:users:{first + 1}}}")
    for next_run in (generation(2, 2, 2), generation(3, 0, 3)):
        refused = cancelled.write([stream(**next_run)], [COMPLETE])
        assert refused.error["failure_type"] == "config_error", refused.text
        assert "refresh" in refused.error["message"]

    refreshed = cancelled.write([stream(**generation(3, 3, 4))], [record(4), COMPLETE])
    assert refreshed.code == 0, refreshed.text
    assert values(server.client) == [4]
    is_tidy(server.client)
    assert ledger(server.client)["lost"] == "0"


def begin_merge(client: Redis, commands: int) -> None:
    """Run the first commands of the merge that a sync without a refresh begins with."""
    steps: list[Command] = [("HSET", LEDGER, "task", "merge")]
    steps += [("RENAME", f"airbyte:tmp:{{default:users:{i}}}", f"default:users:{i}") for i in staged(client)]
    for step in steps[:commands]:
        client.execute_command(*step)


def begin_drop(client: Redis, commands: int) -> None:
    """Run the first commands of the drop that another refresh, of generation 3, begins with."""
    held, ids = ledger(client), staged(client)
    top = int(held["reserved"])
    changes: dict[str, int] = {
        "reserved": top + 256,
        "staged_first": top + 1,
        "staged_committed": top,
        "staged_generation": 3,
        "staged_sync_id": 3,
        "drop_first": ids[0],
        "drop_last": ids[-1],
    }
    steps: list[Command] = [("HSET", LEDGER, *(part for change in changes.items() for part in change))]
    steps += [("UNLINK", f"airbyte:tmp:{{default:users:{i}}}") for i in ids]
    for step in steps[:commands]:
        client.execute_command(*step)


def is_tidy(client: Redis) -> None:
    """See that nothing is staged any more, neither as keys nor in the ledger."""
    assert client.keys("airbyte:tmp:*") == []
    held = ledger(client)
    assert [held[name] for name in ("task", "staged_first", "drop_first", "drop_last")] == ["", "0", "0", "0"]
    assert held["reserved"] == held["committed"]


def test_a_sync_asked_to_end_while_it_promotes_and_its_server_is_away_is_finished_by_the_next_run(
    connector: Connector, server: Server
) -> None:
    records = 100_000
    connector.write([stream(**generation(1, 0, 1))], [*map(record, OLD), COMPLETE])
    refresh = [stream(**generation(2, 2, 2))]
    connector.write(refresh, [*map(record, range(1, records + 1)), state(records)])
    promoting = connector.start(refresh)
    promoting.send(COMPLETE)
    assert promoting.process.stdin
    promoting.process.stdin.close()
    wait_until(lambda: ledger(server.client)["task"] == "promote")
    first = f"airbyte:tmp:{{default:users:{ledger(server.client)['staged_first']}}}"
    wait_until(lambda: not server.client.exists(first))
    server.stop()
    promoting.process.send_signal(signal.SIGTERM)
    outcome = promoting.ended()
    server.start()

    assert outcome.code > 0, outcome.text
    assert outcome.error["failure_type"] == "transient_error"
    assert 0 < len(server.client.keys("airbyte:tmp:*")) < records
    assert server.client.exists(*(f"default:users:{number}" for number in (1, 2))) == 2
    finished = connector.write([stream(**generation(3, 0, 3))], [record(records + 1), COMPLETE])
    assert finished.code == 0, finished.text
    ids = sorted(int(key.decode().rsplit(":", 1)[1]) for key in server.client.scan_iter("default:users:*", 1000))
    reading = server.client.pipeline(transaction=False)
    for number in ids:
        reading.hget(f"default:users:{number}", "_airbyte_data")
    assert reading.execute() == [b'{"id": %d}' % number for number in range(1, records + 2)]
    is_tidy(server.client)
