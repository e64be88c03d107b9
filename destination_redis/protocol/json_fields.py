"""Values picked out of a record's data by their paths, everything else left undecoded."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

Path = tuple[str, ...]
_NULL = msgspec.Raw(b"null")
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
#: A JSON object's fields, of each name the last; raises msgspec.DecodeError where it is none.
fields = _OBJECT.decode


def picker(paths: Sequence[Path]) -> Callable[[msgspec.Raw], Sequence[msgspec.Raw]]:
    """Return what picks the JSON values at `paths`, in their order; one that is not there is null.

    It raises msgspec.DecodeError where the data is no JSON object. Of a field named twice the last counts.
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
        # A struct cannot have such a field.
        missing = dict.fromkeys(names, _NULL)
        return lambda data: list(map((missing | _OBJECT.decode(data)).__getitem__, names))
    fields = [(f"f{index}", msgspec.Raw, _NULL) for index in range(len(names))]
    rename = {f"f{index}": name for index, name in enumerate(names)}
    decode = msgspec.json.Decoder(msgspec.defstruct("Picked", fields, rename=rename, gc=False)).decode
    values = msgspec.structs.astuple
    return lambda data: values(decode(data))


def _descend(value: msgspec.Raw, rest: Path) -> msgspec.Raw:
    for name in rest:
        if bytes(value)[:1] != b"{":
            return _NULL
        value = _OBJECT.decode(value).get(name, _NULL)
    return value


def text(value: bytes) -> bytes:
    """Return a JSON value as a field of its own holds it: a string as it is, anything else as its JSON text."""
    if value[:1] != b'"':
        return value
    return _TEXT.decode(value).encode() if b"\\" in value else value[1:-1]


def as_object(columns: Mapping[str, bytes]) -> bytes:
    """Return JSON values as the object they are the fields of."""
    return msgspec.json.encode({name: msgspec.Raw(value) for name, value in columns.items()})
