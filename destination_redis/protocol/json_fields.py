"""JSON fields: values of a record's data, selected by path; everything else stays undecoded."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

Path = tuple[str, ...]
#: The value of a field that is missing.
MISSING = msgspec.Raw(b"null")
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
#: Returns the fields of a JSON object, the last one of each name; raises msgspec.DecodeError if it is not an object.
fields = _OBJECT.decode


def picker(paths: Sequence[Path]) -> Callable[[msgspec.Raw], Sequence[msgspec.Raw]]:
    """Return a function that selects the JSON values at `paths`, in their order; a missing one is null.

    It raises msgspec.DecodeError if the data is not a JSON object. If a name occurs twice, the last one counts.
    """
    names = list(dict.fromkeys(path[0] for path in paths))
    places = [(names.index(path[0]), path[1:]) for path in paths]
    flat = [place for place, rest in places if not rest] == list(range(len(names))) == list(range(len(paths)))
    top = _top(names)
    if flat:
        return top

    def pick(data: msgspec.Raw) -> Sequence[msgspec.Raw]:
        values = top(data)
        return [_descend(values[place], rest) for place, rest in places]

    return pick


def _top(names: Sequence[str]) -> Callable[[msgspec.Raw], Sequence[msgspec.Raw]]:
    if any(character < " " or character in '"\\' for name in names for character in name):
        # A struct cannot have fields with such names.
        missing = dict.fromkeys(names, MISSING)
        return lambda data: list(map((missing | _OBJECT.decode(data)).__getitem__, names))
    fields = [(f"f{index}", msgspec.Raw, MISSING) for index in range(len(names))]
    rename = {f"f{index}": name for index, name in enumerate(names)}
    decode = msgspec.json.Decoder(msgspec.defstruct("Picked", fields, rename=rename, gc=False)).decode
    values = msgspec.structs.astuple
    return lambda data: values(decode(data))


def _descend(value: msgspec.Raw, rest: Path) -> msgspec.Raw:
    for name in rest:
        if bytes(value)[:1] != b"{":
            return MISSING
        value = _OBJECT.decode(value).get(name, MISSING)
    return value


def text(value: bytes) -> bytes:
    """Return a JSON value as stored in a field of its own: a string without quotes, anything else as JSON text."""
    if value[:1] != b'"':
        return value
    return _TEXT.decode(value).encode() if b"\\" in value else value[1:-1]


def as_object(columns: Mapping[str, bytes]) -> bytes:
    """Return the JSON object that has these values as its fields."""
    return msgspec.json.encode({name: msgspec.Raw(value) for name, value in columns.items()})
