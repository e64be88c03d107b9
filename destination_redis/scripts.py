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

from destination_redis.caches import CACHES, Layout, Lua, Written, pack, plain
from destination_redis.pipeline import Pipeline

#: Seconds for which a deletion is remembered, so that an older record cannot come back.
GONE = 86_400

# Cursors are compared as text: hexadecimal, since Lua compares by the server's locale. `read` is the data type's.
_READ_GONE = """
local function read_gone(key)
  local text = key and redis.call('GET', key)
  if not text then return nil, '' end
  local cursor, id = string.match(text, '^(%x*) (%d+)$')
  return tonumber(id), cursor
end
"""


def _newer(what: str) -> str:
    """Return the Lua condition that `what`, of this generation, is at least as new as (id, cursor)."""
    return f"{what} and {what} >= first and ({what}_cursor > cursor or {what}_cursor == cursor and {what} >= id)"


_ORDER = f"""
local id, cursor, first = tonumber(ARGV[1]), ARGV[2], tonumber(ARGV[3])
local held, held_cursor = read(KEYS[1])
if {_newer("held")} then return 0 end
"""
_ORDER_WITH_GONE = f"""
{_ORDER}
local gone, gone_cursor = read_gone(KEYS[2])
if {_newer("gone")} then return 0 end
"""


# A key that is there without an id of ours is somebody else's, whatever its type.
_REFUSE_FOREIGN = """
if not {held} and redis.call('EXISTS', {key}) == 1 then
  return redis.error_reply('WRONGTYPE Operation against a key holding the wrong kind of value')
end
"""


def _read(lua: Lua) -> str:
    """Return the Lua function that reads a record of one type: (id, cursor, whether it is a staged deletion)."""
    return f"local function read(key){lua.read}end\n"


def _read_any(written: Written) -> str:
    """Return the same for a record of any type; those of the type in `written` are read as of that format."""
    cache_type, record_format = written
    layouts = {name: Layout(record_format if name == cache_type else "envelope") for name in CACHES}
    kinds = [lua for name, layout in layouts.items() if (lua := CACHES[name](layout).lua).read]
    # Several data types may be of one kind: the record is of the one that finds an id.
    cases = "".join(
        f"if kind == '{lua.kind}' then\nlocal function one(){lua.read}end\n"
        "local id, cursor, gone = one()\nif id then return id, cursor, gone end\nend\n"
        for lua in kinds
    )
    return f"local function read(key)\nlocal kind = redis.call('TYPE', key).ok\n{cases}return nil, ''\nend\n"


def expire(key: str, seconds: int) -> str:
    """Return the Lua statement for a live record or collection, now written: it lives so long, 0 for ever."""
    return f"redis.call('EXPIRE', {key}, {seconds})\n" if seconds else f"redis.call('PERSIST', {key})\n"


def _upsert(lua: Lua, keys: int, lives: str) -> str:
    """KEYS: record [, its deletion]; ARGV: id, cursor, the generation's first id, then what the data type needs."""
    refuse = _REFUSE_FOREIGN.format(held="held", key="KEYS[1]")
    if keys == 1:
        return f"{_read(lua)}{_ORDER}{refuse}{lua.write}{lives}return 1"
    forget = "if gone then redis.call('UNLINK', KEYS[2]) end"
    return f"{_read(lua)}{_READ_GONE}{_ORDER_WITH_GONE}{refuse}{lua.write}{lives}{forget} return 1"


def _delete(lua: Lua) -> str:
    """KEYS: record, its deletion; ARGV: id, cursor, first id, seconds.

    The UNLINK comes first: a server that is out of memory allows it, and then the small key after it too.
    """
    # A deletion that finds itself, being sent again, still removes what an older upsert, sent again too, brought back.
    unlink = "then if held then redis.call('UNLINK', KEYS[1]) end"
    order = _ORDER_WITH_GONE.replace(f"{_newer('gone')} then", f"{_newer('gone')} {unlink}")
    return f"""{_read(lua)}{_READ_GONE}{order}{_REFUSE_FOREIGN.format(held="held", key="KEYS[1]")}
redis.call('UNLINK', KEYS[1])
redis.call('SET', KEYS[2], cursor .. ' ' .. ARGV[1], 'EX', ARGV[4])
return 1
"""


def _mark(lua: Lua) -> str:
    """KEYS: staged record; ARGV: id, cursor, first id."""
    return f"{_read(lua)}{_ORDER}{lua.mark}return 1"


def _settle(read: str, seconds: int) -> str:
    """KEYS: staged record, live record [, its deletion]; ARGV: first ids of the staged and of the live, seconds."""
    return f"""{read}{_READ_GONE}
local id, cursor, deleted = read(KEYS[1])
if not id then return 0 end
local live, live_cursor = read(KEYS[2])
{_REFUSE_FOREIGN.format(held="live", key="KEYS[2]")}
local gone, gone_cursor = read_gone(KEYS[3])
local first = tonumber(ARGV[2])
if id < tonumber(ARGV[1]) or {_newer("live")} or {_newer("gone")} then
  redis.call('UNLINK', KEYS[1])
  return 0
end
if deleted then
  redis.call('UNLINK', KEYS[1], KEYS[2])
  redis.call('SET', KEYS[3], cursor .. ' ' .. string.format('%.0f', id), 'EX', ARGV[3])
  return 1
end
redis.call('RENAME', KEYS[1], KEYS[2])
{expire("KEYS[2]", seconds) if seconds else ""}
if gone then redis.call('UNLINK', KEYS[3]) end
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

    def __init__(self, lane: Pipeline, expiry: int = 0) -> None:
        """Take the seconds that live records live, 0 for ever; staged ones have no expiry."""
        self._lane = lane
        self._expiry = expiry
        self._heads: dict[tuple[object, ...], bytes] = {}

    def start(self, command: bytes, arguments: int) -> tuple[bytes, bytes]:
        """Return what stands before and after the packed key of a command that writes a live record."""
        if not self._expiry:
            return plain(command, arguments)
        return self._head(lambda: _write(self._expiry), 1, 1 + arguments, "write"), pack(command)

    def upsert_head(self, lua: Lua, keys: int, arguments: int, *, staged: bool) -> bytes:
        """Return the first bytes of an upsert with so many keys and further arguments: up to its first key."""
        # A record written anew has no expiry, one that is replaced may.
        lives = "" if staged else expire("KEYS[1]", self._expiry)
        if lives and not self._expiry:
            lives = f"if held then {lives}end\n"
        return self._head(lambda: _upsert(lua, keys, lives), keys, 3 + arguments, "upsert", lua, staged)

    def delete_head(self, lua: Lua) -> bytes:
        """Return the first bytes of a deletion; its keys, id, cursor, first id and `GONE` follow."""
        return self._head(lambda: _delete(lua), 2, 4, "delete", lua)

    def mark_head(self, lua: Lua) -> bytes:
        """Return the first bytes of a staged deletion; its key, id, cursor and first id follow."""
        return self._head(lambda: _mark(lua), 1, 3, "mark", lua)

    def settle(self, written: Written, keys: Sequence[bytes], staged_first: int, live_first: int) -> bytes:
        """Return the command that gives a staged record its live key, where nothing newer is there.

        `keys`: staged, live, and the deletion's where the stream has any; `written` is what the live ones are.
        """
        head = self._head(lambda: _settle(_read_any(written), self._expiry), len(keys), 3, "settle", written)
        return head + pack(*keys, b"%d" % staged_first, b"%d" % live_first, b"%d" % GONE)

    @property
    def expiry(self) -> int:
        """The seconds that live records live, 0 for ever."""
        return self._expiry

    def move(self, staged: bytes, live: bytes) -> bytes:
        """Return the command that gives a staged record its live key and its expiry."""
        return self._head(lambda: _move(self._expiry), 2, 0, "move") + pack(staged, live)

    def remove(self, written: Written, key: bytes, lowest: int, highest: int) -> bytes:
        """Return the command that removes a record, `written` so, whose id is between the two, both inclusive."""
        head = self._head(lambda: _remove(_read_any(written)), 1, 2, "remove", written)
        return head + pack(key, b"%d" % lowest, b"%d" % highest)

    def _head(self, script: Callable[[], str], keys: int, arguments: int, *what: object) -> bytes:
        """Return the first bytes of a command with so many keys and arguments; `what` names its script."""
        name = (*what, keys, arguments)
        head = self._heads.get(name)
        if head is None:
            sha = self._lane.load(script())
            head = b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n$1\r\n%d\r\n" % (3 + keys + arguments, sha, keys)
            self._heads[name] = head
        return head
