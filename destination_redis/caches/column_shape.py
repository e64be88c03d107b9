"""The shape of records in columns: learned from one record, it packs records like it in a third of the time.

The names of the columns, and which of them are strings, become a struct that msgspec decodes a whole record into, and
the pieces between which its values go. A record that does not fit is left to the general way, which takes any.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import compress
from typing import Any

import msgspec

from destination_redis.resp import SIZES, pack_arguments

#: Packs a record's data as names and values, and returns their number; None if the data does not fit the shape.
Fitting = Callable[[msgspec.Raw], tuple[int, bytes] | None]

_NULL = msgspec.Raw(b"null")
#: Sets of columns that are not null whose pieces are kept.
_SETS = 256
_MISFIT = (msgspec.DecodeError, UnicodeError)


class Shapes:
    """Learns the shape of a stream's records, and another one if too many do not fit it."""

    #: How many shapes are tried. One is given up if more than one record does not fit for each eight that do; only the
    #: last few hundred that fit are counted.
    _MOST, _EIGHT, _LAST = 16, 8, 512

    def __init__(self, excluded: frozenset[str]) -> None:
        """Take the names of columns that are not stored; records that have one are never packed here."""
        self._excluded = excluded
        self._fitting: Fitting | None = None
        self._learned = 0
        self._balance = self._fitted = 0

    def pack(self, data: msgspec.Raw) -> tuple[int, bytes] | None:
        """Return the number of columns that are not null, and their names and values; None if they do not fit."""
        if self._fitting is None:
            return None
        packed = self._fitting(data)
        if packed is not None:
            self._fitted += 1
            return packed
        self._balance = min(self._balance + self._fitted, self._LAST) - self._EIGHT
        self._fitted = 0
        if self._balance < 0:
            self._fitting = None
        return None

    def learn(self, columns: Mapping[str, msgspec.Raw]) -> None:
        """Take the columns of a record that did not fit."""
        if self._fitting is None and self._learned < self._MOST:
            self._learned += 1
            self._balance = self._EIGHT**2
            self._fitted = 0
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
    texts, others = ([index for index, string in enumerate(strings) if string is kind] for kind in (True, False))
    packed_names = [pack_arguments(name.encode()) for name in names]
    pieces = _pieces(packed_names)
    #: The same for records in which some columns are null, by those that are not.
    by_presence: dict[tuple[bool, ...], list[bytes]] = {}

    def pieces_of(present: tuple[bool, ...]) -> list[bytes]:
        if (found := by_presence.get(present)) is None:
            if len(by_presence) >= _SETS:
                by_presence.clear()
            found = by_presence[present] = _pieces(list(compress(packed_names, present)))
        return found

    def fitting(data: msgspec.Raw) -> tuple[int, bytes] | None:
        try:
            values: list[Any] = list(values_of(decode(data)))
            for index in others:
                value = bytes(values[index])
                if value[0] == 0x22:  # a quotation mark
                    return None
                values[index] = None if value == b"null" else value
            filled = pieces
            if not all(values) and None in values:
                present = tuple([value is not None for value in values])
                filled = pieces_of(present)
                values = [value if type(value) is bytes else value.encode() for value in compress(values, present)]
            else:
                for index in texts:
                    values[index] = values[index].encode()
        except _MISFIT:
            return None
        filled = filled.copy()
        filled[1::3] = _sizes(values)
        filled[2::3] = values
        return len(values), b"".join(filled)

    return fitting


def _pieces(packed_names: Sequence[bytes]) -> list[bytes]:
    """Return the pieces of a packed record: each name, and empty places for size and value; then a line break."""
    heads = [*packed_names[:1], *(b"\r\n" + name for name in packed_names[1:])]
    return [piece for head in heads for piece in (head, b"", b"")] + [b"\r\n"][: len(heads)]


def _sizes(values: Sequence[bytes]) -> list[bytes]:
    try:
        return [SIZES[len(value)] for value in values]
    except IndexError:
        return [b"$%d\r\n" % len(value) for value in values]
