"""The catalog: read into streams, or refused in a sentence."""

import json
from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.protocol.catalog import Mode, Stream, parse_catalog
from destination_redis.protocol.cursor import Order


def configured(name: str = "users", namespace: str | None = None, **more: Any) -> dict[str, Any]:
    stream: dict[str, Any] = {"name": name, "namespace": namespace, "json_schema": {}}
    return {"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "append", **more}


def parse(*streams: dict[str, Any]) -> tuple[Stream, ...]:
    return parse_catalog(json.dumps({"streams": streams}).encode())


def stream(mode: Mode, generation: int | None, minimum: int | None, sync_id: int | None = 7) -> Stream:
    return Stream("users", None, mode, generation, minimum, sync_id)


def complaint(content: bytes) -> str:
    with pytest.raises(AirbyteTracedException) as caught:
        parse_catalog(content)
    assert caught.value.failure_type is FailureType.config_error
    return str(caught.value.message)


def test_a_configured_stream_keeps_its_names_mode_and_generations() -> None:
    numbers = {"generation_id": 3, "minimum_generation_id": 2, "sync_id": 9}
    (found,) = parse(configured("users", "public", **numbers))
    assert found == Stream("users", "public", "append", 3, 2, 9)
    assert found.pair == (3, 9)


def test_an_empty_namespace_is_none() -> None:
    assert parse(configured(namespace=""))[0].namespace is None


def test_a_catalog_without_generations_is_fine() -> None:
    assert parse(configured())[0] == Stream("users", None, "append")


def test_unknown_fields_and_nulls_of_a_catalog_are_passed_over() -> None:
    nulls: dict[str, Any] = {"generation_id": None, "minimum_generation_id": None, "sync_id": None, "primary_key": None}
    assert parse(configured(**nulls, something_new={"a": 1})) == parse(configured())


@pytest.mark.parametrize("mode", ["append", "overwrite", "append_dedup"])
def test_a_primary_key_is_known_in_every_mode_and_the_one_that_was_chosen_comes_first(mode: str) -> None:
    chosen = configured(destination_sync_mode=mode, primary_key=[["id"], ["a", "b"]])
    given = configured("orders", destination_sync_mode=mode, primary_key=[])
    for each in (chosen, given):
        each["stream"]["source_defined_primary_key"] = [["code"]]
    assert [each.catalog_key for each in parse(chosen, given)] == [(("id",), ("a", "b")), (("code",),)]
    assert [bool(each.primary_key) for each in parse(chosen, given)] == [mode == "append_dedup"] * 2


@pytest.mark.parametrize("key", [None, [], [[]], [["id"], []]])
def test_without_a_valid_primary_key_there_is_none(key: object) -> None:
    assert parse(configured(primary_key=key))[0].catalog_key == ()


@pytest.mark.parametrize(
    ("schema", "names"),
    [({}, ()), ({"properties": {"b": {}, "a": {"type": "object"}}}, ("b", "a")), ({"properties": 5}, ()), (None, ())],
)
def test_the_properties_of_a_schema_are_known_whatever_their_type(schema: object, names: tuple[str, ...]) -> None:
    stream = configured()
    stream["stream"]["json_schema"] = schema
    assert parse(stream)[0].properties == names


def test_a_stream_named_twice_is_a_config_error_that_names_it() -> None:
    content = json.dumps({"streams": [configured("a", "n"), configured("a", "n")]}).encode()
    assert "n.a" in complaint(content)


def test_a_null_and_an_empty_namespace_are_one() -> None:
    content = json.dumps({"streams": [configured("a", ""), configured("a", None)]}).encode()
    assert "twice" in complaint(content)


def test_one_name_in_two_namespaces_is_two_streams() -> None:
    assert len(parse(configured("a", "m"), configured("a", "n"), configured("a"))) == 3


def test_a_mode_the_connector_lacks_is_a_config_error_that_names_stream_and_mode() -> None:
    message = complaint(json.dumps({"streams": [configured(destination_sync_mode="update")]}).encode())
    assert "users" in message
    assert "update" in message


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"streams":[{}]}', b"\xff"])
def test_what_is_no_catalog_is_a_config_error(content: bytes) -> None:
    assert "catalog" in complaint(content)


@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_a_sync_whose_minimum_is_its_generation_truncates(mode: Mode) -> None:
    assert stream(mode, 4, 4).truncates


@pytest.mark.parametrize(("generation", "minimum"), [(0, 0), (4, 0), (4, 3), (None, None), (4, None), (None, 4)])
def test_other_generations_do_not_truncate(generation: int | None, minimum: int | None) -> None:
    assert not stream("append", generation, minimum).truncates


def test_a_first_refresh_truncates_whatever_its_sync_id() -> None:
    assert stream("append", 1, 1, 2).truncates
    assert stream("append", 1, 1, None).truncates


def test_pyairbytes_constants_replace_nothing_in_append() -> None:
    found = stream("append", 1, 1, 1)
    assert not found.truncates
    assert not found.starts_empty
    assert not found.needs_complete


@pytest.mark.parametrize(
    ("generation", "minimum", "sync_id"),
    [(None, None, None), (0, 0, 7), (4, 3, 7), (4, 0, 7), (4, None, 7), (1, 1, 1)],
)
def test_an_overwrite_without_a_usable_generation_starts_empty(
    generation: int | None, minimum: int | None, sync_id: int | None
) -> None:
    assert stream("overwrite", generation, minimum, sync_id).starts_empty


def test_an_overwrite_with_a_usable_generation_can_be_continued() -> None:
    assert not stream("overwrite", 4, 4).starts_empty


def test_an_append_never_starts_empty() -> None:
    assert not stream("append", 4, 4).starts_empty
    assert not stream("append", None, None, None).starts_empty


def test_only_a_refresh_by_generation_needs_complete() -> None:
    assert stream("append", 4, 4).needs_complete
    assert not stream("overwrite", 4, 4).needs_complete
    assert not stream("append", 4, 0).needs_complete


def test_a_stream_with_files_is_a_config_error_that_names_it() -> None:
    message = complaint(json.dumps({"streams": [configured(include_files=True)]}).encode())
    assert "users" in message
    assert "include_files" in message


@pytest.mark.parametrize("include_files", [False, None])
def test_a_stream_without_its_files_is_fine(include_files: bool | None) -> None:
    assert parse(configured(include_files=include_files)) == parse(configured())


def test_a_stream_is_printed_with_its_namespace_if_it_has_one() -> None:
    assert str(Stream("users", "public", "append")) == "public.users"
    assert str(Stream("users", None, "append")) == "users"


def test_a_deduplicated_stream_has_its_key_its_cursor_and_how_that_compares() -> None:
    schema = {"properties": {"at": {"type": "string", "format": "date-time"}, "_ab_cdc_deleted_at": {}}}
    more: dict[str, Any] = {"primary_key": [["id"], ["a", "b"]], "cursor_field": ["at"]}
    asked = configured(**more) | {"destination_sync_mode": "append_dedup"}
    asked["stream"]["json_schema"] = schema
    (found,) = parse(asked)
    assert found.primary_key == (("id",), ("a", "b"))
    assert (found.placement, found.key_fields) == ("primary_key", '[["id"],["a","b"]]')
    assert found.order == '["at"] instant'
    assert found.may_delete


@pytest.mark.parametrize("primary_key", [None, [], [[]], [["id"], []]])
def test_a_deduplicated_stream_without_a_primary_key_is_a_config_error_that_names_it(primary_key: object) -> None:
    asked = configured(primary_key=primary_key) | {"destination_sync_mode": "append_dedup"}
    assert "users" in complaint(json.dumps({"streams": [asked]}).encode())


def test_a_primary_key_means_nothing_in_append() -> None:
    assert parse(configured(primary_key=[["id"]]))[0] == Stream("users", None, "append")


def test_a_schema_without_the_deletion_column_says_that_rows_are_not_deleted() -> None:
    asked = configured(primary_key=[["id"]]) | {"destination_sync_mode": "append_dedup"}
    assert parse(asked)[0].may_delete
    asked["stream"]["json_schema"] = {"properties": {"id": {"type": "integer"}}}
    assert not parse(asked)[0].may_delete


ODD: list[Any] = [True, 5, "x", [], [[]], {}, [5], {"oneOf": 5}, {"oneOf": [[]]}, {"type": [[]]}, {"type": {}}]


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", ["schema", "properties", "at", "type", "items"])
def test_a_schema_that_is_none_says_nothing_about_columns(odd: Any, name: str) -> None:
    column = {"type": odd} if name == "type" else {"type": "array", "items": odd} if name == "items" else odd
    properties = odd if name == "properties" else {"at": column, "id": {"type": "string"}}
    one = configured(destination_sync_mode="append_dedup", primary_key=[["id"]], cursor_field=["at"])
    one["stream"]["json_schema"] = odd if name == "schema" else {"properties": properties}
    (found,) = parse(one)
    assert found.cursor_order is Order.TEXT
    assert [column for column in found.columns if column.name == "at"] == []


def test_a_catalog_nested_too_deeply_is_said_to_be_so() -> None:
    says = "The catalog cannot be read: it is nested too deeply"
    assert complaint(b'{"more":' + b"[" * 100_000) == says
