"""The expiry that a record's field names: times by the schema, and numbers of seconds, as whole milliseconds."""

import json
import logging
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Raw

from destination_redis.protocol.cursor import Order
from destination_redis.protocol.expiry import END, NEVER, NONE, PAST, expires_at, expiry_reader
from integration_tests.support.fuzzing.no_times import NO_TIMES

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: From the second day of 1970 to the last but one of 9999.
MOMENTS = st.integers(86_400 * 10**6, (END - 2 * 86_400_000) * 1000).map(lambda n: EPOCH + timedelta(microseconds=n))
ZONES = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


def read(value: object, order: Order = Order.INSTANT) -> bytes | None:
    return expires_at(Raw(json.dumps(value).encode()), order)


def number(text: str, order: Order = Order.NUMBER) -> bytes | None:
    return expires_at(Raw(text.encode()), order)


@given(MOMENTS, ZONES)
def test_a_time_is_its_milliseconds_since_1970_in_any_zone(utc: datetime, zone: timezone) -> None:
    moment = utc.astimezone(zone)
    expected = b"%d" % ((moment - EPOCH) // timedelta(milliseconds=1))
    assert read(moment.isoformat()) == expected
    assert read(moment.isoformat(sep=" ").replace("+00:00", "Z")) == expected
    assert read(f"  {moment.isoformat()}") == expected


@given(MOMENTS, st.text("0123456789", max_size=12))
def test_decimals_beyond_milliseconds_are_cut_off(moment: datetime, decimals: str) -> None:
    whole = (moment.replace(microsecond=0) - EPOCH) // timedelta(milliseconds=1)
    text = f"{moment:%Y-%m-%dT%H:%M:%S}{decimals and f'.{decimals}'}Z"
    assert read(text) == b"%d" % (whole + int(decimals[:3].ljust(3, "0")))


@given(st.integers(1, END - 1), st.text("0123456789", max_size=30), st.sampled_from(Order))
@example(END - 1, "9" * 30, Order.NUMBER)
def test_a_number_is_seconds_to_the_millisecond(milliseconds: int, more: str, order: Order) -> None:
    text = f"{milliseconds // 1000}.{milliseconds % 1000:03}{more}"
    expected = b"%d" % milliseconds
    assert number(text, order) == expected
    assert number(f"{milliseconds}{more}e-{3 + len(more)}", order) == expected
    if order is Order.NUMBER:
        assert number(f'"{text}"') == expected


@given(st.integers(1, END // 1000 - 1))
def test_whole_seconds_are_read_under_every_schema(seconds: int) -> None:
    assert {number(str(seconds), order) for order in Order} == {b"%d" % (1000 * seconds)}


@pytest.mark.parametrize(
    "text", ["0", "-0", "-1", "-1e300", "1e-300", "0.0009", "-1e99999999999999999999", "1e-99999999"]
)
def test_a_number_of_no_seconds_or_fewer_is_past(text: str) -> None:
    assert number(text) == PAST
    assert number(f'"{text}"') == PAST


@pytest.mark.parametrize("text", ["1969-12-31T23:59:59.999Z", "1970-01-01", "0001-01-01", "0044-03-15 BC", "-infinity"])
def test_a_time_up_to_1970_is_past(text: str) -> None:
    assert read(text) == PAST


@pytest.mark.parametrize("value", ["10000-01-01", "9999-12-31T23:59:59-05:00", 253402300800, 1e300, "+20000-01-01"])
def test_what_is_beyond_the_year_9999_cannot_be_read(value: object) -> None:
    assert read(value) is None


def test_the_last_millisecond_of_the_year_9999_can_be_read() -> None:
    assert read("9999-12-31T23:59:59.999999Z") == number("253402300799.9999") == b"%d" % (END - 1)
    assert number("253402300800") is number("1e400") is number("9" * 400) is number("1e99999999999999999999") is None


@pytest.mark.parametrize("text", ["infinity", "Infinity", "+infinity"])
def test_infinity_is_never(text: str) -> None:
    assert read(text) == read(text, Order.NUMBER) == NEVER
    assert read(f"-{text.lstrip('+')}", Order.NUMBER) == PAST


@pytest.mark.parametrize("order", Order)
def test_null_is_none(order: Order) -> None:
    assert read(None, order) == NONE


@pytest.mark.parametrize("value", [*NO_TIMES, True, {}, [], [1], "1795420565"])
def test_what_is_no_time_cannot_be_read_where_the_schema_declares_one(value: object) -> None:
    assert read(value) is None


@pytest.mark.parametrize("value", ["2099-12-31T23:59:59Z", "soon", "NaN", "", "1e", False, {}])
def test_text_is_a_number_where_the_schema_declares_no_time(value: object) -> None:
    assert read(value, Order.NUMBER) is None


@pytest.mark.parametrize("text", ['"\\ud800"', '"\udcff"', '"2099-12-31\\u00"'])
def test_text_that_is_not_valid_cannot_be_read(text: str) -> None:
    for order in (Order.INSTANT, Order.NUMBER):
        assert expires_at(Raw(text.encode(errors="surrogateescape")), order) is None


def test_the_field_is_at_the_top_level_whatever_its_name() -> None:
    data = Raw(b'{"a": {"b": 1}, "a.b": 2, "c\\"": 3, "d": 4, "d": 5}')
    assert [expiry_reader("s", name, Order.NUMBER)(data) for name in ("a.b", 'c"', "d", "e")] == [
        b"2000",
        b"3000",
        b"5000",
        NONE,
    ]


def test_the_first_value_that_cannot_be_read_is_warned_of_by_its_field(caplog: pytest.LogCaptureFixture) -> None:
    read_one = expiry_reader("public.sessions", "ends", Order.INSTANT)
    with caplog.at_level(logging.WARNING):
        found = [read_one(Raw(b'{"ends": "%b"}' % text)) for text in (b"2099-01-01", b"secret", b"hidden", b"infinity")]
    assert found == [b"4070908800000", NONE, NONE, NEVER]
    assert caplog.text.count("public.sessions") == caplog.text.count("the field ends (expire_at)") == 1
    assert "secret" not in caplog.text
