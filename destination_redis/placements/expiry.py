"""The expiry of records, as Lua statements.

A live key has the time to live of its stream or, where the setting `expire_at` names a field, the record's own expiry:
milliseconds since 1970, or NEVER. A script decides by the server's clock whether that is past, and sets it in the step
that writes the record.

With sequential ids, a staged key has the record's own expiry, which RENAME keeps. One that never expires is given
FOREVER, so that a promotion can tell it from one without an expiry of its own.

With a primary key, the record's own expiry is the third word of its cursor, and a staged key does not expire: a record
that expires while it is staged still removes the live one that it would have replaced. A promotion sets the expiry.
"""

from typing import NamedTuple

from destination_redis.caches import Lua
from destination_redis.ledger.scripts import CLOCK
from destination_redis.placements.upsert_order import FIRST_ID, FLOORS, READ_TOMBSTONE, TOMBSTONE_SECONDS, order
from destination_redis.protocol.expiry import END
from destination_redis.transport.many_records import script_for_many

#: The expiry of a staged key whose record never expires; later than any expiry that is read.
FOREVER = b"%d" % 10**15


class Expiry(NamedTuple):
    """When the live records of a stream expire."""

    #: Seconds after they are written, 0 for never.
    ttl: int = 0
    #: Whether a record may have an expiry of its own, which takes precedence.
    own: bool = False


def expire(key: str, seconds: int) -> str:
    """Return the Lua statement that sets the expiry of a live key in seconds, or removes it if that is 0."""
    return f"redis.call('EXPIRE', {key}, {seconds})\n" if seconds else f"redis.call('PERSIST', {key})\n"


#: Lua functions for records with a primary key: the expiry in a cursor (nil for none, 0 for never), whether it is past,
#: and whether it is still to come.
OWN_EXPIRY = f"""{CLOCK}
local function own_expiry(text)
  return tonumber(string.match(text, ' %d+ (%d+)$'))
end
local function is_past(own) return own and own > 0 and own <= now end
local function is_ahead(own) return own and own > now end
"""


def upsert_expiring(read: str, lua: Lua, ttl: int) -> str:
    """Return the script of upserts with expiries of their own; a record whose expiry is past is a deletion.

    Keys: record, its tombstone; shared: the generation's first id; arguments: as the data type's encoder says. The SET
    comes first: a server that is out of memory refuses it, as it refuses a record.
    """
    by_ttl = f"elseif not own then {expire('key', ttl)}" if ttl else ""
    statements = f"""{order(lua.size, tombstone=True, floors=True)}
local own = own_expiry(ARGV[at + 1])
if is_past(own) then
  redis.call('SET', key2, with_floor(cursor .. ' ' .. ARGV[at], floor), 'EX', {TOMBSTONE_SECONDS})
  redis.call('UNLINK', key)
  return 1
end
{lua.write}
if is_ahead(own) then {_expire_at("key")}{by_ttl}elseif held then {expire("key", 0)}end
if tombstone then redis.call('UNLINK', key2) end
return 1
"""
    return script_for_many(2, 1, statements, f"{read}{READ_TOMBSTONE}{FLOORS}{OWN_EXPIRY}{FIRST_ID}")


def stage_expiring(read: str, lua: Lua) -> str:
    """Return the script of staged upserts with expiries of their own; one that is past is a staged deletion.

    Keys: staged record; the rest as in `upsert_expiring`.
    """
    statements = f"""{order(lua.size, tombstone=False, floors=True)}
local own = own_expiry(ARGV[at + 1])
if is_past(own) then
{lua.mark}
return 1
end
if own then kept = string.format('%s %.0f %.0f', cursor, floor, own) end
{lua.write}
return 1
"""
    return script_for_many(1, 1, statements, f"{read}{FLOORS}{OWN_EXPIRY}{FIRST_ID}")


def promoted(expiry: Expiry) -> str:
    """Return the Lua statements that set the expiry of `key2`, a key that was staged and has no expiry."""
    by_ttl = expire("key2", expiry.ttl) if expiry.ttl else ""
    if not expiry.own:
        return by_ttl
    return f"if is_ahead(own) then {_expire_at('key2')}{f'elseif not own then {by_ttl}' if by_ttl else ''}end\n"


def renamed(expiry: Expiry) -> str:
    """Return the Lua statements that RENAME `key` to `key2`, with the expiry of a record with a sequential id."""
    rename = "redis.call('RENAME', key, key2)\n"
    by_ttl = expire("key2", expiry.ttl) if expiry.ttl else ""
    if not expiry.own:
        return f"{rename}{by_ttl}"
    return f"""
local left = redis.call('PTTL', key)
{rename}
if left > {END} then {expire("key2", 0)}{f"elseif left < 0 then {by_ttl}" if by_ttl else ""}end
"""


def _expire_at(key: str) -> str:
    return f"redis.call('PEXPIREAT', {key}, string.format('%.0f', own))\n"


#: KEYS: record; ARGV: a command's name and its arguments, the expiry. A record whose expiry is past is not written.
#: Lua's stack holds some 8,000 arguments, and only HSET has more.
WRITE_EXPIRING = f"""{CLOCK}
local last = #ARGV - 1
if tonumber(ARGV[#ARGV]) <= now then return 0 end
for i = 2, last, 7000 do redis.call(ARGV[1], KEYS[1], unpack(ARGV, i, math.min(last, i + 6999))) end
return redis.call('PEXPIREAT', KEYS[1], ARGV[#ARGV])
"""
