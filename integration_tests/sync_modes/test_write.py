"""`write` as Airbyte runs it: messages in, states out, and what is in Redis then."""

import json
import signal
import subprocess
import time

import pytest

from integration_tests.support.connector.process import Connector
from integration_tests.support.messages import COMPLETE, Json, generation, lines, record, state, status, stream
from integration_tests.support.servers.server import Server
from integration_tests.support.stored import ledger, stored, values


def test_an_append_adds_to_what_is_there_and_ids_go_on(connector: Connector, server: Server) -> None:
    connector.write([stream()], [record(1), record(2), state(2), COMPLETE])
    outcome = connector.write([stream()], [record(3), state(3), COMPLETE])

    assert outcome.code == 0, outcome.text
    assert stored(server.client) == {1: 1, 2: 2, 3: 3}
    assert server.client.get("default:users") == b"3"
    assert (ledger(server.client)["committed"], ledger(server.client)["reserved"]) == ("3", "3")


def test_a_shell_pipe_into_main_py_writes_prints_its_states_and_ends_with_zero(
    connector: Connector, server: Server
) -> None:
    content = lines(record(1), state(1), record(2), COMPLETE)
    done = subprocess.run(connector.command([stream()]), input=content, capture_output=True, check=False, timeout=120)

    assert done.returncode == 0, done
    assert done.stderr == b""
    assert [each["type"] for each in map(json.loads, done.stdout.splitlines())].count("STATE") == 1
    assert values(server.client) == [1, 2]


def test_data_bytes_are_kept_as_they_came(connector: Connector, server: Server) -> None:
    data = '{"n": 123456789012345678901234567890, "d":0.1000000000000000055511151231257827,"e":1e400 ,"s":"\\u0000é"}'
    line = (
        f'{{"record":{{"emitted_at":1700000000000,"data":{data},"stream":"users","namespace":null}},"type":"RECORD"}}'
    )

    outcome = connector.write([stream()], [line, COMPLETE])

    assert outcome.code == 0, outcome.text
    assert server.client.hgetall("default:users:1") == {
        b"_airbyte_ab_id": b"1",
        b"_airbyte_emitted_at": b"1700000000000",
        b"_airbyte_data": data.encode(),
    }


def test_changes_the_source_reported_are_kept(connector: Connector, server: Server) -> None:
    change = {"field": "foo", "change": "NULLED", "reason": "SOURCE_FIELD_SIZE_LIMITATION"}
    connector.write([stream(sync_id=42)], [record(1, meta={"changes": [change]}), state(1)])

    meta = server.client.hget("default:users:1", "_airbyte_meta")
    assert isinstance(meta, bytes)
    assert json.loads(meta) == {"sync_id": 42, "changes": [change]}


def test_other_messages_nulls_and_lines_that_are_no_json_do_no_harm(connector: Connector, server: Server) -> None:
    nulls = {"log": None, "state": None, "trace": None, "control": None}
    outcome = connector.write(
        [stream(namespace="public")],
        [
            "plain text, not quoted",
            "",
            "{INFO} not quoted",
            "{'not': 'quoted'}",
            {"level": "info", "msg": "not quoted"},
            "\ufeff",
            {"type": "LOG", "log": {"level": "INFO", "message": "hello"}},
            {"type": "CONTROL", "control": {"type": "CONNECTOR_CONFIG", "connectorConfig": {"config": {}}}},
            {"type": "TRACE", "trace": {"type": "ESTIMATE", "estimate": {"name": "users", "type": "STREAM"}}},
            {"type": "TRACE", "trace": {"type": "ANALYTICS", "analytics": {"type": "a", "value": "b"}}},
            {"type": "SOMETHING_NEW", "something": [1]},
            {**record(7, namespace=None, meta=None), **nulls},
            COMPLETE,
        ],
    )

    assert outcome.code == 0, outcome.text
    assert values(server.client, "public:users:") == [7]
    assert "Lines of the input that are not messages and were left out: 4" in outcome.text
    assert "not quoted" not in outcome.text


def test_a_byte_order_mark_before_a_line_is_skipped(connector: Connector, server: Server) -> None:
    first = lines(record(1), state(1), record(2))
    second = lines(state(2), record(3), COMPLETE)
    outcome = connector.write_bytes([stream()], b"\xef\xbb\xbf" + first + b"\xef\xbb\xbf" + second)

    assert outcome.code == 0, outcome.text
    assert values(server.client) == [1, 2, 3]
    assert len(outcome.states) == 2
    assert "left out" not in outcome.text


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_an_input_that_is_not_utf_8_is_refused(connector: Connector, server: Server, encoding: str) -> None:
    connector.write([stream()], [record(1), COMPLETE])
    lines = "".join(json.dumps(each) + "\n" for each in (record(2), record(3)))
    outcome = connector.write_bytes([stream(mode="overwrite")], lines.encode(encoding))

    assert outcome.error["failure_type"] == "system_error"
    assert values(server.client) == [1]


def test_a_record_of_tens_of_megabytes_arrives_whole(connector: Connector, server: Server) -> None:
    long = "x" * (40 * 1024 * 1024)
    outcome = connector.write([stream()], [record(1), record(2, data={"id": 2, "long": long}), record(3), COMPLETE])

    assert outcome.code == 0, outcome.text[:1000]
    assert server.client.hstrlen("default:users:2", "_airbyte_data") == len(json.dumps({"id": 2, "long": long}))
    assert server.client.exists("default:users:1", "default:users:3") == 2


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"unparseable secret', "Line 2 of the input is not an Airbyte message"),
        ('{"type":"RECORD","record":{"stream":"users","data":{"secret":NaN},"emitted_at":1}}', "Line 2"),
        ('{"type":"RECORD","record":{"stream":"users","secret":1}}', "missing required field `data`"),
        (
            '{"type":"RECORD","record":{"stream":"orders","data":{"secret":1},"emitted_at":1}}',
            "stream orders, which is not in the catalog",
        ),
        ('{"type":"RECORD","secret":1}', "without a record"),
        (
            '{"type":"RECORD","record":{"stream":"users","data":{"secret":"\\ud800"},"emitted_at":1}}',
            "half of a surrogate pair",
        ),
        ('{"record":{"stream":"users","data":{"secret":1},"emitted_at":1}}', "missing required field `type`"),
        ('{"type":"record","record":{"stream":"users","data":{"secret":1},"emitted_at":1}}', "its type is not RECORD"),
        ('secret{"type":"RECORD","record":{"stream":"users","data":{},"emitted_at":1}}', "other text precedes it"),
        ('{"type":"RECORD","record":{"secret": 2026-01-01 INFO secret', "Line 2 of the input is not an Airbyte"),
    ],
)
def test_bad_input_stops_the_sync_says_where_and_quotes_nothing(
    connector: Connector, server: Server, line: str, says: str
) -> None:
    outcome = connector.write([stream()], [record(1), line, record(2), COMPLETE])

    assert outcome.code != 0
    assert says in outcome.error["message"]
    assert outcome.error["failure_type"] == "system_error"
    assert "secret" not in outcome.text
    assert values(server.client) == [1]
    assert ledger(server.client)["committed"] == "0"


def test_states_come_back_once_in_order_whole_and_counted(connector: Connector) -> None:
    first = state(1, id=11, sourceStats={"recordCount": 2.0, "x": None}, unknown={"deep": [None, 1e400]})
    text = json.dumps(first).replace("Infinity", "1e400")
    second: Json = {"type": "STATE", "state": {"type": "GLOBAL", "global": {"shared_state": None}, "id": 12}}
    third: Json = {"type": "STATE", "state": {"data": {"legacy": True}, "stream": None}}
    outcome = connector.write(
        [stream(), stream("orders")],
        [
            record(1),
            record(2),
            text,
            record(3),
            record(1, "orders"),
            second,
            record(2, "orders"),
            third,
            COMPLETE,
            status("COMPLETE", "orders"),
        ],
    )

    assert outcome.code == 0, outcome.text
    sent = [json.loads(text)["state"], second["state"], third["state"]]
    counts = [2.0, 4.0, 1.0]
    assert outcome.states == [
        {**body, "destinationStats": {"recordCount": count}} for body, count in zip(sent, counts, strict=True)
    ]
    assert '"recordCount":2.0' in outcome.text
    assert "1e400" in outcome.text


def test_an_idle_input_holds_nothing_back(connector: Connector, server: Server) -> None:
    running = connector.start([stream()])
    running.send(record(0), state(0))
    running.wait_for_states(1)  # the process is up
    for number in range(1, 6):
        sent = time.monotonic()
        running.send(record(number), state(number))
        running.wait_for_states(number + 1)
        took = time.monotonic() - sent

        assert values(server.client) == list(range(number + 1))
        assert took < 1
    running.send(COMPLETE)
    assert running.finish().code == 0


def test_a_state_comes_back_while_other_messages_keep_coming(connector: Connector) -> None:
    running = connector.start([stream()])
    running.send(record(1), state(1))
    for _ in range(200):
        running.send({"type": "TRACE", "trace": {"type": "ANALYTICS", "analytics": {"type": "a"}}})
        time.sleep(0.005)
    assert len(running.wait_for_states(1)) == 1
    assert running.kill().code != 0


def test_an_overwrite_leaves_the_new_records_alone(connector: Connector, server: Server) -> None:
    connector.write([stream()], [record(1), record(2), COMPLETE])
    outcome = connector.write([stream(mode="overwrite")], [record(3), COMPLETE])

    assert outcome.code == 0, outcome.text
    assert values(server.client) == [3]
    assert sorted(server.client.scan_iter()) == [b"airbyte:{default:users}", b"default:users", b"default:users:3"]


def test_while_an_overwrite_is_under_way_the_old_data_is_complete_and_alone(
    connector: Connector, server: Server
) -> None:
    connector.write([stream()], [record(1), record(2), COMPLETE])
    running = connector.start([stream(mode="overwrite", **generation(2, 2, 5))])
    running.send(record(3), state(3))
    running.wait_for_states(1)

    assert values(server.client) == [1, 2]

    running.send(COMPLETE)
    assert running.finish().code == 0
    assert values(server.client) == [3]


def test_pyairbytes_constant_generation_replaces_at_every_overwrite(connector: Connector, server: Server) -> None:
    for number in (1, 2):
        outcome = connector.write([stream(mode="overwrite", **generation(1, 1, 1))], [record(number), COMPLETE])
        assert outcome.code == 0
        assert values(server.client) == [number]


def test_pyairbytes_constant_generation_replaces_nothing_in_append(connector: Connector, server: Server) -> None:
    for number in (1, 2):
        connector.write([stream(**generation(1, 1, 1))], [record(number), COMPLETE])
    assert values(server.client) == [1, 2]


def test_a_refresh_keeps_the_old_until_complete_and_what_a_failed_try_got_acknowledged(
    connector: Connector, server: Server
) -> None:
    connector.write([stream(**generation(12, 0, 42))], [record(1), COMPLETE])
    refresh = [stream(**generation(13, 13, 43))]
    failed = connector.write(refresh, [record(2), state(2), record(99)])

    assert failed.code != 0
    assert failed.error["failure_type"] == "transient_error"
    assert "users" in failed.error["message"]
    assert len(failed.states) == 1
    assert values(server.client) == [1]

    assert connector.write(refresh, [record(3), COMPLETE]).code == 0
    assert values(server.client) == [2, 3]
    assert server.client.keys("airbyte:tmp:*") == []


def test_a_cancelled_refresh_gives_its_acknowledged_records_to_the_next_sync(
    connector: Connector, server: Server
) -> None:
    connector.write([stream(**generation(41, 0, 1))], [record(1), COMPLETE])
    connector.write([stream(**generation(42, 42, 2))], [record(2), state(2), record(99)])
    outcome = connector.write([stream(**generation(43, 0, 3))], [record(3), COMPLETE])

    assert outcome.code == 0, outcome.text
    assert values(server.client) == [1, 2, 3]
    assert server.client.keys("airbyte:tmp:*") == []


def test_another_refresh_drops_what_the_former_one_staged(connector: Connector, server: Server) -> None:
    connector.write([stream(**generation(1, 0, 1))], [record(1), COMPLETE])
    connector.write([stream(**generation(2, 2, 2))], [record(2), state(2)])
    outcome = connector.write([stream(**generation(3, 3, 3))], [record(3), COMPLETE])

    assert outcome.code == 0, outcome.text
    assert values(server.client) == [3]
    assert server.client.keys("airbyte:tmp:*") == []


def test_a_connection_made_anew_refreshes_with_lower_generations_too(connector: Connector, server: Server) -> None:
    connector.write([stream(**generation(9, 0, 9))], [record(1), COMPLETE])
    connector.write([stream(**generation(1, 1, 17))], [record(2), COMPLETE])
    assert values(server.client) == [2]


def test_a_retry_after_a_finished_refresh_adds_to_it(connector: Connector, server: Server) -> None:
    refresh = [stream(**generation(2, 2, 7))]
    connector.write(refresh, [record(1), COMPLETE])
    connector.write(refresh, [record(2), COMPLETE])
    assert values(server.client) == [1, 2]


def test_a_clear_empties_the_stream(connector: Connector, server: Server) -> None:
    connector.write([stream(**generation(1, 0, 1))], [record(1), record(2), COMPLETE])
    cleared = state(0)
    cleared["state"]["stream"]["stream_state"] = None
    outcome = connector.write([stream(**generation(2, 2, 2))], [cleared, COMPLETE])

    assert outcome.code == 0, outcome.text
    assert values(server.client) == []


def test_the_java_connectors_records_and_ids_are_continued(connector: Connector, server: Server) -> None:
    server.client.set("public:users", 2)
    for number in (1, 2):
        fields = {
            "_airbyte_ab_id": number,
            "_airbyte_emitted_at": 1,
            "_airbyte_data": json.dumps({"id": number}),
        }
        server.client.hset(f"public:users:{number}", mapping=fields)  # type: ignore[arg-type]
    connector.write([stream(namespace="public")], [record(3), COMPLETE])

    assert stored(server.client, "public:users:") == {1: 1, 2: 2, 3: 3}

    server.client.incr("public:users")  # the Java connector writes once more
    fields = {"_airbyte_ab_id": 4, "_airbyte_emitted_at": 1, "_airbyte_data": '{"id":4}'}
    server.client.hset("public:users:4", mapping=fields)  # type: ignore[arg-type]
    connector.write([stream(namespace="public")], [record(5), COMPLETE])
    assert stored(server.client, "public:users:") == {1: 1, 2: 2, 3: 3, 4: 4, 5: 5}

    connector.write([stream(namespace="public", mode="overwrite")], [record(6), COMPLETE])
    assert values(server.client, "public:users:") == [6]


def test_a_stream_of_the_java_connectors_empty_namespace_stays_there(connector: Connector, server: Server) -> None:
    server.client.set(":users", 1)
    fields = {"_airbyte_ab_id": 1, "_airbyte_emitted_at": 1, "_airbyte_data": '{"id":1}'}
    server.client.hset(":users:1", mapping=fields)  # type: ignore[arg-type]
    connector.write([stream()], [record(2), COMPLETE])
    assert stored(server.client, ":users:") == {1: 1, 2: 2}


def test_an_applications_own_keys_beside_the_records_are_left_alone(connector: Connector, server: Server) -> None:
    server.client.set("default:users:1:cart", "mine")
    server.client.set("default:users:me", "mine")
    connector.write([stream()], [record(1), COMPLETE])
    connector.write([stream(mode="overwrite")], [record(2), COMPLETE])
    assert server.client.get("default:users:1:cart") == b"mine"
    assert server.client.get("default:users:me") == b"mine"


def test_what_was_not_acknowledged_is_removed_by_the_next_run(connector: Connector, server: Server) -> None:
    running = connector.start([stream(sync_id=1)])
    running.send(record(1), state(1))
    running.wait_for_states(1)
    running.send(record(98), record(99))
    while len(values(server.client)) < 3:
        time.sleep(0.01)
    running.kill()
    connector.write([stream(sync_id=1)], [record(2), state(2)])
    assert values(server.client) == [1, 2]


def test_sigterm_commits_and_acknowledges_what_was_sent_and_promotes_nothing(
    connector: Connector, server: Server
) -> None:
    connector.write([stream()], [record(1), COMPLETE])
    running = connector.start([stream(mode="overwrite", **generation(2, 2, 2))])
    running.send(record(2), state(2))
    running.wait_for_states(1)
    running.send(record(3), state(3), COMPLETE)
    time.sleep(0.3)
    running.process.send_signal(signal.SIGTERM)
    outcome = running.ended()

    assert outcome.code > 0
    assert len(outcome.states) == 2
    assert values(server.client) == [1]
    assert ledger(server.client)["staged_committed"] != "0"


def test_two_streams_that_come_to_the_same_keys_are_refused(connector: Connector) -> None:
    outcome = connector.write([stream(), stream(namespace="default")], [])
    assert outcome.code != 0
    assert outcome.error["failure_type"] == "config_error"


def test_a_second_writer_fails_and_the_first_goes_on(connector: Connector, server: Server) -> None:
    first = connector.start([stream()])
    first.send(record(1), state(1))
    first.wait_for_states(1)
    second = connector.start([stream()])
    for number in range(2, 60):
        first.send(record(number), state(number))
        time.sleep(0.1)
        if second.process.poll() is not None:
            break
    outcome = second.ended()
    first.send(COMPLETE)

    assert outcome.code != 0
    assert outcome.error["failure_type"] == "transient_error"
    assert first.finish().code == 0
    assert values(server.client) == list(range(1, number + 1))


def test_a_key_of_another_type_is_a_config_error_that_names_it(connector: Connector, server: Server) -> None:
    server.client.set("default:users:2", "mine")
    outcome = connector.write([stream()], [record(1), record(2), state(2), COMPLETE])

    assert outcome.code != 0
    assert outcome.error["failure_type"] == "config_error"
    assert "default:users:2" in outcome.error["message"]
    assert outcome.states == []


def test_memory_that_comes_back_lets_a_sync_go_on(connector: Connector, server: Server) -> None:
    running = connector.start([stream()])
    running.send(record(1), state(1))
    running.wait_for_states(1)
    server.client.config_set("maxmemory", 1)
    try:
        running.send(record(2), state(2))
        time.sleep(1)
        assert len(running.outcome(0).states) == 1
    finally:
        server.client.config_set("maxmemory", 0)
    running.wait_for_states(2)
    running.send(COMPLETE)
    assert running.finish().code == 0
    assert values(server.client) == [1, 2]


def test_a_prefix_stands_in_front_of_every_key(connector: Connector, server: Server) -> None:
    connector.config["key_prefix"] = "p:"
    connector.write([stream(mode="overwrite")], [record(1), COMPLETE])
    assert all(key.startswith(b"p:") for key in server.client.scan_iter())


@pytest.mark.parametrize(
    "lines",
    [
        [record(1), "", json.dumps(record(2)) + json.dumps(state(2)), COMPLETE],
        ["", record(1), json.dumps(state(2)) + json.dumps(record(2)), COMPLETE],
    ],
)
def test_lines_and_messages_that_are_equally_many_but_not_one_each_are_refused(
    connector: Connector, lines: list[Json | str]
) -> None:
    outcome = connector.write([stream()], lines)

    assert outcome.error["failure_type"] == "system_error"
    assert "of the input" in outcome.error["message"]
    assert outcome.states == []
    assert all(message["type"] != "RECORD" for message in outcome.messages)
