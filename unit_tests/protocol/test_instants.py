"""Times as text: what is read, and that its order is the order of the instants."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from email.utils import format_datetime
from fractions import Fraction
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from destination_redis.protocol import instants
from destination_redis.protocol.common_instants import common
from destination_redis.protocol.instants import seconds, sortable
from integration_tests.support.fuzzing.no_times import NO_TIMES


class Clock(NamedTuple):
    """What a clock and a calendar show, `east` minutes from Greenwich; `fraction` has the decimals of the second."""

    year: int
    month: int
    day: int
    hour: int
    minute: int
    second: int
    fraction: str
    east: int

    @property
    def instant(self) -> Fraction:
        """Seconds since 1970."""
        # Years begin in March here, so that a leap day is the last one.
        year, month = (self.year - 1, self.month + 9) if self.month < 3 else (self.year, self.month - 3)
        days = 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + self.day - 1 - 719_468
        whole = days * 86_400 + self.hour * 3600 + (self.minute - self.east) * 60 + self.second
        return whole + Fraction(f"0.{self.fraction}0")

    @property
    def zone(self) -> str:
        sign = "-" if self.east < 0 else "+"
        return f"{sign}{abs(self.east) // 60:02}:{abs(self.east) % 60:02}"

    @property
    def decimals(self) -> str:
        return f".{self.fraction}" if self.fraction else ""

    @property
    def date(self) -> str:
        return f"{self.year:04}-{self.month:02}-{self.day:02}"

    @property
    def time(self) -> str:
        return f"{self.hour:02}:{self.minute:02}:{self.second:02}{self.decimals}"


#: What datetime has, with some to spare for weeks and offsets.
YEARS = st.integers(2, 9998) | st.integers(1969, 2040)


@st.composite
def clocks(draw: st.DrawFn, years: st.SearchStrategy[int] = YEARS) -> Clock:
    year = draw(years)
    like = draw(st.dates(date(2000, 1, 1), date(2000, 12, 31)))
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    day = 28 if (like.month, like.day) == (2, 29) and not leap else like.day
    hour, minute, second = (draw(st.integers(0, most)) for most in (23, 59, 59))
    fraction = draw(st.sampled_from(["", "0", "5", "500"]) | st.text("0123456789", max_size=12))
    east = draw(st.sampled_from([0, 60, -300, 330]) | st.integers(-1439, 1439))
    return Clock(year, like.month, day, hour, minute, second, fraction, east)


def rfc_2822(clock: Clock) -> str:
    shown = datetime(*clock[:6], tzinfo=timezone(timedelta(minutes=clock.east)))
    return format_datetime(shown).replace(", 0", ", ", clock.second % 2)  # one digit will do


def week_date(clock: Clock) -> str:
    year, week, day = date(*clock[:3]).isocalendar()
    return f"{year:04}-W{week:02}-{day}T{clock.time}{clock.zone}"


#: Those that have years 1 to 9999.
NOTATIONS: dict[str, Callable[[Clock], str]] = {
    "RFC 3339": lambda c: f"{c.date}T{c.time}{c.zone}",
    "lower case": lambda c: f"{c.date}t{c.time}{c.zone}".replace("+00:00", "z"),
    "Z": lambda c: f"{c.date}T{c.time}{c.zone}".replace("+00:00", "Z"),
    "comma": lambda c: f"{c.date}T{c.time}{c.zone}".replace(".", ","),
    "PostgreSQL": lambda c: f"{c.date} {c.time}{c.zone.removesuffix(':00')}",
    "SQL Server": lambda c: f"{c.date} {c.time} {c.zone}",
    "Salesforce": lambda c: f"{c.date}T{c.time}{c.zone.replace(':', '')}",
    "BigQuery": lambda c: f"{c.date} {c.time}{c.zone}".replace("+00:00", " UTC"),
    "basic": lambda c: f"{c.date}T{c.time}{c.zone}".replace("-", "", 2).replace(":", ""),
    "digits alone": lambda c: f"{c.date}{c.time}{c.zone}".replace("-", "", 2).replace(":", ""),
    "basic time": lambda c: f"{c.date}T{c.time}{c.zone}".replace(":", ""),
    "seconds in the offset": lambda c: f"{c.date}T{c.time}{c.zone}:00",
    "Java's ZonedDateTime": lambda c: f"{c.date}T{c.time}{c.zone}[Europe/Paris]",
    "Go's Time": lambda c: f"{c.date} {c.time} {c.zone.replace(':', '')} CEST",
    "slashes": lambda c: f"{c.date} {c.time}{c.zone}".replace("-", "/", 2),
    "spaces around": lambda c: f" {c.date}T{c.time}{c.zone} ",
    "week date": week_date,
    "RFC 2822": rfc_2822,
    "RFC 2822 with a comment": lambda c: f"{rfc_2822(c)} (Central European Time)",
}
#: Those that have all years.
EXPANDED: dict[str, Callable[[Clock], str]] = {
    "era": lambda c: (
        f"{c._replace(year=1 - c.year).date}T{c.time}{c.zone} BC" if c.year < 1 else f"{c.date} {c.time}{c.zone}"
    ),
    "signed": lambda c: f"{'-' if c.year < 0 else '+'}{c._replace(year=abs(c.year)).date}T{c.time}{c.zone}",
    "JavaScript": lambda c: f"{c.year:+07}{c.date.removeprefix(f'{c.year:04}')}T{c.time}{c.zone}",
}
NO_DECIMALS = [name for name in NOTATIONS if name.startswith("RFC 2822")]


@st.composite
def written(draw: st.DrawFn) -> tuple[Fraction, str]:
    """Return an instant and its text in one of the notations."""
    if draw(st.booleans()):
        name, write = draw(st.sampled_from(sorted(NOTATIONS.items(), key=str)))
        clock = draw(clocks())
        clock = clock._replace(fraction="") if name in NO_DECIMALS else clock
    else:
        _, write = draw(st.sampled_from(sorted(EXPANDED.items(), key=str)))
        clock = draw(clocks(st.integers(-4713, 294_276) | st.integers(-999_999, 999_999) | st.integers(-2, 2)))
    return clock.instant, write(clock)


@given(written(), written())
def test_the_order_of_the_text_is_that_of_the_instants_in_whatever_notation(
    one: tuple[Fraction, str], other: tuple[Fraction, str]
) -> None:
    (instant, text), (other_instant, other_text) = one, other
    encoded, other_encoded = sortable(text), sortable(other_text)
    assert encoded is not None
    assert other_encoded is not None
    assert (encoded < other_encoded) == (instant < other_instant)
    assert (encoded == other_encoded) == (instant == other_instant)
    assert sortable("-infinity") < encoded < sortable("infinity")  # type: ignore[operator]


@pytest.mark.parametrize("notation", [*NOTATIONS, *EXPANDED])
@given(data=st.data())
def test_one_instant_has_the_same_text_in_all_notations(notation: str, data: st.DataObject) -> None:
    clock = data.draw(clocks(st.integers(1001, 9998)))
    clock = clock._replace(fraction="") if notation in NO_DECIMALS else clock
    text = (NOTATIONS | EXPANDED)[notation](clock)
    assert sortable(text) == sortable(f"{clock.date}T{clock.time}{clock.zone}")


@st.composite
def nearly_times(draw: st.DrawFn) -> str:
    """Return a time with some characters too few, too many or wrong."""
    _, text = draw(written())
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(st.text("0123456789-+:.,TtZzWw ", max_size=2)) + text[at + draw(st.integers(0, 2)) :]
    return text


@given(nearly_times() | st.text("0123456789-+:.,TZW ", min_size=8, max_size=36) | st.text())
@example("2024-02-29T120000.0000001")
@example("2024-02-29T12+01:00:00.0000001")
@example("2024-02-29T12:00:00+01:00:00.0000001")
@example("2024-02-29T12:00:+01:00")
@example("2024-02-29T12:00:00.5000:00")
@example("2024-02-29T12:00:00.")
@example("2024-02-29T12:00:00+01:99")
@example("2024-02-29T12:00:00+23:60")
@example("2024-W09-4T12:00:00")
@example("2024-02-29T24:00:00")
@example("0001-01-01T00:00:00+14:00")
@example("9999-12-31T23:59:59-14:00")
@example("2024-02-2\u0669")
def test_the_fast_path_gives_what_the_general_one_gives(text: str) -> None:
    found = common(b'"%b"' % text.encode())
    assert found is None or found.decode() == instants._any(text)


def test_the_encoding_stays_as_servers_hold_it_in_cursors() -> None:
    assert sortable("1970-01-01") == "8bb2d4693a00000"
    assert sortable("2024-02-29T12:34:56.7890Z") == "8bb2d4b6802f238789"


def test_the_fast_path_takes_what_is_common() -> None:
    moment = datetime(2024, 2, 29, 12, tzinfo=UTC)
    for text in (
        "2024-02-29",
        str(moment),
        moment.isoformat(),
        "2024-02-29T12:00:00.123456789Z",
        "2024-02-29 12:00:00",
    ):
        assert common(b'"%b"' % text.encode())


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2024-02-29", "2024-02-29T00:00:00Z"),
        ("20240229", "2024-02-29T00:00:00Z"),
        ("2024-02", "2024-02-01T00:00:00Z"),
        ("2024W094", "2024-02-29T00:00:00Z"),
        ("2024-02-29Z", "2024-02-29T00:00:00Z"),
        ("2024-02-29-08:00", "2024-02-29T08:00:00Z"),
        ("2024-02-29T12", "2024-02-29T12:00:00Z"),
        ("2024-02-29T12:00Z", "2024-02-29T12:00:00Z"),
        ("20240229T1200Z", "2024-02-29T12:00:00Z"),
        ("2024-02-29T12:00Z[UTC]", "2024-02-29T12:00:00Z"),
        ("2024-02-29T12:00+01:00[Europe/Paris][u-ca=gregory]", "2024-02-29T11:00:00Z"),
        ("2024-02-29 12:00:00 GMT", "2024-02-29T12:00:00Z"),
        ("2024-02-29 12:00:00 EST", "2024-02-29T17:00:00Z"),
        ("Thu, 29 Feb 2024 12:00:00 GMT", "2024-02-29T12:00:00Z"),
        ("thu, 29 feb 2024 12:00 ut", "2024-02-29T12:00:00Z"),
        ("29 Feb 2024 12:00:00 PDT", "2024-02-29T19:00:00Z"),
        ("Thu,  1 Feb 2024 12:00:00 -0000", "2024-02-01T12:00:00Z"),
        ("2024-02-29T24:00:00Z", "2024-03-01T00:00:00Z"),
        ("2024-12-31 24:00", "2025-01-01T00:00:00Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
        ("2016-12-31T23:59:60.5Z", "2017-01-01T00:00:00.5Z"),
        ("12:00:00", "1970-01-01T12:00:00Z"),
        ("T12:00", "1970-01-01T12:00:00Z"),
        ("12:00:00.5+01:00", "1970-01-01T11:00:00.5Z"),
        ("24:00:00", "1970-01-02T00:00:00Z"),
        ("0000-01-01", "0001-01-01 BC"),
        ("-0043-03-15", "0044-03-15 BC"),
        ("0044-03-15 12:00:00+00 BC", "-000043-03-15T12:00:00Z"),
        ("+010000-01-01T00:00:00.000Z", "10000-01-01"),
        ("INFINITY", "infinity"),
        ("+infinity", "infinity"),
        ("-Infinity", "-infinity"),
    ],
)
def test_what_sources_send_is_read(text: str, same: str) -> None:
    assert sortable(text) == sortable(same) is not None


def test_what_databases_send_for_no_time_and_for_all_times_has_its_place() -> None:
    rising = [
        "-infinity",
        "-1000000000-01-01T00:00Z",  # Java's lowest instant
        "-292275055-05-16T16:47:04Z",
        "4713-01-01 00:00:00 BC",  # PostgreSQL's lowest date
        "0001-01-01T00:00:00",  # .NET, Go, SQL Server
        "1000-01-01",
        "1753-01-01",
        "1899-12-30T00:00:00",
        "1900-01-01",
        "1970-01-01T00:00:00Z",
        "2024-05-01T10:00:00Z",
        "9999-12-31 23:59:59.9999999 +00:00",
        "10000-01-01",
        "294276-12-31 23:59:59.999999+00",  # PostgreSQL's highest timestamp
        "+292278994-08-17T07:12:55.807Z",
        "+1000000000-12-31T23:59:59.999999999Z",  # Java's highest instant
        "infinity",
    ]
    encoded = [sortable(text) or "" for text in rising]
    assert all(encoded)
    assert encoded == sorted(encoded)
    assert len(set(encoded)) == len(rising)


@pytest.mark.parametrize("text", NO_TIMES)
def test_what_is_no_time_or_depends_on_a_guess_is_not_read(text: str) -> None:
    assert sortable(text) is None


@given(clocks())
def test_an_instant_is_so_many_seconds_from_1970_as_far_as_a_double_holds(clock: Clock) -> None:
    encoded = sortable(f"{clock.date}T{clock.time}{clock.zone}")
    assert encoded is not None
    assert seconds(encoded) == float(clock.instant)


def test_before_and_after_all_times_there_are_infinitely_many_seconds() -> None:
    assert [seconds(sortable(text) or "") for text in ("-infinity", "infinity")] == [float("-inf"), float("inf")]
