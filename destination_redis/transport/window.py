"""A window: the batches of a lane that are not answered yet, and which of them may be on their way.

What takes no command of some size, a server or a proxy before it, closes the connection, and with it goes all that was
on its way. So after a loss each large batch is sent again alone, between what came before it and what came after. If
the connection is then closed again and again, while a new one is made and answers each time, the batch is to blame.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from destination_redis.connection.slots import Address
from destination_redis.transport.too_large import TooLarge, too_large

#: Bytes of a command that nothing takes for too large.
LARGE = 64 * 1024
#: Times that a connection is closed on a batch that is alone on its way, before the batch is to blame.
_CLOSES = 2

ReplyHandler = Callable[[object], None]
Split = Callable[[bytes], Sequence[bytes]]


class Kind(Enum):
    """What the commands of a batch write."""

    RECORDS = "records, without a look at a ledger"
    COLLECTION = "records, and in the same scripts the ledger that says which of them the collection has"
    LEDGER = "numbered changes of ledgers: they detect whether a server lost anything that was answered before"
    OTHER = "nothing, or only who writes a ledger"


@dataclass(slots=True)
class Batch:
    """Commands that are sent in one go; `number` rises from batch to batch of a pipeline.

    `on_reply` is given every reply and raises on a bad one; an error that contains `ignore_error` is a good reply. What
    has no key (`keyless`) is meant for this one server. A server that lost any of what was answered before it answered
    a batch that `covers` is found out; what waits for such a batch is `uncovered`. `split` makes two commands of one
    that has many records, and returns one of a single record as it is.
    """

    number: int
    commands: Sequence[bytes]
    on_reply: ReplyHandler | None = None
    ignore_error: str | None = None
    keyless: bool = False
    watermark: bytes | None = None
    covers: bool = False
    uncovered: bool = False
    split: Split | None = None
    #: Whether a server has taken it before: then it is not too large, whatever closes the connection now.
    accepted: bool = False
    answered: int = 0
    size: int = 0
    #: Whether it may be why a connection was closed, and how often that was while it was alone on its way.
    suspect: bool = False
    closed: int = 0
    #: A command that was refused for its size, and the reply.
    refused: tuple[bytes, Exception] | None = None

    def __post_init__(self) -> None:
        self.size = sum(map(len, self.commands))

    @property
    def again(self) -> "Batch":
        """The same, to be sent again once it is answered and judged."""
        return Batch(
            self.number,
            self.commands,
            ignore_error=self.ignore_error,
            watermark=self.watermark,
            uncovered=self.uncovered,
            accepted=True,
        )


class Window:
    """Batches in the order of sending: first those on their way, then those that wait."""

    def __init__(self, address: Address) -> None:
        """Take the server's address."""
        self._address = address
        self.flying: deque[Batch] = deque()
        self._waiting: deque[Batch] = deque()
        #: Bytes of all of them.
        self.size = 0
        #: Bytes from which on a batch of many records was refused.
        self._refused_size = math.inf
        #: Batches that are out, since the server does not take them, and nobody was told so far.
        self.rejected: list[TooLarge] = []
        #: The number of the first batch that was out.
        self._end = math.inf

    def __bool__(self) -> bool:
        return bool(self.flying or self._waiting)

    @property
    def oldest(self) -> Batch | None:
        """The oldest batch."""
        return self.flying[0] if self.flying else self._waiting[0] if self._waiting else None

    @property
    def records(self) -> list[bytes]:
        """All commands but those that move a ledger, which hold nothing of a record."""
        batches = (batch for batch in (*self.flying, *self._waiting) if not batch.covers)
        return [command for batch in batches for command in batch.commands]

    @property
    def careful(self) -> bool:
        """Whether anything waits until a batch that may be to blame is answered."""
        return bool(self._waiting)

    def add(self, batch: Batch) -> None:
        """Take a batch that is to be sent; records that come after a batch that is out are left out too."""
        if self._stays(batch):
            self._waiting.append(batch)
            self.size += batch.size

    def next(self) -> Batch | None:
        """Return the batch that is to be sent now, on its way from then on; None where none is."""
        while self._waiting:
            batch = self._waiting[0]
            blamed = batch.refused is not None or batch.closed >= _CLOSES
            if batch.split and (blamed or batch.size >= self._refused_size):
                self._split(batch, batch.split)
            elif self.flying and (batch.suspect or self.flying[-1].suspect):
                return None
            elif blamed:
                self._reject()
            else:
                self.flying.append(self._waiting.popleft())
                return batch
        return None

    def answered(self) -> None:
        """Let the oldest batch go."""
        self.size -= self.flying.popleft().size

    def restart(self, before: Iterable[Batch] = ()) -> None:
        """Have all sent again, after what was answered `before`."""
        self._waiting = deque((*before, *self.flying, *self._waiting))
        self.flying.clear()
        self.size = sum(batch.size for batch in self._waiting)
        for batch in self._waiting:
            batch.answered = 0

    def lost(self) -> None:
        """Take note that the connection was closed, on large batches as it may be."""
        if len(self.flying) == 1 and self.flying[0].suspect:
            self.flying[0].closed += 1
        for batch in self.flying:
            if batch.size > LARGE and not (batch.covers or batch.keyless or batch.accepted):
                batch.suspect = max(map(len, batch.commands)) > LARGE

    def clear(self) -> list[Batch]:
        """Return all batches, and be empty."""
        everything = [*self.flying, *self._waiting]
        self.flying.clear()
        self._waiting.clear()
        self.size = 0
        return everything

    def _split(self, batch: Batch, split: Split) -> None:
        """Replace a batch by two of half its records; one of a single record is not asked for that again."""
        halves = split(batch.commands[-1])
        if len(halves) == 1:
            batch.split = None
            return
        self._refused_size = min(self._refused_size, batch.size)
        self._waiting.popleft()
        parts = [replace(batch, commands=[half], closed=0, refused=None) for half in halves]
        for part in parts:
            part.suspect = part.size > LARGE
        self._waiting.extendleft(reversed(parts))
        self.size += sum(part.size for part in parts) - batch.size

    def _reject(self) -> None:
        """Leave a batch out, and what was to be written after it: records of a collection follow upon each other."""
        batch = self._waiting[0]
        command, reply = batch.refused or (max(batch.commands, key=len), None)
        self.rejected.append(too_large(batch.number, self._address, command, reply, self.records))
        self._end = min(batch.number, self._end)
        self._waiting = deque(filter(self._stays, self._waiting))
        self.size = sum(each.size for each in (*self.flying, *self._waiting))

    def _stays(self, batch: Batch) -> bool:
        return batch.covers or batch.keyless or batch.number < self._end
