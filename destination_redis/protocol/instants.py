"""Instants: times given as text, encoded as text that sorts in their order.

Supported: RFC 3339, ISO 8601 (extended and basic, week dates, a time of day alone), what databases add to them (years
BC or of more than four digits, any number of decimals, `infinity`), a zone's name after an offset, and RFC 2822. A time
without an offset is UTC, one without a date is on 1970-01-01. Not supported is what depends on a locale or a guess:
02/03/2024, AM and PM, names of months outside RFC 2822, two-digit years, other zones' names, seconds since 1970.
"""

import re
from datetime import date
from decimal import Decimal
from functools import lru_cache

#: Added to the seconds, so that they have `_DIGITS` hexadecimal digits for all years from -`_YEARS` to `_YEARS`.
_ZERO, _DIGITS, _YEARS = 365 * 10**14, 14, 10**9
#: Days from there to 1970, and in 400 years, after which the calendar repeats, weekdays included.
_DAYS_TO_1970, _DAYS_IN_400_YEARS = date(1970, 1, 1).toordinal() - 1, 146_097
#: Sort before and after the digits of any instant.
_INFINITE = {"infinity": "ff", "+infinity": "ff", "-infinity": "0"}

_INSTANT = re.compile(
    r"""
    (?:
        (?P<year>\d{4}|[+-]?\d{4,10}(?=-))
        (?:
            (?P<dash>[-/]?)(?P<month>\d\d)(?:(?P=dash)(?P<day>\d\d)|(?<=-\d\d)\Z)
            |-?W(?P<week>\d\d)-?(?P<weekday>\d)
        )
        (?:[T\ ](?=\d)|(?<=\d{8})(?=\d{6})|(?!\d))  # 20240229120000 has nothing between date and time
        |T?(?=\d\d:)
    )
    (?:(?P<hour>\d\d)(?:(?P<colon>:?)(?P<minute>\d\d)(?:(?P=colon)(?P<second>\d\d)(?:[.,](?P<fraction>\d*))?)?)?)?
    (?:
        \s?(?P<zone>Z|UTC?|GMT|[ECMP][SD]T|[+-]\d\d(?::?\d\d(?::?\d\d)?)?)
        (?:(?:\[[^]]*])*|\s\([^)]*\)|(?-i:\s[A-Z]{3,5}))  # its name
    )?
    (?(year)(?P<era>\sBC)?)
    """,
    re.ASCII | re.IGNORECASE | re.VERBOSE,
)
#: Hours east of UTC, by RFC 2822.
_ZONES = {"EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6, "PST": -8, "PDT": -7}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_RFC_2822 = re.compile(
    rf"(?:(?:mon|tue|wed|thu|fri|sat|sun),\s*)?(\d\d?)\s+({'|'.join(_MONTHS)})\s+(\d{{4}})\s+(?=\d\d:)",
    re.ASCII | re.IGNORECASE,
)

#: Seconds by the parts of usual timestamps: "T04:29", ":23", "+02:00".
_MINUTES = {f"{by}{minute // 60:02}:{minute % 60:02}".encode(): 60 * minute for by in "T " for minute in range(24 * 60)}
_SECONDS = {f":{second:02}".encode(): second for second in range(60)}
_OFFSETS = {b"": 0, b"Z": 0} | {
    f"{sign}{minute // 60:02}:{minute % 60:02}".encode(): 60 * minute * (-1 if sign == "-" else 1)
    for sign in "+-"
    for minute in range(0, 24 * 60, 15)
}


def sortable(text: str) -> str | None:
    """Return hexadecimal digits that sort as instants do; None if `text`, without spaces around it, is not a time."""
    found = common(text.encode(errors="replace"))
    return found.decode() if found else _any(text.strip())


def seconds(instant: str) -> float:
    """Return an instant from `sortable` as seconds since 1970, to the precision of a double."""
    if len(instant) < _DIGITS:
        return float("inf" if instant == _INFINITE["infinity"] else "-inf")
    whole, fraction = int(instant[:_DIGITS], 16) - _ZERO - _DAYS_TO_1970 * 86_400, instant[_DIGITS:]
    return float(whole + Decimal(f"0.{fraction or 0}"))


def milliseconds(instant: str) -> int:
    """Return an instant from `sortable` as milliseconds since 1970, rounded down; it must not be infinite."""
    whole, fraction = int(instant[:_DIGITS], 16) - _ZERO - _DAYS_TO_1970 * 86_400, instant[_DIGITS:]
    return whole * 1000 + int(fraction[:3].ljust(3, "0"))


def common(text: bytes, before: bytes = b"") -> bytes | None:
    """Return what `sortable` does, in a fraction of the time, for dates and the usual timestamps; None for all else.

    `before` is put in front of the digits.
    """
    try:
        whole = _seconds_of(text[:10])
        if len(text) == len("2024-02-29"):
            return b"%b%x" % (before, whole)
        whole += _MINUTES[text[10:16]] + _SECONDS[text[16:19]]
        zone = text[19:]
        if (offset := _OFFSETS.get(zone)) is not None:
            return b"%b%x" % (before, whole - offset)
        if zone[:1] not in (b".", b","):
            return None
        after = zone[1:].lstrip(b"0123456789")
        fraction = zone[1 : len(zone) - len(after)].rstrip(b"0")
        return b"%b%x%b" % (before, whole - _OFFSETS[after], fraction)
    except (KeyError, ValueError):
        return None


@lru_cache(maxsize=16_384)  # days of 45 years, in about 3 MB
def _seconds_of(day: bytes) -> int:
    """Return the seconds of a date such as 2024-02-29, with `_ZERO` added; raises ValueError for all else."""
    if day[4:8:3] != b"--":
        raise ValueError
    return (date.fromisoformat(day.decode()).toordinal() - 1) * 86_400 + _ZERO


def _any(text: str) -> str | None:
    if (infinite := _INFINITE.get(text.lower())) is not None:
        return infinite
    if (words := _RFC_2822.match(text)) is not None:
        day, month, year = words.groups()
        text = f"{year}-{_MONTHS.index(month.lower()) + 1:02}-{day:0>2} {text[words.end() :]}"
    parts = _INSTANT.fullmatch(text)
    if parts is None:
        return None
    try:
        whole = _days(parts) * 86_400 + _time_of_day(parts) - _offset(parts["zone"] or "Z")
    except ValueError:
        return None
    return f"{whole + _ZERO:x}{(parts['fraction'] or '').rstrip('0')}"


def _days(parts: re.Match[str]) -> int:
    """Return the days since 0001-01-01 in the Gregorian calendar, extended to all years; raises ValueError."""
    if parts["year"] is None:
        return _DAYS_TO_1970
    year = int(parts["year"])
    if abs(year) > _YEARS or (parts["era"] and (year < 1 or parts["year"][0] == "+")):
        raise ValueError
    # The year before 1 is 0 in ISO 8601, and 1 BC. datetime computes the days from an equivalent year.
    cycles, rest = divmod(1 - year if parts["era"] else year, 400)
    if parts["week"]:
        day = date.fromisocalendar(2000 + rest, int(parts["week"]), int(parts["weekday"]))
    else:
        day = date(2000 + rest, int(parts["month"]), int(parts["day"] or 1))
    return day.toordinal() - 1 + (cycles - 5) * _DAYS_IN_400_YEARS


def _time_of_day(parts: re.Match[str]) -> int:
    """Return seconds; 24:00 is the end of a day, and a leap second (60) is second 0 of the next minute."""
    hour, minute, second = (int(parts[name] or 0) for name in ("hour", "minute", "second"))
    whole = hour * 3600 + minute * 60 + second
    ends = hour == 24 and whole == 86_400 and not (parts["fraction"] or "").strip("0")
    if not (hour < 24 or ends) or minute > 59 or second > 60:
        raise ValueError
    return whole


def _offset(zone: str) -> int:
    """Return seconds east of UTC; raises ValueError if they are a day or more."""
    if zone[0] not in "+-":
        return _ZONES.get(zone.upper(), 0) * 3600
    digits = zone[1:].replace(":", "").ljust(6, "0")
    east = int(digits[:2]) * 3600 + int(digits[2:4]) * 60 + int(digits[4:])
    if east >= 86_400:
        raise ValueError
    return -east if zone[0] == "-" else east
