"""Cursors as text: it sorts as the values do."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_redis.cursor import Order, encode, order_of


def text(value: object, order: Order = Order.TEXT) -> str:
    return encode(msgspec.Raw(msgspec.json.encode(value)), order)


def number(literal: str) -> str:
    return encode(msgspec.Raw(literal.encode()), Order.TEXT)


def rising(values: list[str]) -> bool:
    return values == sorted(values) and len(set(values)) == len(values)


@given(st.integers(), st.integers())
def test_integers_of_any_size_sort_as_numbers(one: int, other: int) -> None:
    assert (number(str(one)) < number(str(other))) == (one < other)


@given(st.decimals(allow_nan=False, allow_infinity=False), st.decimals(allow_nan=False, allow_infinity=False))
def test_decimals_sort_as_numbers(one: Decimal, other: Decimal) -> None:
    literals = [f"{each:E}".replace("E+", "e") for each in (one, other)]
    assert (number(literals[0]) < number(literals[1])) == (one < other)
    assert (number(literals[0]) == number(literals[1])) == (one == other)


def test_numbers_written_in_different_ways_are_equal() -> None:
    assert len({number(literal) for literal in ("100", "1e2", "100.0", "1.00E+2", "1000e-1")}) == 1
    assert len({number(literal) for literal in ("0", "-0", "0.0", "0e99")}) == 1


def test_numbers_beyond_every_type_keep_their_order() -> None:
    literals = ["-1e40000", "-1e400", "-10", "-9.5", "-1e-400", "0", "1e-40000", "1e-400", "0.1", "9", "10", "1e400"]
    assert rising([number(literal) for literal in [*literals, "9" * 5000, "1e40000"]])


@given(st.text(), st.text())
def test_text_sorts_by_its_bytes(one: str, other: str) -> None:
    assert (text(one) < text(other)) == (one.encode() < other.encode())


def test_instants_sort_across_offsets_eras_and_precisions() -> None:
    instants = [
        "2020-01-01T00:00:00Z BC",
        "0044-03-15 BC",
        "0001-01-01T00:00:00Z BC",
        "0001-01-01",
        "1969-12-31T23:59:59.9",
        "1970-01-01T00:00:00Z",
        "2024-02-29T12:00:00+14:00",
        "2024-02-29T00:00:00Z",
        "2024-02-28T20:00:00-05:00",
        "2024-02-29T01:00:00.000000001Z",
        "2024-02-29T01:00:00.00000001Z",
        "2024-02-29 01:00:01",
        "2024-03-01",
        "9999-12-31T23:59:59.999999999Z",
        "9999-12-31T23:59:59-14:00",
    ]
    assert rising([text(instant, Order.INSTANT) for instant in instants])


def test_one_instant_in_different_words_is_equal() -> None:
    words = [
        "2024-02-29T12:00:00Z",
        "2024-02-29T12:00:00+00:00",
        "2024-02-29T14:00:00.000+0200",
        "2024-02-29 06:30:00-05:30",
        "2024-02-29T12:00",
        "2024-02-29T12:00:00,0Z",
    ]
    assert len({text(word, Order.INSTANT) for word in words}) == 1


@given(st.datetimes(), st.datetimes())
def test_timestamps_sort_as_python_has_them(one: object, other: object) -> None:
    encoded = [text(str(each), Order.INSTANT) for each in (one, other)]
    assert (encoded[0] < encoded[1]) == (one < other)  # type: ignore[operator]


def test_nulls_are_lowest_and_every_kind_has_its_place() -> None:
    assert rising(
        [
            text(None),
            text(False),
            text(True),
            number("-5"),
            text("2024-01-01", Order.INSTANT),
            text("any"),
            text(["list"]),
        ]
    )


def test_text_that_is_no_instant_or_number_is_compared_as_text() -> None:
    assert text("2024-13-01", Order.INSTANT) == text("2024-13-01")
    assert text("yesterday", Order.INSTANT) == text("yesterday")
    assert text("", Order.INSTANT) == text("")
    assert text("12a", Order.NUMBER) == text("12a")


def test_numbers_that_come_as_text_are_numbers_where_the_schema_says_so() -> None:
    assert text("9", Order.NUMBER) < text("10", Order.NUMBER) == number("10")
    assert text("9") > text("10")


@pytest.mark.parametrize("digits", ["\u1a80", "1.\u0661", "1e\u0662", "2024-01-0\u0661", "12:00:00.\u0661"])
def test_digits_of_other_scripts_are_text(digits: str) -> None:
    for order in Order:
        assert text(digits, order) == text(digits)


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.floats(allow_nan=False, allow_infinity=False)))
def test_what_comes_out_is_lower_case_hexadecimal(value: object) -> None:
    for order in Order:
        assert set(text(value, order)) <= set("0123456789abcdef")


@pytest.mark.parametrize(
    ("schema", "order"),
    [
        ({"type": "integer"}, Order.NUMBER),
        ({"type": ["null", "number"]}, Order.NUMBER),
        ({"type": "string", "airbyte_type": "big_integer"}, Order.NUMBER),
        ({"type": "string", "format": "date-time"}, Order.INSTANT),
        ({"type": ["null", "string"], "format": "date"}, Order.INSTANT),
        ({"type": "string", "airbyte_type": "timestamp_without_timezone"}, Order.INSTANT),
        ({"type": "string"}, Order.TEXT),
        ({"type": ["string", "integer"]}, Order.TEXT),
        ({"oneOf": [{"type": "null"}, {"type": "string", "format": "date-time"}]}, Order.INSTANT),
        ({"oneOf": [{"type": "integer"}, {"type": "string"}]}, Order.TEXT),
        ({}, Order.TEXT),
        (None, Order.TEXT),
    ],
)
def test_the_schema_says_how_a_cursor_is_compared(schema: object, order: Order) -> None:
    nested = {"properties": {"a": {"properties": {"b": schema}}}}
    assert order_of(nested, ("a", "b")) == order
    assert order_of({"properties": {"b": schema}}, ("b",)) == order
