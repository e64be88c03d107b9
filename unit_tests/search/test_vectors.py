"""Vector fields of an index as values: from the settings, and from the server's reply."""

from typing import Any

import pytest

from destination_redis.caches import RecordFormat, StorageFormat
from destination_redis.config.vectors import Vector
from destination_redis.protocol.schema import VECTOR, Column, columns_of
from destination_redis.search.definition import MOST_FIELDS, Field, Index, index_of, parse
from destination_redis.search.vectors import options_in, options_of, with_vectors

Json = dict[str, Any]

STRING: Json = {"type": "string"}
ARRAY: Json = {"type": "array", "items": {"type": "number"}}
E = Vector(field="e", dimensions=3)
OPTIONS = ("HNSW", "6", "TYPE", "FLOAT32", "DIM", "3", "DISTANCE_METRIC", "COSINE")


def index(
    *vectors: Vector, schema: Json | None = None, cache_type: str = "hash", form: RecordFormat = "columns"
) -> Index:
    columns = with_vectors(columns_of({"properties": schema or {}}), vectors)
    return index_of(columns, b"n:s:", StorageFormat(cache_type, form), upserts=False, full=False)


def test_the_settings_say_how_a_vector_is_indexed() -> None:
    assert options_of(E) == OPTIONS
    flat = Vector(field="e", dimensions=1536, distance="IP", algorithm="FLAT")
    assert options_of(flat) == ("FLAT", "6", "TYPE", "FLOAT32", "DIM", "1536", "DISTANCE_METRIC", "IP")


@pytest.mark.parametrize(
    ("cache_type", "form", "path"),
    [
        ("hash", "columns", "e"),
        ("json", "columns", '$["e"]'),
        ("json", "envelope", '$["_airbyte_data"]["e"]'),
    ],
)
def test_a_vector_is_indexed_whole_whatever_its_schema_says(cache_type: str, form: RecordFormat, path: str) -> None:
    for schema in ({}, {"e": ARRAY}, {"e": STRING}, {"e": {"type": "object"}}):
        assert index(E, schema=schema, cache_type=cache_type, form=form).fields["e"] == Field(path, VECTOR, OPTIONS)


def test_a_vector_is_never_left_out_of_a_full_index() -> None:
    wide: Json = {f"c{number}": {"type": "integer"} for number in range(MOST_FIELDS)}
    full = index(E, schema=wide)
    assert full.fields["e"].type == VECTOR
    assert len(full.left_out) == 3


def test_an_index_with_a_vector_is_made_by_one_command() -> None:
    (command,) = index(E, schema={"t": STRING}).create(b"name")
    assert command[-16:] == ["e", "AS", "e", "VECTOR", *OPTIONS, "t", "AS", "t", "TEXT"]


def test_columns_are_added_to_an_index_with_the_same_vectors() -> None:
    wanted = index(E, schema={"t": STRING})
    assert wanted.fits(index(E))
    assert list(wanted.alter(b"x", index(E))) == [["FT.ALTER", b"x", "SCHEMA", "ADD", "t", "AS", "t", "TEXT"]]
    assert list(index(E).alter(b"x", index(E))) == []


@pytest.mark.parametrize(
    "held",
    [
        index(Vector(field="e", dimensions=4)),
        index(Vector(field="e", dimensions=3, distance="L2")),
        index(Vector(field="e", dimensions=3, algorithm="FLAT")),
        index(),
        index(schema={"e": STRING}),
        index(E, Vector(field="gone", dimensions=3)),
    ],
)
def test_an_index_with_other_vectors_does_not_fit(held: Index) -> None:
    assert not index(E).fits(held)


def test_an_index_with_a_vector_that_is_none_any_more_does_not_fit() -> None:
    assert not index().fits(index(E))
    assert not index(schema={"e": ARRAY}, cache_type="json").fits(index(E, cache_type="json"))


def shown(*details: Any) -> Index:
    """Return the index in a reply to FT.INFO that says these details of a vector."""
    attribute = [b"identifier", b"e", b"attribute", b"e", b"type", b"VECTOR", *details]
    definition = [b"key_type", b"HASH", b"prefixes", [b"n:s:"]]
    return parse([b"index_name", b"i", b"index_definition", definition, b"attributes", [attribute]])[1]


DETAILS = [b"algorithm", b"HNSW", b"data_type", b"FLOAT32", b"dim", 3, b"distance_metric", b"COSINE"]


@pytest.mark.parametrize(
    "details",
    [
        DETAILS,
        [*DETAILS, b"M", 16, b"ef_construction", 200, b"INDEXMISSING"],
        [b"DIM", b"3", b"DISTANCE_METRIC", b"cosine", b"TYPE", b"x", b"DATA_TYPE", b"float32", b"ALGORITHM", b"hnsw"],
    ],
)
def test_the_reply_to_ft_info_is_recognized_as_the_index_that_was_made(details: list[Any]) -> None:
    held = shown(*details)
    assert held.fields["e"] == Field("e", VECTOR, OPTIONS)
    assert index(E).fits(held)
    assert not index(Vector(field="e", dimensions=4)).fits(held)


@pytest.mark.parametrize("details", [[], [b"SORTABLE"], DETAILS[:4], [b"dim", 3], [b"flags", [b"x"]], [None, 1]])
def test_a_server_that_does_not_show_how_a_vector_is_indexed_keeps_its_index(details: list[Any]) -> None:
    held = shown(*details)
    assert held.fields["e"].options is None
    assert index(E).fits(held)
    assert index(Vector(field="e", dimensions=4)).fits(held)
    assert not index(schema={"e": STRING}).fits(held)


def test_details_in_any_form_do_no_harm() -> None:
    assert options_in([b"SORTABLE", [b"dim"], [b"x"], {}, None]) is None
    odd = options_in([b"algorithm", b"\xff", b"dim", None, b"data_type", 1, b"distance_metric", []])
    assert odd not in (None, OPTIONS)


def test_a_column_beside_a_vector_keeps_its_type() -> None:
    columns = [Column("a", "TEXT"), Column("e", "NUMERIC", many=True)]
    assert with_vectors(columns, [E]) == [Column("e", VECTOR, options=OPTIONS), Column("a", "TEXT")]
    assert with_vectors(columns, []) == columns
