"""A stream's search index, as a value: from its JSON schema to FT.CREATE's arguments, and from FT.INFO's reply.

A record with a value that does not fit its column's type is left out of an index altogether. So a column is indexed by
what its schema is sure of, and one that may hold values of several types is not.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from destination_redis.caches import RecordOptions, StorageFormat
from destination_redis.caches.metadata import AB_ID, DATA, EMITTED_AT, own_names
from destination_redis.protocol.schema import NUMERIC, TAG, TEXT, Column

Command = list[str | bytes]
#: What RediSearch has room for in an index: fields, and those of them that are text.
MOST_FIELDS, MOST_TEXTS = 1024, 128
#: Splits a tag: nothing that is found in text, since the default, a comma, is.
_SEPARATOR = "\x1f"
# FT.CREATE takes such a word after another field for an option of that one.
_OPTIONS = frozenset({"CASESENSITIVE", "INDEXEMPTY", "INDEXMISSING", "NOINDEX", "NOSTEM", "PHONETIC", "SEPARATOR"})
_OPTIONS |= {"SORTABLE", "UNF", "WEIGHT", "WITHSUFFIXTRIE"}


class Field(NamedTuple):
    """A field of an index: where in a record it is, a hash's field or a JSONPath, and what it is."""

    path: str
    type: str


@dataclass(frozen=True, slots=True)
class Index:
    """What is indexed: keys of one type (HASH, JSON) with one prefix, and of their records these fields, by name."""

    kind: str
    prefix: bytes
    fields: Mapping[str, Field]
    #: The columns there was no room for.
    left_out: tuple[str, ...] = field(default=(), compare=False)

    def create(self, name: bytes) -> Iterator[Command]:
        """Yield the commands that make the index."""
        first, *more = _batches(self.fields)
        # Without MAXTEXTFIELDS an index of few texts could not be altered to one of many.
        head: Command = ["FT.CREATE", name, "ON", self.kind, "PREFIX", "1", self.prefix, "MAXTEXTFIELDS", "SCHEMA"]
        yield [*head, *self._schema(first)]
        for batch in more:
            yield ["FT.ALTER", name, "SCHEMA", "ADD", *self._schema(batch)]

    def alter(self, name: bytes, held: "Index") -> Iterator[Command]:
        """Yield the commands that make `held` have all of this index's fields."""
        new = {field: kind for field, kind in self.fields.items() if field not in held.fields}
        for batch in _batches(new):
            yield ["FT.ALTER", name, "SCHEMA", "ADD", *self._schema(batch)]

    def fits(self, held: "Index") -> bool:
        """Whether fields added to `held` make it this index; more fields than are needed do no harm."""
        if (held.kind, held.prefix) != (self.kind, self.prefix):
            return False
        both = {**held.fields, **self.fields}
        texts = sum(each.type == TEXT for each in both.values())
        within = len(both) <= MOST_FIELDS and texts <= MOST_TEXTS
        return within and all(both[name] == each for name, each in held.fields.items())

    def _schema(self, fields: Mapping[str, Field]) -> Command:
        arguments: Command = []
        for name, (path, kind) in fields.items():
            arguments += [path, "AS", name, kind]
            if kind == TAG and self.kind == "HASH":
                arguments += ["SEPARATOR", _SEPARATOR]
        return arguments


def index_of(
    columns: Iterable[Column], prefix: bytes, storage_format: StorageFormat, *, upserts: bool, full: bool
) -> Index:
    """Return the index over the records of a stream; its id and time are in each."""
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
        # A hash holds an array as its JSON text; a document holds a number that it would round as a string.
        if column.name in own or (column.many if in_hash else column.big):
            continue
        texts += column.type == TEXT
        if len(fields) == MOST_FIELDS or (column.type == TEXT and texts > MOST_TEXTS):
            left_out.append(column.name)
            continue
        fields[column.name] = Field(path(column.name, data=in_data, many=column.many), column.type)
    return Index("HASH" if in_hash else "JSON", prefix, fields, tuple(left_out))


def parse(reply: list[Any]) -> tuple[bytes, Index]:
    """Return an index's own name, not an alias, and what it indexes, by FT.INFO's reply."""
    info = _pairs(reply)
    definition = _pairs(info[b"index_definition"])
    fields = {}
    for attribute in info[b"attributes"]:
        said = _pairs(attribute[:6])
        path, name, kind = (said[key].decode() for key in (b"identifier", b"attribute", b"type"))
        fields[name] = Field(path, kind)
    # Of several prefixes none is ours.
    return info[b"index_name"], Index(definition[b"key_type"].decode(), b" ".join(definition[b"prefixes"]), fields)


def scanned(reply: list[Any] | None) -> bool:
    """Return whether an index has read all keys that were there before it, by FT.INFO's reply; one that is gone has."""
    return reply is None or not int(_pairs(reply)[b"indexing"])


def failures(reply: list[Any]) -> int:
    """Return how often an index left a record out, since a value did not fit, by FT.INFO's reply."""
    return int(_pairs(reply).get(b"hash_indexing_failures", 0))


def _batches(fields: Mapping[str, Field]) -> list[dict[str, Field]]:
    """Return the fields in parts, each for one command: a hash's field that is named as an option is alone in its."""
    plain = {name: each for name, each in fields.items() if each.path.upper() not in _OPTIONS}
    alone = [{name: each} for name, each in fields.items() if name not in plain]
    return [plain, *alone] if plain else alone


def _quoted(name: str) -> str:
    return msgspec.json.encode(name).decode()


def _pairs(flat: list[Any]) -> dict[bytes, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=False))
