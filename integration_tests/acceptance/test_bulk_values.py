"""BasicFunctionalityIntegrationTest ("BFT", of the bulk-load CDK), second half: names and values; SpecTest, check.

Numbers are the cases' in that file's order; the first half is test_bulk_writes, what goes by primary key is in
test_upsert_cases. What a destination has to declare is: allTypesBehavior Untyped; schematizedObjectBehavior,
schematizedArrayBehavior and unionBehavior PASS_THROUGH; unknownTypesBehavior PASS_THROUGH; stringifySchemalessObjects
and stringifyUnionObjects false; nullEqualsUnset false. In short, the data is the text that came.

Not run, since they hold for typed destinations alone: testNumericTypes (30, fixed point with 38 and 9 digits) and
testCoerceLegacyUnions (34, coercesLegacyUnions). Their values are among those below, and stay as they came.
"""

import json
import subprocess
from pathlib import Path

import msgspec
import pytest

from destination_redis.config.spec import specification
from integration_tests.acceptance.harness import Destination, Row, configured, kept, lines
from integration_tests.support.messages import Json
from integration_tests.support.project import MAIN, PYTHON
from integration_tests.support.servers.server import Server

VALUES = Path(__file__).parent / "values.jsonl"
NAMES = (
    "streamWithCamelCase",
    "stream_with_underscores",
    "STREAM_WITH_ALL_CAPS",
    "CapitalCase",
    "stream_with_spécial_character",
    "stream_name_with_operator+1",
    "stream_name_with_numbers_123",
    "1stream_with_a_leading_number",
    "c'est une belle histoire,./<>?'\";[]\\:{}|`~!@#$%^&*()_+-=",
    "stream_with_edge_case_field_names_and_values",
    "groups",
)
FIELDS = (
    "id",
    "fieldWithCamelCase",
    "field_with_underscore",
    "FIELD_WITH_ALL_CAPS",
    "field_with_spécial_character",
    "field_name_with_operator+1",
    "field_name_with_numbers_123",
    "1field_with_a_leading_number",
    "order",
    "ProperCase",
    "Foo.Bar",
    "authorization",
)
#: Named as keywords of SQL, or hard to quote in it: TD's weirdColumnNames, testReservedKeywords and mixedCaseTest.
WEIRD = (
    "$starts_with_dollar_sign",
    'includes"doublequote',
    "includes'singlequote",
    "includes`backtick",
    "includes.period",
    "includes$$doubledollar",
    "endswithbackslash\\",
    "current_date",
    "join",
    "IamACaseSensitiveColumnName",
)


def as_columns(row: Row) -> dict[str, str]:
    """Return what a hash holds of a row in columns: text as it is, nothing for a null, else the JSON text."""
    values = msgspec.json.decode(row.data, type=dict[str, msgspec.Raw])
    texts = {name: text for name, value in values.items() if (text := bytes(value).decode()) != "null"}
    return {name: json.loads(text) if text.startswith('"') else text for name, text in texts.items()}


def without_own(fields: dict[str, str]) -> dict[str, str]:
    """Return a hash's fields without the connector's own."""
    return {name: text for name, text in fields.items() if not name.startswith("_airbyte_")}


def test_streams_of_one_name_in_several_namespaces_do_not_mix_and_the_default_one_stands_in_for_none(
    destination: Destination,
) -> None:
    """BFT 8 testNamespaces."""
    destination.connector.config["default_namespace"] = "test_default"
    streams = [configured(namespace=namespace) for namespace in ("test_1", "test_2", None)]
    rows = [Row(f'{{"id": {number}}}', 1234) for number in (1234, 5678, 91011)]
    destination.sync(streams, [text for each, row in zip(streams, rows, strict=True) for text in lines(each, [row])])

    assert [destination.stored(each) for each in streams] == [
        kept(each, row) for each, row in zip(streams, rows, strict=True)
    ]
    assert destination.client.exists("test_1:test_stream:1", "test_2:test_stream:1", "test_default:test_stream:1") == 3


@pytest.mark.parametrize("record_format", ["envelope", "columns"])
def test_names_may_hold_any_character(destination: Destination, record_format: str) -> None:
    """BFT 9 testFunkyCharacters; TD weirdColumnNames, testReservedKeywords, mixedCaseTest, testLongIdentifierHandling
    and incrementalDedupSameNameNamespace.
    """
    destination.connector.config["record_format"] = record_format
    row = Row(json.dumps({**dict.fromkeys([*FIELDS, *WEIRD], "foo\nbar"), "id": 42}))
    streams = [configured(name) for name in NAMES]
    streams += [configured("test", namespace=name) for name in ("test_spøcial", "test_operator-1", "test")]
    streams += [configured("long" * 200, namespace="long" * 200)]
    destination.sync(streams, [text for each in streams for text in lines(each, [row])])

    for each in streams:
        (fields,) = destination.fields(each)
        if record_format == "envelope":
            assert fields["_airbyte_data"] == row.data
        else:
            assert without_own(fields) == as_columns(row)


@pytest.mark.parametrize("record_format", ["envelope", "columns"])
def test_values_are_kept_as_they_came_whatever_the_schema_says(destination: Destination, record_format: str) -> None:
    """The cases in values.jsonl, each a stream of one sync: a schema, then the data that is sent."""
    destination.connector.config["record_format"] = record_format
    cases: list[tuple[Json, list[Row]]] = []
    for text in VALUES.read_text().splitlines():
        if text.startswith('{"case"'):
            case = json.loads(text)
            cases.append((configured(case["case"], run=(42, 0, 42), schema=case["properties"]), []))
        else:
            cases[-1][1].append(Row(text, 100))
    destination.sync([stream for stream, _ in cases], [text for case in cases for text in lines(*case)])

    for stream, rows in cases:
        if record_format == "envelope":
            assert destination.stored(stream) == kept(stream, *rows)
        else:
            assert list(map(without_own, destination.fields(stream))) == list(map(as_columns, rows))


def run(*arguments: str) -> list[Json]:
    done = subprocess.run([PYTHON, MAIN, *arguments], capture_output=True, text=True, timeout=60, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_specification_is_one_message_and_says_what_the_settings_are() -> None:
    """SpecTest testSpecOss and testSpecCloud, DAT testGetSpec: no two forms, so one test; compared with the models."""
    (message,) = run("spec")
    assert message["type"] == "SPEC"
    assert {name: message["spec"][name] for name in specification()} == specification()


def test_a_check_says_once_whether_it_succeeded(server: Server, tmp_path: Path) -> None:
    """CheckIntegrationTest testSuccessConfigs and testFailConfigs; DAT testCheckConnection and
    testCheckConnectionInvalidCredentials. test_check.py has a message for each mistake.
    """
    answers = []
    for change in ({}, {"password": "wrong"}):
        (file := tmp_path / "config.json").write_text(json.dumps({**server.config, **change}))
        answers += [m["connectionStatus"]["status"] for m in run("check", "--config", str(file)) if m["type"] != "LOG"]
    assert answers == ["SUCCEEDED", "FAILED"]
