"""The metadata of a record: the names of the connector's own fields, and their JSON values."""

import uuid
from collections.abc import Sequence

import msgspec

from destination_redis.caches.base import RecordOptions
from destination_redis.protocol.messages import Record

AB_ID, EMITTED_AT, DATA, META = b"_airbyte_ab_id", b"_airbyte_emitted_at", b"_airbyte_data", b"_airbyte_meta"
RAW_ID, EXTRACTED_AT = b"_airbyte_raw_id", b"_airbyte_extracted_at"
GENERATION_ID = b"_airbyte_generation_id"
#: In upserts: the cursor, which orders them, and the mark of a staged deletion.
CURSOR, DELETED = b"_airbyte_cursor", b"_airbyte_deleted"

Pair = tuple[bytes, bytes]


class _Meta(msgspec.Struct, frozen=True, gc=False):
    changes: list[msgspec.Raw] | None = None


_META = msgspec.json.Decoder(_Meta | None)


class Metadata:
    """Makes the fields besides id, time and data: `_airbyte_meta` if there are changes, or all of them if `full`."""

    __slots__ = ("_full", "_generation", "_sync_id", "_uuid")

    def __init__(self, options: RecordOptions) -> None:
        self._full = options.full
        self._sync_id = options.sync_id
        self._generation = b"%d" % (options.generation_id or 0)
        # Random bits for each run, then the record's id; marked as version 4, which readers of Airbyte's data expect.
        random = uuid.uuid4().hex
        self._uuid = f'"{random[:8]}-{random[8:12]}-4{random[12:15]}-%b-%b"'.encode()

    def __call__(self, number: int, record: Record, changes: Sequence[object] = ()) -> Sequence[Pair]:
        """Return names and JSON values; `changes` are the connector's own, added after the source's."""
        if len(record.meta) > len(b"null") and (meta := _META.decode(record.meta)) and meta.changes:
            changes = [*meta.changes, *changes]
        if not changes and not self._full:
            return ()
        value = msgspec.json.encode({"sync_id": self._sync_id, "changes": changes})
        if not self._full:
            return ((META, value),)
        low = b"%x" % (1 << 63 | number)
        raw_id = self._uuid % (low[:4], low[4:])
        at = bytes(record.emitted_at)
        return ((RAW_ID, raw_id), (EXTRACTED_AT, at), (GENERATION_ID, self._generation), (META, value))


def own_names(options: RecordOptions, *, upserts: bool) -> frozenset[str]:
    """Return the connector's own names in columns: data fields with these names are left out."""
    names = {AB_ID, EMITTED_AT, META}
    if upserts:
        names |= {CURSOR, DELETED}
    if options.full:
        names |= {RAW_ID, EXTRACTED_AT, GENERATION_ID}
    return frozenset(name.decode() for name in names)
