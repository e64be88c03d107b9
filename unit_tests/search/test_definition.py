"""Search indexes as values: from a schema, and from the server's reply."""

from typing import Any

import pytest

from destination_redis.caches import RecordFormat, StorageFormat
from destination_redis.protocol.schema import GEO, NUMERIC, TAG, TEXT, Column, columns_of
from destination_redis.search.definition import MOST_FIELDS, MOST_TEXTS, Field, Index, index_of, parse

Json = dict[str, Any]

STRING: Json = {"type": ["null", "string"]}


def index(schema: Json, cache_type: str = "hash", form: RecordFormat = "columns", prefix: bytes = b"n:s:") -> Index:
    columns = columns_of({"properties": schema})
    return index_of(columns, prefix, StorageFormat(cache_type, form), upserts=False, full=False)


@pytest.mark.parametrize(
    ("node", "kind"),
    [
        (STRING, TEXT),
        ({"type": "string"}, TEXT),
        ({"oneOf": [{"type": "null"}, {"type": "string"}]}, TEXT),
        ({"type": "string", "enum": ["a", "b"]}, TAG),
        ({"type": "string", "format": "uuid"}, TAG),
        ({"type": "string", "format": "email"}, TAG),
        ({"type": "string", "format": "date-time", "airbyte_type": "timestamp_with_timezone"}, TAG),
        ({"type": "string", "format": "date"}, TAG),
        ({"type": "string", "airbyte_type": "big_integer"}, TAG),
        ({"type": "string", "format": "geo"}, GEO),
        ({"type": ["null", "boolean"]}, TAG),
        ({"type": "integer", "airbyte_type": "timestamp_without_timezone"}, NUMERIC),
        ({"type": ["null", "integer", "number"]}, NUMERIC),
        ({"type": "number", "airbyte_type": "integer"}, NUMERIC),
    ],
)
def test_a_column_is_indexed_by_what_its_schema_says(node: Json, kind: str) -> None:
    assert columns_of({"properties": {"c": node}}) == (Column("c", kind),)


@pytest.mark.parametrize(
    "node",
    [
        {},
        True,
        None,
        {"type": "object"},
        {"type": "null"},
        {"type": ["string", "number"]},
        {"oneOf": [{"type": "string"}, {"type": "object"}]},
        {"type": "array"},
        {"type": "array", "items": {}},
        {"type": "array", "items": {"type": "object"}},
        {"type": "array", "items": {"type": "array", "items": STRING}},
        {"type": "array", "items": {"type": "string", "format": "geo"}},
        {"type": ["array", "string"], "items": STRING},
    ],
)
def test_a_column_that_may_hold_anything_is_not_indexed(node: object) -> None:
    assert columns_of({"properties": {"c": node}}) == ()


@pytest.mark.parametrize("schema", [None, {}, {"properties": None}, {"properties": []}, {"properties": {"": STRING}}])
def test_a_schema_without_columns_has_none(schema: object) -> None:
    assert columns_of(schema) == ()


def test_an_array_is_indexed_in_a_document_alone_by_each_of_its_values() -> None:
    schema = {"l": {"type": "array", "items": STRING}, "n": {"type": ["array", "null"], "items": {"type": "integer"}}}
    assert set(index(schema).fields) == {"_airbyte_ab_id", "_airbyte_emitted_at"}
    fields = index(schema, "json").fields
    assert fields["l"] == Field('$["l"][*]', TAG)
    assert fields["n"] == Field('$["n"][*]', NUMERIC)


def test_a_number_of_any_size_is_indexed_in_a_hash_alone() -> None:
    schema = {"n": {"type": "number", "airbyte_type": "big_number"}}
    assert index(schema).fields["n"] == Field("n", NUMERIC)
    assert "n" not in index(schema, "json").fields


def test_paths_lead_to_where_the_format_keeps_a_column() -> None:
    schema = {'it\'s "a\\b"': STRING}
    (hash_path,) = [path for path, kind, _ in index(schema).fields.values() if kind == TEXT]
    (column_path,) = [path for path, kind, _ in index(schema, "json").fields.values() if kind == TEXT]
    (data_path,) = [path for path, kind, _ in index(schema, "json", "envelope").fields.values() if kind == TEXT]
    assert hash_path == 'it\'s "a\\b"'
    assert column_path == r"""$["it's \"a\\b\""]"""
    assert data_path == r"""$["_airbyte_data"]["it's \"a\\b\""]"""


@pytest.mark.parametrize("written", [("hash", "columns"), ("json", "columns"), ("json", "envelope")])
def test_a_records_id_and_time_are_numbers_and_stand_before_columns_of_their_names(
    written: tuple[str, RecordFormat],
) -> None:
    fields = index({"_airbyte_ab_id": STRING, "_airbyte_x": STRING}, *written).fields
    assert [fields[name].type for name in fields] == [NUMERIC, NUMERIC, TEXT]
    assert list(fields) == ["_airbyte_ab_id", "_airbyte_emitted_at", "_airbyte_x"]


def test_columns_that_the_connector_leaves_out_of_a_record_are_not_in_its_index() -> None:
    columns = columns_of({"properties": {"_airbyte_cursor": STRING, "_airbyte_raw_id": STRING}})
    chosen = StorageFormat("hash", "columns")
    assert len(index_of(columns, b"", chosen, upserts=False, full=False).fields) == 4
    assert len(index_of(columns, b"", chosen, upserts=True, full=True).fields) == 2


def test_an_index_is_made_by_one_command_over_its_prefix() -> None:
    commands = list(index({"t": STRING, "b": {"type": "boolean"}}).create(b"name"))
    assert commands == [
        [
            *("FT.CREATE", b"name", "ON", "HASH", "PREFIX", "1", b"n:s:", "MAXTEXTFIELDS", "SCHEMA"),
            *("_airbyte_ab_id", "AS", "_airbyte_ab_id", "NUMERIC"),
            *("_airbyte_emitted_at", "AS", "_airbyte_emitted_at", "NUMERIC"),
            *("t", "AS", "t", "TEXT", "b", "AS", "b", "TAG", "SEPARATOR", "\x1f"),
        ]
    ]


def test_a_hashs_column_that_is_named_as_an_option_is_added_alone() -> None:
    schema = {"a": STRING, "weight": {"type": "number"}, "Sortable": STRING, "z": STRING}
    create, *more = index(schema).create(b"name")
    assert "z" in create
    assert more == [
        ["FT.ALTER", b"name", "SCHEMA", "ADD", "weight", "AS", "weight", "NUMERIC"],
        ["FT.ALTER", b"name", "SCHEMA", "ADD", "Sortable", "AS", "Sortable", "TEXT"],
    ]
    assert len(list(index(schema, "json").create(b"name"))) == 1


def test_columns_are_added_and_those_that_are_gone_stay() -> None:
    held, wanted = index({"a": STRING, "gone": STRING}), index({"a": STRING, "n": {"type": "integer"}})
    assert wanted.fits(held)
    assert list(wanted.alter(b"x", held)) == [["FT.ALTER", b"x", "SCHEMA", "ADD", "n", "AS", "n", "NUMERIC"]]
    assert list(held.alter(b"x", held)) == []


@pytest.mark.parametrize(
    "held",
    [
        index({"a": {"type": "integer"}}),
        index({"a": STRING}, "json"),
        index({"a": STRING}, prefix=b"other:"),
        index({f"c{number}": STRING for number in range(MOST_TEXTS)}),
        index({f"c{number}": {"type": "integer"} for number in range(MOST_FIELDS - 2)}),
    ],
)
def test_what_cannot_be_altered_does_not_fit(held: Index) -> None:
    assert not index({"a": STRING}).fits(held)


def test_another_format_does_not_fit() -> None:
    assert not index({"a": STRING}, "json").fits(index({"a": STRING}, "json", "envelope"))


def test_columns_beyond_what_an_index_can_have_are_left_out_and_named() -> None:
    texts = index({f"c{number}": STRING for number in range(MOST_TEXTS + 1)} | {"n": {"type": "integer"}})
    assert texts.left_out == (f"c{MOST_TEXTS}",)
    assert texts.fields["n"].type == NUMERIC
    many = index({f"c{number}": {"type": "integer"} for number in range(MOST_FIELDS)})
    assert len(many.fields) == MOST_FIELDS
    assert many.left_out == (f"c{MOST_FIELDS - 2}", f"c{MOST_FIELDS - 1}")


def test_the_reply_to_ft_info_is_the_index_it_describes() -> None:
    reply = [
        *(b"index_name", b"airbyte:index:{n:s}:1", b"index_options", []),
        *(b"index_definition", [b"key_type", b"HASH", b"prefixes", [b"n:s:"], b"default_score", b"1"]),
        b"attributes",
        [
            [b"identifier", b"a", b"attribute", b"a", b"type", b"TEXT", b"WEIGHT", b"1"],
            [b"identifier", b"b", b"attribute", b"b", b"type", b"TAG", b"SEPARATOR", b",", b"SORTABLE"],
        ],
        *(b"num_docs", 1),
    ]
    expected = Index("HASH", b"n:s:", {"a": Field("a", TEXT), "b": Field("b", TAG)})
    assert parse(reply) == (b"airbyte:index:{n:s}:1", expected)
