"""The vectors of records: arrays of numbers, checked, and packed as the FLOAT32 values that an index compares."""

import struct
from array import array
from collections.abc import Callable, Mapping

import msgspec

from destination_redis.errors import RejectedRecord
from destination_redis.protocol.json_fields import picker

#: A vector's JSON value -> its numbers as little-endian FLOAT32; None for null.
PackVector = Callable[[msgspec.Raw], bytes | None]

_NUMBERS = msgspec.json.Decoder(list[float])
#: Significant digits: any decimal of 6 survives as FLOAT32, and any FLOAT32 as a decimal of 9.
_DIGITS = range(6, 10)


def vector_packer(name: str, dimensions: int) -> PackVector:
    """Return a function that packs the vectors of a field; it raises RejectedRecord for one that is not valid."""
    layout, decode = struct.Struct(f"<{dimensions}f"), _NUMBERS.decode

    def pack(value: msgspec.Raw) -> bytes | None:
        try:
            numbers = decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError):
            if bytes(value) == b"null":
                return None
            raise _rejected(name, "is not an array of numbers") from None
        if len(numbers) != dimensions:
            raise _rejected(name, f"has {len(numbers):,} numbers instead of {dimensions:,}")
        try:
            return layout.pack(*numbers)
        except OverflowError:
            raise _rejected(name, "has a number that is too large for FLOAT32") from None

    return pack


def vector_checker(dimensions: Mapping[str, int]) -> Callable[[bytes], None]:
    """Return a function that raises RejectedRecord if a vector in a record's data is not valid.

    It raises msgspec.DecodeError if the data is not a JSON object.
    """
    pick = picker([(name,) for name in dimensions])
    packers = [vector_packer(*each) for each in dimensions.items()]

    def check(data: bytes) -> None:
        for pack, value in zip(packers, pick(msgspec.Raw(data)), strict=True):
            pack(value)

    return check


def numbers_of(packed: bytes) -> list[float]:
    """Return the numbers of a packed vector, each as a short decimal that gives the same FLOAT32."""
    return [_short(number) for number in struct.unpack_from(f"<{len(packed) // 4}f", packed)]


def _short(number: float) -> float:
    decimals = (float(f"{number:.{digits}g}") for digits in _DIGITS)
    return next((each for each in decimals if array("f", [each])[0] == number), number)


def _rejected(name: str, why: str) -> RejectedRecord:
    return RejectedRecord(f"its field {name}, which vectors names, {why}")
