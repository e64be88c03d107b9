"""Positions of a bitmap: what of a record is one, and what is left out or rejected."""

import msgspec
import pytest

from destination_redis.caches import BitmapCache, RecordOptions
from destination_redis.errors import NoElement, RejectedRecord
from destination_redis.protocol.messages import Record
from destination_redis.resp import unpack_command


def position(value: str | bytes, **limits: int) -> bytes:
    """Return the argument that a record becomes which has this JSON value in its field."""
    parts: list[bytes] = []
    gather = BitmapCache(RecordOptions("columns", fields={"value": "seat"}, limits=limits)).gatherer(parts)
    data = b'{"id":7,"seat":%b}' % (value if isinstance(value, bytes) else value.encode())
    assert gather(1, Record("users", msgspec.Raw(data), msgspec.Raw(b"1"))) == 1
    (argument,) = unpack_command(b"*1\r\n" + b"".join(parts))
    return argument


@pytest.mark.parametrize(
    ("value", "argument"),
    [
        ("0", b"0"),
        ("42", b"42"),
        ("134217727", b"134217727"),
        ("5.0", b"5"),
        ("5e0", b"5"),
        ("1.5E1", b"15"),
        ("120e-1", b"12"),
        ("-0", b"0"),
        ("-0.0", b"0"),
        ('"42"', b"42"),
        ('"007"', b"7"),
        ('"\\u0034\\u0032"', b"42"),
    ],
)
def test_an_integer_is_a_position_however_a_source_writes_it(value: str, argument: bytes) -> None:
    assert position(value) == argument


@pytest.mark.parametrize(
    "value",
    [
        *("-1", "-1.0", "0.5", "5.0000000000000000001", "134217728", "1e400", "1e999999999", "1e-999999999"),
        *("9" * 30, "9" * 5000, "true", "[1]", '{"a":1}', '""', '" 1"', '"1.0"', '"-1"', '"S3cret"', '"٣"'),
        b'"\xff"',
    ],
)
def test_anything_else_is_rejected_and_named_without_its_value(value: str | bytes) -> None:
    with pytest.raises(RejectedRecord) as caught:
        position(value)
    assert str(caught.value) == (
        "its field seat, which value names, is not an integer from 0 to 134,217,727 (bitmap_max_position)"
    )


def test_a_text_that_is_not_valid_is_rejected_as_in_other_types() -> None:
    with pytest.raises(RejectedRecord, match=r"^its field seat, which value names, is not valid text$"):
        position(b'"1\\n\xff"')


@pytest.mark.parametrize(("most", "allowed"), [(0, "0"), (9, "9"), (2**32 - 1, "4294967295")])
def test_the_highest_position_is_the_settings(most: int, allowed: str) -> None:
    assert position(allowed, bitmap_max_position=most) == allowed.encode()
    for above in (str(most + 1), f'"{most + 1}"', f"{most + 1}.0"):
        with pytest.raises(RejectedRecord, match=rf"from 0 to {most:,} \(bitmap_max_position\)"):
            position(above, bitmap_max_position=most)


@pytest.mark.parametrize("data", ["{}", '{"seat":null}', '{"Seat":1}'])
def test_a_record_without_a_position_has_no_element(data: str) -> None:
    gather = BitmapCache(RecordOptions("columns", fields={"value": "seat"})).gatherer([])
    with pytest.raises(NoElement):
        gather(1, Record("users", msgspec.Raw(data.encode()), msgspec.Raw(b"1")))
