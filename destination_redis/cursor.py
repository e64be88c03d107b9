"""A cursor's value -> text that sorts as the values do.

Hexadecimal digits only, since scripts compare text by the server's locale. The first digit is the kind: null, boolean,
number, instant, text, anything else; so nulls are lowest, and values of different kinds have an order too.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec


class Order(StrEnum):
    """How text is compared, by the stream's schema; numbers, booleans and nulls are what they are."""

    TEXT = "text"
    NUMBER = "number"
    INSTANT = "instant"


_NUMBER = re.compile(r"([+-]?)(\d+)(?:\.(\d*))?(?:[eE]([+-]?\d+))?", re.ASCII)
_TIME = r"(\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?\s?(Z|z|UTC|[+-]\d\d(?::?\d\d)?(?::?\d\d)?)?"
_INSTANT = re.compile(rf"(?:([+-]?\d{{4,5}})-(\d\d)-(\d\d))?(?:(?:^|[Tt ]){_TIME})?( BC)?", re.ASCII)
#: Seconds; what comes out is positive, and of one length, for years -29,000 to 99,999.
_BEFORE_ALL = 10**12
#: What 1970 has in that count, and the digits before the decimals.
_EPOCH, _DIGITS = _BEFORE_ALL + 719_468 * 86_400, 13
#: Datetime's first day, and how many came before it by `_days`.
_FIRST_DAY, _FIRST_DAY_UTC, _DAYS_BEFORE = datetime.min, datetime.min.replace(tzinfo=UTC), 306  # noqa: DTZ901 - only added to
_NINES = str.maketrans("0123456789", "9876543210")


def order_of(schema: object, path: tuple[str, ...]) -> Order:
    """Return how the values at `path` are compared, by the stream's JSON schema."""
    node: Any = schema
    for name in path:
        properties = node.get("properties") if isinstance(node, dict) else None
        node = properties.get(name) if isinstance(properties, dict) else None
    kinds = {kind for choice in _choices(node) if (kind := _kind(choice))}
    return kinds.pop() if len(kinds) == 1 else Order.TEXT


def encode(value: msgspec.Raw, order: Order) -> str:
    """Return the text for a JSON value; `order` says what text stands for."""
    text = bytes(value)
    match text[:1]:
        case b"n":
            return "0"
        case b"f":
            return "10"
        case b"t":
            return "11"
        case b'"':
            plain = b"\\" not in text
            return _text(text[1:-1].decode() if plain else msgspec.json.decode(text, type=str), order)
        case b"{" | b"[":
            return "5" + text.hex()
    return "2" + (_number(text.decode()) or "")


def number_of(value: msgspec.Raw, order: Order) -> float | None:
    """Return a number as it is, an instant as seconds since 1970, both as far as a double holds; None for all else."""
    text = bytes(value)
    if text[:1] in b"-0123456789":
        return float(text)
    if text[:1] != b'"' or order is Order.TEXT:
        return None
    plain = msgspec.json.decode(text, type=str).strip()
    if order is Order.NUMBER:
        return float(plain) if _NUMBER.fullmatch(plain) else None
    if (instant := _instant(plain)) is None:
        return None
    seconds, fraction = instant[:_DIGITS], instant[_DIGITS:]
    return float(int(seconds) - _EPOCH + Decimal(f"0.{fraction or 0}"))


def _text(value: str, order: Order) -> str:
    if order is Order.NUMBER and (number := _number(value.strip())):
        return "2" + number
    if order is Order.INSTANT and (instant := _instant(value.strip())):
        return "3" + instant
    return "4" + value.encode().hex()


def _number(text: str) -> str | None:
    """Return decimal digits behind their exponent, so that text order is the order of the numbers, at any size."""
    if (parts := _NUMBER.fullmatch(text)) is None:
        return None
    sign, whole, fraction, exponent = parts.groups()
    digits = (whole + (fraction or "")).lstrip("0")
    # The value is 0.digits times 10 to the power of `point`; an absurd exponent is cut off.
    point = len(digits) - len(fraction or "") + _exponent(exponent or "0")
    digits = digits.rstrip("0")
    if not digits:
        return "1"
    if sign == "-":
        # The larger the digits the lower the number, also where one goes on longer than the other.
        return "0" + _scale(-point) + digits.translate(_NINES) + "f"
    return "2" + _scale(point) + digits


def _exponent(text: str) -> int:
    largest = 10**17
    return int(text) if len(text) < len(str(largest)) else -largest if text.startswith("-") else largest


def _scale(point: int) -> str:
    """Return a power of ten as digits of one length for all common ones."""
    if -0x7000 <= point < 0x7000:
        return f"{point + 0x8000:04x}"
    return f"{'f' if point > 0 else '0'}{point + (1 << 59):016x}"


def _instant(text: str) -> str | None:
    """Return seconds since long ago, with all the decimals there are; a time without an offset is UTC."""
    if (common := _common_instant(text)) is not None:
        return common
    parts = _INSTANT.fullmatch(text)
    if parts is None or not text:
        return None
    year, month, day, hour, minute, second, fraction, offset, before = parts.groups()
    if not 1 <= int(month or 1) <= 12 or not 1 <= int(day or 1) <= 31 or int(hour or 0) > 24:
        return None
    years = 1 - int(year) if before and year else int(year or 1970)
    seconds = _days(years, int(month or 1), int(day or 1)) * 86_400
    seconds += int(hour or 0) * 3600 + int(minute or 0) * 60 + int(second or 0) - _offset(offset)
    return f"{seconds + _BEFORE_ALL:013d}{(fraction or '').rstrip('0')}"


def _common_instant(text: str) -> str | None:
    """Return what `_instant` does, in a third of the time, for what datetime can read; None for all else."""
    if text[10:11] not in ("T", " ") or len(text) < len("2024-02-29T12:00:00"):
        return None
    fraction = ""
    if text[19:20] in (".", ","):  # of which datetime keeps six digits
        tail = text[20:].lstrip("0123456789")
        fraction = text[20 : len(text) - len(tail)].rstrip("0")
        text = text[:19] + tail
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        return None
    since = instant - (_FIRST_DAY if instant.tzinfo is None else _FIRST_DAY_UTC)
    return f"{(since.days + _DAYS_BEFORE) * 86_400 + since.seconds + _BEFORE_ALL:013d}{fraction}"


def _offset(text: str | None) -> int:
    """Return seconds east of UTC."""
    if not text or text[0] not in "+-":
        return 0
    digits = text[1:].replace(":", "").ljust(6, "0")
    seconds = int(digits[:2]) * 3600 + int(digits[2:4]) * 60 + int(digits[4:6])
    return -seconds if text[0] == "-" else seconds


def _days(year: int, month: int, day: int) -> int:
    """Return days since 1 March of the year 0 in the Gregorian calendar, extended to all years (0 is 1 BC)."""
    year, month = (year - 1, month + 9) if month < 3 else (year, month - 3)
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 + day - 1


def _choices(node: object) -> list[dict[str, Any]]:
    if not isinstance(node, dict):
        return []
    listed = (choices for name in ("oneOf", "anyOf") if isinstance(choices := node.get(name), list))
    choices = [choice for choices in listed for choice in choices]
    return [node, *(choice for choice in choices if isinstance(choice, dict))]


def _kind(node: dict[str, Any]) -> Order | None:
    kinds = node.get("type")
    named = {kind for kind in (kinds if isinstance(kinds, list) else [kinds]) if isinstance(kind, str)} - {"null"}
    airbyte_type = str(node.get("airbyte_type") or "")
    if airbyte_type in ("integer", "number", "big_integer", "big_number") or (named and named <= {"number", "integer"}):
        return Order.NUMBER
    if airbyte_type.startswith(("timestamp", "time_", "date")) or node.get("format") in ("date-time", "date", "time"):
        return Order.INSTANT
    return Order.TEXT if named else None
