"""Cursors as text: it sorts as the values do."""

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_redis.protocol.common_instants import common
from destination_redis.protocol.cursor import NULL_CURSOR, Order, encode, number_of, order_of, times_of
from destination_redis.protocol.messages import UNREADABLE
from integration_tests.support.fuzzing.no_times import NO_TIMES


def maybe(value: object, order: Order) -> str | None:
    return encode(msgspec.Raw(msgspec.json.encode(value)), order)


def text(value: object, order: Order = Order.TEXT) -> str:
    encoded = maybe(value, order)
    assert encoded is not None
    return encoded


def number(literal: str, order: Order = Order.TEXT) -> str:
    encoded = encode(msgspec.Raw(literal.encode()), order)
    assert encoded is not None
    return encoded


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


def test_numbers_that_come_as_text_are_numbers_where_the_schema_says_so() -> None:
    assert text("9", Order.NUMBER) < text("10", Order.NUMBER) == number("10")
    assert text("9") > text("10")
    assert text(" +.5 ", Order.NUMBER) == text("0.50", Order.NUMBER) == number("5e-1")


@given(st.integers(min_value=0))
def test_an_integer_is_what_any_number_of_its_value_is(value: int) -> None:
    assert number(str(value)) == number(f"{value}.0") == text(f"{value}", Order.NUMBER)


def test_infinite_numbers_are_beyond_all_others() -> None:
    lowest, highest = number("-1e99999999999999999999"), number("1e99999999999999999999")
    for word in ("Infinity", "infinity", "+Infinity", "inf", "INF"):
        assert text(True) < text(f"-{word.lstrip('+')}", Order.NUMBER) < lowest < highest < text(word, Order.NUMBER)
        assert text(word, Order.NUMBER) < text("-infinity", Order.INSTANT)


def test_a_json_number_in_a_column_of_times_is_a_number_and_before_all_times() -> None:
    epochs = ["-5", "1709208000", "1709208000000.5", "1e30"]
    assert [number(epoch, Order.INSTANT) for epoch in epochs] == [number(epoch) for epoch in epochs]
    assert number("1e30", Order.INSTANT) < text("-infinity", Order.INSTANT)


NO_NUMBERS = [
    *(
        "",
        " ",
        "NaN",
        "nan",
        "-NaN",
        "12a",
        "1,5",
        "1,000",
        "$1",
        "1_000",
        "0x1F",
        "1e",
        "e5",
        ".",
        "--1",
        "1-",
        "infinit",
    ),
    *("2024-02-29", "\u1a80", "1.\u0661", "1e\u0662", "\uff11", "\u221e", "null", "true"),
]
OTHERS = [True, False, [], [1], {}, {"$date": "2024-02-29T12:00:00Z"}, {"$numberLong": "1"}]


@pytest.mark.parametrize("value", [*NO_TIMES, *OTHERS])
def test_what_is_no_time_cannot_be_read_in_a_column_of_times(value: object) -> None:
    assert maybe(value, Order.INSTANT) is None
    assert number_of(msgspec.Raw(msgspec.json.encode(value)), Order.INSTANT) is None
    assert text(value) > NULL_CURSOR


@pytest.mark.parametrize("value", [*NO_NUMBERS, *OTHERS])
def test_what_is_no_number_cannot_be_read_in_a_column_of_numbers(value: object) -> None:
    assert maybe(value, Order.NUMBER) is None
    assert number_of(msgspec.Raw(msgspec.json.encode(value)), Order.NUMBER) is None
    assert text(value) > NULL_CURSOR


@given(st.text())
def test_text_alone_is_either_read_above_null_or_not_at_all(value: str) -> None:
    for order in (Order.INSTANT, Order.NUMBER):
        encoded = maybe(value, order)
        assert encoded is None or encoded > NULL_CURSOR
        assert (number_of(msgspec.Raw(msgspec.json.encode(value)), order) is None) == (encoded is None)


@pytest.mark.parametrize("literal", [b'"\xff"', b'"\\ud800"', b'"2024-02-29\xff"', b'"\\ud800 2024"'])
def test_text_that_is_not_valid_cannot_be_read_and_is_refused_where_text_counts(literal: bytes) -> None:
    for order in (Order.INSTANT, Order.NUMBER):
        assert encode(msgspec.Raw(literal), order) is None
        assert number_of(msgspec.Raw(literal), order) is None
    with pytest.raises(UNREADABLE):
        encode(msgspec.Raw(literal), Order.TEXT)


def test_an_escape_in_text_is_the_character_it_stands_for() -> None:
    escaped = msgspec.Raw(b'"2024-02-29T12:00:00\\u002B01:00"')
    assert encode(escaped, Order.INSTANT) == text("2024-02-29T11:00:00Z", Order.INSTANT)


@pytest.mark.parametrize(
    ("literal", "order", "score"),
    [
        ("1.5", Order.TEXT, 1.5),
        ("1.5", Order.INSTANT, 1.5),
        ('"1.5"', Order.NUMBER, 1.5),
        ('" .5 "', Order.NUMBER, 0.5),
        ('"1.5"', Order.TEXT, None),
        ("1e400", Order.NUMBER, float("inf")),
        ('"-Infinity"', Order.NUMBER, float("-inf")),
        ('"infinity"', Order.INSTANT, float("inf")),
        ('"-infinity"', Order.INSTANT, float("-inf")),
        ('"Thu, 01 Jan 1970 00:00:01 GMT"', Order.INSTANT, 1.0),
        ('"1969-12-31T23:59:59.75Z"', Order.INSTANT, -0.25),
        ('"2024-02-29T12:00:00.123456789Z"', Order.INSTANT, 1709208000.123456789),
        ("null", Order.INSTANT, None),
        ("true", Order.TEXT, None),
    ],
)
def test_a_score_is_the_number_or_the_seconds_since_1970(literal: str, order: Order, score: float | None) -> None:
    assert number_of(msgspec.Raw(literal.encode()), order) == score


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.text(), st.floats(allow_nan=False, allow_infinity=False)))
def test_what_comes_out_is_lower_case_hexadecimal(value: object) -> None:
    for order in Order:
        assert set(maybe(value, order) or "") <= set("0123456789abcdef")


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


@given(st.datetimes(timezones=st.timezones() | st.none()).map(str) | st.dates().map(str) | st.text())
def test_the_fast_way_to_an_instant_leads_where_the_general_one_does(time: str) -> None:
    value = msgspec.Raw(msgspec.json.encode(time))
    fast = common(bytes(value), b"3")
    assert fast is None or fast.decode() == encode(value, Order.INSTANT)


@pytest.mark.parametrize(
    "literal", ["null", "true", "1", "20240229120000", '"x"', '""', '"', '{"a":"2024-02-29"}', "[1]"]
)
def test_what_is_no_common_instant_is_left_to_the_general_way(literal: str) -> None:
    assert common(literal.encode()) is None


def test_the_times_of_a_schema_are_its_top_level_columns_that_hold_instants() -> None:
    time = {"type": ["null", "string"], "format": "date-time"}
    columns = {
        "at": time,
        "day": {"type": "string", "format": "date"},
        "airbyte": {"type": "string", "airbyte_type": "timestamp_with_timezone"},
        "either": {"oneOf": [{"type": "null"}, time]},
        "id": {"type": "integer"},
        "mail": {"type": "string", "format": "email"},
    }
    assert times_of({"properties": columns}) == {"at", "day", "airbyte", "either"}
    assert times_of({"properties": {"inner": {"type": "object", "properties": {"at": time}}}}) == set()


@pytest.mark.parametrize(
    "schema", [None, {}, {"properties": None}, {"properties": []}, {"properties": {"at": None}}, 5]
)
def test_a_schema_without_columns_has_no_times(schema: object) -> None:
    assert times_of(schema) == set()
