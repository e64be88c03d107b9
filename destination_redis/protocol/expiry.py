"""The expiry of a record: the time in a field of its data, as milliseconds since 1970."""

import logging
from collections.abc import Callable
from decimal import Decimal

import msgspec

from destination_redis.protocol.common_instants import common
from destination_redis.protocol.cursor import Order, number_of
from destination_redis.protocol.instants import milliseconds, sortable
from destination_redis.protocol.json_fields import picker

logger = logging.getLogger("airbyte")

#: A record without an expiry of its own, one that never expires, and any time that is long past.
NONE, NEVER, PAST = b"", b"0", b"1"
#: Milliseconds at the end of the year 9999, the last one that is read.
END = 253_402_300_800_000
_MILLISECOND = Decimal("0.001")
_INFINITE = ("infinity", "inf")

#: A record's data -> NONE, NEVER, or milliseconds since 1970 as digits.
ReadExpiry = Callable[[msgspec.Raw], bytes]


def expires_at(value: msgspec.Raw, order: Order) -> bytes | None:
    """Return NONE, NEVER or the milliseconds of a JSON value, rounded down; None if it is not a time up to 9999.

    A number is seconds since 1970. Text is a time if `order` is INSTANT, else a number.
    """
    text = bytes(value)
    if text == b"null":
        return NONE
    if order is Order.INSTANT and (instant := common(text)):
        return _at(milliseconds(instant.decode()))
    number = number_of(value, order)
    if number is None:
        return None
    if text[:1] != b'"':
        return _of_number(text.decode(), number)
    decoded = msgspec.json.decode(text, type=str).strip()
    if decoded.lstrip("+-").lower() in _INFINITE:
        return PAST if decoded[0] == "-" else NEVER
    if order is Order.NUMBER:
        return _of_number(decoded, number)
    found = sortable(decoded)
    return None if found is None else _at(milliseconds(found))


def expiry_reader(stream: str, field: str, order: Order) -> ReadExpiry:
    """Return a function that reads a record's expiry; the first value that is not a time is warned of.

    The function raises msgspec.DecodeError if the data is not a JSON object.
    """
    pick, warned = picker(((field,),)), False

    def read(data: msgspec.Raw) -> bytes:
        nonlocal warned
        (value,) = pick(data)
        if (found := expires_at(value, order)) is not None:
            return found
        if not warned:
            warned = True
            logger.warning(
                "A record of the stream %s has a value in the field %s (expire_at) that is not a time up to the year "
                "9999: such records expire as if it were null. Text is a time only where the schema says so",
                stream,
                field,
            )
        return NONE

    return read


def _of_number(text: str, number: float) -> bytes | None:
    """Return the milliseconds of a number of seconds, given as text and as a double."""
    if number < float(_MILLISECOND):
        return PAST
    # Only a number of common size is computed exactly: another one might have any number of digits.
    return None if number > END else _at(int(Decimal(text) // _MILLISECOND))


def _at(at: int) -> bytes | None:
    return None if at >= END else b"%d" % max(at, int(PAST))
