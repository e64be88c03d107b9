"""Instants: times given as text, encoded as text that sorts in their order.

Supported: RFC 3339, ISO 8601 (extended and basic, week dates, a time of day alone), what databases add to them (years
BC or of more than four digits, any number of decimals, `infinity`), a zone's name after an offset, and RFC 2822. A time
without an offset is UTC, one without a date is on 1970-01-01. Not supported is what depends on a locale or a guess:
02/03/2024, AM and PM, names of months outside RFC 2822, two-digit years, other zones' names, seconds since 1970.
"""

import re
from datetime import date
from decimal import Decimal

from destination_redis.protocol.common_instants import DIGITS, common, decoded, encoded

#: Years before and after the year 0 that are read.
_YEARS = 10**9
#: Days from 0001-01-01 to 1970, and in 400 years, after which the calendar repeats, weekdays included.
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


def sortable(text: str) -> str | None:
    """Return hexadecimal digits that sort as instants do; None if `text`, without spaces around it, is not a time."""
    found = common(b'"%b"' % text.encode(errors="replace"))
    return found.decode() if found else _any(text.strip())


def seconds(instant: str) -> float:
    """Return an instant from `sortable` as seconds since 1970, to the precision of a double."""
    if len(instant) < DIGITS:
        return float("inf" if instant == _INFINITE["infinity"] else "-inf")
    whole, fraction = _since_1970(instant)
    return float(whole + Decimal(f"0.{fraction or 0}"))


def milliseconds(instant: str) -> int:
    """Return an instant from `sortable` as milliseconds since 1970, rounded down; it must not be infinite."""
    whole, fraction = _since_1970(instant)
    return whole * 1000 + int(fraction[:3].ljust(3, "0"))


def _since_1970(instant: str) -> tuple[int, str]:
    """Return whole seconds, and the decimals after them."""
    days, second = decoded(instant[:DIGITS])
    return (days - _DAYS_TO_1970) * 86_400 + second, instant[DIGITS:]


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
    return f"{encoded(*divmod(whole, 86_400))}{(parts['fraction'] or '').rstrip('0')}"


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
