"""The scripts that upsert, delete, promote and remove a record, each in one atomic step.

Records of one key are ordered by (cursor, id): the cursor is text that sorts as its values do (cursor.py), the id rises
with arrival. A script that finds something at least as new does nothing. Because the id is part of the order, a
command may be sent again, late, or in any order: what stands in the end is the newest. That is why no record here is
ever written by a plain HSET, cheap as it is: sent again after a lost connection, it would bring back an older record.

What is staged is ordered among the staged records of its own generation: the scripts are given its first id, and
whatever has a lower one counts as absent. A staged deletion is a marker in the staged key.

Scripts that write know one data type: the server itself refuses them a key of another. Scripts that move and remove
read a record of every type, and go by the id inside: a refresh may have changed the type or the format.
"""

from collections.abc import Callable, Sequence
from functools import partial

from destination_redis.caches import CACHES, CollectionCache, Lua, RecordOptions, StorageFormat, plain
from destination_redis.placements.upsert_order import APPLY_FLOOR, FLOORS, READ_TOMBSTONE, newer, order, raise_floor
from destination_redis.resp import pack_arguments
from destination_redis.transport.pipeline import Pipeline

#: Seconds for which a deletion is remembered, so that an older record cannot come back.
TOMBSTONE_SECONDS = 86_400

# A key that is there without an id of ours is somebody else's, whatever its type.
_REFUSE_FOREIGN = """
if not {held} and redis.call('EXISTS', {key}) == 1 then
  return redis.error_reply('WRONGTYPE Operation against a key holding the wrong kind of value')
end
"""


def _read(lua: Lua) -> str:
    """Return the Lua function that reads a record of one type: (id, cursor, whether it is a staged deletion)."""
    return f"local function read(key){lua.read}end\n"


def _read_any(storage_format: StorageFormat) -> str:
    """Return the same for a record of any type; those of the type in `storage_format` are read as of that format."""
    cache_type, record_format = storage_format
    layouts = {name: RecordOptions(record_format if name == cache_type else "envelope") for name in CACHES}
    caches = (CACHES[name](options) for name, options in layouts.items())
    kinds = [cache.lua for cache in caches if not isinstance(cache, CollectionCache)]
    # Several data types may be of one kind: the record is of the one that finds an id.
    cases = "".join(
        f"if kind == '{lua.kind}' then\nlocal function one(){lua.read}end\n"
        "local id, cursor, deleted = one()\nif id then return id, cursor, deleted end\nend\n"
        for lua in kinds
    )
    return f"local function read(key)\nlocal kind = redis.call('TYPE', key).ok\n{cases}return nil, ''\nend\n"


def expire(key: str, seconds: int) -> str:
    """Return the Lua statement for a live record or collection, now written: it lives so long, 0 for ever."""
    return f"redis.call('EXPIRE', {key}, {seconds})\n" if seconds else f"redis.call('PERSIST', {key})\n"


def _upsert(lua: Lua, keys: int, lives: str, *, floors: bool) -> str:
    """KEYS: record [, its deletion]; ARGV: id, cursor, the generation's first id, then what the data type needs."""
    ordered = order(tombstone=keys == 2, floors=floors)
    refuse = _REFUSE_FOREIGN.format(held="held", key="KEYS[1]")
    if keys == 1:
        return f"{_read(lua)}{ordered}{refuse}{lua.write}{lives}return 1"
    forget = "if tombstone then redis.call('UNLINK', KEYS[2]) end"
    return f"{_read(lua)}{READ_TOMBSTONE}{ordered}{refuse}{lua.write}{lives}{forget} return 1"


def _delete(lua: Lua, *, floors: bool) -> str:
    """KEYS: record, its deletion; ARGV: id, cursor, first id, seconds.

    The UNLINK comes first: a server that is out of memory allows it, and then the small key after it too.
    """
    # A deletion that finds itself, being sent again, still removes what an older upsert, sent again too, brought back.
    unlink = "then if held then redis.call('UNLINK', KEYS[1]) end"
    ordered = order(tombstone=True, floors=floors).replace(
        f"{newer('tombstone')} then", f"{newer('tombstone')} {unlink}"
    )
    value = "with_floor(cursor .. ' ' .. ARGV[1], floor)" if floors else "cursor .. ' ' .. ARGV[1]"
    return f"""{_read(lua)}{READ_TOMBSTONE}{ordered}{_REFUSE_FOREIGN.format(held="held", key="KEYS[1]")}
redis.call('UNLINK', KEYS[1])
redis.call('SET', KEYS[2], {value}, 'EX', ARGV[4])
return 1
"""


def _mark(lua: Lua, *, floors: bool) -> str:
    """KEYS: staged record; ARGV: id, cursor, first id."""
    return f"{_read(lua)}{order(tombstone=False, floors=floors)}{lua.mark}return 1"


def _promote(read: str, seconds: int) -> str:
    """KEYS: staged record, live record [, its deletion]; ARGV: first ids of the staged and of the live, seconds.

    A live floor that the staged record does not have stays beside it, as a deletion that is older than any record.
    """
    return f"""{read}{READ_TOMBSTONE}{FLOORS}
local id, cursor, deleted = read(KEYS[1])
if not id then return 0 end
local live, live_cursor = read(KEYS[2])
{_REFUSE_FOREIGN.format(held="live", key="KEYS[2]")}
local tombstone, tombstone_cursor, tombstone_floor = read_tombstone(KEYS[3])
local first, own_floor, live_floor = tonumber(ARGV[2]), 0, 0
cursor, own_floor = split(cursor)
live_cursor, live_floor = split(live_cursor)
local floor = own_floor
{raise_floor("live")}{raise_floor("tombstone")}{APPLY_FLOOR}
if id < tonumber(ARGV[1]) or id < floor or {newer("live")} or {newer("tombstone")} then
  redis.call('UNLINK', KEYS[1])
  return 0
end
if deleted then
  redis.call('UNLINK', KEYS[1], KEYS[2])
  redis.call('SET', KEYS[3], with_floor(cursor .. ' ' .. string.format('%.0f', id), floor), 'EX', ARGV[3])
  return 1
end
redis.call('RENAME', KEYS[1], KEYS[2])
{expire("KEYS[2]", seconds) if seconds else ""}
if floor > own_floor and KEYS[3] then
  redis.call('SET', KEYS[3], with_floor(' ' .. string.format('%.0f', floor), floor), 'EX', ARGV[3])
elseif tombstone then
  redis.call('UNLINK', KEYS[3])
end
return 1
"""


def _remove(read: str) -> str:
    """KEYS: record; ARGV: lowest and highest id. A key of another type, or without an id, is none of ours."""
    return f"""{read}
local id = read(KEYS[1])
if not id or id < tonumber(ARGV[1]) or id > tonumber(ARGV[2]) then return 0 end
return redis.call('UNLINK', KEYS[1])
"""


def _move(seconds: int) -> str:
    """KEYS: staged record, live record."""
    return f"""
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
redis.call('RENAME', KEYS[1], KEYS[2])
return {expire("KEYS[2]", seconds)}
"""


def _write(seconds: int) -> str:
    """KEYS: record; ARGV: a command's name and its arguments. Lua's stack holds some 8,000, and only HSET has more."""
    return f"""
for i = 2, #ARGV, 7000 do redis.call(ARGV[1], KEYS[1], unpack(ARGV, i, math.min(#ARGV, i + 6999))) end
return {expire("KEYS[1]", seconds)}
"""


class Scripts:
    """The scripts, on one lane; each is loaded when it is first used."""

    def __init__(self, pipeline: Pipeline, expiry: int = 0) -> None:
        """Take the seconds that live records live, 0 for ever; staged ones have no expiry."""
        self._pipeline = pipeline
        self._expiry = expiry
        self._heads: dict[tuple[object, ...], bytes] = {}

    def start(self, command: bytes, arguments: int) -> tuple[bytes, bytes]:
        """Return what stands before and after the packed key of a command that writes a live record."""
        if not self._expiry:
            return plain(command, arguments)
        return self._head(lambda: _write(self._expiry), 1, 1 + arguments, "write"), pack_arguments(command)

    def upsert_head(self, lua: Lua, keys: int, arguments: int, *, staged: bool, floors: bool) -> bytes:
        """Return the first bytes of an upsert with so many keys and further arguments: up to its first key.

        `floors` is for a stream that may have deletions without a cursor, here and below.
        """
        # A record written anew has no expiry, one that is replaced may.
        lives = "" if staged else expire("KEYS[1]", self._expiry)
        if lives and not self._expiry:
            lives = f"if held then {lives}end\n"
        script = partial(_upsert, lua, keys, lives, floors=floors)
        return self._head(script, keys, 3 + arguments, "upsert", lua, staged, floors)

    def delete_head(self, lua: Lua, *, floors: bool) -> bytes:
        """Return the first bytes of a deletion; its keys, id, cursor, first id and `TOMBSTONE_SECONDS` follow."""
        return self._head(partial(_delete, lua, floors=floors), 2, 4, "delete", lua, floors)

    def mark_head(self, lua: Lua, *, floors: bool) -> bytes:
        """Return the first bytes of a staged deletion; its key, id, cursor and first id follow."""
        return self._head(partial(_mark, lua, floors=floors), 1, 3, "mark", lua, floors)

    def promote(
        self, storage_format: StorageFormat, keys: Sequence[bytes], staged_first: int, live_first: int
    ) -> bytes:
        """Return the command that gives a staged record its live key, where nothing newer is there.

        `keys`: staged, live, and the deletion's where the stream has any; `storage_format` is what the live ones are.
        """
        head = self._head(
            lambda: _promote(_read_any(storage_format), self._expiry), len(keys), 3, "promote", storage_format
        )
        return head + pack_arguments(*keys, b"%d" % staged_first, b"%d" % live_first, b"%d" % TOMBSTONE_SECONDS)

    @property
    def expiry(self) -> int:
        """The seconds that live records live, 0 for ever."""
        return self._expiry

    def move(self, staged: bytes, live: bytes) -> bytes:
        """Return the command that gives a staged record its live key and its expiry."""
        return self._head(lambda: _move(self._expiry), 2, 0, "move") + pack_arguments(staged, live)

    def remove(self, storage_format: StorageFormat, key: bytes, lowest: int, highest: int) -> bytes:
        """Return the command that removes a record of that format whose id is between the two, both inclusive."""
        head = self._head(lambda: _remove(_read_any(storage_format)), 1, 2, "remove", storage_format)
        return head + pack_arguments(key, b"%d" % lowest, b"%d" % highest)

    def _head(self, script: Callable[[], str], keys: int, arguments: int, *what: object) -> bytes:
        """Return the first bytes of a command with so many keys and arguments; `what` names its script."""
        name = (*what, keys, arguments)
        head = self._heads.get(name)
        if head is None:
            sha = self._pipeline.load(script())
            head = b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n$1\r\n%d\r\n" % (3 + keys + arguments, sha, keys)
            self._heads[name] = head
        return head
