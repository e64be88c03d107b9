"""Cursor values, encoded as text that sorts in the order of the values.

The text has hexadecimal digits only, because scripts compare strings by the server's locale. The first digit is the
kind: null, boolean, number, instant, text, anything else. So null sorts lowest, and different kinds are comparable.
"""

import logging
import re
from enum import StrEnum
from typing import Any

import msgspec

from destination_redis.protocol.instants import seconds, sortable
from destination_redis.protocol.json_fields import Path
from destination_redis.protocol.messages import UNREADABLE

logger = logging.getLogger("airbyte")

#: The encoding of null, which sorts lowest, and the first digit of an instant's.
NULL_CURSOR, INSTANT = "0", "3"


class Order(StrEnum):
    """How the stream's schema types the values; TEXT, for any other type, orders values of every kind.

    INSTANT accepts JSON numbers too, because some sources send epoch times.
    """

    TEXT = "text"
    NUMBER = "number"
    INSTANT = "instant"


#: A time's schema has one of these; most others have none, and a catalog can have many thousand columns.
_TYPED = frozenset(("format", "airbyte_type", "oneOf", "anyOf"))
#: First bytes of a JSON number.
_NUMERIC = frozenset(b"%c" % character for character in b"-0123456789")
_NUMBER = re.compile(r"([+-]?)(?=\.?\d)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?", re.ASCII)
_NINES = str.maketrans("0123456789", "9876543210")
_INFINITE = {"infinity": "23", "+infinity": "23", "inf": "23", "+inf": "23", "-infinity": "20", "-inf": "20"}


def order_of(schema: object, path: Path) -> Order:
    """Return how the values at `path` compare, according to the stream's JSON schema."""
    node: Any = schema
    for name in path:
        properties = node.get("properties") if isinstance(node, dict) else None
        node = properties.get(name) if isinstance(properties, dict) else None
    kinds = {kind for choice in _choices(node) if (kind := _kind(choice))}
    return kinds.pop() if len(kinds) == 1 else Order.TEXT


def times_of(schema: object) -> frozenset[str]:
    """Return the top-level columns of a JSON schema whose values are times."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    columns = properties.items() if isinstance(properties, dict) else ()
    named = (name for name, node in columns if isinstance(node, dict) and not _TYPED.isdisjoint(node))
    return frozenset(name for name in named if order_of(schema, (name,)) is Order.INSTANT)


def encode(value: msgspec.Raw, order: Order) -> str | None:
    """Return the encoding of a JSON value; None if it cannot be read as `order`, which counts as null.

    Under TEXT, raises one of `UNREADABLE` if a string is invalid.
    """
    text = bytes(value)
    first = text[:1]
    if first == b'"':
        return _text(text, order)
    if first in _NUMERIC:
        return _integer(text) if text.isdigit() else _number(text.decode())
    if first == b"n":
        return NULL_CURSOR
    if order is not Order.TEXT:
        return None
    return "10" if first == b"f" else "11" if first == b"t" else "5" + text.hex()


def number_of(value: msgspec.Raw, order: Order) -> float | None:
    """Return a number unchanged or an instant as seconds since 1970, to the precision of a double; else None.

    None is returned for null, for a value that cannot be read as `order` and, under TEXT, for all but JSON numbers.
    """
    text = bytes(value)
    if text[:1] in _NUMERIC:
        return float(text)
    if text[:1] != b'"' or order is Order.TEXT:
        return None
    try:
        decoded = _decoded(text)
    except UNREADABLE:
        return None
    if order is Order.INSTANT:
        return None if (instant := sortable(decoded)) is None else seconds(instant)
    decoded = decoded.strip()
    return float(decoded) if _NUMBER.fullmatch(decoded) or decoded.lower() in _INFINITE else None


def warn_unreadable(stream: str, path: Path, order: Order, consequence: str) -> None:
    """Warn that a cursor value of the stream cannot be read as `order`."""
    logger.warning(
        "A record of the stream %s has a value in its cursor field (%s) that is not a %s: %s",
        stream,
        ".".join(path),
        "time" if order is Order.INSTANT else "number",
        consequence,
    )


def _text(text: bytes, order: Order) -> str | None:
    if order is Order.TEXT:
        return "4" + _decoded(text).encode().hex()
    try:
        decoded = _decoded(text)
    except UNREADABLE:
        return None
    if order is Order.INSTANT:
        return None if (instant := sortable(decoded)) is None else INSTANT + instant
    decoded = decoded.strip()
    return _number(decoded) or _INFINITE.get(decoded.lower())


def _decoded(text: bytes) -> str:
    return text[1:-1].decode() if b"\\" not in text else msgspec.json.decode(text, type=str)


def _integer(digits: bytes) -> str:
    """Return the same as `_number` for a JSON number of digits only, in a third of the time."""
    if digits == b"0":
        return "21"
    return f"22{_scale(len(digits))}{digits.rstrip(b'0').decode()}"


def _number(text: str) -> str | None:
    """Return the exponent followed by the decimal digits, so that text sorts as numbers do, at any size."""
    if (parts := _NUMBER.fullmatch(text)) is None:
        return None
    sign, whole, fraction, exponent = parts.groups()
    digits = (whole + (fraction or "")).lstrip("0")
    # The value is 0.digits times 10 to the power of `point`; an absurd exponent is capped.
    point = len(digits) - len(fraction or "") + _exponent(exponent or "0")
    digits = digits.rstrip("0")
    if not digits:
        return "21"
    if sign == "-":
        # Larger digits mean a lower number, also if one number has more digits than the other.
        return "20" + _scale(-point) + digits.translate(_NINES) + "f"
    return "22" + _scale(point) + digits


def _exponent(text: str) -> int:
    largest = 10**17
    return int(text) if len(text) < len(str(largest)) else -largest if text.startswith("-") else largest


def _scale(point: int) -> str:
    """Return a power of ten as digits, of the same length for all common ones."""
    if -0x7000 <= point < 0x7000:
        return f"{point + 0x8000:04x}"
    return f"{'f' if point > 0 else '0'}{point + (1 << 59):016x}"


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
