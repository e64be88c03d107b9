"""The scripts of records: each is loaded once, and makes commands for one record or for many."""

from collections.abc import Callable
from functools import partial

from destination_redis.caches import Lua, Start, StorageFormat, plain
from destination_redis.caches.extent import SHORT_KEY
from destination_redis.ledger.lease import StreamLease
from destination_redis.ledger.storage import Storage
from destination_redis.placements.expiry import WRITE_EXPIRING, Expiry, expire, stage_expiring, upsert_expiring
from destination_redis.placements.record_lua import (
    delete,
    mark,
    promote,
    read_any,
    read_one,
    remove,
    rename,
    stored,
    upsert,
    write,
)
from destination_redis.resp import pack_arguments
from destination_redis.transport.many_records import ManyRecords
from destination_redis.transport.pipeline import Pipeline
from destination_redis.transport.window import Kind


class Scripts:
    """The scripts of a sync, each loaded when it is first used."""

    def __init__(
        self, pipeline: Pipeline, *, name: bytes = b"", shas: dict[tuple[object, ...], bytes] | None = None
    ) -> None:
        """Take a stream's name, if messages need it, and the SHA1s of scripts that are loaded already."""
        self._pipeline = pipeline
        self._shas = {} if shas is None else shas
        self._name = name

    def named(self, lease: StreamLease, storage: Storage) -> "Scripts":
        """Return the scripts for records that are stored so; messages about them need the stream's name."""
        if not storage.template:
            return self
        return Scripts(self._pipeline, name=lease.keys.base.encode(), shas=self._shas)

    def start(self, expiry: int) -> Start:
        """Return what starts a command that writes a live record; it expires after so many seconds, 0 for never."""
        if not expiry:
            return plain
        sha = self._sha(lambda: write(expiry), "write", expiry)

        def start(command: bytes, arguments: int) -> tuple[bytes, bytes]:
            head = b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n$1\r\n1\r\n" % (5 + arguments, sha)
            return head, pack_arguments(command)

        return start

    def start_expiring(self, command: bytes, arguments: int) -> tuple[bytes, bytes]:
        """Return what starts a command that writes a record; its own expiry must be added as the last argument."""
        sha = self._sha(lambda: WRITE_EXPIRING, "write expiring")
        head = b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n$1\r\n1\r\n" % (6 + arguments, sha)
        return head, pack_arguments(command)

    def upserts(self, lua: Lua, keys: int, first_id: int, *, expiry: int | None, floors: bool) -> ManyRecords:
        """Return what gathers upserts; the second of two keys is the tombstone's.

        `expiry` is in seconds, 0 for never, and None for staged records. `floors` is for a stream that may have
        deletions without a cursor, here and below.
        """
        lives = "" if expiry is None else expire("key", expiry)
        if expiry == 0:  # a record written anew has no expiry, one that is replaced may
            lives = f"if held then {lives}end\n"
        script = partial(upsert, lua, keys, lives, floors=floors)
        return self._many(self._sha(script, "upsert", lua, keys, lives, floors), keys, first_id)

    def expiring_upserts(self, lua: Lua, first_id: int, ttl: int | None) -> ManyRecords:
        """Return what gathers upserts with expiries of their own: keys of a record and, if it is live, its tombstone.

        `ttl` is in seconds, 0 for never, and None for staged records. The stream counts as one that may have deletions
        without a cursor.
        """
        if ttl is None:
            return self._many(self._sha(lambda: stage_expiring(read_one(lua), lua), "stage expiring", lua), 1, first_id)
        script = partial(upsert_expiring, read_one(lua), lua, ttl)
        return self._many(self._sha(script, "upsert expiring", lua, ttl), 2, first_id)

    def deletions(self, lua: Lua, first_id: int, *, floors: bool) -> ManyRecords:
        """Return what gathers deletions: keys of a record and its tombstone, id and cursor."""
        return self._many(self._sha(partial(delete, lua, floors=floors), "delete", lua, floors), 2, first_id)

    def staged_deletions(self, lua: Lua, first_id: int, *, floors: bool) -> ManyRecords:
        """Return what gathers staged deletions: a record's key, id and cursor."""
        return self._many(self._sha(partial(mark, lua, floors=floors), "mark", lua, floors), 1, first_id)

    def promotions(
        self, storage_format: StorageFormat, keys: int, staged_first: int, live_first: int, *, expiry: Expiry
    ) -> ManyRecords:
        """Return what gives staged records their live keys and their expiry, where nothing newer is there.

        Keys: staged, live, and the tombstone's where the stream has any; `storage_format` is what the live ones are.
        """
        script = partial(promote, read_any(storage_format), keys, expiry)
        return self._many(self._sha(script, "promote", storage_format, keys, expiry), keys, staged_first, live_first)

    def removals(self, storage_format: StorageFormat) -> ManyRecords:
        """Return what removes records of that format whose id is between two others, both inclusive."""
        return self._many(self._sha(lambda: remove(read_any(storage_format)), "remove", storage_format), 1)

    def renames(self, expiry: Expiry) -> ManyRecords:
        """Return what gives staged records their live keys and their expiry."""
        return self._many(self._sha(lambda: rename(expiry), "rename", expiry), 2)

    def is_stored(self, lua: Lua, key: bytes, number: int) -> bool:
        """Return whether the record with this id is stored under a key; waits for the answer.

        A key that may itself be why the record was refused is not sent again: then it is not stored.
        """
        if len(key) > SHORT_KEY:
            return False
        replies: list[object] = []
        look = self._many(self._sha(lambda: stored(lua), "stored", lua), 1)
        look.add(pack_arguments(key), 2, pack_arguments(b"1", b"%d" % number))
        self._pipeline.send(look.take(), replies.append, Kind.OTHER)
        self._pipeline.flush()
        return replies[-1] == 1

    def _many(self, sha: bytes, keys: int, *shared: int) -> ManyRecords:
        shown = [b"%d" % each for each in shared]
        return ManyRecords(sha, keys, shown, alone=not self._pipeline.many_keys, name=self._name)

    def _sha(self, script: Callable[[], str], *what: object) -> bytes:
        if (sha := self._shas.get(what)) is None:
            sha = self._shas[what] = self._pipeline.load(script())
        return sha
