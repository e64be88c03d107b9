"""Records that cannot be stored (`rejected_records`): each is kept with its reason, or ends the sync."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from integration_tests.support.connector.library import check
from integration_tests.support.connector.process import Connector, Outcome
from integration_tests.support.data_types import HASH, UPSERTING, WHOLE, Shape, columns, settings_for
from integration_tests.support.docs.permissions import FOR_SETTING, FOR_TYPE, LEAST
from integration_tests.support.messages import COMPLETE, Json, dedup, generation, lines, record, state, status, stream
from integration_tests.support.servers.cluster import cluster
from integration_tests.support.servers.server import Server
from integration_tests.support.stored import LEDGER, ledger, rejected, rows, values
from integration_tests.support.waiting import wait_until

KEY = "airbyte:rejected:{default:users}"
COLUMNS: Shape = ("hash", "columns")
SORTED: Shape = ("sorted_set", "columns")
#: Stands for a byte that is not valid UTF-8.
NO_TEXT = "NO TEXT"


@pytest.fixture
def keep(connector: Connector) -> Connector:
    """Return a connector that keeps rejected records; by default it stores hashes in columns."""
    connector.config |= {"rejected_records": "keep", "cache_type": "hash", "record_format": "columns"}
    return connector


def bad(number: int, name: str = "users") -> Json:
    """Return a record that cannot be stored in columns or by primary key: its data is no object."""
    return record(0, name, data=number)


def sent(connector: Connector, streams: list[Json], messages: list[Json]) -> Outcome:
    """Write messages, with invalid text where it is meant."""
    return connector.write_bytes(streams, lines(*messages).replace(NO_TEXT.encode(), b"\xff"))


def row(number: int, at: int = 1, **more: Any) -> Json:
    return record(number, data={"id": number, "at": at, "value": number, **columns(number), **more})


def numbers(server: Server, name: str = "default:users") -> list[int]:
    """Return the data of each rejected record, a number."""
    return [int(entry["_airbyte_data"]) for _, entry in rejected(server.client, name)]


def counts(outcome: Outcome) -> list[tuple[float, float | None]]:
    """Return (records, rejected records) of each state."""
    stats = [each["destinationStats"] for each in outcome.states]
    assert all(isinstance(value, float) for each in stats for value in each.values())
    return [(each["recordCount"], each.get("rejectedRecordCount")) for each in stats]


def ended_well(outcome: Outcome) -> Outcome:
    assert outcome.code == 0, outcome.text
    return outcome


# What cannot be stored, and why.

WIDE = {f"c{number}": number for number in range(4000)}
REASONS: dict[str, tuple[Shape, Json, Json, Any, str]] = {
    "score": (
        SORTED,
        {"score": "points"},
        stream(),
        {"points": "many"},
        "its field points, which score names, is not a number",
    ),
    "columns": (
        ("stream", "columns"),
        {},
        stream(),
        WIDE,
        "it has 4,000 columns, more than one entry of a Redis stream",
    ),
    "no object": (COLUMNS, {}, stream(), [1], "its data cannot be read: Expected `object`, got `array`"),
    "no object, by primary key": (HASH, {}, dedup(), 7, "its data cannot be read: Expected `object`, got `int`"),
    "primary key": (HASH, {}, dedup(), {"id": f"{NO_TEXT}:", "at": 1}, "its data cannot be read: "),
    "empty key": (
        HASH,
        {"record_key": "{key}"},
        dedup(),
        {"id": "", "at": 1},
        "its primary key is empty, and record_key makes that its whole key",
    ),
    "cursor": (HASH, {}, dedup(), {"id": 1, "at": NO_TEXT}, "its data cannot be read: "),
    "value": (("list", "columns"), {"value": "id"}, stream(), 7, "its data cannot be read: Expected `object`"),
}


@pytest.mark.parametrize("case", REASONS)
@pytest.mark.parametrize("refresh", [False, True])
def test_what_cannot_be_stored_is_kept_with_the_reason(
    keep: Connector, server: Server, case: str, refresh: bool
) -> None:
    shape, settings, configured, data, reason = REASONS[case]
    keep.config |= {**settings_for(shape), **settings}
    numbered = generation(3, 3 if refresh else 0, 3)
    good = record(1, data={"id": 1, "at": 1, "value": 1, "points": 1})
    outcome = ended_well(
        sent(keep, [configured | numbered], [good, record(5, data=data), state(2), good, state(3), COMPLETE])
    )
    assert counts(outcome) == [(1.0, 1.0), (1.0, None)]
    ((_, entry),) = rejected(server.client)
    assert entry.pop("_airbyte_reason").startswith(reason)
    text = json.dumps(data).replace(NO_TEXT, "\ufffd")
    if len(text) > 16 * 1024:
        assert entry.pop("_airbyte_data_bytes") == str(len(text))
    assert entry == {
        "_airbyte_emitted_at": "1700000000005",
        "_airbyte_generation_id": "3",
        "_airbyte_data": text[: 16 * 1024],
    }
    assert f"cannot be stored: {reason}" in outcome.text
    assert f"users: 1 records could not be stored and were rejected; see the Redis stream {KEY}" in outcome.text


@pytest.mark.parametrize("case", ["score", "columns", "empty key"])
def test_by_default_it_ends_the_sync_after_what_came_before(connector: Connector, server: Server, case: str) -> None:
    shape, settings, configured, data, reason = REASONS[case]
    connector.config |= {**settings_for(shape), **settings}
    good = record(1, data={"id": 1, "at": 1, "points": 1})
    outcome = connector.write([configured], [good, state(1), record(5, data=data), state(2), COMPLETE])
    assert outcome.error["failure_type"] == "config_error"
    assert outcome.error["message"].startswith(f"A record of the stream users cannot be stored: {reason}")
    assert counts(outcome) == [(1.0, None)]
    assert not server.client.exists(KEY)


# Size

MEGABYTE = 1024 * 1024


@pytest.fixture
def strict(_strict: Server, connector: Connector) -> Server:
    _strict.client.flushall()
    connector.config = {**_strict.config, "rejected_records": "keep"}
    return _strict


@pytest.mark.parametrize(
    ("shape", "mode"),
    [
        *((shape, mode) for shape in WHOLE for mode in ("append", "refresh")),
        *((shape, mode) for shape in UPSERTING for mode in ("append_dedup", "refresh_dedup")),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value),
)
def test_a_record_that_is_too_large_is_kept_in_every_data_type(
    connector: Connector, strict: Server, shape: Shape, mode: str
) -> None:
    connector.config |= settings_for(shape)
    made = dedup() if mode.endswith("dedup") else stream()
    numbered = generation(2, 2, 2) if mode.startswith("refresh") else generation(2, 0, 2)
    large = row(3, text="x" * 1_500_000)
    messages = [row(1), state(1), row(2), large, state(3), large, state(4), row(5), state(5), COMPLETE]
    outcome = ended_well(connector.write([made | numbered], messages))
    assert counts(outcome) == [(1.0, None), (1.0, 1.0), (0.0, 1.0), (1.0, None)]
    if mode.endswith("dedup"):
        assert rows(strict.client, shape=shape).keys() == {"1", "2", "5"}
    else:
        assert values(strict.client, shape=shape) == [1, 2, 5]
    assert [at.rpartition("-")[2] for at, _ in rejected(strict.client)] == ["1", "2"]
    size = len(json.dumps(large["record"]["data"]))
    for _, entry in rejected(strict.client):
        reason = entry.pop("_airbyte_reason")
        assert reason.startswith("one of its values has 1,5")
        assert reason.endswith(" bytes, and proto-max-bulk-len allows 1,048,576")
        key = {"_airbyte_primary_key": '{"id":3}'} if mode.endswith("dedup") else {}
        assert entry == {
            "_airbyte_emitted_at": "1700000000003",
            "_airbyte_generation_id": "2",
            "_airbyte_data": json.dumps(large["record"]["data"])[: 16 * 1024],
            "_airbyte_data_bytes": str(size),
            **key,
        }


@pytest.mark.parametrize("shape", [COLUMNS, ("stream", "columns"), ("json", "columns")])
def test_a_value_as_large_as_the_server_allows_is_stored(connector: Connector, strict: Server, shape: Shape) -> None:
    connector.config |= settings_for(shape)
    size = MEGABYTE if shape[0] != "json" else MEGABYTE - 200
    outcome = ended_well(connector.write([stream()], [row(1, text="x" * size), state(1), COMPLETE]))
    assert counts(outcome) == [(1.0, None)]
    assert not strict.client.exists(KEY)


def test_a_composite_key_is_kept_with_all_its_fields(connector: Connector, strict: Server) -> None:
    large = row(3, at=7, inner={"part": "é"}, text="x" * 1_500_000)
    configured = dedup(primary_key=[["id"], ["inner", "part"]])
    ended_well(connector.write([configured], [large, state(1), COMPLETE]))
    ((_, entry),) = rejected(strict.client)
    assert json.loads(entry["_airbyte_primary_key"]) == {"id": 3, "inner.part": "é"}


# Counts and the cap

GLOBAL: Callable[[int], Json] = lambda number: {  # noqa: E731
    "type": "STATE",
    "state": {"type": "GLOBAL", "global": {"shared_state": {"n": number}, "stream_states": []}},
}


def test_a_state_of_all_streams_counts_the_rejected_records_of_all(keep: Connector, server: Server) -> None:
    streams = [stream(), stream("rows")]
    messages = [row(1), bad(1), bad(2, "rows"), GLOBAL(1), bad(3, "rows"), GLOBAL(2), GLOBAL(3), row(2), GLOBAL(4)]
    outcome = ended_well(keep.write(streams, [*messages, COMPLETE, status("COMPLETE", "rows")]))
    assert counts(outcome) == [(1.0, 2.0), (0.0, 1.0), (0.0, None), (1.0, None)]
    assert (numbers(server), numbers(server, "default:rows")) == ([1], [2, 3])


def test_only_the_newest_are_kept(keep: Connector, server: Server) -> None:
    keep.config |= {"rejected_max_length": 10}
    outcome = ended_well(keep.write([stream()], [*map(bad, range(1000)), state(1), COMPLETE]))
    assert counts(outcome) == [(0.0, 1000.0)]
    assert numbers(server) == list(range(990, 1000))
    ended_well(keep.write([stream()], [*map(bad, range(1000, 1003)), state(1), COMPLETE]))
    assert numbers(server) == list(range(993, 1003))


def test_a_thousand_large_ones_at_once_are_kept_in_their_order(keep: Connector, server: Server) -> None:
    messages = [record(0, data=[number, "x" * 10_000]) for number in range(1000)]
    ended_well(keep.write([stream()], [*messages, state(1), COMPLETE]))
    assert [json.loads(entry["_airbyte_data"])[0] for _, entry in rejected(server.client)] == list(range(1000))


# Generations

MODES: dict[str, tuple[Shape, Json]] = {
    "sequence": (COLUMNS, stream()),
    "primary_key": (HASH, dedup()),
    "collection": (("stream", "columns"), stream()),
}


@pytest.fixture(params=MODES)
def placed(keep: Connector, request: pytest.FixtureRequest) -> Callable[..., Outcome]:
    """Return what syncs a stream in each placement: generation, minimum generation, messages."""
    shape, configured = MODES[request.param]
    keep.config |= settings_for(shape)

    def sync(number: int, minimum: int, *messages: Json) -> Outcome:
        return keep.write([configured | generation(number, minimum, number)], messages)

    return sync


def test_an_append_adds_to_them_and_a_refresh_replaces_them(placed: Callable[..., Outcome], server: Server) -> None:
    ended_well(placed(1, 0, bad(1), row(1), bad(2), state(1), COMPLETE))
    ended_well(placed(1, 0, bad(3), state(1), COMPLETE))
    ended_well(placed(1, 0, row(2), bad(4), state(1), COMPLETE))
    assert numbers(server) == [1, 2, 3, 4]
    failed = placed(2, 2, bad(5), row(3), bad(6), state(1))
    assert failed.code != 0
    assert numbers(server) == [1, 2, 3, 4, 5, 6]
    ended_well(placed(2, 2, row(4), bad(7), state(2), COMPLETE))
    assert numbers(server) == [5, 6, 7]
    ended_well(placed(3, 3, row(5), COMPLETE))
    assert not server.client.exists(KEY)
    assert ledger(server.client)["rejected"] == ledger(server.client)["rejected_sent"] == "7"


def test_those_of_a_refresh_that_was_dropped_are_gone_and_those_of_the_live_records_stay(
    placed: Callable[..., Outcome], server: Server
) -> None:
    ended_well(placed(1, 0, row(1), bad(1), state(1), COMPLETE))
    assert placed(2, 2, bad(2), row(2), bad(3), state(1)).code != 0
    assert placed(3, 3, bad(4), state(1), row(3), bad(5)).code != 0
    assert numbers(server) == [1, 4, 5]
    assert placed(4, 4, row(4)).code != 0
    assert numbers(server) == [1]
    ended_well(placed(4, 4, row(4), bad(6), COMPLETE))
    assert numbers(server) == [6]


def test_those_of_a_cancelled_refresh_stay_with_its_records(placed: Callable[..., Outcome], server: Server) -> None:
    ended_well(placed(1, 0, row(1), bad(1), state(1), COMPLETE))
    assert placed(2, 2, bad(2), row(2), bad(3), state(1), row(3), bad(4)).code != 0
    ended_well(placed(3, 0, row(4), bad(5), state(2), COMPLETE))
    assert numbers(server) == [1, 2, 3, 5]


def test_a_refresh_that_acknowledged_nothing_else_goes_on_with_them(
    placed: Callable[..., Outcome], server: Server
) -> None:
    ended_well(placed(1, 0, row(1), bad(1), state(1), COMPLETE))
    assert counts(placed(2, 2, bad(2), state(1), row(2), bad(3))) == [(0.0, 1.0)]
    assert counts(placed(2, 2, bad(4), state(2))) == [(0.0, 1.0)]
    ended_well(placed(2, 2, row(5), COMPLETE))
    assert numbers(server) == [2, 4]


def test_a_stream_of_nothing_else_is_complete_and_goes_on(placed: Callable[..., Outcome], server: Server) -> None:
    for minimum in (1, 2, 3):
        ended_well(placed(minimum, minimum, bad(1), bad(2), state(1), COMPLETE))
        assert numbers(server) == [1, 2]
    ended_well(placed(3, 0, bad(3), COMPLETE))
    assert counts(ended_well(placed(4, 0, bad(4), row(4), bad(5), state(1), COMPLETE))) == [(1.0, 2.0)]
    assert numbers(server) == [1, 2, 3, 4, 5]


def test_those_that_no_state_covered_are_removed_by_the_next_sync_even_without_the_setting(
    keep: Connector, server: Server
) -> None:
    running = keep.start([stream()])
    running.send(bad(1), row(1), bad(2), state(1))
    running.wait_for_states(1)
    running.send(bad(3), bad(4))
    running.send(row(2))
    wait_until(lambda: len(numbers(server)) == 4)
    running.kill()
    keep.config["rejected_records"] = "fail"
    ended_well(keep.write([stream()], [row(3), COMPLETE]))
    assert numbers(server) == [1, 2]
    keep.config["rejected_records"] = "keep"
    ended_well(keep.write([stream()], [bad(5), COMPLETE]))
    assert [at.rpartition("-")[2] for at, _ in rejected(server.client)] == ["1", "2", "5"]


def test_a_state_that_covers_a_rejected_record_alone_is_committed(keep: Connector, server: Server) -> None:
    running = keep.start([stream()])
    for number in range(1, 4):
        running.send(bad(number), state(number))
        running.wait_for_states(number)
        assert ledger(server.client)["rejected"] == str(number)
    running.kill()
    ended_well(keep.write([stream()], [row(1), COMPLETE]))
    assert numbers(server) == [1, 2, 3]


# What else may happen to the keys


def test_entries_that_a_consumer_deletes_do_no_harm(keep: Connector, server: Server) -> None:
    running = keep.start([stream()])
    running.send(bad(1), bad(2), state(1))
    running.wait_for_states(1)
    server.client.delete(KEY)
    running.send(bad(3), state(2), COMPLETE)
    ended_well(running.finish())
    assert numbers(server) == [3]


def test_those_of_a_ledger_that_is_gone_do_no_harm(keep: Connector, server: Server) -> None:
    ended_well(keep.write([stream()], [*map(row, range(1, 9)), bad(1), bad(2), COMPLETE]))
    server.client.delete(LEDGER, "default:users")
    ended_well(keep.write([stream()], [bad(3), row(1), bad(4), COMPLETE]))
    assert numbers(server) == [3, 4]


@pytest.mark.parametrize("setting", ["keep", "fail"])
def test_those_of_a_ledger_that_is_gone_are_removed_by_the_next_sync_whatever_it_rejects(
    placed: Callable[..., Outcome], keep: Connector, server: Server, setting: str
) -> None:
    ended_well(placed(1, 0, row(1), bad(1), state(1), bad(2), COMPLETE))
    server.client.delete(LEDGER, "default:users")
    rules = [*LEAST.split()[3:], *FOR_TYPE["stream"].split()]  # nothing that rejected records need
    server.client.execute_command("ACL", "SETUSER", "airbyte", "reset", *rules)
    keep.config |= {"rejected_records": setting, "username": "airbyte", "password": "password"}
    try:
        ended_well(placed(2, 0, row(2), state(2), COMPLETE))
    finally:
        server.client.execute_command("ACL", "DELUSER", "airbyte")
    assert not server.client.exists(KEY)


@pytest.mark.parametrize("again", [[], [bad(3), bad(4)]])
def test_a_refresh_after_a_loss_removes_those_from_before_it(
    placed: Callable[..., Outcome], keep: Connector, server: Server, again: list[Json]
) -> None:
    ended_well(placed(1, 0, row(1), state(1), COMPLETE))
    running = keep.start([stream(**generation(1, 0, 1))] if placed_by_id(server) else [dedup(**generation(1, 0, 1))])
    running.send(bad(1), bad(2), row(2))
    wait_until(lambda: len(numbers(server)) == 2)
    server.client.delete(LEDGER)
    running.send(row(3), state(3), COMPLETE)
    outcome = running.finish()
    assert "refresh" in outcome.error["message"], outcome.text
    assert numbers(server) == [1, 2]
    assert placed(1, 0, row(2), COMPLETE).code != 0
    assert placed(2, 2, row(2), *again, state(2)).code != 0
    ended_well(placed(2, 2, row(3), COMPLETE))
    assert numbers(server) == [int(each["record"]["data"]) for each in again]


def placed_by_id(server: Server) -> bool:
    """Return whether the stream's records are not kept by their primary key."""
    return ledger(server.client)["placement"] != "primary_key"


def test_a_failover_that_lost_an_acknowledged_one_asks_for_a_refresh(keep: Connector, server: Server) -> None:
    running = keep.start([stream(**generation(1, 0, 1))])
    running.send(bad(1), state(1))
    running.wait_for_states(1)
    older = {key: server.client.dump(key) for key in (KEY, LEDGER)}
    running.send(bad(2), state(2))
    running.wait_for_states(2)
    for key, content in older.items():  # as on a replica that was behind
        server.client.restore(key, 0, content, replace=True)  # type: ignore[arg-type]
    server.client.client_kill_filter(_type="normal", skipme=True)
    running.send(bad(3), state(3), COMPLETE)
    outcome = running.finish()
    assert outcome.error["failure_type"] == "config_error", outcome.text
    assert "refresh" in outcome.error["message"]
    assert len(outcome.states) == 2
    assert keep.write([stream(**generation(1, 0, 1))], [bad(3), COMPLETE]).code != 0
    ended_well(keep.write([stream(**generation(2, 2, 2))], [bad(1), bad(2), bad(3), COMPLETE]))
    assert numbers(server) == [1, 2, 3]


def test_a_failover_that_lost_others_asks_for_another_run(keep: Connector, server: Server) -> None:
    running = keep.start([stream(**generation(1, 0, 1))])
    running.send(bad(1), state(1))
    running.wait_for_states(1)
    older = {key: server.client.dump(key) for key in (KEY, LEDGER)}
    running.send(bad(2))
    wait_until(lambda: len(numbers(server)) == 2)
    for key, content in older.items():
        server.client.restore(key, 0, content, replace=True)  # type: ignore[arg-type]
    server.client.client_kill_filter(_type="normal", skipme=True)
    running.send(bad(3), state(3), COMPLETE)
    outcome = running.finish()
    assert outcome.error["failure_type"] == "transient_error", outcome.text
    assert len(outcome.states) == 1
    ended_well(keep.write([stream(**generation(1, 0, 1))], [bad(2), bad(3), COMPLETE]))
    assert numbers(server) == [1, 2, 3]


def test_a_soft_deletion_that_is_rejected_deletes_nothing(keep: Connector, server: Server) -> None:
    keep.config["deletion_mode"] = "soft"
    deletion = record(0, data={"id": 1, "text": f"\n{NO_TEXT}", "_ab_cdc_deleted_at": "now"})
    ended_well(sent(keep, [dedup()], [row(1, at=5, value=5), deletion, row(1, at=3, value=3), state(1), COMPLETE]))
    assert len(rejected(server.client)) == 1
    assert server.client.hget("default:users:1", "at") == b"5"


def test_no_memory_for_a_rejected_record_is_no_reason_to_lose_it(keep: Connector, server: Server) -> None:
    running = keep.start([stream()])
    running.send(bad(1), state(1))
    running.wait_for_states(1)
    server.client.config_set("maxmemory", 1)
    try:
        running.send(bad(2), state(2))
        running.send(bad(3), state(3), COMPLETE)
    finally:
        server.client.config_set("maxmemory", 0)
    outcome = ended_well(running.finish())
    assert counts(outcome) == [(0.0, 1.0)] * 3
    assert numbers(server) == [1, 2, 3]


@pytest.mark.parametrize("command", ["+xadd", "+xrange", "+xdel"])
def test_check_misses_each_of_the_permissions(keep: Connector, server: Server, command: str) -> None:
    rules = [*LEAST.split()[3:], *FOR_SETTING["rejected_records"].split()]
    config = {**keep.config, "username": "airbyte", "password": "password"}
    try:
        server.client.execute_command("ACL", "SETUSER", "airbyte", "reset", *rules)
        assert check(config) is None
        keep.config = config
        ended_well(keep.write([stream(**generation(1, 0, 1))], [bad(1), row(1), state(1), COMPLETE]))
        assert keep.write([stream(**generation(2, 2, 2))], [bad(2), row(2), state(1), bad(3)]).code != 0
        ended_well(keep.write([stream(**generation(3, 3, 3))], [bad(4), row(2), state(1), COMPLETE]))
        assert numbers(server) == [4]
        rules.remove(command)
        server.client.execute_command("ACL", "SETUSER", "airbyte", "reset", *rules)
        assert f"no permission for the command {command[1:].upper()}" in str(check(config))
    finally:
        server.client.execute_command("ACL", "DELUSER", "airbyte")


def test_they_are_in_the_slot_of_the_ledger_in_a_cluster(connector: Connector) -> None:
    names = [f"s{number}" for number in range(6)]
    with cluster() as nodes:
        connector.config = {**nodes.config, "record_format": "columns", "rejected_records": "keep"}
        for number in (1, 2):
            streams = [stream(name, **generation(number, number, number)) for name in names]
            messages = [bad(10 * number + n, name) for n in range(3) for name in names]
            good = [record(n, name) for n in range(3) for name in names]
            ends = [status("COMPLETE", name) for name in names]
            outcome = ended_well(connector.write(streams, [*messages, *good, *messages, GLOBAL(1), *ends]))
            assert counts(outcome) == [(18.0, 36.0)]
            with nodes.client() as client:
                found: Any = client
                for name in names:
                    entries = [int(entry["_airbyte_data"]) for _, entry in rejected(found, f"default:{name}")]
                    assert entries == [10 * number + n for n in range(3)] * 2


def test_a_large_row_that_is_deleted_is_not_rejected_for_its_size(keep: Connector, server: Server) -> None:
    server.client.config_set("proto-max-bulk-len", "1mb")
    large = {"id": 1, "at": 2, "blob": "x" * 1_100_000, "_ab_cdc_deleted_at": "2024-01-01"}
    outcome = ended_well(sent(keep, [dedup()], [record(1, data={"id": 1, "at": 1}), state(1), COMPLETE]))
    outcome = ended_well(sent(keep, [dedup()], [record(2, data=large), state(2), COMPLETE]))
    assert counts(outcome) == [(1.0, None)]
    assert not server.client.exists("default:users:1")


def test_a_cursor_that_is_too_large_as_hexadecimal_text_is_rejected(keep: Connector, server: Server) -> None:
    server.client.config_set("proto-max-bulk-len", "1mb")
    good, large = {"id": 1, "at": "a"}, {"id": 2, "at": "x" * 600_000}
    outcome = ended_well(
        sent(keep, [dedup(schema={})], [record(1, data=good), record(2, data=large), state(2), COMPLETE])
    )
    assert counts(outcome) == [(1.0, 1.0)]
    assert server.client.exists("default:users:1")
    assert not server.client.exists("default:users:2")


EMPTY: Json = {"record_key": "{key}", "rejected_records": "keep"}


@pytest.mark.parametrize("replaces", [False, True], ids=["live", "staged"])
def test_a_record_and_a_deletion_without_any_key_are_rejected_in_a_cluster_too(
    connector: Connector, *, replaces: bool
) -> None:
    deleted = {"_ab_cdc_deleted_at": "2024-01-01"}
    messages = [record(1, data={"id": key, "at": 1, **more}) for key in ("", "a", "b") for more in ({}, deleted)]
    streams = [dedup(**generation(2, 2 if replaces else 0, 2))]
    with cluster() as nodes, nodes.client() as client:
        connector.config = {**nodes.config, **EMPTY}
        assert counts(ended_well(connector.write(streams, [*messages, state(1), COMPLETE]))) == [(4.0, 2.0)]
        connector.config["rejected_records"] = "fail"
        outcome = connector.write(streams, messages[1:])
        assert outcome.error["failure_type"] == "config_error"
        assert "cannot be stored: its primary key is empty" in outcome.error["message"]
        assert not client.exists("")


def test_a_deletion_without_any_key_leaves_no_floor_and_no_tombstone(connector: Connector, server: Server) -> None:
    connector.config |= EMPTY
    server.client.set("", "of the application")
    deleted = [record(1, data={"id": "", "at": at, "_ab_cdc_deleted_at": "now"}) for at in (None, 1)]
    outcome = ended_well(connector.write([dedup()], [*deleted, row(1), state(1), COMPLETE]))
    assert counts(outcome) == [(1.0, 2.0)]
    assert rows(server.client, "", {"1"}) == {"1": 1}
    assert server.client.get("") == b"of the application"
    assert server.client.keys("airbyte:tombstone:*") == []
    assert ledger(server.client)["deletes"] == "0"


@pytest.mark.parametrize("settings", [{"record_key": "{key}", "key_prefix": "p"}, {"record_key": "{key}."}, {}])
def test_an_empty_primary_key_has_a_key_where_the_template_or_the_prefix_has_any_text(
    connector: Connector, server: Server, settings: Json
) -> None:
    connector.config |= settings
    outcome = ended_well(connector.write([dedup()], [record(1, data={"id": "", "at": 1}), state(1), COMPLETE]))
    assert counts(outcome) == [(1.0, None)]
    key = settings.get("key_prefix", "") + settings.get("record_key", "default:users:{key}").replace("{key}", "")
    assert server.client.hget(key, "_airbyte_ab_id") is not None
