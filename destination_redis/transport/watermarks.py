"""Witnesses: on each primary of a cluster a small key that tells which batch the primary took last.

Redis replicates asynchronously, so a replica that takes over may lack what its primary had answered. A ledger shows
that for its own server alone; a witness is written at the end of each batch, and after a failover it is asked whether
all that was answered is still there.
"""

from collections import deque
from collections.abc import Mapping
from enum import Enum

#: Seconds for which a witness outlives its last batch: a sync may be idle for long, or die and leave it.
_EXPIRY = 30 * 86_400
#: Batches without a state of which the numbers are kept.
_MOST = 65_536

# KEYS: witness; ARGV: number, seconds. It begins with what a server out of memory allows, and always writes something,
# so that WAIT on the same connection waits for all that was done before.
SCRIPT = """
local held = tonumber(redis.call('GET', KEYS[1]) or 0)
if held >= tonumber(ARGV[1]) then return redis.call('EXPIRE', KEYS[1], ARGV[2]) end
redis.call('UNLINK', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
"""


class Loss(Enum):
    """What a server that took over does not have."""

    NOTHING = "all is there"
    OPEN = "answered commands that no state covers yet"
    ACKNOWLEDGED = "what a state covers"


class Watermarks:
    """What each primary has answered, and how much of that is counted on."""

    def __init__(self, prefix: str, token: str) -> None:
        """Take what keys begin with, and what no other run has."""
        self._prefix = prefix
        self._token = token
        self._answered: dict[bytes, int] = {}
        #: All witnesses there may be, not answered ones too.
        self.named: set[bytes] = set()
        self._acknowledged: dict[bytes, int] = {}
        self._between: dict[bytes, deque[int]] = {}

    def key(self, tag: bytes) -> bytes:
        """Return the key of the witness whose slot is `tag`'s."""
        key = f"{self._prefix}airbyte:watermark:{{{tag.decode()}}}:{self._token}".encode()
        self.named.add(key)
        return key

    @staticmethod
    def arguments(key: bytes, number: int) -> tuple[bytes, bytes, bytes, bytes]:
        """Return what follows the script in its command."""
        return b"1", key, b"%d" % number, b"%d" % _EXPIRY

    @property
    def keys(self) -> tuple[bytes, ...]:
        """All witnesses that were answered."""
        return tuple(self._answered)

    def answered(self, key: bytes, number: int) -> None:
        """Take note that the batch `number`, and all before it, is answered where this witness is."""
        self._answered[key] = max(number, self._answered.get(key, 0))
        self._between.setdefault(key, deque(maxlen=_MOST)).append(number)

    def mark_acknowledged(self, number: int) -> None:
        """Take note that the batches up to `number` are counted on: a state covers them."""
        for key, numbers in self._between.items():
            while numbers and numbers[0] <= number:
                self._acknowledged[key] = numbers.popleft()

    def loss(self, held: Mapping[bytes, int]) -> Loss:
        """Return what is missing, by what the servers hold of each key."""
        found = Loss.NOTHING
        for key, number in self._answered.items():
            there = held[key]
            if there < self._acknowledged.get(key, 0):
                return Loss.ACKNOWLEDGED
            if there < number:
                found = Loss.OPEN
        return found
