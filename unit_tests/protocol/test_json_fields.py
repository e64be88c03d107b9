"""Fields picked out of JSON text."""

import msgspec
import pytest

from destination_redis.protocol.json_fields import Path, picker


def pick(data: str, *paths: Path) -> list[bytes]:
    return [bytes(value) for value in picker(paths)(msgspec.Raw(data.encode()))]


def test_values_are_the_bytes_they_came_as() -> None:
    assert pick('{"b": 1e400, "a":"\\u00e9", "c": {"x": [ 1 ]}}', ("a",), ("b",), ("c",)) == [
        b'"\\u00e9"',
        b"1e400",
        b'{"x": [ 1 ]}',
    ]


def test_a_path_leads_into_objects() -> None:
    data = '{"a": {"b": {"c": 1}, "d": 2}}'
    assert pick(data, ("a", "b", "c"), ("a", "d"), ("a", "b")) == [b"1", b"2", b'{"c": 1}']


@pytest.mark.parametrize("data", ["{}", '{"a": null}', '{"a": 5}', '{"a": ["b"]}', '{"a": {"c": 1}}', '{"a": "b"}'])
def test_what_is_not_there_is_null(data: str) -> None:
    assert pick(data, ("a", "b")) == [b"null"]


def test_of_a_field_named_twice_the_last_counts() -> None:
    assert pick('{"a": 1, "a": 2}', ("a",)) == [b"2"]
    assert pick('{"a": {"b": 1, "b": 2}}', ("a", "b")) == [b"2"]


@pytest.mark.parametrize("name", ["a b", "é", 'say "hi"', "back\\slash", "tab\t", "", "f0", "class", "{x}"])
def test_any_name_can_be_picked(name: str) -> None:
    data = msgspec.json.encode({"other": 0, name: 1}).decode()
    assert pick(data, (name,), ("other",)) == [b"1", b"0"]


def test_names_may_be_escaped_in_the_data() -> None:
    assert pick('{"\\u0061": 1}', ("a",)) == [b"1"]


def test_the_same_path_may_be_picked_twice() -> None:
    assert pick('{"a": 1, "b": 2}', ("a",), ("b",), ("a",)) == [b"1", b"2", b"1"]


@pytest.mark.parametrize("data", ["[1]", "5", "null", '"text"'])
def test_data_that_is_no_object_is_refused(data: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        pick(data, ("a",))
