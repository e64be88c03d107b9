"""The settings of records that may differ from stream to stream."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from destination_redis.caches import CACHES, RecordFormat, StorageFormat
from destination_redis.config.base import Settings, setting
from destination_redis.config.vectors import Vector
from destination_redis.keys import COLLECTION_KEY, RECORD_KEY, why_no_collection_key, why_no_record_key

#: The settings that only some data types have: those that name a field of a record, and numbers.
FIELDS = ("value", "score", "longitude", "latitude")
LIMITS = ("stream_max_length", "bitmap_max_position")


def listed(names: Sequence[str]) -> str:
    """Return alternatives as a sentence lists them."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last


def types_with(setting: str) -> str:
    """Return the data types that have an optional setting, as a sentence lists them."""
    return listed([name for name, cache in CACHES.items() if setting in cache.capabilities.settings])


_COLLECTIONS = listed([name for name, cache in CACHES.items() if cache.capabilities.collection])


def _known_type(name: str) -> str:
    if name not in CACHES:
        # The name itself is left out: a mistyped secret must not be printed.
        raise PydanticCustomError("cache_type", "Input should be {names}", {"names": " or ".join(CACHES)})
    return name


def _record_key(text: str) -> str:
    if (wrong := why_no_record_key(text)) is not None:
        raise PydanticCustomError("record_key", "{wrong}", {"wrong": wrong})
    return text


def _collection_key(text: str) -> str:
    if (wrong := why_no_collection_key(text)) is not None:
        raise PydanticCustomError("collection_key", "{wrong}", {"wrong": wrong})
    return text


def _none_if_zero(number: int) -> int | None:
    return number or None


class RecordSettings(Settings):
    """How the records of a stream are stored. A field here is a setting of all streams and of each entry of `streams`.

    A field that not every data type has is optional, and config/rules.py says which types have it.
    """

    cache_type: Annotated[str, AfterValidator(_known_type)] = setting(
        "Cache type",
        0,
        default="hash",
        description="The Redis data type in which records are stored.",
        enum=list(CACHES),
        group="records",
    )
    record_format: RecordFormat = setting(
        "Record format",
        1,
        default="envelope",
        description="envelope stores a record's id, time and data as received; columns stores each top-level field of "
        "the data separately.",
        group="records",
    )
    record_metadata: Literal["minimal", "full"] = setting(
        "Record metadata",
        4,
        default="minimal",
        description="full adds Airbyte's _airbyte_raw_id, _airbyte_extracted_at, _airbyte_generation_id and "
        "_airbyte_meta to every record.",
        group="records",
    )
    # Redis accepts such a maximum: it converts to milliseconds and adds the current time.
    ttl_seconds: Annotated[int, Field(ge=0, le=10**11), AfterValidator(_none_if_zero)] | None = setting(
        "Time to live",
        5,
        default=None,
        description="Seconds until a record expires, counted from its last write. 0: never, which is the default.",
        group="records",
    )
    expire_at: str | None = setting(
        "Expire at",
        14,
        default=None,
        description="The top-level field with the time at which a record expires: a time by the stream's schema, or "
        "seconds since 1970. If it has no value, ttl_seconds applies. For cache_type hash, json or string.",
        examples=["expires_at"],
        group="records",
    )
    deletion_mode: Literal["hard", "soft"] = setting(
        "Deletion mode",
        6,
        default="hard",
        description="In append_dedup: hard removes the key of a row that was deleted in the source, soft keeps it as a "
        "record with the time of deletion.",
        group="records",
    )
    search_index: bool = setting(
        "Search index",
        7,
        default=False,
        description="Whether to maintain a search index for each stream, named <namespace>:<stream>, with its columns "
        "by type (FT.CREATE). For cache_type json, or hash with record_format columns.",
        group="records",
    )
    stream_max_length: Annotated[int, Field(ge=0), AfterValidator(_none_if_zero)] | None = setting(
        "Stream length",
        9,
        default=None,
        description="With cache_type stream: how many of the newest entries are kept. 0: all, which is the default.",
        group="records",
    )

    record_key: Annotated[str, AfterValidator(_record_key)] = setting(
        "Record key",
        11,
        default=RECORD_KEY,
        description="In append_dedup: the key of a record, where {key} is its primary key. {namespace} and {stream} "
        "may be left out.",
        examples=["user:{key}", "{stream}:{key}"],
        group="records",
    )
    collection_key: Annotated[str, AfterValidator(_collection_key)] = setting(
        "Collection key",
        12,
        default=COLLECTION_KEY,
        description=f"With cache_type {_COLLECTIONS}: the key of all records. Not for a cluster.",
        examples=["queue:{stream}"],
        group="records",
    )

    value: str | None = setting(
        "Value",
        15,
        default=None,
        description=f"With cache_type {types_with('value')}: the top-level field of a record that becomes the element, "
        "in place of the whole record.",
        examples=["id"],
        group="records",
    )
    score: str | None = setting(
        "Score",
        16,
        default=None,
        description=f"With cache_type {types_with('score')}: the top-level field of a record with its score, in place "
        "of the cursor.",
        examples=["points"],
        group="records",
    )
    vectors: tuple[Vector, ...] = setting(
        "Vectors",
        19,
        default=(),
        description="The fields with vectors, such as embeddings, in the search index of each stream. Needs the search "
        "index.",
        examples=[[{"field": "embedding", "dimensions": 384}]],
        group="records",
    )
    longitude: str | None = setting(
        "Longitude",
        20,
        default=None,
        description=f"With cache_type {types_with('longitude')}: the top-level field of a record with its longitude in "
        "degrees. If it is empty, the first of longitude, lng and lon that the stream's schema has.",
        examples=["lng"],
        group="records",
    )
    latitude: str | None = setting(
        "Latitude",
        21,
        default=None,
        description=f"With cache_type {types_with('latitude')}: the top-level field of a record with its latitude in "
        "degrees. If it is empty, latitude or else lat.",
        examples=["lat"],
        group="records",
    )
    bitmap_max_position: int | None = setting(
        "Bitmap maximum position",
        22,
        default=None,
        description="With cache_type bitmap: the highest position, by default 134,217,727. A bitmap needs a byte for "
        "every eight positions up to its highest one: 16 MB for the default. A single bit at position 4,294,967,295 "
        "takes 512 MB at once.",
        ge=0,
        le=2**32 - 1,
        group="records",
    )

    @property
    def storage_format(self) -> StorageFormat:
        """The data type and format of records; a single field of a record has no envelope."""
        one_field = self.value or "value" in CACHES[self.cache_type].capabilities.required
        return StorageFormat(self.cache_type, "columns" if one_field else self.record_format)

    @property
    def fields(self) -> dict[str, str]:
        """The fields of a record that make an element, by the names of their settings, of those that are set."""
        named = {name: getattr(self, name) for name in FIELDS}
        return {name: field for name, field in named.items() if field is not None}

    @property
    def limits(self) -> dict[str, int]:
        """The numbers that limit some data types, by the names of their settings, of those that are set."""
        named = {name: getattr(self, name) for name in LIMITS}
        return {name: number for name, number in named.items() if number is not None}

    @property
    def has_collection_key(self) -> bool:
        """Whether all records of a stream are in one key, which has a template of its own."""
        return CACHES[self.cache_type].capabilities.collection and self.collection_key != COLLECTION_KEY

    @property
    def expiry(self) -> int:
        """Seconds after which a live record expires, 0 for never."""
        return self.ttl_seconds or 0
