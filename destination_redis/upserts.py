"""A record -> its upsert: the key is the primary key, the order is (cursor, id)."""

import logging

from destination_redis.caches import KeyedCache, Upserter, Writer, pack
from destination_redis.claim import Claim
from destination_redis.cursor import NULL_CURSOR, encode, warn_unreadable
from destination_redis.fields import picker
from destination_redis.keys import NULL, key_part
from destination_redis.messages import Record
from destination_redis.scripts import GONE, Scripts
from destination_redis.streams import DELETED_AT

logger = logging.getLogger("airbyte")


class Unsettled(Exception):  # noqa: N818 - a wish, not an error
    """All that was taken so far has to be settled before a record is written; it is then asked for again.

    It is the first deletion of a stream. Its ledger has to say so before; and where the schema did not announce any,
    the upserts before it do not look for deletions: none of them may be sent, or sent again, after it.
    """


class Upserts:
    """Makes the records of one stream, whose sync has begun, commands."""

    def __init__(self, claim: Claim, cache: KeyedCache, scripts: Scripts, *, staged: int, soft: bool) -> None:
        """Take what is needed; `staged` is the staged generation's first id, 0 where records go to the live one.

        `soft` keeps a deletion as the record.
        """
        ledger, keys = claim.value, claim.keys
        self._claim = claim
        self._cache = cache
        self._scripts = scripts
        self._stream = claim.stream
        self._staged = bool(staged)
        self._soft = soft
        self._first = staged or ledger.first
        self._around = keys.staged if staged else keys.live
        self._epoch = f"{ledger.cursor_epoch:04x}"

    def writer(self) -> Writer:
        """Return what makes a record with an id its upsert or, where it says so, its deletion.

        It raises msgspec.DecodeError where the record's data is no JSON object or a key or cursor is no valid text.
        """
        stream, epoch = self._stream, self._epoch
        width = len(stream.primary_key)
        has_cursor = bool(stream.cursor)
        pick = picker((*stream.primary_key, *([stream.cursor] if has_cursor else []), (DELETED_AT,)))
        order = stream.cursor_order
        head, tail = self._around
        gone_head, gone_tail = self._claim.keys.gone
        no_cursor = (epoch + NULL_CURSOR).encode()
        nothing, warned, warned_of_cursor = b":".join([NULL] * width), False, False
        upsert, forgets = self._upserter(), self._forgets
        staged, soft = self._staged, self._soft

        def write(number: int, record: Record) -> bytes:
            nonlocal upsert, forgets, warned, warned_of_cursor
            values = pick(record.data)
            part = key_part(values[0]) if width == 1 else b":".join(map(key_part, values[:width]))
            if part == nothing and not warned:
                warned = True
                logger.warning(
                    "A record of the stream %s has no value in its primary key (%s): all such records are one row",
                    stream,
                    ", ".join(".".join(path) for path in stream.primary_key),
                )
            key = head + part + tail
            cursor = no_cursor
            if has_cursor:
                if (text := encode(values[width], order)) is not None:
                    cursor = (epoch + text).encode()
                elif not warned_of_cursor:
                    warned_of_cursor = True
                    warn_unreadable(str(stream), stream.cursor, order, "such values count as null, the lowest")
            if bytes(values[-1]) != b"null" and not soft:
                if not self._claim.answered.deletes:
                    # Noted ahead of the first deletion: what follows has to look for it, in later syncs too.
                    self._claim.move(deletes=1)
                    raise Unsettled
                if not forgets:
                    upsert, forgets = self._upserter(), self._forgets
                return self._delete(key, gone_head + part + gone_tail, number, cursor)
            keys = b"$%d\r\n%b\r\n" % (len(key), key)
            if forgets and not staged:
                keys += pack(gone_head + part + gone_tail)
            return upsert(keys, number, cursor, record)

        return write

    @property
    def _forgets(self) -> bool:
        """Whether an upsert has to look for a deletion."""
        return (self._stream.may_delete and not self._soft) or bool(self._claim.value.deletes)

    def _upserter(self) -> Upserter:
        keys = 2 if self._forgets and not self._staged else 1
        lua, head, staged = self._cache.lua, self._scripts.upsert_head, self._staged
        return self._cache.upserter(lambda arguments: head(lua, keys, arguments, staged=staged), self._first)

    def _delete(self, key: bytes, gone: bytes, number: int, cursor: bytes) -> bytes:
        order = (b"%d" % number, cursor, b"%d" % self._first)
        if self._staged:
            return self._scripts.mark_head(self._cache.lua) + pack(key, *order)
        return self._scripts.delete_head(self._cache.lua) + pack(key, gone, *order, b"%d" % GONE)
