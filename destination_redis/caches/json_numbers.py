"""JSON numbers that RedisJSON would round, converted to strings: it stores only 64-bit integers and doubles."""

import re
from collections.abc import Container, Sequence
from decimal import Decimal

from destination_redis.protocol.json_fields import as_object, fields

#: A double preserves any number of up to 15 digits.
_SAFE_DIGITS = 15
#: Maximum characters of a 64-bit integer.
_LONGEST = 20
# Every digit and sign inside a number becomes 0, so a search for zeros finds every number that may be too long.
_DIGITS = bytes.maketrans(b"123456789.E", b"0000000000e")
_LONG = b"0" * (_SAFE_DIGITS + 1)
_EXPONENTS = (b"0e000", b"0e+000", b"0e-000")
#: A string, which stays unchanged, or a number.
#: Possessive quantifiers (+): backtracking would cost memory for each character.
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|-?\d[\d.eE+-]*+', re.DOTALL)


def exact(data: bytes, rounded: Container[str] = ()) -> tuple[bytes, Sequence[object]]:
    """Return `data` with every number that would be rounded converted to a string, and the list of these changes.

    All other values keep their bytes, and so do the columns that may be `rounded`.
    """
    digits = data.translate(_DIGITS)
    if _LONG not in digits and not any(exponent in digits for exponent in _EXPONENTS):
        return data, ()
    if data[:1] != b"{":
        return _kept(data), ()
    columns = {name: bytes(value) for name, value in fields(data).items()}
    kept = {name: value if name in rounded else _kept(value) for name, value in columns.items()}
    changed = [name for name, value in kept.items() if value != columns[name]]
    if not changed:
        return data, ()
    # Of the protocol's two kinds of change this is the closer one: the value is kept, but not as a number.
    change = {"change": "TRUNCATED", "reason": "DESTINATION_TYPECAST_ERROR"}
    return as_object(kept), [{"field": name, **change} for name in changed]


def _kept(value: bytes) -> bytes:
    """Return a value with all numbers that would be rounded converted to strings."""
    parts: list[bytes] = []
    end = 0
    for token in _TOKEN.finditer(value):
        text = token[0]
        if text[:1] == b'"' or (len(text) <= _SAFE_DIGITS and b"e" not in text.lower()) or _survives(text.decode()):
            continue
        parts += [value[end : token.start()], b'"%b"' % text]
        end = token.end()
    return b"".join((*parts, value[end:])) if parts else value


def _survives(number: str) -> bool:
    """Return whether RedisJSON preserves a number."""
    if number.lstrip("-").isdigit() and len(number) <= _LONGEST and -(2**63) <= int(number) < 2**64:
        return True
    stored = float(number)
    try:
        return abs(stored) != float("inf") and Decimal(repr(stored)) == Decimal(number)
    except ArithmeticError:  # an exponent beyond Decimal's limits
        return False
