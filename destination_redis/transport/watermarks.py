"""The watermarks: on each primary of a cluster, a small key with the number of the last batch that it accepted.

Redis replicates asynchronously, so a replica that takes over may lack writes that its primary had answered. A ledger
shows such a loss only on its own server. A watermark is written at the end of each batch, and is read after a failover
to find out whether all answered batches are still there.
"""

from collections import deque
from collections.abc import Mapping
from enum import Enum

#: Seconds until a watermark expires: a sync may be idle for long, or die without removing it.
_EXPIRY = 30 * 86_400
#: Batch numbers that are kept until a state covers them.
_MOST = 65_536

# KEYS: watermark; ARGV: number, seconds. The first write is one that a server out of memory allows. The script always
# writes, so that WAIT on the same connection waits for everything before it.
SCRIPT = """
local held = tonumber(redis.call('GET', KEYS[1]) or 0)
if held >= tonumber(ARGV[1]) then return redis.call('EXPIRE', KEYS[1], ARGV[2]) end
redis.call('UNLINK', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[2])
return 1
"""


class Loss(Enum):
    """What a server that took over lacks."""

    NOTHING = "all is there"
    OPEN = "answered commands that no state covers yet"
    ACKNOWLEDGED = "what a state covers"


class Watermarks:
    """The last batch that each primary answered, and the last one that a state covers."""

    def __init__(self, prefix: str, token: str) -> None:
        """Set the prefix of keys, and the token of this run."""
        self._prefix = prefix
        self._token = token
        self._answered: dict[bytes, int] = {}
        #: All watermarks that may exist, unanswered ones too.
        self.named: set[bytes] = set()
        self._acknowledged: dict[bytes, int] = {}
        self._between: dict[bytes, deque[int]] = {}

    def key(self, tag: bytes) -> bytes:
        """Return the key of the watermark in the slot of `tag`."""
        key = f"{self._prefix}airbyte:watermark:{{{tag.decode()}}}:{self._token}".encode()
        self.named.add(key)
        return key

    @staticmethod
    def arguments(key: bytes, number: int) -> tuple[bytes, bytes, bytes, bytes]:
        """Return the arguments of the script."""
        return b"1", key, b"%d" % number, b"%d" % _EXPIRY

    @property
    def keys(self) -> tuple[bytes, ...]:
        """All watermarks that were answered."""
        return tuple(self._answered)

    def answered(self, key: bytes, number: int) -> None:
        """Note that the node of this watermark has answered the batch `number` and all before it."""
        self._answered[key] = max(number, self._answered.get(key, 0))
        self._between.setdefault(key, deque(maxlen=_MOST)).append(number)

    def mark_acknowledged(self, number: int) -> None:
        """Note that a state covers the batches up to `number`."""
        for key, numbers in self._between.items():
            while numbers and numbers[0] <= number:
                self._acknowledged[key] = numbers.popleft()

    def loss(self, held: Mapping[bytes, int]) -> Loss:
        """Return what was lost, given the number that the servers hold in each watermark."""
        found = Loss.NOTHING
        for key, number in self._answered.items():
            there = held[key]
            if there < self._acknowledged.get(key, 0):
                return Loss.ACKNOWLEDGED
            if there < number:
                found = Loss.OPEN
        return found
