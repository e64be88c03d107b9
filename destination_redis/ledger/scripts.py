"""The scripts that take, update and resume a ledger, each in one atomic step."""

# All scripts: KEYS ledger, the stream's own key [, more] (one slot, without a template). The first write is an HDEL: a
# server out of memory allows it, and then also the writes after it. So the ledger can always be updated. The field
# `own_key` notes what string the second key holds (own_key.py). Only the scripts that change that key write it.
CLOCK = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# ARGV: token, connection, lease, dead writer's token
TAKE = (
    CLOCK
    + """
local writer = redis.call('HMGET', KEYS[1], 'writer', 'writer_connection', 'writer_until')
if writer[1] and writer[1] ~= '' and writer[1] ~= ARGV[1] and writer[1] ~= ARGV[4] then
  return {'busy', string.format('%.0f', now), writer[1], writer[2] or '', writer[3] or '0'}
end
local kind = redis.call('TYPE', KEYS[2]).ok
local short = kind == 'string' and redis.call('STRLEN', KEYS[2]) <= 20
local text = short and redis.call('GET', KEYS[2]) or ''
local ledger = redis.call('HGETALL', KEYS[1])
redis.call('HDEL', KEYS[1], 'none')
redis.call('HSET', KEYS[1], 'writer', ARGV[1], 'writer_connection', ARGV[2],
  'writer_until', string.format('%.0f', now + ARGV[3]), 'version', 0)
return {'ok', kind, text, ledger, string.format('%.0f', time[1] * 1000000 + time[2])}
"""
)

# ARGV: token, number, lease, one more (see below), field, value …
_STEP = (
    CLOCK
    + """
local held = redis.call('HMGET', KEYS[1], 'writer', 'version', 'released_by', 'own_key')
if not held[1] then
  redis.call('HSET', KEYS[1], unpack(ARGV, 5))
  redis.call('HSET', KEYS[1], 'lost', 1, 'writer', '', 'version', 0)
  return 'lost'
end
if held[1] ~= ARGV[1] then
  if held[1] == '' and held[3] == ARGV[1] then return 'ok' end
  return 'taken'
end
if tonumber(held[2]) >= tonumber(ARGV[2]) then return 'ok' end
redis.call('HDEL', KEYS[1], 'none')
redis.call('HSET', KEYS[1], 'version', ARGV[2], 'writer_until', string.format('%.0f', now + ARGV[3]), unpack(ARGV, 5))
"""
)

#: In place of the counter, for a stream whose own key is not in use, or not yet.
NOT_USED = "none"

# The one more argument is the counter, NOT_USED, or '' to leave the key as it is. What is not a counter is UNLINKed
# first: it may be large.
UPDATE = f"""{_STEP}
if ARGV[4] == '{NOT_USED}' then
  redis.call('UNLINK', KEYS[2])
  redis.call('HDEL', KEYS[1], 'own_key')
elseif ARGV[4] ~= '' then
  if held[4] ~= 'counter' then
    redis.call('UNLINK', KEYS[2])
    redis.call('HSET', KEYS[1], 'own_key', 'counter')
  end
  redis.call('SET', KEYS[2], ARGV[4])
end
return 'ok'
"""

# More keys: the staged collection, its final key, and what it replaces. The one more argument is the expiry in seconds.
# UNLINK comes first: RENAME would free the old value synchronously.
EXCHANGE = f"""{_STEP}
for i = 5, #KEYS do
  redis.call('UNLINK', KEYS[i])
  if KEYS[i] == KEYS[2] then redis.call('HDEL', KEYS[1], 'own_key') end
end
if redis.call('EXISTS', KEYS[3]) == 1 then
  redis.call('RENAME', KEYS[3], KEYS[4])
  if KEYS[4] == KEYS[2] and redis.call('TYPE', KEYS[2]).ok == 'string' then
    redis.call('HSET', KEYS[1], 'own_key', 'collection')
  end
  if ARGV[4] ~= '0' then redis.call('EXPIRE', KEYS[4], ARGV[4]) end
end
return 'ok'
"""

# ARGV: token, connection, lease, answered number, answered committed, staged_committed and rejected, field, value …
RESUME = (
    CLOCK
    + """
local held = redis.call('HMGET', KEYS[1],
  'writer', 'version', 'committed', 'staged_committed', 'released_by', 'rejected')
if held[1] and held[1] ~= ARGV[1] then
  if held[1] == '' and held[5] == ARGV[1] then return 'ok' end
  return 'taken'
end
redis.call('HDEL', KEYS[1], 'none')
if held[1] and tonumber(held[2]) >= tonumber(ARGV[4]) then
  redis.call('HSET', KEYS[1], 'writer_connection', ARGV[2], 'writer_until', string.format('%.0f', now + ARGV[3]))
  return 'ok'
end
redis.call('HSET', KEYS[1], 'writer', '', 'writer_connection', '', 'version', 0, unpack(ARGV, 8))
local kept = held[1] and tonumber(held[3] or 0) >= tonumber(ARGV[5]) and tonumber(held[4] or 0) >= tonumber(ARGV[6])
if kept and tonumber(held[6] or 0) >= tonumber(ARGV[7]) then
  return 'behind'
end
redis.call('HSET', KEYS[1], 'lost', 1)
return 'lost'
"""
)

# KEYS: ledger, then the script's own; ARGV: token, … A former writer is refused. Without a ledger nothing is done: the
# update of the ledger that follows detects its loss.
GUARD = """
local held = redis.call('HMGET', KEYS[1], 'writer', 'sent', 'task', 'released_by', 'own_key')
if held[1] ~= ARGV[1] then
  if not held[1] or held[1] == '' and held[4] == ARGV[1] then return 'ok' end
  return 'taken'
end
local sent = tonumber(held[2] or 0)
"""

# After GUARD, in a script that adds to a string in the stream's own key: before the first element, because a failing
# script keeps what it wrote.
NOTE_COLLECTION = "if held[5] ~= 'collection' then redis.call('HSET', KEYS[1], 'own_key', 'collection') end\n"

# KEYS: ledger, key to remove; ARGV: token.
UNLINK = f"""{GUARD}
redis.call('UNLINK', KEYS[2])
return 'ok'
"""
