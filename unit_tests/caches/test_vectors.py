"""Vectors: arrays of numbers packed as FLOAT32 and read back, and what is refused with which words."""

import json
import math
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_redis.caches import HashCache, JsonCache, RecordOptions, plain
from destination_redis.caches.flat_fields import packer, reader
from destination_redis.caches.vectors import numbers_of, vector_checker, vector_packer
from destination_redis.errors import RejectedRecord
from destination_redis.keys import KeyTemplate
from destination_redis.protocol.messages import UNREADABLE, Record
from destination_redis.resp import unpack_command

FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | st.integers() | FLOATS | st.text(max_size=5)


def packed(text: str, dimensions: int = 3) -> bytes | None:
    return vector_packer("e", dimensions)(msgspec.Raw(text.encode()))


def why(text: str, dimensions: int = 3) -> str:
    with pytest.raises(RejectedRecord) as caught:
        packed(text, dimensions)
    return str(caught.value)


def record(data: str) -> Record:
    return Record("s", msgspec.Raw(data.encode()), msgspec.Raw(b"1"))


def options(record_format: Any = "columns", dimensions: int = 3) -> RecordOptions:
    return RecordOptions(record_format, vectors={"e": dimensions})


@given(st.lists(FLOATS, min_size=1, max_size=9))
def test_a_vector_is_packed_as_little_endian_float32_and_read_back(numbers: list[float]) -> None:
    found = packed(json.dumps(numbers), len(numbers))
    assert found == b"".join(struct.pack("<f", number) for number in numbers)
    assert [struct.pack("<f", number) for number in numbers_of(found)] == [
        struct.pack("<f", number) for number in numbers
    ]


@given(st.from_regex(r"-?[0-9]\.[0-9]{1,5}(e-?([1-9]|[12][0-9]|3[0-7]))?", fullmatch=True))
def test_a_decimal_of_up_to_six_digits_is_read_back_as_it_was_written(number: str) -> None:
    if 0 < abs(float(number)) < 1.2e-38:
        return  # FLOAT32 has fewer digits there
    found = packed(f"[{number}]", 1)
    assert found
    assert numbers_of(found) == [float(number)]


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("[0.1, 1, -2]", [0.1, 1.0, -2.0]),
        ("[0.10000000149011612,1e-3,0.30000001192092896]", [0.1, 0.001, 0.3]),
        ("[3.4028234663852886e38,-3.4028234663852886e38,1e-45]", [3.4028235e38, -3.4028235e38, 1.4013e-45]),
        ("[123456789012345678901234567890,0,-0.0]", [1.2345679e29, 0.0, -0.0]),
        (" [ 16777217 ,\n2,\t3 ] ".strip(), [16777216.0, 2.0, 3.0]),
    ],
)
def test_numbers_are_rounded_to_float32_and_read_as_short_decimals(text: str, numbers: list[float]) -> None:
    found = packed(text)
    assert found
    assert numbers_of(found) == numbers


def test_null_is_no_vector() -> None:
    assert packed("null") is None


@pytest.mark.parametrize(
    "text",
    ['"0.1"', "1", "true", "{}", '{"0":1}', '["0.1",1,1]', "[null,1,1]", "[true,1,1]", "[[1],1,1]", "[1,2,3,false]"],
)
def test_what_is_no_array_of_numbers_is_rejected_without_a_word_of_it(text: str) -> None:
    assert why(text) == "its field e, which vectors names, is not an array of numbers"


@pytest.mark.parametrize(("text", "found"), [("[]", "0"), ("[0.25]", "1"), ("[1,2,3,4]", "4")])
def test_another_length_is_rejected_with_both_lengths(text: str, found: str) -> None:
    assert why(text) == f"its field e, which vectors names, has {found} numbers instead of 3"
    many = f"[{','.join(['1'] * 1536)}]"
    assert why(many, 3072) == "its field e, which vectors names, has 1,536 numbers instead of 3,072"


@pytest.mark.parametrize("number", ["1e39", "-1e39", "3.4028236e38", "1e308"])
def test_a_number_that_would_be_infinite_is_rejected(number: str) -> None:
    assert why(f"[1,{number},3]") == "its field e, which vectors names, has a number that is too large for FLOAT32"


@pytest.mark.parametrize("number", ["1e400", "-1e400"])
def test_a_number_that_no_double_holds_is_rejected(number: str) -> None:
    assert "its field e, which vectors names, " in why(f"[1,{number},3]")


@given(
    st.dictionaries(st.sampled_from(["a", "e", "ü", '"', "_airbyte_ab_id"]), SCALARS | st.lists(SCALARS, max_size=4))
)
def test_in_a_hash_all_other_columns_are_those_of_a_stream_without_vectors(data: dict[str, Any]) -> None:
    vector = [0.5, -1.0, 2.0]
    text = json.dumps({**data, "e": vector})
    others, mixed = packer(RecordOptions("columns"), upserts=False), packer(options(), upserts=False)
    try:
        columns = fields(others, text)
    except UNREADABLE:
        return
    assert columns.pop(b"e") == json.dumps(vector).encode()
    assert fields(mixed, text) == columns | {b"e": struct.pack("<3f", *vector)}


def fields(pack: Any, data: str) -> dict[bytes, bytes]:
    count, parts = pack(1, record(data))
    arguments = list(unpack_command(b"*0\r\n" + b"".join(parts)))
    assert len(arguments) == 2 * count
    return dict(zip(arguments[::2], arguments[1::2], strict=True))


def test_in_a_hash_a_vector_without_a_value_is_no_field_and_of_two_the_last_counts() -> None:
    pack = packer(options(), upserts=False)
    assert fields(pack, '{"a":1}') == fields(pack, '{"a":1,"e":null}') == {b"a": b"1"}
    assert fields(pack, r'{"e":[9],"a":1,"\u0065":[1,2,3]}') == {b"a": b"1", b"e": struct.pack("<3f", 1, 2, 3)}


def test_in_a_hash_metadata_stands_beside_a_vector() -> None:
    pack = packer(RecordOptions("columns", full=True, vectors={"e": 1}), upserts=False)
    found = fields(pack, '{"e":[1]}')
    assert set(found) == {
        b"e",
        b"_airbyte_raw_id",
        b"_airbyte_extracted_at",
        b"_airbyte_generation_id",
        b"_airbyte_meta",
    }


def test_a_hash_is_read_back_with_the_numbers_of_its_vectors() -> None:
    read = reader(RecordOptions("columns", vectors={"e": 0}))
    own = {b"_airbyte_ab_id": b"7", b"_airbyte_emitted_at": b"1"}
    found = read({**own, b"a": b"x", b"e": struct.pack("<3f", 0.1, 1, -2.5)})
    assert found
    assert json.loads(found.data) == {"a": "x", "e": [0.1, 1.0, -2.5]}


@pytest.mark.parametrize("stored", [b"", b"abc", struct.pack("<f", math.nan) + b"x"])
def test_bytes_that_another_client_wrote_into_a_vector_do_not_stop_the_reading(stored: bytes) -> None:
    assert len(numbers_of(stored)) == len(stored) // 4


@pytest.mark.parametrize("record_format", ["columns", "envelope"])
def test_a_document_has_the_very_numbers_of_its_vectors_and_only_others_become_text(record_format: Any) -> None:
    encode = JsonCache(options(record_format, 2)).encoder(KeyTemplate(b"k:"), plain)
    long = "0.1000000000000000055511151231257827"
    *_, document = unpack_command(encode(1, record(f'{{"e":[{long},1],"n":{long}}}')))
    stored = document.decode().replace(" ", "")
    assert f'"e":[{long},1]' in stored
    assert f'"n":"{long}"' in stored
    assert '"field":"n"' in stored
    assert '"field":"e"' not in stored


@pytest.mark.parametrize("record_format", ["columns", "envelope"])
@pytest.mark.parametrize("upserts", [False, True])
def test_a_document_is_checked_before_it_is_written(record_format: Any, upserts: bool) -> None:
    cache = JsonCache(options(record_format))

    def write(data: str) -> object:
        if upserts:
            return cache.upsert_encoder()(1, b"c", record(data))
        return cache.encoder(KeyTemplate(b"k:"), plain)(1, record(data))

    assert write('{"e":[1,2,3]}')
    assert write('{"e":null}')
    assert write("{}")
    for wrong in ('{"e":[1,2]}', '{"e":"x"}', '{"e":[1,2,3],"e":[1]}'):
        with pytest.raises(RejectedRecord):
            write(wrong)


@pytest.mark.parametrize("upserts", [False, True])
def test_a_hash_is_checked_before_it_is_written(upserts: bool) -> None:
    cache = HashCache(options())

    def write(data: str) -> object:
        if upserts:
            return cache.upsert_encoder()(1, b"c", record(data))
        return cache.encoder(KeyTemplate(b"k:"), plain)(1, record(data))

    assert write('{"e":[1,2,3]}')
    with pytest.raises(RejectedRecord):
        write('{"e":[1,2]}')


def test_a_check_of_several_vectors_names_the_one_that_is_wrong() -> None:
    check = vector_checker({"a": 1, "b": 2})
    check(b'{"a":[1],"b":[1,2],"c":[1,2,3]}')
    with pytest.raises(RejectedRecord, match="its field b, which vectors names, has 1 numbers instead of 2"):
        check(b'{"a":[1],"b":[1]}')
