"""Instants in their common notations, encoded in a fraction of the time that the general way (instants.py) takes.

These are dates, and timestamps such as 2024-02-29 04:29:23.5+01:00. Their parts are looked up in tables. An instant is
encoded as hexadecimal digits, which sort as instants do: ten for the day, three for the minute of the day and two for
its second, then the decimals without trailing zeros.
"""

from datetime import date

#: Added to the days since 0001-01-01, so that they have `DAY_DIGITS` digits for a billion years before and after.
_ZERO = 6 * 10**11
#: The number of digits of the day, and of all digits before the decimals.
DAY_DIGITS, DIGITS = 10, 15
#: Days whose digits are kept; those of 45 years take about 3 MB.
_MOST_DAYS = 16_384
_MINUTES_OF_DAY = 24 * 60

# The parts of a JSON string after its date: "T04:29" and ":23", with their digits, then what ends it: an offset from
# UTC and the quotation mark.
_MINUTES = {
    f"{by}{minute // 60:02}:{minute % 60:02}".encode(): b"%03x" % minute
    for by in "T "
    for minute in range(_MINUTES_OF_DAY)
}
_SECONDS = {f":{second:02}".encode(): b"%02x" % second for second in range(60)}
_UTC = frozenset((b'"', b'Z"', b'+00:00"', b'-00:00"'))
#: Minutes east of UTC.
_OFFSETS = dict.fromkeys(_UTC, 0) | {
    f'{sign}{minute // 60:02}:{minute % 60:02}"'.encode(): -minute if sign == "-" else minute
    for sign in "+-"
    for minute in range(0, _MINUTES_OF_DAY, 15)
}


class _Days(dict[bytes, bytes]):
    """The digits of dates such as `"2024-02-29`, of which it keeps a limited number."""

    def __missing__(self, day: bytes) -> bytes:
        """Return the digits of a date; raises ValueError for all else."""
        if day[:1] + day[5:9:3] != b'"--':
            raise ValueError
        if len(self) >= _MOST_DAYS:
            self.clear()
        digits = self[day] = _day(date.fromisoformat(day[1:].decode()).toordinal() - 1)
        return digits


def encoded(days: int, second: int) -> str:
    """Return the encoding of a second of a day, given the days since 0001-01-01."""
    return f"{_day(days).decode()}{second // 60:03x}{second % 60:02x}"


def decoded(digits: str) -> tuple[int, int]:
    """Return the days since 0001-01-01 and the second of the day."""
    minute, second = int(digits[DAY_DIGITS:-2], 16), int(digits[-2:], 16)
    return int(digits[:DAY_DIGITS], 16) - _ZERO, 60 * minute + second


def common(text: bytes, before: bytes = b"") -> bytes | None:
    """Return `before` and the encoding of a JSON value; None if it is not a common notation of an instant."""
    zone = text[20:]
    try:
        if zone in _UTC:
            return before + _DAYS[text[:11]] + _MINUTES[text[11:17]] + _SECONDS[text[17:20]]
        return before + _less_common(text, zone)
    except (KeyError, ValueError):
        return None


def _less_common(text: bytes, zone: bytes) -> bytes:
    """Return the encoding of a date, or of a timestamp with decimals or an offset from UTC.

    Raises KeyError or ValueError for all else.
    """
    day = _DAYS[text[:11]]
    if len(text) == len('"2024-02-29"'):
        return day + b"00000"
    minute, second, decimals = _MINUTES[text[11:17]], _SECONDS[text[17:20]], b""
    if zone[:1] in (b".", b","):
        after = zone[1:].lstrip(b"0123456789")
        zone, decimals = after, zone[1 : len(zone) - len(after)].rstrip(b"0")
    if offset := _OFFSETS[zone]:
        later, number = divmod(int(minute, 16) - offset, _MINUTES_OF_DAY)
        day, minute = _day(int(day, 16) - _ZERO + later), b"%03x" % number
    return day + minute + second + decimals


def _day(days: int) -> bytes:
    return b"%010x" % (days + _ZERO)


_DAYS = _Days()
