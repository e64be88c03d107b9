"""The order of upserts, as Lua statements: which of two changes of a key is newer.

A deletion without a cursor is a floor: every change of its key with a lower id is void, whatever its cursor. The
highest floor of a key is stored as a second word of the cursor, in the key's record, tombstone or staged marker. Every
later command for the key also has the floor. So a record above the floor is never compared with one below it, even if
the floor itself arrives last. A third word, if there is one, is the record's own expiry (expiry.py).
"""

#: Seconds for which a tombstone is kept, so that an older record cannot bring a deleted row back.
TOMBSTONE_SECONDS = 86_400

#: The first id of the generation, which is the first shared argument.
FIRST_ID = "local first_id = tonumber(ARGV[2])\n"
# Cursors are compared as text, in hexadecimal because Lua compares by the server's locale. The function `read` is the
# data type's. A tombstone is stored as "cursor id" or "cursor id floor".
READ_TOMBSTONE = """
local function read_tombstone(key)
  local text = key and redis.call('GET', key)
  if not text then return nil, '', 0 end
  local cursor, id, floor = string.match(text, '^(%x*) (%d+) ?(%d*)$')
  return tonumber(id), cursor, tonumber(floor) or 0
end
"""
FLOORS = """
local function split(text)
  local space = string.find(text, ' ', 1, true)
  if not space then return text, 0 end
  return string.sub(text, 1, space - 1), tonumber(string.match(text, '^%d+', space + 1))
end
local function with_floor(text, floor)
  if floor == 0 then return text end
  return text .. ' ' .. string.format('%.0f', floor)
end
"""


def newer(what: str) -> str:
    """Return the Lua condition that `what`, of this generation, is at least as new as (id, cursor)."""
    return f"{what} and {what} >= first and ({what}_cursor > cursor or {what}_cursor == cursor and {what} >= id)"


def raise_floor(what: str) -> str:
    """Return the Lua statement that raises the key's floor to that of `what`, if it is of this generation."""
    return f"if {what} and {what} >= first and {what}_floor > floor then floor = {what}_floor end\n"


#: Another application's key is refused, whatever its type: it has no record's id.
REFUSE = "return redis.error_reply('WRONGTYPE Operation against a key holding the wrong kind of value')"
#: Records below the floor count as of an older generation.
APPLY_FLOOR = "if floor > first then first = floor end\n"
_FIND_TOMBSTONE = "local tombstone, tombstone_cursor, tombstone_floor = read_tombstone(key2)"


def order(size: str, *, tombstone: bool, floors: bool) -> str:
    """Return the Lua statements that skip a record if the key has a change that is at least as new.

    They refuse a key of another application. `size` is the data type's `Lua.size`.

    The record's arguments begin with id and cursor; `first_id` is the first id of its generation. `kept` is the text to
    store as the cursor.
    """
    # A new key takes one call, which costs less than to read a record that is not there.
    read_held = f"""
local size, held, held_cursor = {size}, nil, ''
if size > 0 then
  held, held_cursor = read(key)
  if not held then {REFUSE} end
end
"""
    if not floors:
        stop = f"local tombstone, tombstone_cursor = read_tombstone(key2)\nif {newer('tombstone')} then return 0 end"
        return f"""
local id, cursor, first = tonumber(ARGV[at]), ARGV[at + 1], first_id
local kept = cursor
{read_held}
if {newer("held")} then return 0 end
{stop if tombstone else ""}
"""
    return f"""
local id, first = tonumber(ARGV[at]), first_id
local cursor, floor = split(ARGV[at + 1])
{read_held}
local held_floor
held_cursor, held_floor = split(held_cursor)
{raise_floor("held")}
{f"{_FIND_TOMBSTONE} {raise_floor('tombstone')}" if tombstone else ""}
if id < floor then return 0 end
{APPLY_FLOOR}
if {newer("held")} then return 0 end
{f"if {newer('tombstone')} then return 0 end" if tombstone else ""}
local kept = with_floor(cursor, floor)
"""
