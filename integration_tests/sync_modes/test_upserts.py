"""append_dedup: one key per primary key, upserts that only go forward, deletions that stay."""

import json
import threading
from typing import Any

import pytest
from redis import Redis

from integration_tests.support.connector.process import Connector
from integration_tests.support.messages import COMPLETE, Json, dedup, generation, record, state, status, stream
from integration_tests.support.project import FIELD_CASES
from integration_tests.support.servers.server import Server
from integration_tests.support.stored import ledger, rows, values

INTEGER = {"type": "integer"}
INSTANT = {"type": "string", "format": "date-time"}
CDC = {"properties": {"id": INTEGER, "at": INTEGER, "_ab_cdc_deleted_at": {"type": ["null", "string"]}}}


def row(number: Any, at: Any = None, value: Any = None, **more: Any) -> Json:
    message = record(0)
    message["record"]["data"] = {"id": number, "at": at, "value": value, **more}
    return message


def deleted(number: Any, at: Any) -> Json:
    return row(number, at, _ab_cdc_deleted_at="2024-01-01T00:00:00Z")


def keys(client: Redis, prefix: str = "default:users:") -> set[str]:
    return {key.decode().removeprefix(prefix) for key in client.scan_iter(f"{prefix}*")}


def test_the_key_is_the_primary_key_and_the_newest_record_stays(connector: Connector, server: Server) -> None:
    first = [row(42, 5, "new"), row(42, 4, "old"), row(7, 1, "a"), row(7, 1, "b"), row(8, None, "null"), COMPLETE]
    assert connector.write([dedup()], first).code == 0
    assert rows(server.client) == {"42": "new", "7": "b", "8": "null"}

    second = [row(42, 3, "older"), row(7, None, "null"), row(8, 0, "any"), COMPLETE]
    assert connector.write([dedup()], second).code == 0
    assert rows(server.client) == {"42": "new", "7": "b", "8": "any"}
    fields = server.client.hgetall("default:users:42")
    assert set(fields) == {
        b"_airbyte_ab_id",
        b"_airbyte_emitted_at",
        b"_airbyte_data",
        b"_airbyte_cursor",
    }


@pytest.mark.parametrize("value", ["x", 1])
def test_keys_are_told_apart_whatever_they_hold(connector: Connector, server: Server, value: object) -> None:
    parts = ["a:b", "a", "{tag}", "100%", "%null", None, "", "ein Raum", "日本", "*?[x]", True, 1.5, 10**30, 'quote"\\']
    streams = [dedup(primary_key=[["id"], ["deep", "part"]])]
    messages = [row(part, 1, index, deep={"part": value}) for index, part in enumerate(parts)]
    assert connector.write(streams, [*messages, row("b", 1, "missing"), COMPLETE]).code == 0

    plain = ["a", "ein Raum", "日本", "*?[x]", "true", "1.5", str(10**30), 'quote"\\', ""]
    escaped = ["a%3Ab", "%7Btag%7D", "100%25", "%25null", "%null"]
    assert keys(server.client) == {*(f"{name}:{value}" for name in plain + escaped), "b:%null"}
    assert sorted(map(str, rows(server.client).values())) == sorted([*map(str, range(len(parts))), "missing"])
    assert rows(server.client)[f"a%3Ab:{value}"] == 0


@pytest.mark.parametrize(
    ("schema", "low", "high"),
    [
        (INTEGER, 9, 10**30),
        ({"type": "number"}, 1.1, 1.25),
        (INSTANT, "2024-02-29T01:00:00+02:00", "2024-02-29T00:00:00Z"),
        (INSTANT, "Thu, 29 Feb 2024 12:00:00 GMT", "20240229T120001Z"),
        (INSTANT, "2024-02-29T12:00:00+01:00[Europe/Paris]", "2024-02-29T12:00Z[UTC]"),
        (INSTANT, "-infinity", "4713-01-01 00:00:00 BC"),
        (INSTANT, "294276-12-31 23:59:59.999999+00", "infinity"),
        (INSTANT, 1709208000000, "1970-01-01T00:00:00Z"),
        ({"type": "string", "format": "date"}, "2024-02-29", "2024-03-01"),
        ({"type": "string", "format": "time"}, "23:59:59.999", "24:00:00"),
        ({"type": "number"}, "-Infinity", -1e300),
        ({"type": "number"}, 1e300, "Infinity"),
        ({"type": "boolean"}, False, True),
        ({"type": "string"}, "0000-00-00", "2024-03-01"),
        ({}, True, "any text"),
        ({"type": "string"}, "10", "9"),
        ({"type": "string", "airbyte_type": "big_integer"}, "9", "10"),
    ],
)
def test_cursors_compare_as_the_schema_says(
    connector: Connector, server: Server, schema: Json, low: object, high: object
) -> None:
    streams = [dedup(schema={"properties": {"at": schema}})]
    messages = [row(1, high, "new"), row(1, low, "old"), row(2, low, "old"), row(2, high, "new"), COMPLETE]
    assert connector.write(streams, messages).code == 0
    assert rows(server.client) == {"1": "new", "2": "new"}


@pytest.mark.parametrize(
    ("schema", "good", "unreadable"),
    [
        (INSTANT, "2024-05-01T10:00:00Z", ["0000-00-00", "2024-02-30", "", "not a date", "1714557600", True, {}]),
        (INSTANT, "-infinity", ["0000-00-00T00:00:00Z"]),
        (INSTANT, -1, ["2023-02-29"]),
        ({"type": "string", "format": "time"}, "00:00:00", ["25:00:00", "838:59:59"]),
        (INTEGER, -(10**30), ["NaN", "", "12a", True, False, [1]]),
        ({"type": "number"}, "-Infinity", ["NaN", "2024-05-01"]),
    ],
)
def test_a_cursor_that_cannot_be_read_counts_as_null_which_is_said_once_without_the_value(
    connector: Connector, server: Server, schema: Json, good: object, unreadable: list[object]
) -> None:
    streams = [dedup(schema={"properties": {"at": schema}})]
    messages = []
    for number, value in enumerate(unreadable):
        messages += [row(f"{number} first", value, "old"), row(f"{number} first", good, "new")]
        messages += [row(f"{number} last", good, "new"), row(f"{number} last", value, "old")]
        messages += [row(f"{number} null", value, "old"), row(f"{number} null", None, "new")]
        messages += [row(f"{number} too", None, "old"), row(f"{number} too", value, "new")]
        messages += [row(f"{number} later", value, "old")]
    outcome = connector.write(streams, [*messages, COMPLETE])
    assert outcome.code == 0, outcome.text
    assert outcome.text.count("cursor field (at)") == 1
    assert "A record of the stream users has a value in its cursor field (at) that is not a " in outcome.text
    assert not [value for value in unreadable if isinstance(value, str) and value and value in outcome.text]

    numbers = range(len(unreadable))
    again = connector.write(streams, [*(row(f"{number} later", good, "new") for number in numbers), COMPLETE])
    assert "cursor field" not in again.text
    ends = ("first", "last", "null", "too", "later")
    assert rows(server.client) == {f"{number} {end}": "new" for number in numbers for end in ends}


def test_each_stream_is_warned_of_and_null_is_no_reason(connector: Connector, server: Server) -> None:
    names = ["a", "b", "c"]
    streams = [dedup(name, schema={"properties": {"deep": {"properties": {"at": INSTANT}}}}) for name in names]
    for configured in streams:
        configured["cursor_field"] = ["deep", "at"]
    messages = []
    for name, at in (("a", "0000-00-00"), ("b", "0000-00-00"), ("c", None), ("a", "2024-02-30")):
        message = row(1, deep={"at": at})
        message["record"]["stream"] = name
        messages.append(message)
    ends = [status("COMPLETE", name) for name in names]
    outcome = connector.write(streams, [*messages, *ends])
    assert outcome.code == 0, outcome.text
    said = [name for name in names if f"the stream {name} has a value in its cursor field (deep.at)" in outcome.text]
    assert said == ["a", "b"]
    assert outcome.text.count("cursor field") == 2
    assert server.client.exists("default:c:1") == 1


def test_a_row_whose_date_was_zero_once_ends_with_its_real_one(connector: Connector, server: Server) -> None:
    case = FIELD_CASES / "zero-date-cursor"
    streams = json.loads((case / "catalog.json").read_text())["streams"]
    outcome = connector.write_bytes(streams, (case / "messages.jsonl").read_bytes())
    assert outcome.code == 0, outcome.text
    data = json.loads(server.client.hget("default:t:1", "_airbyte_data"))  # type: ignore[arg-type]
    assert data == {"id": 1, "updated_at": "2024-05-01T10:00:00Z", "v": "new"}
    assert outcome.text.count("cursor field (updated_at)") == 1
    assert "0000-00-00" not in outcome.text


def test_another_cursor_field_makes_what_was_written_by_the_old_one_older(connector: Connector, server: Server) -> None:
    connector.write([dedup()], [row(1, 100, "by at"), COMPLETE])
    by_version = dedup(cursor_field=["version"])
    connector.write([by_version], [row(1, 0, "by version", version=1), COMPLETE])
    assert rows(server.client) == {"1": "by version"}
    connector.write([by_version], [row(1, 999, "late", version=0), COMPLETE])
    assert rows(server.client) == {"1": "by version"}
    connector.write([dedup(cursor_field=[])], [row(1, 0, "by arrival"), row(1, 0, "last"), COMPLETE])
    assert rows(server.client) == {"1": "last"}


def test_a_catalog_without_a_primary_key_is_refused_and_names_the_stream(connector: Connector) -> None:
    outcome = connector.write([dedup(primary_key=[])], [COMPLETE])
    assert outcome.error["failure_type"] == "config_error"
    assert "users" in outcome.error["message"]
    assert "primary key" in outcome.error["message"]


def test_records_without_any_value_in_the_primary_key_are_one_row_and_that_is_said_once(
    connector: Connector, server: Server
) -> None:
    streams = [dedup(primary_key=[["ID"], ["deep", "part"]])]  # the records have an "id"
    outcome = connector.write(streams, [row(1, 1, "a"), row(2, 2, "b"), COMPLETE])
    assert outcome.code == 0, outcome.text
    assert rows(server.client) == {"%null:%null": "b"}
    said = "A record of the stream users has no value in its primary key (ID, deep.part): all such records are one row"
    assert outcome.text.count(said) == 1
    others = connector.write(
        [dedup("others", primary_key=[["id"], ["at"]])], [record(1, "others"), status("COMPLETE", "others")]
    )
    assert others.code == 0, others.text
    assert "no value" not in others.text  # one part of it is there


def test_a_source_defined_primary_key_will_do(connector: Connector, server: Server) -> None:
    configured = dedup(primary_key=[])
    configured["stream"]["source_defined_primary_key"] = [["id"]]
    assert connector.write([configured], [row(1, 1, "a"), COMPLETE]).code == 0
    assert rows(server.client) == {"1": "a"}


def test_deletions_keep_the_order_of_the_writes_around_them(connector: Connector, server: Server) -> None:
    streams = [dedup(schema=CDC)]
    messages = [
        *(row(1, 1, "a"), deleted(1, 2), row(1, 3, "again")),
        *(row(2, 1, "a"), deleted(2, 5), row(2, 4, "late")),
        *(row(3, 5, "stays"), deleted(3, 4)),
        deleted(4, 1),
        *(row(5, 1, "a"), deleted(5, 2)),
        COMPLETE,
    ]
    assert connector.write(streams, messages).code == 0
    assert rows(server.client) == {"1": "again", "3": "stays"}

    later = [row(2, 4, "late"), row(5, 1, "a"), row(4, 2, "new"), deleted(1, 2), COMPLETE]
    assert connector.write(streams, later).code == 0
    assert rows(server.client) == {"1": "again", "3": "stays", "4": "new"}
    assert 0 < server.client.ttl("airbyte:tombstone:{default:users:2}") <= 86_400
    assert server.client.exists("airbyte:tombstone:{default:users:4}") == 0


def test_a_deletion_the_schema_does_not_announce_counts_all_the_same(connector: Connector, server: Server) -> None:
    streams = [dedup(schema={"properties": {"id": INTEGER, "at": INTEGER}})]
    connector.write(streams, [row(1, 1, "a"), deleted(1, 3), row(1, 2, "late"), COMPLETE])
    assert rows(server.client) == {}
    connector.write(streams, [row(1, 2, "late"), row(2, 1, "b"), COMPLETE])
    assert rows(server.client) == {"2": "b"}


def test_a_soft_deletion_keeps_the_row_as_a_record(connector: Connector, server: Server) -> None:
    connector.config["deletion_mode"] = "soft"
    connector.write([dedup(schema=CDC)], [row(1, 1, "a"), deleted(1, 2), row(1, 1, "late"), COMPLETE])
    data = json.loads(server.client.hget("default:users:1", "_airbyte_data"))  # type: ignore[arg-type]
    assert data["_ab_cdc_deleted_at"] == "2024-01-01T00:00:00Z"
    assert server.client.keys("airbyte:tombstone:*") == []


def test_a_reader_sees_every_record_whole_and_never_missing_while_it_is_replaced(
    connector: Connector, server: Server
) -> None:
    connector.write([dedup()], [row(1, -1, -1), COMPLETE])
    changes = {"changes": [{"field": "x", "change": "NULLED", "reason": "SOURCE_RETRIEVAL_ERROR"}]}
    messages = []
    for number in range(20_000):
        message = row(1, number, number)
        if number % 2:  # so that the fields of one record and the next differ
            message["record"]["meta"] = changes
        messages.append(message)
    running = connector.start([dedup()])
    feeder = threading.Thread(target=running.send, args=(*messages, COMPLETE))
    feeder.start()
    seen: list[int] = []
    while feeder.is_alive() or not seen or seen[-1] < len(messages) - 1:
        assert running.process.poll() is None  # it waits for the end of its input
        fields: dict[bytes, bytes] = server.client.hgetall("default:users:1")  # type: ignore[assignment]
        value = json.loads(fields[b"_airbyte_data"])["value"]
        assert len(fields) == (5 if value % 2 == 1 and value >= 0 else 4)
        seen.append(value)
    assert running.finish().code == 0
    feeder.join()

    assert seen == sorted(seen)
    assert len(set(seen)) > 20


def test_a_replaced_record_leaves_no_field_behind(connector: Connector, server: Server) -> None:
    first = row(1, 1, "a")
    first["record"]["meta"] = {"changes": [{"field": "x", "change": "NULLED", "reason": "SOURCE_RETRIEVAL_ERROR"}]}
    connector.write([dedup()], [first, COMPLETE])
    assert server.client.hexists("default:users:1", "_airbyte_meta")
    connector.write([dedup()], [row(1, 2, "b"), COMPLETE])
    assert not server.client.hexists("default:users:1", "_airbyte_meta")


def test_data_that_is_no_object_stops_the_sync_with_its_stream_and_line(connector: Connector, server: Server) -> None:
    wrong = row(1)
    wrong["record"]["data"] = ["secret"]
    outcome = connector.write([dedup()], [row(5, 1, "a"), wrong, COMPLETE])
    assert outcome.error["failure_type"] == "config_error"
    says = "A record of the stream users cannot be stored: its data cannot be read (line 2 of the input)"
    assert says in outcome.text
    assert "secret" not in outcome.text
    assert rows(server.client) == {"5": "a"}


def test_a_refresh_drops_what_is_not_sent_again_once_it_is_complete(connector: Connector, server: Server) -> None:
    connector.write([dedup(schema=CDC)], [row(1, 100, "old"), row(2, 100, "old"), row(3, 1, "old"), COMPLETE])
    server.client.set("default:users:2:cart", "mine")
    server.client.set("default:users:9", "mine too")
    server.client.hset("default:users:8", "mine", "three")
    streams = [dedup(schema=CDC, **generation(2, 2, 2))]

    running = connector.start(streams)
    running.send(row(1, 5, "new"), row(1, 4, "older"), row(3, 1, "x"), deleted(3, 2), row(4, 1, "new"), state(1))
    running.wait_for_states(1)
    assert rows(server.client, only={"1", "2", "3"}) == {"1": "old", "2": "old", "3": "old"}
    running.send(COMPLETE)
    assert running.finish().code == 0

    assert keys(server.client) == {"1", "4", "2:cart", "9", "8"}
    assert rows(server.client, only={"1", "4"}) == {"1": "new", "4": "new"}
    assert server.client.keys("airbyte:tmp:*") == []
    # The deletion is remembered from the promotion on, in the order of the new generation.
    connector.write([dedup(schema=CDC, **generation(2, 0, 3))], [row(3, 1, "late"), row(2, 1, "back"), COMPLETE])
    assert rows(server.client, only={"2", "3"}) == {"2": "back"}


def test_an_interrupted_refresh_goes_on_and_a_cancelled_one_is_merged_in_order(
    connector: Connector, server: Server
) -> None:
    connector.write([dedup(schema=CDC)], [row(1, 9, "live"), row(2, 1, "live"), row(3, 1, "live"), COMPLETE])
    streams = [dedup(schema=CDC, **generation(2, 2, 2))]
    failed = connector.write(streams, [row(1, 5, "try 1"), row(4, 1, "try 1"), state(1)])
    assert failed.code != 0
    failed = connector.write(streams, [row(4, 2, "try 2"), row(2, 2, "try 2"), deleted(3, 2), state(2)])
    assert failed.code != 0
    assert rows(server.client) == {"1": "live", "2": "live", "3": "live"}

    plain = connector.write([dedup(schema=CDC, **generation(2, 0, 3))], [row(3, 1, "late"), COMPLETE])
    assert plain.code == 0, plain.text
    assert rows(server.client) == {"1": "live", "2": "try 2", "4": "try 2"}
    assert server.client.keys("airbyte:tmp:*") == []
    assert ledger(server.client)["task"] == ""


def test_another_refresh_drops_what_the_former_one_staged(connector: Connector, server: Server) -> None:
    connector.write([dedup(**generation(2, 2, 2))], [row(1, 9, "dropped"), row(2, 9, "dropped"), state(1)])
    outcome = connector.write([dedup(**generation(3, 3, 3))], [row(1, 1, "kept"), COMPLETE])
    assert outcome.code == 0, outcome.text
    assert rows(server.client) == {"1": "kept"}
    assert server.client.keys("airbyte:tmp:*") == []


def test_ids_change_over_to_primary_keys_and_back_by_a_refresh_alone(connector: Connector, server: Server) -> None:
    connector.write([stream(**generation(1, 0, 1))], [record(n) for n in range(1, 6)] + [COMPLETE])
    refused = connector.write([dedup(**generation(1, 0, 2))], [row(3, 1, "x"), COMPLETE])
    assert refused.error["failure_type"] == "config_error"
    assert "refresh" in refused.error["message"]
    assert values(server.client) == [1, 2, 3, 4, 5]

    # A key may be named like an old id: it holds a record of the new generation.
    changed = connector.write([dedup(**generation(2, 2, 3))], [row(3, 1, "new"), row("x", 1, "new"), COMPLETE])
    assert changed.code == 0, changed.text
    assert rows(server.client) == {"3": "new", "x": "new"}

    other_key = dedup(primary_key=[["id"], ["at"]], **generation(2, 0, 4))
    assert connector.write([other_key], [COMPLETE]).error["failure_type"] == "config_error"
    other_key |= generation(3, 3, 5)
    assert connector.write([other_key], [row(3, 1, "pair"), COMPLETE]).code == 0
    assert rows(server.client) == {"3:1": "pair"}

    assert connector.write([stream(**generation(3, 0, 6))], [record(1), COMPLETE]).code != 0
    assert connector.write([stream(**generation(4, 4, 7))], [record(1), record(2), COMPLETE]).code == 0
    assert values(server.client) == [1, 2]


def test_a_stream_of_the_java_connector_is_deduplicated_by_a_refresh_alone(
    connector: Connector, server: Server
) -> None:
    server.client.set("default:users", 2)
    for number in (1, 2):
        fields = {"_airbyte_ab_id": number, "_airbyte_emitted_at": 1, "_airbyte_data": "{}"}
        server.client.hset(f"default:users:{number}", mapping=fields)  # type: ignore[arg-type]
    assert connector.write([dedup(sync_id=5)], [row(1), COMPLETE]).error["failure_type"] == "config_error"
    assert connector.write([dedup(**generation(1, 1, 6))], [row(2, 1, "new"), COMPLETE]).code == 0
    assert rows(server.client) == {"2": "new"}


def test_the_scripts_are_loaded_again_where_a_server_forgot_them(connector: Connector, server: Server) -> None:
    running = connector.start([dedup()])
    running.send(row(1, 1, "a"), state(1))
    running.wait_for_states(1)
    server.client.script_flush()
    running.send(row(1, 2, "b"), row(2, 1, "c"), state(2))
    running.wait_for_states(2)
    server.stop()
    server.start()
    running.send(row(1, 3, "d"), COMPLETE)
    outcome = running.finish()
    assert outcome.code == 0, outcome.text
    assert rows(server.client) == {"1": "d", "2": "c"}


def test_several_streams_are_refreshed_at_once_and_keep_apart(connector: Connector, server: Server) -> None:
    names = ["users", "user", "users:1", "orders"]
    messages = [record(number, name) for name in names for number in (1, 2)]
    done = [status("COMPLETE", name) for name in names]
    connector.write([dedup(name) for name in names], [*messages, *done])
    refreshed = [record(2, name) for name in names]
    outcome = connector.write([dedup(name, **generation(2, 2, 2)) for name in names], [*refreshed, *done])
    assert outcome.code == 0, outcome.text
    for name in names:
        assert keys(server.client, f"default:{name.replace(':', '%3A')}:") == {"2"}


def test_a_key_of_another_type_is_a_config_error_that_names_its_stream_and_not_the_row(
    connector: Connector, server: Server
) -> None:
    server.client.set("default:users:someone@example.org", "mine")
    outcome = connector.write([dedup()], [row("someone@example.org", 1, "a"), COMPLETE])
    assert outcome.error["failure_type"] == "config_error"
    assert "default:users" in outcome.error["message"]
    assert "someone" not in outcome.text


def test_without_its_ledger_a_stream_asks_for_a_refresh_and_a_refresh_mends_it(
    connector: Connector, server: Server
) -> None:
    connector.write([dedup(sync_id=1)], [row(1, 1, "a"), row(2, 1, "b"), COMPLETE])
    server.client.delete("airbyte:{default:users}")
    plain = connector.write([dedup(sync_id=2)], [row(1, 2, "c"), COMPLETE])
    assert plain.error["failure_type"] == "config_error"
    assert "refresh" in plain.error["message"]
    assert connector.write([dedup(**generation(2, 2, 3))], [row(1, 0, "new"), COMPLETE]).code == 0
    assert rows(server.client) == {"1": "new"}


@pytest.mark.parametrize("other", [dedup(primary_key=[["id"], ["at"]]), stream()], ids=["key", "mode"])
def test_what_a_first_sync_left_unacknowledged_is_not_left_behind_by_another_key(
    connector: Connector, server: Server, other: Json
) -> None:
    connector.write([dedup()], [row(1, 1, "a"), row(2, 1, "b")])  # no state: not acknowledged
    refused = connector.write([other], [row(1, 1, "a"), COMPLETE])
    assert refused.error["failure_type"] == "config_error"
    assert connector.write([other | generation(2, 2, 2)], [row(1, 1, "a"), COMPLETE]).code == 0
    assert len(keys(server.client)) == 1


def test_a_refresh_that_died_before_its_first_state_begins_anew(connector: Connector, server: Server) -> None:
    refresh = dedup(**generation(2, 2, 2))
    assert connector.write([refresh], [row(1, 1, "a"), row(2, 1, "deleted at the source meanwhile")]).code != 0
    assert connector.write([refresh], [row(1, 1, "a"), COMPLETE]).code == 0
    assert rows(server.client) == {"1": "a"}
    assert server.client.keys("airbyte:tmp:*") == []
