"""The storage of records: where they are, in which format, and under which keys."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from destination_redis.caches import CACHES, StorageFormat
from destination_redis.keys import DataKeys, StreamKeys
from destination_redis.protocol.catalog import COLLECTION, PRIMARY_KEY, SEQUENCE

_DEFAULT = StorageFormat()
#: The name of the setting by which hashes have fields that hold vectors.
VECTORS = "vectors"


@dataclass(frozen=True, slots=True)
class Storage:
    """Where the records of a generation are stored, and in which format. Only a refresh changes it."""

    placement: str = SEQUENCE
    #: By primary key: the paths of its fields, as JSON.
    key_fields: str = ""
    storage_format: StorageFormat = _DEFAULT
    #: The template of its keys from the settings; "" for the default.
    template: str = ""
    #: What makes an element: (name of the setting, field) of those that are set, and the primary key if it is used. In
    #: a hash, also the fields that are vectors.
    fields: tuple[tuple[str, str], ...] = ()

    @property
    def key_parts(self) -> int | None:
        """The number of parts of a record's key; None if it is not known."""
        if self.key_fields:
            return len(json.loads(self.key_fields))
        return None if self.placement == PRIMARY_KEY else 1

    @property
    def vectors(self) -> list[str]:
        """The fields that hold vectors in a form of their own."""
        return [field for name, field in self.fields if name == VECTORS]

    @property
    def in_string(self) -> bool:
        """Whether all records are in one key of Redis's type string."""
        cache = CACHES.get(self.storage_format.cache_type)
        return self.placement == COLLECTION and cache is not None and cache.capabilities.string

    def keys_of(self, keys: StreamKeys) -> DataKeys:
        """Return the keys of the records of a stream that are stored so."""
        return keys.data(self.template, self.key_parts)

    def stored(self, prefix: str) -> dict[str, str]:
        """Return the fields of the ledger's hash that say so; their names begin with `prefix`."""
        cache_type, record_format = self.storage_format
        return {
            f"{prefix}placement": self.placement,
            f"{prefix}key_fields": self.key_fields,
            f"{prefix}cache_type": cache_type,
            f"{prefix}record_format": record_format,
            f"{prefix}template": self.template,
            f"{prefix}fields": json.dumps(self.fields, separators=(",", ":")) if self.fields else "",
        }

    def __str__(self) -> str:
        kept = {PRIMARY_KEY: f"by the primary key {self.key_fields}", COLLECTION: "in one key"}
        keyed = kept.get(self.placement, "by sequential ids")
        under = f" under {self.template}" if self.template else ""
        fields = [f", {name} {field}" for name, field in self.fields]
        cache_type, record_format = self.storage_format
        return f"as {cache_type} ({record_format}{''.join(fields)}) {keyed}{under}"


def stored_as(prefix: str, stored: Mapping[str, str], default: Storage) -> Storage:
    """Return what the fields of a ledger's hash say; a missing placement, type or format is as in `default`."""

    def text(name: str) -> str:
        return stored.get(prefix + name, "")

    default_type, default_format = default.storage_format
    storage_format = StorageFormat(text("cache_type") or default_type, text("record_format") or default_format)  # type: ignore[arg-type] # as stored
    placement = text("placement") or default.placement
    fields = tuple((name, field) for name, field in json.loads(text("fields") or "[]"))
    return Storage(placement, text("key_fields"), storage_format, text("template"), fields)
