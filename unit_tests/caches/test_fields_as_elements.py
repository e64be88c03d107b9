"""Fields of a record as the element of a collection and its score: what is taken, left out and rejected."""

from typing import Any

import msgspec
import pytest

from destination_redis.caches import CACHES, CollectionCache, RecordOptions
from destination_redis.errors import NoElement, RejectedRecord
from destination_redis.protocol.cursor import Order
from destination_redis.protocol.messages import Record
from destination_redis.resp import unpack_command

TYPES = ["list", "set", "sorted_set", "hyperloglog"]


def gathered(cache_type: str, *records: str | bytes, value: str = "", score: str = "", **options: Any) -> list[bytes]:
    """Return the arguments of the elements that records with this data become."""
    fields = {name: field for name, field in (("value", value), ("score", score)) if field}
    cache = CACHES[cache_type](RecordOptions("columns", fields=fields, **options))
    assert isinstance(cache, CollectionCache)
    parts: list[bytes] = []
    gather = cache.gatherer(parts)
    count = 0
    try:
        for number, data in enumerate(records, 1):
            count += gather(number, Record("users", msgspec.Raw(data), msgspec.Raw(b"1700000000000")))
    finally:
        arguments = list(unpack_command(b"*%d\r\n%b" % (count, b"".join(parts))))
        assert len(arguments) == count
    return arguments


@pytest.mark.parametrize(
    ("setting", "types"),
    [
        ("value", ["list", "set", "sorted_set", "geo", "bitmap", "hyperloglog"]),
        *(
            ("score", ["sorted_set"]),
            ("longitude", ["geo"]),
            ("latitude", ["geo"]),
            ("bitmap_max_position", ["bitmap"]),
        ),
    ],
)
def test_some_data_types_have_settings_of_their_elements(setting: str, types: list[str]) -> None:
    assert [name for name, cache in CACHES.items() if setting in cache.capabilities.settings] == types


@pytest.mark.parametrize("cache_type", TYPES)
@pytest.mark.parametrize(
    ("value", "element"),
    [
        ('"plain"', b"plain"),
        ('"with \\"escapes\\"\\n\\u00e9"', b'with "escapes"\n\xc3\xa9'),
        ('""', b""),
        ('"null"', b"null"),
        ("1", b"1"),
        ("1.50", b"1.50"),
        ("123456789012345678901234567890", b"123456789012345678901234567890"),
        ("true", b"true"),
        ('{"a": [1.10, null]}', b'{"a": [1.10, null]}'),
        ("[]", b"[]"),
    ],
)
def test_a_string_is_an_element_as_it_is_and_anything_else_as_its_json_text(
    cache_type: str, value: str, element: bytes
) -> None:
    assert gathered(cache_type, f'{{"id":7,"name":{value}}}', value="name")[-1] == element


@pytest.mark.parametrize("cache_type", TYPES)
def test_of_a_field_named_twice_the_last_is_the_element(cache_type: str) -> None:
    assert gathered(cache_type, '{"name":null,"name":"b"}', value="name")[-1] == b"b"


@pytest.mark.parametrize("name", ["a.b", 'a"b', "a\\b", "é", " "])
def test_a_field_may_have_any_name(name: str) -> None:
    data = msgspec.json.encode({"a": {"b": 1}, name: "x"}).decode()
    assert gathered("list", data, value=name) == [b"x"]


@pytest.mark.parametrize("cache_type", TYPES)
@pytest.mark.parametrize("data", ["{}", '{"name":null}', '{"Name":"a"}', '{"a":{"name":1}}'])
def test_a_record_whose_field_is_null_or_missing_has_no_element_and_adds_nothing(cache_type: str, data: str) -> None:
    with pytest.raises(NoElement):
        gathered(cache_type, data, value="name")


@pytest.mark.parametrize("cache_type", TYPES)
def test_a_field_that_is_no_valid_text_is_named_without_its_value(cache_type: str) -> None:
    with pytest.raises(RejectedRecord, match=r"^its field name, which value names, is not valid text$"):
        gathered(cache_type, b'{"name":"a\\n\xff"}', value="name")


@pytest.mark.parametrize(
    ("value", "score"),
    [
        ("5", b"5.0"),
        ("-0.25", b"-0.25"),
        ('" 12.50 "', b"12.5"),
        ("1e400", b"inf"),
        ('"Infinity"', b"inf"),
        ('"-inf"', b"-inf"),
        ("123456789012345678901234567890", b"1.2345678901234568e+29"),
    ],
)
def test_a_score_is_a_number_or_a_text_that_is_one(value: str, score: bytes) -> None:
    data = f'{{"id":7,"at":{value}}}'
    assert gathered("sorted_set", data, score="at") == [score, data.encode()]
    assert gathered("sorted_set", data, value="id", score="at") == [score, b"7"]


def test_a_score_in_a_column_of_times_is_in_seconds() -> None:
    data = ['{"at":"1970-01-01T00:00:01.5Z"}', '{"at":7}', '{"at":"infinity"}']
    found = gathered("sorted_set", *data, score="at", times={"at"})
    assert found[::2] == [b"1.5", b"7.0", b"inf"]


@pytest.mark.parametrize("options", [{"score": "at"}, {"value": "id", "score": "at"}])
def test_no_time_stands_in_for_a_score_that_is_null_or_missing(options: dict[str, str]) -> None:
    for data in ('{"id":7,"at":null}', '{"id":7}'):
        with pytest.raises(NoElement):
            gathered("sorted_set", data, cursor=("id",), cursor_order=Order.NUMBER, **options)


@pytest.mark.parametrize("value", ['"S3cret"', '"NaN"', '""', "true", "[1]", "{}", '"2024-01-01T00:00:00Z"'])
def test_a_score_that_is_no_number_is_named_without_its_value(value: str) -> None:
    with pytest.raises(RejectedRecord, match=r"^its field at, which score names, is not a number$"):
        gathered("sorted_set", f'{{"id":7,"at":{value}}}', value="id", score="at")


def test_a_score_that_is_no_time_is_named_as_such() -> None:
    with pytest.raises(RejectedRecord, match=r"^its field at, which score names, is not a time$"):
        gathered("sorted_set", '{"at":"0000-00-00"}', score="at", times={"at"})


@pytest.mark.parametrize("data", [b'{"id":null,"at":"x"}', b'{"id":"\\n\xff","at":null}'])
def test_a_field_that_is_null_counts_before_another_that_is_wrong(data: bytes) -> None:
    with pytest.raises(NoElement):
        gathered("sorted_set", data, value="id", score="at")


def test_one_field_can_be_element_and_score() -> None:
    assert gathered("sorted_set", '{"id":7}', value="id", score="id") == [b"7.0", b"7"]


def test_without_a_score_the_cursor_or_the_time_of_the_record_is_the_score() -> None:
    cursor: dict[str, Any] = {"cursor": ("at",), "cursor_order": Order.NUMBER}
    assert gathered("sorted_set", '{"id":7,"at":3}', value="id", **cursor) == [b"3.0", b"7"]
    assert gathered("sorted_set", '{"id":7,"at":3}', value="id") == [b"1700000000000.0", b"7"]


@pytest.mark.parametrize("cache_type", TYPES)
def test_a_record_that_is_left_out_adds_nothing_to_those_gathered_before_and_after(cache_type: str) -> None:
    cache = CACHES[cache_type](RecordOptions("columns", fields={"value": "id"}))
    assert isinstance(cache, CollectionCache)
    parts: list[bytes] = []
    gather = cache.gatherer(parts)
    for data in (b'{"id":1}', b'{"id":null}', b'{"id":2}'):
        if b"null" in data:
            with pytest.raises(NoElement):
                gather(1, Record("users", msgspec.Raw(data), msgspec.Raw(b"1")))
        else:
            gather(1, Record("users", msgspec.Raw(data), msgspec.Raw(b"1")))
    width = cache.collection.width(b"")
    arguments = list(unpack_command(b"*%d\r\n%b" % (2 * width, b"".join(parts))))
    assert arguments[width - 1 :: width] == [b"1", b"2"]
