"""The texts of the scripts that upsert, delete, promote and remove records; each record is one atomic step.

The records of a key are ordered by (cursor, id): cursors are text that sorts like their values (cursor.py), and ids
rise with arrival. A script that finds something at least as new does nothing. Since the id is part of the order, a
command can be sent again, late, or in any order, and the newest record remains. This is why no record with a primary
key is written by a plain HSET: sent again after a lost connection, it would bring back an older record.

Staged records are ordered within their own generation: scripts get its first id, and a record with a lower one counts
as absent. A staged deletion is a marker in the staged key.

Scripts that write know one data type: the server refuses them a key of another type. Scripts that promote and remove
read records of every type, and decide by the id inside: a refresh may have changed the type or the format.
"""

from destination_redis.caches import CACHES, CollectionCache, Lua, RecordOptions, StorageFormat
from destination_redis.placements.expiry import OWN_EXPIRY, Expiry, expire, promoted, renamed
from destination_redis.placements.upsert_order import (
    APPLY_FLOOR,
    FIRST_ID,
    FLOORS,
    READ_TOMBSTONE,
    REFUSE,
    TOMBSTONE_SECONDS,
    newer,
    order,
    raise_floor,
)
from destination_redis.transport.many_records import script_for_many


def read_one(lua: Lua) -> str:
    """Return the Lua function that reads a record of one type: (id, cursor, whether it is a staged deletion)."""
    return f"local function read(key){lua.read}end\n"


def read_any(storage_format: StorageFormat) -> str:
    """Return the same for records of any type; those of the type in `storage_format` are read in that format."""
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


def upsert(lua: Lua, keys: int, lives: str, *, floors: bool) -> str:
    """Keys: record [, its tombstone]; shared: the generation's first id; arguments: as the data type's encoder says."""
    ordered = order(lua.size, tombstone=keys == 2, floors=floors)
    forget = "if tombstone then redis.call('UNLINK', key2) end\n" if keys == 2 else ""
    before = f"{read_one(lua)}{READ_TOMBSTONE if keys == 2 else ''}{FLOORS if floors else ''}{FIRST_ID}"
    return script_for_many(keys, 1, f"{ordered}{lua.write}{lives}{forget}return 1", before)


def delete(lua: Lua, *, floors: bool) -> str:
    """Keys: record, its tombstone; shared: the generation's first id; arguments: id, cursor.

    The UNLINK comes first: a server that is out of memory allows it, and then the small key after it too.
    """
    # A deletion that is sent again finds its own tombstone. It still removes what an older upsert restored meanwhile.
    unlink = "then if held then redis.call('UNLINK', key) end"
    ordered = order(lua.size, tombstone=True, floors=floors).replace(
        f"{newer('tombstone')} then", f"{newer('tombstone')} {unlink}"
    )
    value = "with_floor(cursor .. ' ' .. ARGV[at], floor)" if floors else "cursor .. ' ' .. ARGV[at]"
    statements = f"""{ordered}
redis.call('UNLINK', key)
redis.call('SET', key2, {value}, 'EX', {TOMBSTONE_SECONDS})
return 1
"""
    return script_for_many(2, 1, statements, f"{read_one(lua)}{READ_TOMBSTONE}{FLOORS if floors else ''}{FIRST_ID}")


def mark(lua: Lua, *, floors: bool) -> str:
    """Keys: staged record; shared: the generation's first id; arguments: id, cursor."""
    ordered = order(lua.size, tombstone=False, floors=floors)
    before = f"{read_one(lua)}{FLOORS if floors else ''}{FIRST_ID}"
    return script_for_many(1, 1, f"{ordered}{lua.mark}return 1", before)


def promote(read: str, keys: int, expiry: Expiry) -> str:
    """Keys: staged record, live record [, its tombstone]; shared: first ids of the staged and of the live generation.

    A live floor that the staged record does not have stays beside it, as a deletion that is older than any record.
    """
    own = expiry.own
    expired = "local own = own_expiry(cursor)\nif is_past(own) then deleted = true end" if own else ""
    statements = f"""
local id, cursor, deleted = read(key)
if not id then return 0 end
local live, live_cursor = read(key2)
if not live and redis.call('EXISTS', key2) == 1 then {REFUSE} end
local tombstone, tombstone_cursor, tombstone_floor = read_tombstone(key3)
{expired}
local first, own_floor, live_floor = tonumber(ARGV[3]), 0, 0
cursor, own_floor = split(cursor)
live_cursor, live_floor = split(live_cursor)
local floor = own_floor
{raise_floor("live")}{raise_floor("tombstone")}{APPLY_FLOOR}
if id < tonumber(ARGV[2]) or id < floor or {newer("live")} or {newer("tombstone")} then
  redis.call('UNLINK', key)
  return 0
end
if deleted then
  redis.call('UNLINK', key, key2)
  redis.call('SET', key3, with_floor(cursor .. ' ' .. string.format('%.0f', id), floor), 'EX', {TOMBSTONE_SECONDS})
  return 1
end
redis.call('RENAME', key, key2)
{promoted(expiry)}
if floor > own_floor and key3 then
  redis.call('SET', key3, with_floor(' ' .. string.format('%.0f', floor), floor), 'EX', {TOMBSTONE_SECONDS})
elseif tombstone then
  redis.call('UNLINK', key3)
end
return 1
"""
    return script_for_many(keys, 2, statements, f"{read}{READ_TOMBSTONE}{FLOORS}{OWN_EXPIRY if own else ''}")


def remove(read: str) -> str:
    """Keys: record; arguments: lowest and highest id. A key of another type, or without an id, is none of ours."""
    statements = """
local id = read(key)
if not id or id < tonumber(ARGV[at]) or id > tonumber(ARGV[at + 1]) then return 0 end
return redis.call('UNLINK', key)
"""
    return script_for_many(1, 0, statements, read)


def stored(lua: Lua) -> str:
    """Keys: record; arguments: id. The reply is 1 if the key has the record with this id."""
    return script_for_many(1, 0, "return read(key) == tonumber(ARGV[at]) and 1 or 0", read_one(lua))


def rename(expiry: Expiry) -> str:
    """Keys: staged record, live record."""
    statements = f"""
if redis.call('EXISTS', key) == 0 then return 0 end
{renamed(expiry)}
return 1
"""
    return script_for_many(2, 0, statements)


def write(seconds: int) -> str:
    """KEYS: record; ARGV: a command's name and its arguments. Lua's stack holds some 8,000, and only HSET has more."""
    return f"""
for i = 2, #ARGV, 7000 do redis.call(ARGV[1], KEYS[1], unpack(ARGV, i, math.min(#ARGV, i + 6999))) end
return {expire("KEYS[1]", seconds)}
"""
