"""Upserts and deletions: a record is written under its primary key, and ordered by (cursor, id).

CDC sources may send a deletion with the primary key alone. A deletion without a cursor is a floor: it voids everything
that arrived before it for its key (upsert_order.py).
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from destination_redis.caches import CollectionCache, UpsertEncoder
from destination_redis.errors import RejectedRecord
from destination_redis.keys import NULL, key_part
from destination_redis.ledger import transitions
from destination_redis.placements.base import Target, Writer
from destination_redis.placements.record_scripts import Scripts
from destination_redis.protocol.catalog import DELETED_AT
from destination_redis.protocol.common_instants import common
from destination_redis.protocol.cursor import INSTANT, NULL_CURSOR, Order, encode, warn_unreadable
from destination_redis.protocol.json_fields import MISSING, picker
from destination_redis.protocol.messages import Record
from destination_redis.resp import pack_arguments

if TYPE_CHECKING:
    from destination_redis.transport.many_records import ManyRecords

logger = logging.getLogger("airbyte")

#: Floors kept in memory until the server has them; each takes about 150 bytes.
_MOST_FLOORS = 16_384


class FlushRequired(Exception):  # noqa: N818 - a request, not an error
    """Everything so far must be flushed before this record is encoded again.

    Either it is the stream's first deletion. The ledger must record that first. If the schema did not announce
    deletions, the upserts before it do not look for tombstones, so none of them may be sent, or sent again, after it.
    Or many deletions have no cursor: once the server has these floors, later commands need not carry them.
    """


class Floors:
    """The latest floor of each key, until the server has it."""

    def __init__(self) -> None:
        self.ids: dict[bytes, int] = {}
        self._flushed = False

    def add(self, part: bytes, number: int) -> None:
        """Keep the floor of a key, given the record's part of it; raises FlushRequired, once, if there are too many."""
        if len(self.ids) >= _MOST_FLOORS:
            if not self._flushed:
                self._flushed = True
                raise FlushRequired
            self.ids.clear()
            self._flushed = False
        self.ids[part] = number

    def carried(self, part: bytes, cursor: bytes) -> bytes:
        """Return the cursor with the key's floor, if it has any."""
        floor = self.ids.get(part)
        return cursor if floor is None else b"%b %d" % (cursor, floor)


def _not_empty(value: msgspec.Raw) -> bytes:
    """Return the part of a key that is a record's whole key; raises RejectedRecord if it is empty."""
    if part := key_part(value):
        return part
    raise RejectedRecord(
        "its primary key is empty, and record_key makes that its whole key: add text to record_key, or set key_prefix"
    )


class Upserts:
    """Gathers the records of one stream, after `Generations.start`, as upserts and deletions."""

    def __init__(self, target: Target, scripts: Scripts) -> None:
        assert not isinstance(target.cache, CollectionCache)
        self._lease = lease = target.lease
        self._cache = target.cache
        self._scripts = scripts.named(lease, (lease.value.newest if target.staged else lease.value.live).storage)
        self._stream = lease.stream
        self._staged = target.staged
        self._soft = target.soft_deletions
        self._read_expiry = target.expiry_reader()
        ledger, keys = lease.value, lease.newest_keys if target.staged else lease.live_keys
        self._first = (ledger.newest if target.staged else ledger.live).first
        self._template = keys.staged if target.staged else keys.live
        self._tombstones = keys.tombstone
        self._part_of = key_part if keys.live.head or keys.live.tail else _not_empty
        #: Upserts and deletions are kept apart: a script whose first write frees memory would bypass `maxmemory`.
        self._gathered: dict[str, ManyRecords] = {}
        self._epoch = f"{ledger.cursor_epoch:04x}"
        self._no_cursor = (self._epoch + NULL_CURSOR).encode()

    def writer(self) -> Writer:
        """Return a writer that gathers records as upserts or deletions.

        It raises msgspec.DecodeError if the data is not a JSON object, or if a key or cursor is not valid text, and
        RejectedRecord if the Redis key would be empty.
        """
        stream = self._stream
        width = len(stream.primary_key)
        has_cursor = bool(stream.cursor)
        pick = picker((*stream.primary_key, *([stream.cursor] if has_cursor else []), (DELETED_AT,)))
        packed, packed_tombstone = self._template.packer(), self._tombstones.packer()
        no_cursor, cursor_of, part_of = self._no_cursor, self._cursors(), self._parts()
        encode, soft, floors = self._encoder(), self._soft, Floors()
        carried = floors.ids
        add, with_tombstone = self._upserts()

        def gather(number: int, record: Record) -> bytes:
            nonlocal add, with_tombstone
            values = pick(record.data)
            part = bytes(values[0])
            if width > 1 or not part.isdigit():  # the most common keys have digits only
                part = part_of(values[:width])
            cursor = cursor_of(values[width]) if has_cursor else no_cursor
            deleted = values[-1]
            if deleted is not MISSING and bytes(deleted) != b"null":
                floor = has_cursor and cursor == no_cursor
                if floor or not soft:
                    self._announce_deletions()
                    if self._forgets and not with_tombstone:
                        add, with_tombstone = self._upserts()
                if floor:
                    self._check(encode, number, record)
                    floors.add(part, number)
                if not soft:
                    self._delete(part, number, floors.carried(part, cursor))
                    return b""
            if carried:
                cursor = floors.carried(part, cursor)
            count, arguments = encode(number, cursor, record)
            keys = packed(part)
            if with_tombstone:
                keys += packed_tombstone(part)
            add(keys, count, arguments)
            return b""

        return Writer(gather, self._take, partial(self._scripts.is_stored, self._cache.lua))

    def _take(self) -> list[bytes]:
        """Return the commands for all gathered records; their order does not matter."""
        return [command for gathered in self._gathered.values() for command in gathered.take()]

    def _encoder(self) -> UpsertEncoder:
        """Return the encoder of upserts; a record's own expiry is the third word of its cursor."""
        encode, read = self._cache.upsert_encoder(), self._read_expiry
        if read is None:
            return encode

        def expiring(number: int, cursor: bytes, record: Record) -> tuple[int, bytes]:
            if own := read(record.data):
                cursor = b"%b %b" % (cursor if b" " in cursor else cursor + b" 0", own)
            return encode(number, cursor, record)

        return expiring

    def _parts(self) -> Callable[[Sequence[msgspec.Raw]], bytes]:
        """Return a function from the values of the primary key to the record's part of its key."""
        part_of, nothing, warned = self._part_of, b":".join([NULL] * len(self._stream.primary_key)), False

        def joined(values: Sequence[msgspec.Raw]) -> bytes:
            nonlocal warned
            part = part_of(values[0]) if len(values) == 1 else b":".join(map(key_part, values))
            if part == nothing and not warned:
                warned = True
                logger.warning(
                    "A record of the stream %s has no value in its primary key (%s): all such records are one row",
                    self._stream,
                    ", ".join(".".join(path) for path in self._stream.primary_key),
                )
            return part

        return joined

    def _cursors(self) -> Callable[[msgspec.Raw], bytes]:
        """Return a function from a cursor's JSON value to text with the epoch; an unreadable one counts as null."""
        stream, epoch, order, warned = self._stream, self._epoch, self._stream.cursor_order, False

        def cursor_of(value: msgspec.Raw) -> bytes:
            nonlocal warned
            if (text := encode(value, order)) is not None:
                return (epoch + text).encode()
            if not warned:
                warned = True
                warn_unreadable(str(stream), stream.cursor, order, "such values count as null, the lowest")
            return self._no_cursor

        before = (epoch + INSTANT).encode()

        def instant_of(value: msgspec.Raw) -> bytes:
            return common(bytes(value), before) or cursor_of(value)

        return instant_of if order is Order.INSTANT else cursor_of

    def _announce_deletions(self) -> None:
        """Record in the ledger that the stream has deletions; raises FlushRequired before the first one."""
        if not self._lease.answered.deletes:
            # Before the first deletion: whatever follows must look for tombstones, in later syncs too.
            self._lease.update(transitions.note_deletions(self._lease.value))
            raise FlushRequired

    @property
    def _forgets(self) -> bool:
        """Whether an upsert must look for a tombstone."""
        return (self._stream.may_delete and not self._soft) or self._lease.value.deletes

    @property
    def _floors(self) -> bool:
        """Whether cursors may have words behind them.

        A deletion without a cursor adds one, but a stream without a cursor orders all by arrival. A record's own expiry
        adds another.
        """
        ledger = self._lease.value
        return ledger.expires or (bool(self._stream.cursor) and (self._stream.may_delete or ledger.deletes))

    def _upserts(self) -> tuple[Callable[[bytes, int, bytes], None], bool]:
        """Return a function that adds upserts, and whether each upsert has the key of a tombstone."""
        with_tombstone = self._forgets and not self._staged
        keys, lua = 2 if with_tombstone else 1, self._cache.lua
        expiry = None if self._staged else self._lease.stream.expiry
        if self._read_expiry:
            gathered = self._scripts.expiring_upserts(lua, self._first, expiry)
        else:
            gathered = self._scripts.upserts(lua, keys, self._first, expiry=expiry, floors=self._floors)
        return self._gathered.setdefault(f"upserts of {keys} keys", gathered).add, with_tombstone

    def _check(self, encode: UpsertEncoder, number: int, record: Record) -> None:
        """Raise what `encode` raises for a deletion that is stored as a record: if rejected, it must leave no floor."""
        if self._soft:
            encode(number, self._no_cursor, record)

    def _delete(self, part: bytes, number: int, cursor: bytes) -> None:
        if (gathered := self._gathered.get("deletions")) is None:
            make = self._scripts.staged_deletions if self._staged else self._scripts.deletions
            gathered = self._gathered["deletions"] = make(self._cache.lua, self._first, floors=self._floors)
        keys = pack_arguments(self._template.key(part))
        if not self._staged:
            keys += pack_arguments(self._tombstones.key(part))
        gathered.add(keys, 3, pack_arguments(b"2", b"%d" % number, cursor))
