"""BasicFunctionalityIntegrationTest ("BFT", of the bulk-load CDK), first half: states, generations, appends.

Numbers are the cases' in that file's order. Case 1, testOutOfOrderStateMessages, and 2, testStateMessageBeforeRecords,
are not run: on standard input the order of lines is the order of states; states that come before their records, told
apart by partition, are for sockets alone. So are the partition ids and cumulative committed counts of 3 and 4, of which
the rest is run here, and the earlier versions' testNamespaceMapping…, since the platform maps names before it starts a
connector. testBasicWriteFile (6) is file transfer, which this connector does not offer.

What a destination has to declare is, of this one: commitDataIncrementally false, also where there was nothing before
(what a refresh wrote is not seen before it is complete); isStreamSchemaRetroactive false (a record stays as it was
sent), so testAppendSchemaEvolution (20) and testAppendJsonSchemaEvolution (21), which ask old rows to change with the
schema, are answered otherwise: dropped columns stay, types are kept.

Its speed tests (BasicPerformanceTest) are the benchmarks'; its component suites (TableOperationsSuite,
TableSchemaEvolutionSuite, DataCoercionSuite, ConnectorWiringSuite, SchemaMapperSuite, RegressionTestSuite) call the
parts of a JVM connector. WriteInitializationTest is every test here.
"""

from typing import NamedTuple

import pytest

from integration_tests.acceptance.harness import (
    NAMESPACE,
    Destination,
    End,
    Row,
    checkpoint,
    complete,
    configured,
    counted,
    kept,
    line,
    lines,
)
from integration_tests.support.messages import Json

NULLED = {"field": "foo", "change": "NULLED", "reason": "SOURCE_FIELD_SIZE_LIMITATION"}
ID = {"id": {"type": "integer"}}
KEYED: Json = {"primary_key": [["id"]], "cursor_field": []}


def global_state(shared: object, *streams: Json, **more: object) -> Json:
    """Return a GLOBAL state with these streams' own states inside."""
    inner = [checkpoint(stream, {"lsn": 1})["state"]["stream"] for stream in streams]
    return {
        "type": "STATE",
        "state": {"type": "GLOBAL", "global": {"shared_state": shared, "stream_states": inner}, **more},
    }


def test_one_state_comes_back_as_it_was_with_its_count_and_the_sources_changes_are_kept(
    destination: Destination,
) -> None:
    """BFT 5 testBasicWrite."""
    stream = configured(schema=ID)
    row = Row('{"id": 5678}', 1234, (NULLED,))
    state = checkpoint(stream, {"foo": "bar"}, sourceStats={"recordCount": 1.0}, id=7, partition_id="p")
    outcome = destination.sync([stream], [line(stream, row), state])

    assert outcome.states == [counted(state, 1)]
    assert destination.stored(stream) == kept(stream, row)


def test_states_of_several_streams_come_back_in_their_order_with_the_records_since_the_last(
    destination: Destination,
) -> None:
    """BFT 3 testStreamStateTypes, over standard input; PerStreamStateMessageTest."""
    a, b, c = streams = [configured(f"stream_{name}") for name in "abc"]
    sent: dict[str, list[Row]] = {stream["stream"]["name"]: [] for stream in streams}
    messages: list[Json | str] = []
    expected = []
    for position, (stream, count) in enumerate([(a, 3), (b, 2), (c, 1), (a, 0), (c, 4), (b, 1)]):
        rows = [Row(f'{{"position":{position},"number":{number}}}') for number in range(count)]
        state = checkpoint(stream, {"position": position, "nested": [None]}, sourceStats={"recordCount": float(count)})
        messages += [*lines(stream, rows), state]
        expected.append(counted(state, count))
        sent[stream["stream"]["name"]] += rows
    outcome = destination.sync(streams, messages)

    assert outcome.states == expected
    for stream in streams:
        assert destination.stored(stream) == kept(stream, *sent[stream["stream"]["name"]])


def test_a_global_state_counts_every_stream_and_may_speak_of_one_that_is_not_in_the_catalog(
    destination: Destination,
) -> None:
    """BFT 4 testCDCStateTypes, over standard input; the mock suite's testGlobalStateWithUnknownStreamState."""
    a, b = streams = [configured("stream_a"), configured("stream_b")]
    states = [global_state({"lsn": number}, a, configured("unknown"), id=number) for number in range(3)]
    rows = [Row(f'{{"id":{number}}}') for number in range(10)]
    messages: list[Json | str] = [*lines(a, rows[:1]), *lines(b, rows[1:4]), states[0]]
    messages += [*lines(a, rows[4:7]), states[1], *lines(b, rows[7:]), states[2]]
    outcome = destination.sync(streams, messages)

    assert outcome.states == [counted(state, count) for state, count in zip(states, (4, 3, 3), strict=True)]
    assert destination.stored(a) == kept(a, rows[0], *rows[4:7])
    assert destination.stored(b) == kept(b, *rows[1:4], *rows[7:])


def test_a_state_of_a_stream_that_is_not_in_the_catalog_is_passed_on_and_a_record_of_one_stops_the_sync(
    destination: Destination,
) -> None:
    """The mock suite's testCrashInInputLoop, whose state the newer bulk CDK passes on with a warning as well."""
    stream, unknown = configured(), configured("unknown")
    state = checkpoint(unknown, {})
    assert destination.sync([stream], [state]).states == [counted(state, 0)]

    outcome = destination.connector.write([stream], [line(unknown, Row("{}")), complete(stream)])
    assert outcome.code != 0
    assert "unknown" in outcome.error["message"]


def test_a_state_comes_back_in_the_middle_of_a_sync_and_its_records_outlive_a_kill(destination: Destination) -> None:
    """BFT 7 testMidSyncCheckpointingStreamState."""
    stream, row = configured(), Row('{"id":12}')
    state = checkpoint(stream, {"foo": "bar"}, sourceStats={"recordCount": 1.0})
    outcome = destination.interrupt([stream], [line(stream, row), state], "kill")
    assert outcome.states == [counted(state, 1)]

    destination.sync([stream], [])
    assert destination.stored(stream) == kept(stream, row)


def test_many_streams_are_completed(destination: Destination) -> None:
    """BFT 28 and TD testManyStreamsCompletion."""
    streams = [configured(f"test_stream_{number}", run=(42, 42, 42)) for number in range(21)]
    row = Row('{"id":1,"name":"foo_\\u0000"}')
    destination.sync(streams, [line(stream, row) for stream in streams])

    assert [destination.stored(stream) for stream in streams] == [kept(stream, row) for stream in streams]


@pytest.mark.parametrize("end", ["no status", "unparseable", "kill"])
def test_an_interrupted_refresh_hides_its_records_until_it_is_complete_and_keeps_those_acknowledged(
    destination: Destination, end: End
) -> None:
    """BFT 11 testTruncateRefresh, 12 testTruncateRefreshChangeSyncMode, 13 testInterruptedTruncateWithPriorData,
    14 testInterruptedTruncateWithoutPriorData, 15 resumeAfterCancelledTruncate: a stream for each, cut off in each way.
    """
    old, second, third, lost = (Row(f'{{"id":{number}}}', number) for number in range(1, 5))
    first = {name: configured(name, run=(41, 0, 42)) for name in ("retried", "cancelled", "other_mode")}
    first["other_mode"].update(KEYED, destination_sync_mode="append_dedup")
    destination.sync([*first.values()], [line(stream, old) for stream in first.values()])

    refresh = {name: configured(name, run=(42, 42, 43)) for name in (*first, "new")}
    refresh["other_mode"].update(KEYED, destination_sync_mode="append_dedup")
    messages: list[Json | str] = [line(stream, second) for stream in refresh.values()]
    messages += [checkpoint(stream, {"id": 2}) for stream in refresh.values()]
    messages += [line(refresh[name], lost) for name in ("cancelled", "new")]
    destination.interrupt([*refresh.values()], messages, end)

    for stream in first.values():
        assert destination.stored(stream) == kept(stream, old)
    assert destination.stored(refresh["new"]) == []

    last = dict(refresh, cancelled=configured("cancelled", run=(43, 0, 44)))
    last["other_mode"] = configured("other_mode", run=(43, 43, 44))
    destination.sync([*last.values()], [line(stream, third) for stream in last.values()])

    for name in ("retried", "new"):
        assert destination.stored(last[name]) == kept(refresh[name], second, third)
    cancelled = [kept(each["cancelled"], row) for each, row in ((first, old), (refresh, second), (last, third))]
    assert destination.stored(last["cancelled"]) == [row for rows in cancelled for row in rows]
    assert destination.stored(last["other_mode"]) == kept(last["other_mode"], third)


class History(NamedTuple):
    """Syncs into one stream, each its (generation, minimum, sync id) and its rows; and the syncs whose rows stay."""

    syncs: list[tuple[tuple[int, int, int], list[Row]]]
    stay: tuple[int, ...]
    mode: str = "append"


ONE = [Row('{"id":1,"to_drop":"x","to_change":42}', 1)]
TWO = [Row('{"id":2,"to_change":"42","to_add":1}', 2)]
NOTHING: list[Row] = []
HISTORIES: dict[str, History] = {
    "BFT 16 testTruncateRefreshNoData": History([((12, 0, 42), ONE), ((13, 13, 43), NOTHING)], stay=()),
    "BFT 17 testClear": History([((1, 1, 42), NOTHING)], stay=()),
    "BFT 18 testNoData": History([((0, 0, 42), NOTHING)], stay=()),
    "BFT 19 testAppend": History([((0, 0, 42), ONE), ((0, 0, 43), ONE)], stay=(0, 1)),
    "BFT 20 testAppendSchemaEvolution, 21 testAppendJsonSchemaEvolution, TD testIncrementalSyncDropOneColumn": History(
        [((0, 0, 42), ONE), ((0, 0, 43), TWO)], stay=(0, 1)
    ),
    "BFT 22 testOverwriteSchemaEvolution": History(
        [((1, 0, 42), ONE), ((2, 2, 43), TWO), ((2, 0, 44), ONE)], stay=(1, 2)
    ),
    "TD fullRefreshOverwrite": History([((1, 0, 42), ONE), ((2, 2, 43), TWO)], stay=(1,), mode="overwrite"),
    "BFT 35 testNoColumns, TD noColumns": History([((0, 0, 42), [Row("{}")]), ((0, 0, 43), [Row("{}")])], stay=(0, 1)),
    "TD truncateRefresh": History([((42, 0, 42), ONE), ((43, 43, 43), TWO)], stay=(1,)),
    "TD mergeRefresh": History([((42, 0, 42), ONE), ((43, 0, 43), TWO)], stay=(0, 1)),
    "TD interruptedMergeRefresh": History([((42, 0, 42), ONE), ((42, 0, 42), TWO)], stay=(0, 1)),
    "TD interruptedOverwriteWithoutPriorData": History(
        [((43, 43, 42), ONE), ((43, 43, 42), TWO)], stay=(0, 1), mode="overwrite"
    ),
    "TD mergeRefresh by key": History([((42, 0, 42), ONE), ((43, 0, 43), TWO)], stay=(0, 1), mode="append_dedup"),
}


def test_a_generation_replaces_what_came_before_it_or_adds_to_it_as_its_minimum_says(destination: Destination) -> None:
    """The cases that HISTORIES names, each a stream of the same three syncs."""
    streams: dict[str, list[Json]] = {}
    for name, history in HISTORIES.items():
        more = KEYED if history.mode == "append_dedup" else {}
        streams[name] = [configured(name, history.mode, run, **more) for run, _ in history.syncs]
    for number in range(3):
        due = {name: made[number] for name, made in streams.items() if len(made) > number}
        sent = [line(stream, row) for name, stream in due.items() for row in HISTORIES[name].syncs[number][1]]
        state = global_state(None)
        outcome = destination.sync([*due.values()], [*sent, state])
        assert outcome.states == [counted(state, len(sent))]

    for name, history in HISTORIES.items():
        expected = [kept(streams[name][number], *history.syncs[number][1]) for number in history.stay]
        assert destination.stored(streams[name][0]) == [row for rows in expected for row in rows], name
    assert destination.client.keys("airbyte:tmp:*") == []
    assert all(key.startswith((b"airbyte:{", NAMESPACE.encode())) for key in destination.client.scan_iter())
