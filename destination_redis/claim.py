"""A claim on a ledger: the one writer of a stream moves it, step by step.

A move replaces the ledger in one step, numbered, under the writer's token. So a move sent twice, or late, changes
nothing, and a writer that was replaced finds out at its next move.
"""

import dataclasses
import time
from collections.abc import Callable, Sequence

from destination_redis.errors import config_error, transient_error
from destination_redis.keys import StreamKeys
from destination_redis.ledger import Ledger, parse
from destination_redis.pipeline import Pipeline
from destination_redis.streams import Stream
from destination_redis.witness import Loss

#: Milliseconds by the server's clock for which a writer is believed alive without a sign of life.
LEASE = 30_000
#: More than any ledger says: in its place, a ledger is behind whatever it holds.
_BEHIND = 1 << 53


class Claim:
    """One stream's ledger in the hands of this process, the only one that may move it."""

    def __init__(self, lane: Pipeline, stream: Stream, keys: StreamKeys, token: str) -> None:
        self._lane = lane
        self._token = token
        self._number = 0
        self._answered_number = 0
        self._claimed = False
        self._signed = ""
        #: Microseconds by the server's clock when the claim was taken.
        self.taken_at = 0
        self.stream = stream
        self.keys = keys
        #: What the newest move says, and what the newest answered one said.
        self.value = Ledger()
        self.answered = self.value

    def take(self, busy: Callable[["Claim", str, str, int, int], None], dead: str = "") -> None:
        """Ask for the ledger, without waiting; `dead` is the token of a writer known to be gone.

        `busy` is called with the living writer's token, its connection, its lease's end and the server's time (ms).
        """

        def judge(reply: object) -> None:
            assert isinstance(reply, list)
            if reply[0] == b"busy":
                _, now, writer, connection, until = reply
                busy(self, writer.decode(), connection.decode(), int(until), int(now))
                return
            if not (reply[1] or b"0").isdigit():
                raise config_error(
                    f"The key {self.keys.counter.decode()} is not a record count of this connector's; "
                    "move it away or choose another key_prefix"
                )
            self.value = self.answered = parse(reply[2], reply[1])
            self.taken_at = int(reply[3])
            self._claimed = True

        self._signed = self._lane.signature
        command = self._pack(_TAKE, self._token, self._signed, LEASE, dead)
        self._lane.send([command], judge=judge)

    def sign(self) -> None:
        """See that the ledger names the connection in use: it may have changed while the claim was on its way."""
        if self._signed != self._lane.signature:
            self.resume()

    def move(self, counter: int | str | None = None, **changes: int | str | None) -> None:
        """Replace the ledger, without waiting; `counter` is the new last committed id, where it changes."""
        self.value = value = dataclasses.replace(self.value, **changes)  # type: ignore[arg-type]
        self._send(value.fields(), counter)

    def release(self, clean: bool) -> None:
        """Give the ledger back; after a clean end no id is left reserved, so ids have gaps only after a death."""
        if clean:
            self.value = dataclasses.replace(self.value, reserved=self.value.top)
        self._send([*self.value.fields(), "writer", "", "writer_connection", "", "released_by", self._token], None)
        self._claimed = False

    def resume(self, loss: Loss = Loss.NOTHING) -> None:
        """On a new connection: see that the ledger still is what it was last answered to be, and sign it anew.

        `loss` is what is known to be missing elsewhere: the ledger counts as behind then.
        """
        if not self._claimed:
            return
        self._signed = self._lane.signature
        number = self._answered_number if loss is Loss.NOTHING else _BEHIND
        arguments: tuple[str | bytes | int, ...] = (self._token, self._signed, LEASE, number)
        least = self.answered.committed if loss is not Loss.ACKNOWLEDGED else _BEHIND
        committed = (least, self.answered.staged_committed)
        fields = dataclasses.replace(self.answered, reserved=self.value.reserved).fields()
        keys = (self.keys.ledger, self.keys.counter)
        reply = self._lane.ask(self.keys.ledger, "EVAL", _RESUME, 2, *keys, *arguments, *committed, *fields)
        self._check(reply)

    def _send(self, fields: list[str], counter: int | str | None) -> None:
        self._number += 1
        number, value = self._number, self.value

        def judge(reply: object) -> None:
            self._check(reply)
            if number > self._answered_number:  # redirected, it may come after newer ones
                self.answered, self._answered_number = value, number

        count = "" if counter is None else str(counter)
        self._lane.send([self._pack(_MOVE, self._token, number, LEASE, count, *fields)], judge=judge, moves=True)

    def _pack(self, script: str, *arguments: str | int) -> bytes:
        return self._lane.pack("EVAL", script, 2, self.keys.ledger, self.keys.counter, *arguments)

    def _check(self, reply: object) -> None:
        match reply:
            case b"ok":
                return
            case b"taken":
                self._claimed = False
                raise transient_error(f"Another sync has taken over the stream {self.stream}")
            case b"behind":
                self._claimed = False
                raise transient_error(
                    f"The server lost writes to the stream {self.stream} that were not acknowledged yet; "
                    "run the sync again"
                )
        self._claimed = False
        raise config_error(
            f"The server lost acknowledged data of the stream {self.stream}: refresh it, to have it all sent again"
        )


class Lease:
    """Keeps the claims of a run, however long something takes that does not move their ledgers."""

    def __init__(self, claims: Sequence[Claim]) -> None:
        self._claims = claims
        self._kept_at = time.monotonic()

    def keep(self) -> None:
        """Renew every claim, where it is time to; never waits."""
        now = time.monotonic()
        if now - self._kept_at > LEASE / 3000:
            self._kept_at = now
            for claim in self._claims:
                claim.move()


# All scripts: KEYS ledger, counter (one cluster slot). The first write is an HDEL, which a server out of memory allows,
# as it then does what follows: the ledger can always be kept.
_CLOCK = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

# ARGV: token, connection, lease, dead writer's token
_TAKE = (
    _CLOCK
    + """
local writer = redis.call('HMGET', KEYS[1], 'writer', 'writer_connection', 'writer_until')
if writer[1] and writer[1] ~= '' and writer[1] ~= ARGV[1] and writer[1] ~= ARGV[4] then
  return {'busy', string.format('%.0f', now), writer[1], writer[2] or '', writer[3] or '0'}
end
local counter = redis.call('GET', KEYS[2]) or ''
local ledger = redis.call('HGETALL', KEYS[1])
redis.call('HDEL', KEYS[1], 'none')
redis.call('HSET', KEYS[1], 'writer', ARGV[1], 'writer_connection', ARGV[2],
  'writer_until', string.format('%.0f', now + ARGV[3]), 'move', 0)
return {'ok', counter, ledger, string.format('%.0f', time[1] * 1000000 + time[2])}
"""
)

# ARGV: token, number, lease, counter or '', field, value …
_MOVE = (
    _CLOCK
    + """
local held = redis.call('HMGET', KEYS[1], 'writer', 'move', 'released_by')
if not held[1] then
  redis.call('HSET', KEYS[1], unpack(ARGV, 5))
  redis.call('HSET', KEYS[1], 'lost', 1, 'writer', '', 'move', 0)
  return 'lost'
end
if held[1] ~= ARGV[1] then
  if held[1] == '' and held[3] == ARGV[1] then return 'ok' end
  return 'taken'
end
if tonumber(held[2]) >= tonumber(ARGV[2]) then return 'ok' end
redis.call('HDEL', KEYS[1], 'none')
redis.call('HSET', KEYS[1], 'move', ARGV[2], 'writer_until', string.format('%.0f', now + ARGV[3]), unpack(ARGV, 5))
if ARGV[4] ~= '' then redis.call('SET', KEYS[2], ARGV[4]) end
return 'ok'
"""
)

# ARGV: token, connection, lease, answered number, answered committed, answered staged_committed, field, value …
_RESUME = (
    _CLOCK
    + """
local held = redis.call('HMGET', KEYS[1], 'writer', 'move', 'committed', 'staged_committed', 'released_by')
if held[1] and held[1] ~= ARGV[1] then
  if held[1] == '' and held[5] == ARGV[1] then return 'ok' end
  return 'taken'
end
redis.call('HDEL', KEYS[1], 'none')
if held[1] and tonumber(held[2]) >= tonumber(ARGV[4]) then
  redis.call('HSET', KEYS[1], 'writer_connection', ARGV[2], 'writer_until', string.format('%.0f', now + ARGV[3]))
  return 'ok'
end
redis.call('HSET', KEYS[1], 'writer', '', 'writer_connection', '', 'move', 0, unpack(ARGV, 7))
if held[1] and tonumber(held[3] or 0) >= tonumber(ARGV[5]) and tonumber(held[4] or 0) >= tonumber(ARGV[6]) then
  return 'behind'
end
redis.call('HSET', KEYS[1], 'lost', 1)
return 'lost'
"""
)
