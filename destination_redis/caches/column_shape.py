"""The shape of records in columns: learned from one record, it packs records like it in a third of the time.

The names of the columns, and which of them are strings, become a struct that msgspec decodes a whole record into, and
the pieces between which its values go. A record that does not fit is left to the general way, which takes any.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from typing import Any

import msgspec

#: Packs a record's data as names and values, and returns their number; None if the data does not fit the shape.
Fitting = Callable[[msgspec.Raw], tuple[int, bytes] | None]

_NULL = msgspec.Raw(b"null")
#: Sets of columns that are not null whose pieces are kept.
_SETS = 256
_MISFIT = (msgspec.DecodeError, UnicodeError)
_SIZES = [f"${size}\r\n" for size in range(1024)]


class Shapes:
    """Learns the shape of a stream's records, and another one if too many do not fit it."""

    #: Shapes that are tried, and records that may not fit one for each eight that do.
    _MOST, _EIGHT = 16, 8

    def __init__(self, excluded: frozenset[str]) -> None:
        """Take the names of columns that are not stored; records that have one are never packed here."""
        self._excluded = excluded
        self._fitting: Fitting | None = None
        self._learned = 0
        self._balance = 0

    def pack(self, data: msgspec.Raw) -> tuple[int, bytes] | None:
        """Return the number of columns that are not null, and their names and values; None if they do not fit."""
        if self._fitting is None:
            return None
        packed = self._fitting(data)
        if packed is None:
            self._balance -= self._EIGHT
            if self._balance < 0:
                self._fitting = None
        elif self._balance < self._EIGHT**3:
            self._balance += 1
        return packed

    def learn(self, columns: Mapping[str, msgspec.Raw]) -> None:
        """Take the columns of a record that did not fit."""
        if self._fitting is None and self._learned < self._MOST:
            self._learned += 1
            self._balance = self._EIGHT**2
            names = list(columns)
            if not any(name in self._excluded or _unfit(name) for name in names):
                self._fitting = _fitting(names, [bytes(value[:1]) == b'"' for value in map(bytes, columns.values())])


def _unfit(name: str) -> bool:
    """Return whether a struct cannot have a field of that name in JSON, or UTF-8 no such text."""
    return not name.isprintable() or '"' in name or "\\" in name


def _fitting(names: Sequence[str], strings: Sequence[bool]) -> Fitting:
    fields = [
        (f"f{index}", str | None, None) if string else (f"f{index}", msgspec.Raw, _NULL)
        for index, string in enumerate(strings)
    ]
    rename = {f"f{index}": name for index, name in enumerate(names)}
    shape = msgspec.defstruct("Shape", fields, rename=rename, gc=False, forbid_unknown_fields=True)
    decode, values_of = msgspec.json.Decoder(shape).decode, msgspec.structs.astuple
    others = [index for index, string in enumerate(strings) if not string]
    heads = [f"${len(name.encode())}\r\n{name}\r\n" for name in names]
    pieces = _pieces(heads)
    #: The same for records in which some columns are null, by those that are not.
    by_presence: dict[tuple[bool, ...], list[str]] = {}

    def pieces_of(present: tuple[bool, ...]) -> list[str]:
        if len(by_presence) >= _SETS:
            by_presence.clear()
        return by_presence.setdefault(present, _pieces(list(compress(heads, present))))

    def fitting(data: msgspec.Raw) -> tuple[int, bytes] | None:
        try:
            values: list[Any] = list(values_of(decode(data)))
            for index in others:
                value = bytes(values[index])
                if value[0] == 0x22:  # a quotation mark
                    return None
                values[index] = None if value == b"null" else value.decode()
            filled = pieces
            if None in values:
                present = tuple([value is not None for value in values])
                filled = by_presence.get(present) or pieces_of(present)
                values = list(compress(values, present))
            filled = filled.copy()
            filled[2::3] = values
            filled[1::3] = _sizes(list(map(len, values)))
            text = "".join(filled)
            if not text.isascii():
                filled[1::3] = _sizes([len(value.encode()) for value in values])
                text = "".join(filled)
            return len(values), text.encode()
        except _MISFIT:
            return None

    return fitting


def _pieces(heads: Sequence[str]) -> list[str]:
    """Return what a packed record is joined from: before each value its name and its size, and at last an end."""
    ends = ["", *["\r\n"] * len(heads)]
    return [piece for end, head in zip(ends, [*heads, ""], strict=True) for piece in (end + head, "", "")][:-2]


def _sizes(sizes: Sequence[int]) -> list[str]:
    try:
        return [_SIZES[size] for size in sizes]
    except IndexError:
        return [f"${size}\r\n" for size in sizes]
