"""The definition of a search index: made from a stream's schema or FT.INFO's reply, turned into FT.CREATE's arguments.

An index leaves out the whole record if a value does not match its column's type. So a column is indexed only by a type
that its schema guarantees, and not at all if its values may have several types.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from destination_redis.caches import RecordOptions, StorageFormat
from destination_redis.caches.metadata import AB_ID, DATA, EMITTED_AT, own_names
from destination_redis.protocol.schema import NUMERIC, TAG, TEXT, VECTOR, Column
from destination_redis.search.vectors import options_in

Command = list[str | bytes]
#: RediSearch's limits for an index: all fields, and text fields.
MOST_FIELDS, MOST_TEXTS = 1024, 128
#: Separates tags: a character that text does not contain, unlike the default, a comma.
_SEPARATOR = "\x1f"
# FT.CREATE takes a field with such a name for an option of the field before it.
_OPTIONS = frozenset({"CASESENSITIVE", "INDEXEMPTY", "INDEXMISSING", "NOINDEX", "NOSTEM", "PHONETIC", "SEPARATOR"})
_OPTIONS |= {"SORTABLE", "UNF", "WEIGHT", "WITHSUFFIXTRIE"}


class Field(NamedTuple):
    """A field of an index: its path in a record (a hash field or a JSONPath), and its type."""

    path: str
    type: str
    #: Those of a vector; None if the server does not show them.
    options: tuple[str, ...] | None = ()


@dataclass(frozen=True, slots=True)
class Index:
    """An index over keys of one type (HASH, JSON) with one prefix; `fields` are by name."""

    kind: str
    prefix: bytes
    fields: Mapping[str, Field]
    #: The columns left out because of RediSearch's limits.
    left_out: tuple[str, ...] = field(default=(), compare=False)

    @property
    def vectors(self) -> set[str]:
        """The names of its vector fields."""
        return {name for name, each in self.fields.items() if each.type == VECTOR}

    def create(self, name: bytes) -> Iterator[Command]:
        """Yield the commands that create the index."""
        first, *more = _batches(self.fields)
        # Without MAXTEXTFIELDS an index with few text fields could not be altered to have many.
        head: Command = ["FT.CREATE", name, "ON", self.kind, "PREFIX", "1", self.prefix, "MAXTEXTFIELDS", "SCHEMA"]
        yield [*head, *self._schema(first)]
        for batch in more:
            yield ["FT.ALTER", name, "SCHEMA", "ADD", *self._schema(batch)]

    def alter(self, name: bytes, held: "Index") -> Iterator[Command]:
        """Yield the commands that add the missing fields of this index to `held`."""
        new = {field: kind for field, kind in self.fields.items() if field not in held.fields}
        for batch in _batches(new):
            yield ["FT.ALTER", name, "SCHEMA", "ADD", *self._schema(batch)]

    def fits(self, held: "Index") -> bool:
        """Whether adding fields to `held` makes it this index; surplus fields do no harm.

        Vectors are never added, and none may be surplus: until all records have such vectors, or once they have none,
        an index would leave out the others.
        """
        if (held.kind, held.prefix, held.vectors) != (self.kind, self.prefix, self.vectors):
            return False
        both = {**held.fields, **self.fields}
        texts = sum(each.type == TEXT for each in both.values())
        within = len(both) <= MOST_FIELDS and texts <= MOST_TEXTS
        return within and all(_same(both[name], each) for name, each in held.fields.items())

    def _schema(self, fields: Mapping[str, Field]) -> Command:
        arguments: Command = []
        for name, (path, kind, options) in fields.items():
            arguments += [path, "AS", name, kind, *(options or ())]
            if kind == TAG and self.kind == "HASH":
                arguments += ["SEPARATOR", _SEPARATOR]
        return arguments


def index_of(
    columns: Iterable[Column], prefix: bytes, storage_format: StorageFormat, *, upserts: bool, full: bool
) -> Index:
    """Return the index over the records of a stream; it always includes their id and time."""
    in_hash, in_data = storage_format.cache_type == "hash", storage_format.record_format == "envelope"
    own = frozenset({AB_ID.decode(), EMITTED_AT.decode()})
    if not in_data:
        own |= own_names(RecordOptions(storage_format.record_format, full=full), upserts=upserts)

    def path(name: str, *, data: bool = False, many: bool = False) -> str:
        if in_hash:
            return name
        return "$" + "".join(f"[{_quoted(part)}]" for part in ([DATA.decode()] * data + [name])) + "[*]" * many

    fields = {name.decode(): Field(path(name.decode()), NUMERIC) for name in (AB_ID, EMITTED_AT)}
    left_out: list[str] = []
    texts = 0
    for column in columns:
        # A hash stores arrays as JSON text, and a document stores numbers that would be rounded as strings.
        if column.name in own or (column.many if in_hash else column.big):
            continue
        texts += column.type == TEXT
        if len(fields) == MOST_FIELDS or (column.type == TEXT and texts > MOST_TEXTS):
            left_out.append(column.name)
            continue
        fields[column.name] = Field(path(column.name, data=in_data, many=column.many), column.type, column.options)
    return Index("HASH" if in_hash else "JSON", prefix, fields, tuple(left_out))


def parse(reply: list[Any]) -> tuple[bytes, Index]:
    """Return an index's own name, not an alias, and its definition, from FT.INFO's reply."""
    info = _pairs(reply)
    definition = _pairs(info[b"index_definition"])
    fields = {}
    for attribute in info[b"attributes"]:
        named = _pairs(attribute[:6])
        path, name, kind = (named[key].decode() for key in (b"identifier", b"attribute", b"type"))
        fields[name] = Field(path, kind, options_in(attribute[6:]) if kind == VECTOR else ())
    # The connector's indexes have one prefix: several, joined, never match it.
    return info[b"index_name"], Index(definition[b"key_type"].decode(), b" ".join(definition[b"prefixes"]), fields)


def scanned(reply: list[Any] | None) -> bool:
    """Return whether an index has scanned all keys older than itself, from FT.INFO's reply; true if it is gone."""
    return reply is None or not int(_pairs(reply)[b"indexing"])


def failures(reply: list[Any]) -> int:
    """Return how often an index left out a record because of a value's type, from FT.INFO's reply."""
    return int(_pairs(reply).get(b"hash_indexing_failures", 0))


def _same(wanted: Field, held: Field) -> bool:
    """Return whether two fields are equal, as far as the server shows the one that it has."""
    return wanted == (held._replace(options=wanted.options) if held.options is None else held)


def _batches(fields: Mapping[str, Field]) -> list[dict[str, Field]]:
    """Return the fields in parts, one per command: a hash field named like an option gets a command of its own."""
    plain = {name: each for name, each in fields.items() if each.path.upper() not in _OPTIONS}
    alone = [{name: each} for name, each in fields.items() if name not in plain]
    return [plain, *alone] if plain else alone


def _quoted(name: str) -> str:
    return msgspec.json.encode(name).decode()


def _pairs(flat: list[Any]) -> dict[bytes, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=False))
