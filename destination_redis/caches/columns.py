"""The top-level fields of a record's data, undecoded."""

from collections.abc import Mapping

import msgspec

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)

#: A JSON object's fields, of each name the last; raises msgspec.DecodeError where it is none.
fields = _OBJECT.decode


def text(value: bytes) -> bytes:
    """Return a JSON value as a field of its own holds it: a string as it is, anything else as its JSON text."""
    if value[:1] != b'"':
        return value
    return _TEXT.decode(value).encode() if b"\\" in value else value[1:-1]


def as_object(columns: Mapping[str, bytes]) -> bytes:
    """Return JSON values as the object they are the fields of."""
    return msgspec.json.encode({name: msgspec.Raw(value) for name, value in columns.items()})
