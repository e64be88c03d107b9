"""The storage of records: where they are, in which format, and under which keys."""

import json
from dataclasses import dataclass

from destination_redis.caches import StorageFormat
from destination_redis.keys import DataKeys, StreamKeys
from destination_redis.protocol.catalog import COLLECTION, PRIMARY_KEY, SEQUENCE

_DEFAULT = StorageFormat()


@dataclass(frozen=True, slots=True)
class Storage:
    """Where the records of a generation are stored, and in which format. Only a refresh changes it."""

    placement: str = SEQUENCE
    #: By primary key: the paths of its fields, as JSON.
    key_fields: str = ""
    storage_format: StorageFormat = _DEFAULT
    #: The template of its keys from the settings; "" for the default.
    template: str = ""

    @property
    def key_parts(self) -> int | None:
        """The number of parts of a record's key; None if it is not known."""
        if self.key_fields:
            return len(json.loads(self.key_fields))
        return None if self.placement == PRIMARY_KEY else 1

    def keys_of(self, keys: StreamKeys) -> DataKeys:
        """Return the keys of the records of a stream that are stored so."""
        return keys.data(self.template, self.key_parts)

    def __str__(self) -> str:
        kept = {PRIMARY_KEY: f"by the primary key {self.key_fields}", COLLECTION: "in one key"}
        keyed = kept.get(self.placement, "by sequential ids")
        under = f" under {self.template}" if self.template else ""
        return f"as {self.storage_format.cache_type} ({self.storage_format.record_format}) {keyed}{under}"
