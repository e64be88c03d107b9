"""Columns packed by a learned shape: the same, for any record, as packed one by one."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_redis.caches import RecordOptions
from destination_redis.caches.column_shape import Shapes
from destination_redis.caches.flat_fields import packer
from destination_redis.protocol.json_fields import fields
from destination_redis.protocol.messages import UNREADABLE, Record, decode
from destination_redis.resp import unpack_command

NAMES = st.sampled_from(["a", "b", "ü", "100%d", "c d", '"', "\\", "\n", "\0", "", "_airbyte_ab_id", "_airbyte_meta"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = SCALARS | st.lists(SCALARS, max_size=2) | st.dictionaries(st.text(max_size=2), SCALARS, max_size=2)
RECORDS = st.dictionaries(NAMES, VALUES, max_size=5)


def record(data: str) -> Record:
    line = '{"type":"RECORD","record":{"stream":"s","emitted_at":1,"data":' + data + "}}"
    found = decode(line.encode("utf-8", "surrogateescape")).record
    assert found
    return found


def packed(pack: Any, data: str) -> object:
    """Return the number of columns and their names and values, or the kind of the error."""
    try:
        count, parts = pack(1, record(data))
    except UNREADABLE as error:
        return type(error)
    arguments = list(unpack_command(b"*0\r\n" + b"".join(parts)))
    assert len(arguments) == 2 * count
    return dict(zip(arguments[::2], arguments[1::2], strict=True))


def one_by_one(data: str) -> object:
    return packed(packer(RecordOptions("columns"), upserts=False), data)  # the first one has no shape to go by


@given(st.lists(RECORDS, min_size=2, max_size=12), st.booleans(), st.booleans())
def test_records_of_any_shapes_one_after_the_other_are_packed_as_each_is_alone(
    records: Sequence[Any], ascii_alone: bool, spaced: bool
) -> None:
    pack = packer(RecordOptions("columns"), upserts=False)
    for each in records:
        data = json.dumps(each, ensure_ascii=ascii_alone, separators=None if spaced else (",", ":"))
        try:
            record(data)
        except UNREADABLE:
            continue  # NaN and lone surrogates are no JSON
        assert packed(pack, data) == one_by_one(data)


@pytest.mark.parametrize(
    "data",
    [
        '{"a":"x","b":1}',
        '{"a":null,"b":null}',
        '{"b":2}',
        "{}",
        '{"a":"1","a":"2","b":1}',
        '{"a":1,"b":"x"}',
        '{"a":"x","b":"y"}',
        '{"a":"ü\\u00fc","b":{"x": "ü"}}',
        '{"a":"\\ud800","b":1}',
        '{"a":"\udcff","b":1}',
        '{"a":"x","b":"\udcff"}',
        '{"a":"x","b":1,"c":3}',
        '{"a":"x","b":1,"_airbyte_ab_id":3}',
        '{"a":"x\\r\\n$5","b":[1, 2]}',
        '{"a":"%s %d %%","b":123456789012345678901234567890}',
        '{"a":"x","b":1.0e5}',
        '{"a":"","b":1}',
        f'{{"a":"{"x" * 1023}","b":1}}',
        f'{{"a":"{"x" * 1023}ü","b":1}}',
        f'{{"a":"x","b":{[1] * 600}}}',
        f'{{"a":null,"b":{[1] * 600}}}',
    ],
)
def test_a_record_beside_the_shape_is_packed_as_it_is_alone(data: str) -> None:
    pack = packer(RecordOptions("columns"), upserts=False)
    for _ in range(3):
        packed(pack, '{"a":"text","b":1}')
    assert packed(pack, data) == one_by_one(data)


def test_records_like_the_first_one_are_packed_by_its_shape() -> None:
    shapes = Shapes(frozenset())
    data = msgspec.Raw(b'{"a":"x","b":1}')
    assert shapes.pack(data) is None
    shapes.learn(fields(data))
    assert shapes.pack(data) == (2, b"$1\r\na\r\n$1\r\nx\r\n$1\r\nb\r\n$1\r\n1\r\n")
    assert shapes.pack(msgspec.Raw(b'{"a":null,"b":1}')) == (1, b"$1\r\nb\r\n$1\r\n1\r\n")
    assert shapes.pack(msgspec.Raw(b'{"c":1}')) is None


def test_a_stream_that_changes_gets_another_shape_and_one_without_any_none() -> None:
    shapes = Shapes(frozenset())
    learned = 0
    for number in range(3000):
        data = msgspec.Raw(b'{"a%d":1}' % (number if number > 1000 else number // 500))
        if shapes.pack(data) is None:
            shapes.learn(fields(data))
        else:
            learned += 1
    assert learned > 800
    assert shapes.pack(msgspec.Raw(b'{"a2999":1}')) is None
