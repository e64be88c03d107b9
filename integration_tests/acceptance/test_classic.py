"""DestinationAcceptanceTest ("DAT"), with Airbyte's own data files.

Answered otherwise on purpose: testAirbyteFields asks that a value that does not fit its column's type becomes null,
with a change in _airbyte_meta that says so; here data is kept as it came. All else that it asks is asked of every
record of these tests. testProblematicTypes has a third answer beside its two, coerced and disjoint: nothing changes.

Not run: testDataTypeTestWithNormalization asks for types in tables, so its data alone is used; with normalization and
dbt went testSyncWithNormalization, testIncrementalSyncWithNormalizationDropOneColumn, testCustomDbtTransformations,
testCustomDbtTransformationsFailure and normalizationFromDefinitionValueShouldBeCorrect; testStressPerformance, disabled
there, is the benchmarks' matter; testEntrypointEnvVar asks for a variable of the image, which the Dockerfile sets.
"""

import json

import pytest

from integration_tests.acceptance.harness import (
    DATA,
    Destination,
    Row,
    catalog,
    checkpoint,
    configured,
    counted,
    file_lines,
    kept,
    line,
    lines,
    rows_of,
)
from integration_tests.support.messages import Json

#: Files of which each stream is reported complete; they have no stream in common.
REPORTED = (
    "exchange_rate",
    "edge_case",
    *(f"data_type_{kind}_test" for kind in ("basic", "array", "object", "array_object")),
)
FILES = {
    "v0": [
        *((f"v0/{name}_catalog.json", f"v0/{name}_messages.txt") for name in REPORTED),
        ("v0/every_time_type_configured_catalog.json", "v0/every_time_type_messages.txt"),
        ("v0/problematic_types_configured_catalog.json", "v0/problematic_types_messages_in.txt"),
        ("v0/users_with_generation_id_configured_catalog.json", "v0/users_with_generation_id_messages.txt"),
    ],
    "v0, no status": [
        (f"v0/{name}_catalog.json", f"v0/{name}_messages.txt")
        for name in ("namespace", "number_data_type_test", "number_data_type_array_test")
    ],
    "v1": [(f"v1/{name}_catalog.json", f"v1/{name}_messages.txt") for name in (*REPORTED, "number_data_type_test")],
    "v1, arrays of numbers": [
        ("v1/number_data_type_array_test_catalog.json", "v1/number_data_type_array_test_messages.txt")
    ],
    "v1, legacy states": [
        ("v1/namespace_catalog.json", "v1/namespace_messages.txt"),
        ("v1/data_type_number_type_test_catalog.json", "v1/nan_type_test_message.txt"),
        ("v1/data_type_integer_type_test_catalog.json", "v1/infinity_type_test_message.txt"),
    ],
}


def states_of(messages: list[str]) -> list[Json]:
    """Return the states' bodies as they are to come back, each with the number of records since the last."""
    expected, records = [], 0
    for message in map(json.loads, messages):
        records += message["type"] == "RECORD"
        if message["type"] == "STATE":
            expected.append(counted(message, records))
            records = 0
    return expected


@pytest.mark.parametrize("files", FILES.values(), ids=FILES)
def test_every_record_of_the_files_is_found_as_it_was_sent_and_every_state_comes_back(
    destination: Destination, files: list[tuple[str, str]]
) -> None:
    """DAT testSync, testAirbyteTimeTypes, testProblematicTypes, testAirbyteFields, testDataTypeTestWithNormalization,
    testSyncNumberNanDataType, testSyncIntegerNanDataType, testSyncNumberInfinityDataType,
    testSyncIntegerInfinityDataType; PerStreamStateMessageTest.

    The files without statuses have no end marks either.
    """
    streams, messages = [], []
    for catalog_file, message_file in files:
        streams += catalog(catalog_file)
        messages += file_lines(message_file)
        if "infinity" in message_file:  # no catalog of theirs has that stream
            streams[-1]["stream"]["name"] = "infinity"
    if not any("STREAM_STATUS" in message for message in messages):
        destination.connector.config["overwrite_without_status"] = "trailing_state"
    outcome = destination.connector.write(streams, messages)
    assert outcome.code == 0, outcome.text

    assert outcome.states == states_of(messages)
    sent = rows_of(messages)
    assert set(sent) <= {stream["stream"]["name"] for stream in streams}
    for stream in streams:
        assert destination.stored(stream) == kept(stream, *sent.get(stream["stream"]["name"], ()))


def test_a_large_batch_arrives_whole_and_in_order(destination: Destination) -> None:
    """DAT testSyncWithLargeRecordBatch: the messages 400 times, then the status."""
    *messages, status = file_lines("v0/exchange_rate_messages.txt")
    (stream,) = catalog("v0/exchange_rate_catalog.json")
    outcome = destination.connector.write([stream], [*messages * 400, status])

    assert outcome.code == 0, outcome.text
    assert outcome.states == states_of(messages * 400)
    assert destination.stored(stream) == kept(stream, *rows_of(messages * 400)["exchange_rate"])


def test_a_second_overwrite_leaves_its_own_records_alone_and_other_streams_as_they_are(
    destination: Destination,
) -> None:
    """DAT testSecondSync."""
    messages = file_lines("v0/exchange_rate_messages.txt")
    (first,), (second,) = (catalog("v0/exchange_rate_catalog.json", (number, number, 42)) for number in (12, 13))
    other, bystander = configured("DummyCatalog", namespace=None), Row('{"data":"some data"}')
    destination.sync([first, other], [line(other, bystander), *messages[:-1]])
    assert len(destination.stored(first)) == 5

    row = Row('{"id": 1, "currency": "USD", "date": "2020-03-31T00:00:00Z", "HKD": 10.0, "NZD": 700.0}')
    state = checkpoint(second, {"start_date": "2020-03-31"})
    assert destination.sync([second], [line(second, row), state]).states == [counted(state, 1)]
    assert destination.stored(second) == kept(second, row)
    assert destination.stored(other) == kept(other, bystander)


def test_incremental_syncs_add_or_replace_by_key_whatever_fields_and_characters_come(destination: Destination) -> None:
    """DAT testIncrementalSync, testIncrementalDedupeSync, testLineBreakCharacters, testSyncNotFailsWithNewFields."""
    key: Json = {"primary_key": [["id"], ["currency"], ["date"], ["NZD"]], "cursor_field": []}
    sent = rows_of(file_lines("v0/exchange_rate_messages.txt"))["exchange_rate"]
    later = [
        Row('{"id":2,"currency":"EUR","date":"2020-09-01T00:00:00Z","NZD":1.14,"HKD":10.5,"newly_declared":1}'),
        Row('{"id":1,"currency":"USD\u2028","date":"2020-03-\\n31T00:00:00Z\\r","NZD":7e2,"undeclared":{"a":1}}'),
    ]
    runs = [(0, 0, 42), (0, 0, 43)]
    added = [configured("added", run=run) for run in runs]
    deduped = [configured("deduped", "append_dedup", run, **key) for run in runs]
    for position, rows in enumerate((sent, later)):
        streams = [added[position], deduped[position]]
        destination.sync(streams, [text for stream in streams for text in lines(stream, rows)])

    assert destination.stored(added[0]) == [*kept(added[0], *sent), *kept(added[1], *later)]
    stays = [sent[0], sent[1], sent[3]]  # the third has the key of the fourth, the fifth that of the first later one
    assert destination.stored(deduped[0]) == [*kept(deduped[0], *stays), *kept(deduped[1], *later)]


def test_streams_of_one_name_are_kept_apart_by_any_namespace_and_the_default_one_is_only_for_none(
    destination: Destination,
) -> None:
    """DAT testNamespaces, its disabled cases too, testSyncUsesAirbyteStreamNamespaceIfNotNull,
    testSyncWriteSameTableNameDifferentNamespace.
    """
    destination.connector.config["default_namespace"] = "of_the_config"
    cases = json.loads((DATA / "namespace_test_cases.json").read_text())
    places = [case["namespace"] for case in cases] + ["namespace", "of_the_stream", None]
    streams = [configured("data_stream", namespace=place) for place in places]
    rows = [Row(f'{{"field1":true,"place":{json.dumps(place)}}}') for place in places]
    destination.sync(streams, [line(stream, row) for stream, row in zip(streams, rows, strict=True)])

    for stream, row in zip(streams, rows, strict=True):
        assert destination.stored(stream) == kept(stream, row)
    assert destination.client.exists("of_the_config:data_stream:1", "namespace_こんにちは:data_stream:1") == 2
