"""A record -> its upsert or deletion: the key is the primary key, the order is (cursor, id).

CDC sources may send a deletion with the primary key alone. Without a cursor it goes by arrival: it is a floor, and
whatever came before it for its key is void (scripts.py).
"""

import logging
from collections.abc import Callable

import msgspec

from destination_redis.caches import CollectionCache, Encoder, UpsertEncoder
from destination_redis.keys import NULL, key_part
from destination_redis.ledger import transitions
from destination_redis.placements.base import Target
from destination_redis.placements.record_scripts import TOMBSTONE_SECONDS, Scripts
from destination_redis.protocol.catalog import DELETED_AT
from destination_redis.protocol.cursor import NULL_CURSOR, encode, warn_unreadable
from destination_redis.protocol.json_fields import picker
from destination_redis.protocol.messages import Record
from destination_redis.resp import pack_arguments

logger = logging.getLogger("airbyte")

#: Floors remembered here until the server has them; some 150 bytes each.
_MOST_FLOORS = 16_384


class FlushRequired(Exception):  # noqa: N818 - a wish, not an error
    """All that was taken so far has to be settled before a record is written; it is then asked for again.

    It is the first deletion of a stream. Its ledger has to say so before; and where the schema did not announce any,
    the upserts before it do not look for deletions: none of them may be sent, or sent again, after it. Or there are
    many deletions without a cursor: once the server has them, later commands need not carry them.
    """


class Floors:
    """The latest deletion without a cursor of each key, until the server is known to have it."""

    def __init__(self) -> None:
        self._ids: dict[bytes, int] = {}
        self._flushed = False

    def add(self, part: bytes, number: int) -> None:
        """Remember a deletion by the record's part of the key; raises FlushRequired, once, where too many are held."""
        if len(self._ids) >= _MOST_FLOORS:
            if not self._flushed:
                self._flushed = True
                raise FlushRequired
            self._ids.clear()
            self._flushed = False
        self._ids[part] = number

    def carried(self, part: bytes, cursor: bytes) -> bytes:
        """Return the cursor with the key's floor, if it has any."""
        if self._ids and (floor := self._ids.get(part)) is not None:
            return b"%b %d" % (cursor, floor)
        return cursor


class Upserts:
    """Makes the records of one stream, whose sync has begun, commands."""

    def __init__(self, target: Target, scripts: Scripts) -> None:
        assert not isinstance(target.cache, CollectionCache)
        self._lease = lease = target.lease
        self._cache = target.cache
        self._scripts = scripts
        self._stream = lease.stream
        self._staged = target.staged
        self._soft = target.soft_deletions
        ledger, keys = lease.value, lease.keys
        self._first = (ledger.newest if target.staged else ledger.live).first
        self._template = keys.staged if target.staged else keys.live
        self._epoch = f"{ledger.cursor_epoch:04x}"
        self._no_cursor = (self._epoch + NULL_CURSOR).encode()

    def encoder(self) -> Encoder:
        """Return what makes a record with an id its upsert or, where it says so, its deletion.

        It raises msgspec.DecodeError where the record's data is no JSON object or a key or cursor is no valid text.
        """
        stream = self._stream
        width = len(stream.primary_key)
        has_cursor = bool(stream.cursor)
        pick = picker((*stream.primary_key, *([stream.cursor] if has_cursor else []), (DELETED_AT,)))
        head, tail = self._template.head, self._template.tail
        tombstone_of = self._lease.keys.tombstone.key
        no_cursor, cursor_of = self._no_cursor, self._cursors()
        nothing, warned = b":".join([NULL] * width), False
        upsert, forgets = self._upsert_encoder(), self._forgets
        staged, soft = self._staged, self._soft
        floors = Floors()

        def encode_record(number: int, record: Record) -> bytes:
            nonlocal upsert, forgets, warned
            values = pick(record.data)
            part = key_part(values[0]) if width == 1 else b":".join(map(key_part, values[:width]))
            if part == nothing and not warned:
                warned = True
                self._warn_of_no_key()
            key = head + part + tail
            cursor = cursor_of(values[width]) if has_cursor else no_cursor
            if bytes(values[-1]) != b"null":
                floor = has_cursor and cursor == no_cursor
                if floor or not soft:
                    self._announce_deletions()
                    if not forgets:
                        upsert, forgets = self._upsert_encoder(), self._forgets
                if floor:
                    floors.add(part, number)
                if not soft:
                    return self._delete(key, tombstone_of(part), number, floors.carried(part, cursor))
            keys = b"$%d\r\n%b\r\n" % (len(key), key)
            if forgets and not staged:
                keys += pack_arguments(tombstone_of(part))
            return upsert(keys, number, floors.carried(part, cursor), record)

        return encode_record

    def _cursors(self) -> Callable[[msgspec.Raw], bytes]:
        """Return what makes a cursor's JSON value its text behind the epoch; one that cannot be read counts as null."""
        stream, epoch, order, warned = self._stream, self._epoch, self._stream.cursor_order, False

        def cursor_of(value: msgspec.Raw) -> bytes:
            nonlocal warned
            if (text := encode(value, order)) is not None:
                return (epoch + text).encode()
            if not warned:
                warned = True
                warn_unreadable(str(stream), stream.cursor, order, "such values count as null, the lowest")
            return self._no_cursor

        return cursor_of

    def _warn_of_no_key(self) -> None:
        logger.warning(
            "A record of the stream %s has no value in its primary key (%s): all such records are one row",
            self._stream,
            ", ".join(".".join(path) for path in self._stream.primary_key),
        )

    def _announce_deletions(self) -> None:
        """Have the ledger say that there are deletions; raises FlushRequired before the first one."""
        if not self._lease.answered.deletes:
            # Noted ahead of the first deletion: what follows has to look for it, in later syncs too.
            self._lease.move(transitions.note_deletions(self._lease.value))
            raise FlushRequired

    @property
    def _forgets(self) -> bool:
        """Whether an upsert has to look for a deletion."""
        return (self._stream.may_delete and not self._soft) or self._lease.value.deletes

    @property
    def _floors(self) -> bool:
        """Whether deletions without a cursor may be among the stream's; where no record has one, all go by arrival."""
        return bool(self._stream.cursor) and (self._stream.may_delete or self._lease.value.deletes)

    def _upsert_encoder(self) -> UpsertEncoder:
        keys = 2 if self._forgets and not self._staged else 1
        lua, staged, floors = self._cache.lua, self._staged, self._floors
        head = self._scripts.upsert_head
        return self._cache.upsert_encoder(
            lambda arguments: head(lua, keys, arguments, staged=staged, floors=floors), self._first
        )

    def _delete(self, key: bytes, tombstone: bytes, number: int, cursor: bytes) -> bytes:
        order = (b"%d" % number, cursor, b"%d" % self._first)
        if self._staged:
            return self._scripts.mark_head(self._cache.lua, floors=self._floors) + pack_arguments(key, *order)
        return self._scripts.delete_head(self._cache.lua, floors=self._floors) + pack_arguments(
            key, tombstone, *order, b"%d" % TOMBSTONE_SECONDS
        )
