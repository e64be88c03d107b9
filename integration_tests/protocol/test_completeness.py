"""When a stream is replaced: by a platform that sends statuses, by one that sends none, and by a shell's pipe."""

import json
from typing import Any

import pytest
from redis import Redis

from destination_redis.config.settings import RedisConfig
from integration_tests.support.connector.process import Connector, Outcome
from integration_tests.support.data_types import HASH, Shape
from integration_tests.support.messages import COMPLETE, Json, generation, record, state, status, stream
from integration_tests.support.project import FIELD_CASES
from integration_tests.support.servers.server import Server
from integration_tests.support.stored import values

LIST: Shape = ("list", "envelope")
#: The syncs of a connection, as (generation, minimum, sync id): the first one, and one that replaces it.
FIRST, SECOND = generation(1, 1, 1001), generation(2, 2, 1002)
SHARED = {"lsn": 1}


def own_state(content: object, name: str = "users") -> Json:
    made = state(0, name)
    made["state"]["stream"]["stream_state"] = content
    return made


def without_state(name: str = "users") -> Json:
    """Return the state of a Clear from a serializer that leaves null out."""
    made = own_state(None, name)
    del made["state"]["stream"]["stream_state"]
    return made


def global_state(shared: object, **streams: object) -> Json:
    named = [{"stream_descriptor": {"name": name}, "stream_state": content} for name, content in streams.items()]
    return {"type": "STATE", "state": {"type": "GLOBAL", "global": {"shared_state": shared, "stream_states": named}}}


def source_error(name: str | None = None) -> Json:
    named = {"stream_descriptor": {"name": name}} if name else {}
    error = {"message": "quoted", "failure_type": "system_error", **named}
    return {"type": "TRACE", "trace": {"type": "ERROR", "emitted_at": 1.7e12, "error": error}}


MARK = own_state({"__ab_full_refresh_sync_complete": True})
END_MARKS = {
    "null": own_state(None),
    "no state": without_state(),
    "empty": own_state({}),
    "complete": MARK,
    "no cursor": own_state({"__ab_no_cursor_state_message": True}),
}


def overwritten(numbers: Json, name: str = "users") -> Json:
    """Return a stream as it is configured for a connector that is not in the platform's registry."""
    return stream(name, "overwrite", **numbers)


def refreshed(numbers: Json, name: str = "users") -> Json:
    """Return a stream as it is configured for a connector that supports refreshes."""
    return stream(name, "append", **numbers)


def staged(client: Redis) -> bool:
    return bool(list(client.scan_iter("airbyte:tmp:*")))


def assert_incomplete(outcome: Outcome, *says: str) -> None:
    assert outcome.code == 1, outcome.text
    assert outcome.error["failure_type"] == "transient_error"
    assert outcome.error["message"].startswith("Not complete: ")
    for text in says:
        assert text in outcome.error["message"]


@pytest.fixture(params=[HASH, LIST], ids="-".join)
def shape(connector: Connector, request: pytest.FixtureRequest) -> Shape:
    """Return the data type that the connector writes, with a key a record or with one for all."""
    chosen: Shape = request.param
    connector.config |= {"cache_type": chosen[0], "record_format": chosen[1]}
    return chosen


def fill(connector: Connector, *names: str) -> None:
    """Write 1, 2 and 3 into each stream."""
    for name in names or ("users",):
        messages = [record(number, name) for number in (1, 2, 3)]
        assert connector.write([refreshed(FIRST, name)], [*messages, status("COMPLETE", name)]).code == 0


def test_an_overwrite_whose_source_died_after_a_checkpoint_leaves_the_old_rows_and_keeps_its_own_staged(
    connector: Connector, server: Server
) -> None:
    """The field cases overwrite-first and overwrite-source-died-after-checkpoint."""
    outcomes = []
    for case in ("overwrite-first", "overwrite-source-died-after-checkpoint"):
        streams = json.loads((FIELD_CASES / case / "catalog.json").read_text())["streams"]
        content = (FIELD_CASES / case / "messages.jsonl").read_bytes()
        outcomes.append(connector.write_bytes(streams, content))
        assert len(outcomes[-1].states) == 1
    assert outcomes[0].code == 0, outcomes[0].text
    assert_incomplete(outcomes[1], "t (no end mark", "run the sync again", "set overwrite_without_status")
    assert values(server.client, "default:t:") == [1, 2, 3, 4, 5]

    retried = connector.write(streams, [record(103, "t"), own_state({}, "t")])
    assert retried.code == 0, retried.text
    assert values(server.client, "default:t:") == [101, 102, 103]
    assert not staged(server.client)


@pytest.mark.parametrize("mark", END_MARKS)
def test_an_end_mark_after_the_last_record_completes_an_overwrite_without_statuses(
    connector: Connector, server: Server, shape: Shape, mark: str
) -> None:
    fill(connector)
    outcome = connector.write([overwritten(SECOND)], [record(4), state(4), record(5), END_MARKS[mark]])
    assert outcome.code == 0, outcome.text
    assert len(outcome.states) == 2
    assert values(server.client, shape=shape) == [4, 5]


@pytest.mark.parametrize(
    ("end", "acknowledged"),
    [
        pytest.param([], [4], id="nothing"),
        pytest.param([state(5)], [4, 5], id="a checkpoint"),
        pytest.param([MARK, record(6)], [4, 5], id="a record after the mark"),
        pytest.param([MARK, record(6), state(6)], [4, 5, 6], id="a checkpoint after the mark"),
        pytest.param([MARK, state(5)], [4, 5], id="another state after the mark"),
        pytest.param([global_state(SHARED, users={})], [4, 5], id="a global state"),
        pytest.param([global_state(None)], [4, 5], id="a global state as of a clear"),
        pytest.param([MARK, source_error()], [4, 5], id="an error after the mark"),
    ],
)
def test_any_other_end_leaves_the_old_rows_and_a_retry_goes_on_with_what_was_acknowledged(
    connector: Connector, server: Server, shape: Shape, end: list[Json], acknowledged: list[int]
) -> None:
    fill(connector)
    outcome = connector.write([overwritten(SECOND)], [record(4), state(4), record(5), *end])
    assert_incomplete(outcome, "users (")
    assert values(server.client, shape=shape) == [1, 2, 3]
    assert staged(server.client)

    retried = connector.write([overwritten(SECOND)], [record(7), MARK])
    assert retried.code == 0, retried.text
    assert values(server.client, shape=shape) == [*acknowledged, 7]
    assert not staged(server.client)


def test_with_trailing_state_a_checkpoint_after_the_last_record_completes_an_overwrite(
    connector: Connector, server: Server
) -> None:
    connector.config["overwrite_without_status"] = "trailing_state"
    fill(connector)
    cut = connector.write([overwritten(SECOND)], [record(4), state(4), record(5)])
    assert_incomplete(cut, "no state came after its last record")
    assert "overwrite_without_status" not in cut.error["message"]
    assert values(server.client) == [1, 2, 3]

    assert connector.write([overwritten(SECOND)], [record(6), state(6)]).code == 0
    assert values(server.client) == [4, 6]


def test_with_trailing_state_what_an_earlier_attempt_staged_is_not_taken_for_all_there_is(
    connector: Connector, server: Server
) -> None:
    connector.config["overwrite_without_status"] = "trailing_state"
    streams = [overwritten(FIRST), overwritten(FIRST, "orders")]
    assert_incomplete(connector.write(streams, [record(1), state(1), record(2)]), "users, orders (no state")
    others = [record(1, "orders"), global_state(SHARED)]
    assert_incomplete(connector.write(streams, others), "complete: users (no state")
    assert (values(server.client), values(server.client, "default:orders:")) == ([], [1])

    assert connector.write(streams, [record(2), state(2)]).code == 0
    assert values(server.client) == [1, 2]


CLEARS = {
    "of the stream": [own_state(None)],
    "of the stream, without null": [without_state()],
    "of all streams of a CDC source": [global_state(None, users=None)],
    "of all streams, none of them named": [global_state(None)],
    "of one of a CDC source's streams": [global_state(SHARED, users=None, others={"cursor": 1})],
}


@pytest.mark.parametrize("clear", CLEARS)
def test_a_clear_empties_a_stream_with_and_without_statuses(
    connector: Connector, server: Server, shape: Shape, clear: str
) -> None:
    fill(connector, "users", "orders")
    outcome = connector.write([overwritten(SECOND)], CLEARS[clear])
    assert outcome.code == 0, outcome.text
    assert outcome.states[0]["destinationStats"] == {"recordCount": 0.0}
    assert values(server.client, shape=shape) == []

    for name, message in (("users", record(4)), ("orders", record(4, "orders"))):
        assert connector.write([refreshed(SECOND, name)], [message, status("COMPLETE", name)]).code == 0
    third = generation(3, 3, 1003)
    assert_incomplete(connector.write([refreshed(third)], CLEARS[clear]), "the status COMPLETE, which never came")
    assert values(server.client, shape=shape) == [4]
    assert connector.write([refreshed(third)], [*CLEARS[clear], COMPLETE]).code == 0
    assert values(server.client, shape=shape) == []
    assert values(server.client, "default:orders:", shape) == [4]


@pytest.mark.parametrize(
    "others",
    [
        [],
        [global_state(SHARED, users={"cursor": 1})],
        [global_state(SHARED)],
        [state(0)],
        [global_state(None, users={})],
    ],
)
def test_an_input_without_records_that_clears_nothing_leaves_the_old_rows(
    connector: Connector, server: Server, others: list[Json]
) -> None:
    fill(connector)
    assert_incomplete(connector.write([overwritten(SECOND)], others), "users (no end mark")
    assert values(server.client) == [1, 2, 3]


def test_an_empty_stream_is_emptied_by_its_end_mark_and_by_complete(connector: Connector, server: Server) -> None:
    fill(connector, "users", "orders")
    streams = [overwritten(SECOND), overwritten(SECOND, "orders")]
    assert connector.write(streams, [record(4), MARK, own_state({}, "orders")]).code == 0
    assert (values(server.client), values(server.client, "default:orders:")) == ([4], [])

    third = generation(3, 3, 1003)
    streams = [refreshed(third), refreshed(third, "orders")]
    assert connector.write(streams, [record(5, "orders"), COMPLETE, status("COMPLETE", "orders")]).code == 0
    assert (values(server.client), values(server.client, "default:orders:")) == ([], [5])


def test_a_cdc_source_completes_an_overwrite_by_statuses_or_where_any_trailing_state_will_do(
    connector: Connector, server: Server
) -> None:
    messages = [record(4), record(4, "orders"), global_state(SHARED), record(5), global_state({"lsn": 2}, users={})]
    fill(connector, "users", "orders", "empty")
    names = ("users", "orders", "empty")

    def found() -> list[list[int]]:
        return [values(server.client, f"default:{name}:") for name in names]

    custom = [overwritten(SECOND, name) for name in names]
    assert_incomplete(connector.write(custom, messages), "users, orders, empty (no end mark", "trailing_state")
    assert found() == [[1, 2, 3]] * 3

    # Of a stream without records such a state says nothing: the source may have died before it came to it.
    connector.config["overwrite_without_status"] = "trailing_state"
    third = [overwritten(generation(3, 3, 1003), name) for name in names]
    assert_incomplete(connector.write(third, messages), "complete: empty (no state")
    assert found() == [[4, 5], [4], [1, 2, 3]]

    fourth = [refreshed(generation(4, 4, 1004), name) for name in names]
    assert connector.write(fourth, [*messages, *(status("COMPLETE", name) for name in names)]).code == 0
    assert found() == [[4, 5], [4], []]


def test_of_several_streams_each_is_replaced_for_itself_and_a_retry_finishes_the_rest(
    connector: Connector, server: Server
) -> None:
    fill(connector, "users", "orders", "items")
    streams = [overwritten(SECOND, name) for name in ("users", "orders", "items")]
    outcome = connector.write(streams, [record(4), MARK, record(4, "orders"), state(4, "orders"), record(5, "orders")])
    assert_incomplete(outcome, "complete: orders, items (no end mark")
    assert "users" not in outcome.error["message"]

    def found() -> list[list[int]]:
        return [values(server.client, f"default:{name}:") for name in ("users", "orders", "items")]

    assert found() == [[4], [1, 2, 3], [1, 2, 3]]

    # What is complete already sends nothing more.
    rest = [record(6, "orders"), own_state({}, "orders"), record(4, "items"), own_state({}, "items")]
    retried = connector.write(streams, rest)
    assert retried.code == 0, retried.text
    assert found() == [[4], [4, 6], [4]]


@pytest.mark.parametrize(
    ("error", "left"),
    [
        (source_error("users"), ["users"]),
        (source_error(), ["users", "orders"]),
        (source_error("somewhere_else"), ["users", "orders"]),
    ],
)
def test_an_error_of_the_source_leaves_the_streams_that_it_concerns_incomplete(
    connector: Connector, server: Server, error: Json, left: list[str]
) -> None:
    fill(connector, "users", "orders")
    streams = [stream("users", "overwrite"), stream("orders", "overwrite")]
    messages = [record(4), record(4, "orders"), state(4), state(4, "orders")]
    outcome = connector.write(streams, [*messages, error])
    assert_incomplete(outcome, f"complete: {', '.join(left)} (the source reported an error)")
    assert "quoted" not in outcome.text
    for name in ("users", "orders"):
        assert values(server.client, f"default:{name}:") == ([1, 2, 3] if name in left else [4])


@pytest.mark.parametrize("error", [source_error("users"), source_error()])
def test_complete_wins_over_an_error_of_the_source_before_it(connector: Connector, server: Server, error: Json) -> None:
    fill(connector)
    for number, made in ((4, refreshed), (5, overwritten)):
        numbers = generation(number, number, number)
        assert connector.write([made(numbers)], [error, record(number), state(0), COMPLETE]).code == 0
        assert values(server.client) == [number]


def test_an_append_whose_source_reported_an_error_keeps_what_came_and_fails(
    connector: Connector, server: Server
) -> None:
    assert_incomplete(connector.write([stream()], [record(1), state(1), record(2), source_error()]), "users (")
    assert connector.write([stream()], [record(3), state(3)]).code == 0
    assert values(server.client) == [1, 3]


PIPES: list[tuple[list[Json], bool]] = [
    ([record(4)], True),
    ([record(4), state(4)], True),
    ([record(4), global_state(SHARED)], True),
    ([state(0)], True),
    ([global_state(SHARED)], True),
    ([record(4), state(4), record(5)], False),
    ([record(4), source_error()], False),
    ([record(4), state(4), status("INCOMPLETE")], False),
    ([status("STARTED"), record(4), state(4)], False),
]


@pytest.mark.parametrize("numbers", [{}, {"generation_id": 0, "minimum_generation_id": 0}, generation(1, 1, 1)])
@pytest.mark.parametrize(("messages", "complete"), PIPES)
def test_a_shells_pipe_without_generations_needs_no_statuses(
    connector: Connector, server: Server, numbers: Json, messages: list[Json], complete: bool
) -> None:
    fill(connector)
    if numbers.get("sync_id") and messages == [record(4)]:
        complete = False  # a platform would have sent a state
    outcome = connector.write([stream("users", "overwrite", **numbers)], messages)
    assert outcome.code == (0 if complete else 1), outcome.text
    sent = [message["record"]["data"]["id"] for message in messages if message["type"] == "RECORD"]
    assert values(server.client) == (sent if complete else [1, 2, 3])


def test_states_of_a_stream_outside_the_catalog_are_passed_on_in_order_with_one_warning(
    connector: Connector, server: Server
) -> None:
    odd = [state(number, "elsewhere", id=number, more=[None, 1.5]) for number in (1, 2)]
    other = state(5, "another")
    other["state"]["stream"]["stream_descriptor"]["namespace"] = "public"
    messages = [odd[0], record(1), odd[1], state(3), other, record(2), state(4), COMPLETE]
    outcome = connector.write([stream()], messages)

    assert outcome.code == 0, outcome.text
    expected = [(odd[0], 0.0), (odd[1], 0.0), (state(3), 1.0), (other, 0.0), (state(4), 1.0)]
    assert outcome.states == [
        {**message["state"], "destinationStats": {"recordCount": count}} for message, count in expected
    ]
    warnings = [message["log"] for message in outcome.messages if message["type"] == "LOG"]
    told = [each["message"] for each in warnings if each["level"] == "WARN"]
    assert [each for each in told if "not in the catalog" in each] == [
        "The stream elsewhere is not in the catalog; its states are passed on, as they came",
        "The stream public.another is not in the catalog; its states are passed on, as they came",
    ]
    assert values(server.client) == [1, 2]


def test_a_state_of_a_stream_outside_the_catalog_comes_back_while_the_input_is_open(connector: Connector) -> None:
    running = connector.start([stream()])
    running.send(record(1), state(1, "elsewhere"))
    assert len(running.wait_for_states(1)) == 1
    running.send(COMPLETE)
    assert running.finish().code == 0


def test_a_state_of_a_stream_outside_the_catalog_completes_no_other(connector: Connector, server: Server) -> None:
    fill(connector)
    assert_incomplete(connector.write([overwritten(SECOND)], [record(4), own_state({}, "elsewhere")]), "users (no end")
    assert values(server.client) == [1, 2, 3]


def test_a_stream_that_is_to_be_synced_with_its_files_is_a_config_error(connector: Connector, server: Server) -> None:
    outcome = connector.write([stream(include_files=True)], [record(1), COMPLETE])
    assert outcome.error["failure_type"] == "config_error"
    assert "The stream users" in outcome.error["message"]
    assert list(server.client.scan_iter()) == []


def test_a_record_with_a_file_is_a_config_error_and_what_came_before_is_acknowledged(
    connector: Connector, server: Server
) -> None:
    file = {"staging_file_url": "/secret", "source_file_relative_path": "secret", "file_size_bytes": 1}
    messages = [record(1, file_reference=None), state(1), record(2, file_reference=file), COMPLETE]
    outcome = connector.write([stream()], messages)
    assert outcome.code == 1
    assert outcome.error["failure_type"] == "config_error"
    assert "Line 3 of the input is a record with a file" in outcome.error["message"]
    assert "secret" not in outcome.text
    assert len(outcome.states) == 1
    assert values(server.client) == [1]


@pytest.mark.parametrize("empty", [None, ""])
def test_a_config_in_which_every_optional_setting_is_empty_writes_as_one_without_them(
    connector: Connector, server: Server, empty: Any
) -> None:
    names = {*RedisConfig.model_fields} - {*connector.config, "default_namespace"}
    connector.config |= dict.fromkeys(names, empty)
    assert connector.write([stream()], [record(1), COMPLETE]).code == 0
    assert values(server.client) == [1]
