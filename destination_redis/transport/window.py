"""The window: the unanswered batches of a node pipeline, and which of them may be in flight.

A server or a proxy that refuses a command for its size closes the connection, and everything in flight is lost with it.
So each large batch is then sent again alone, after what came before it and before what came after it. If the connection
is closed each time on this batch, although each new connection works, the batch is the cause.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from destination_redis.connection.slots import Address
from destination_redis.transport.too_large import TooLarge, too_large

if TYPE_CHECKING:
    from destination_redis.transport.node import NodePipeline

#: Bytes up to which no server or proxy refuses a command for its size.
LARGE = 64 * 1024
#: Closed connections, with a batch alone in flight, after which a batch of many records is divided; and after which one
#: with a single record is the cause. It may be left out for good, so this must be no coincidence.
_DIVIDED, CLOSES = 2, 4

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
    """Commands that are sent together; `number` rises from batch to batch of a pipeline.

    `on_reply` is called with every reply and raises on a bad one. An error that contains `ignore_error` is good.
    Commands without keys (`keyless`) are meant for this one server. Once a batch that `covers` is answered, the loss of
    anything answered before it is detected; until then an `uncovered` batch may be lost unnoticed. `split` makes two
    commands of one that has many records, and returns one with a single record as it is. `on_zeros` is called once all
    is answered, with the number of replies that are 0.
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
    on_zeros: Callable[[int], None] | None = None
    #: Whether a server has accepted it before: then it is not too large, whatever closes the connection now.
    accepted: bool = False
    answered: int = 0
    zeros: int = 0
    size: int = 0
    #: Whether it may be why a connection was closed, and how often that happened while it was alone in flight.
    suspect: bool = False
    closed: int = 0
    #: A command that was refused for its size, and the reply.
    refused: tuple[bytes, Exception] | None = None

    def __post_init__(self) -> None:
        self.size = sum(map(len, self.commands))

    @property
    def for_resend(self) -> "Batch":
        """A copy to send again after its replies were checked."""
        return Batch(
            self.number,
            self.commands,
            ignore_error=self.ignore_error,
            watermark=self.watermark,
            uncovered=self.uncovered,
            accepted=True,
        )


@dataclass(frozen=True, slots=True)
class Returned:
    """A command that has to be sent again, with the reason."""

    batch: Batch
    command: bytes
    error: Exception
    node: "NodePipeline"


class Window:
    """Batches in the order of sending: first those in flight, then those that wait."""

    def __init__(self, address: Address) -> None:
        """Set the server's address."""
        self._address = address
        self.in_flight: deque[Batch] = deque()
        self._waiting: deque[Batch] = deque()
        #: Bytes of all of them.
        self.size = 0
        # The smallest size, in bytes, at which a batch of many records was refused.
        self._refused_size = math.inf
        #: Batches that the server refuses for their size, and that no caller knows of yet.
        self.rejected: list[TooLarge] = []
        # The number of the first rejected batch.
        self._end = math.inf

    def __bool__(self) -> bool:
        return bool(self.in_flight or self._waiting)

    @property
    def oldest(self) -> Batch | None:
        """The oldest batch."""
        return self.in_flight[0] if self.in_flight else self._waiting[0] if self._waiting else None

    @property
    def records(self) -> list[bytes]:
        """All commands except updates of ledgers, which have no record data."""
        batches = (batch for batch in (*self.in_flight, *self._waiting) if not batch.covers)
        return [command for batch in batches for command in batch.commands]

    @property
    def holds_back(self) -> bool:
        """Whether any batch waits for the answer of one that may be too large."""
        return bool(self._waiting)

    def add(self, batch: Batch) -> None:
        """Add a batch to send; records after a rejected batch are left out."""
        if self._stays(batch):
            self._waiting.append(batch)
            self.size += batch.size

    def next(self) -> Batch | None:
        """Return the batch to send now, which is then in flight; None if there is none."""
        while self._waiting:
            batch = self._waiting[0]
            rejected = batch.refused is not None or batch.closed >= (_DIVIDED if batch.split else CLOSES)
            if batch.split and (rejected or batch.size >= self._refused_size):
                self._split(batch, batch.split)
            elif self.in_flight and (batch.suspect or self.in_flight[-1].suspect):
                return None
            elif rejected:
                self._reject()
            else:
                self.in_flight.append(self._waiting.popleft())
                return batch
        return None

    def answered(self) -> None:
        """Remove the oldest batch."""
        self.size -= self.in_flight.popleft().size

    def restart(self, before: Iterable[Batch] = ()) -> None:
        """Have all batches sent again, after those in `before`."""
        self._waiting = deque((*before, *self.in_flight, *self._waiting))
        self.in_flight.clear()
        self.size = sum(batch.size for batch in self._waiting)
        for batch in self._waiting:
            batch.answered = batch.zeros = 0

    def lost(self) -> None:
        """Note that the connection was closed: large batches in flight may be the cause."""
        if len(self.in_flight) == 1 and self.in_flight[0].suspect:
            self.in_flight[0].closed += 1
        for batch in self.in_flight:
            if batch.size > LARGE and not (batch.covers or batch.keyless or batch.accepted):
                batch.suspect = max(map(len, batch.commands)) > LARGE

    def reopen(self) -> None:
        """Take records again after a rejected batch; none may have been left out after it."""
        self._end = math.inf

    def clear(self) -> list[Batch]:
        """Remove all batches, and return them."""
        everything = [*self.in_flight, *self._waiting]
        self.in_flight.clear()
        self._waiting.clear()
        self.size = 0
        return everything

    def _split(self, batch: Batch, split: Split) -> None:
        """Replace a batch by two of half its records; one with a single record is not split again."""
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
        """Leave out a batch and the records after it: a collection must have no gaps."""
        batch = self._waiting[0]
        command, reply = batch.refused or (max(batch.commands, key=len), None)
        self.rejected.append(too_large(batch.number, self._address, command, reply, self.records))
        self._end = min(batch.number, self._end)
        self._waiting = deque(filter(self._stays, self._waiting))
        self.size = sum(each.size for each in (*self.in_flight, *self._waiting))

    def _stays(self, batch: Batch) -> bool:
        return batch.covers or batch.keyless or batch.number < self._end
