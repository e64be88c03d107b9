"""The configured catalog: one frozen `Stream` per (namespace, name)."""

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

import msgspec

from destination_redis.errors import config_error
from destination_redis.protocol.cursor import Order, order_of, times_of
from destination_redis.protocol.json_fields import Path
from destination_redis.protocol.messages import UNREADABLE, why_unreadable
from destination_redis.protocol.schema import Column, columns_of, properties_of

Mode = Literal["append", "overwrite", "append_dedup"]
#: Where records are stored, as named in the ledger.
SEQUENCE, PRIMARY_KEY, COLLECTION = "sequence", "primary_key", "collection"
#: The column in which CDC sources report that a row was deleted.
DELETED_AT = "_ab_cdc_deleted_at"

#: The ids PyAirbyte sends for every sync (generation, minimum generation, sync): they carry no information.
_PYAIRBYTE = (1, 1, 1)


class _CatalogStream(msgspec.Struct, frozen=True):
    name: str
    namespace: str | None = None
    json_schema: object = None
    source_defined_primary_key: list[list[str]] | None = None


class _Configured(msgspec.Struct, frozen=True):
    stream: _CatalogStream
    destination_sync_mode: str
    primary_key: list[list[str]] | None = None
    cursor_field: list[str] | None = None
    generation_id: int | None = None
    minimum_generation_id: int | None = None
    sync_id: int | None = None
    include_files: bool | None = None


class _Catalog(msgspec.Struct, frozen=True):
    streams: list[_Configured]


@dataclass(frozen=True, slots=True)
class Stream:
    """One configured stream; `namespace` is None if it is missing or empty in the catalog."""

    name: str
    namespace: str | None
    mode: Mode
    generation_id: int | None = None
    minimum_generation_id: int | None = None
    sync_id: int | None = None
    #: Paths into a record's data; empty unless the mode is append_dedup.
    primary_key: tuple[Path, ...] = ()
    #: The cursor's path and how its values compare; () if there is none: records are then ordered by arrival.
    cursor: Path = ()
    cursor_order: Order = Order.TEXT
    #: Whether all its records are stored in one key, such as a list.
    collected: bool = False
    #: Seconds after which its live records, or its live collection, expire; 0 for never. Staged ones have no expiry.
    expiry: int = 0
    #: The template of its keys from the settings; "" for the default.
    template: str = ""
    #: The top-level field with the time at which a record expires, which takes precedence; "" for none.
    expire_at: str = ""
    #: Whether the schema has the column that reports deletions, or lists no columns.
    may_delete: bool = False
    #: The columns of its schema that can be indexed.
    columns: tuple[Column, ...] = ()
    #: The columns that are times by its schema.
    times: frozenset[str] = field(default=frozenset(), compare=False)
    #: The names of all top-level properties of its schema.
    properties: tuple[str, ...] = field(default=(), compare=False)
    #: The primary key in the catalog, in any mode; () for none.
    catalog_key: tuple[Path, ...] = field(default=(), compare=False)

    def __str__(self) -> str:
        return f"{self.namespace}.{self.name}" if self.namespace else self.name

    @property
    def pair(self) -> tuple[int | None, int | None]:
        """(generation, sync id), which identifies live and staged records."""
        return self.generation_id, self.sync_id

    @property
    def placement(self) -> str:
        """Where its records are stored."""
        if self.primary_key:
            return PRIMARY_KEY
        return COLLECTION if self.collected else SEQUENCE

    @property
    def key_fields(self) -> str:
        """The primary key's paths as stored in the ledger; empty for sequential ids."""
        return _text(self.primary_key) if self.primary_key else ""

    @property
    def order(self) -> str:
        """What orders its upserts, as stored in the ledger: the cursor's path and how its values compare."""
        return f"{_text(self.cursor)} {self.cursor_order}" if self.primary_key else ""

    @property
    def truncates(self) -> bool:
        """Whether the catalog's generation ids ask to remove the records of older generations."""
        numbers = (self.generation_id, self.minimum_generation_id, self.sync_id)
        generation, minimum, _ = numbers
        return generation is not None and generation == minimum and generation > 0 and numbers != _PYAIRBYTE

    @property
    def starts_empty(self) -> bool:
        """Whether it replaces all records, staged and live: an overwrite without a usable generation."""
        return self.mode == "overwrite" and not self.truncates

    @property
    def needs_complete(self) -> bool:
        """Whether it ends only with a COMPLETE status: a refresh by generation."""
        return self.truncates and self.mode != "overwrite"


def parse_catalog(content: bytes) -> tuple[Stream, ...]:
    """Return the configured streams; raises a config error if the catalog is invalid or has an unsupported mode."""
    try:
        streams = tuple(map(_stream, msgspec.json.decode(content, type=_Catalog).streams))
    except UNREADABLE as error:
        raise config_error(f"The catalog cannot be read: {why_unreadable(error)}") from error
    seen: set[tuple[str | None, str]] = set()
    for stream in streams:
        if (stream.namespace, stream.name) in seen:
            raise config_error(f"The catalog names the stream {stream} twice")
        seen.add((stream.namespace, stream.name))
    return streams


def _stream(configured: _Configured) -> Stream:
    inner, mode = configured.stream, configured.destination_sync_mode
    if mode not in ("append", "overwrite", "append_dedup"):
        raise config_error(
            f"The stream {inner.name} has the sync mode {mode!r}; this connector supports append, overwrite and "
            "append_dedup"
        )
    if configured.include_files:
        raise config_error(
            f"The stream {inner.name} includes files (include_files), which this destination does not support: turn "
            "file transfer off"
        )
    cursor = tuple(configured.cursor_field or ())
    stream = Stream(
        name=inner.name,
        namespace=inner.namespace or None,
        mode=mode,  # type: ignore[arg-type] # checked above
        generation_id=configured.generation_id,
        minimum_generation_id=configured.minimum_generation_id,
        sync_id=configured.sync_id,
        columns=columns_of(inner.json_schema),
        times=times_of(inner.json_schema),
        cursor=cursor,
        cursor_order=order_of(inner.json_schema, cursor) if cursor else Order.TEXT,
        properties=tuple(properties_of(inner.json_schema)),
        catalog_key=_catalog_key(configured),
    )
    return _deduplicated(stream) if mode == "append_dedup" else stream


def _catalog_key(configured: _Configured) -> tuple[Path, ...]:
    """Return the paths of the primary key, () for none or an invalid one."""
    paths = configured.primary_key or configured.stream.source_defined_primary_key or ()
    return tuple(map(tuple, paths)) if all(paths) else ()


def _deduplicated(stream: Stream) -> Stream:
    if not stream.catalog_key:
        raise config_error(
            f"The stream {stream} has the sync mode append_dedup but no primary key: choose one, or another sync mode"
        )
    may_delete = not stream.properties or DELETED_AT in stream.properties
    return dataclasses.replace(stream, primary_key=stream.catalog_key, may_delete=may_delete)


def _text(value: object) -> str:
    return msgspec.json.encode(value).decode()
