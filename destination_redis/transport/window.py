"""A window: the batches of a lane that are not answered yet, and which of them may be on their way.

What takes no command of some size, a server or a proxy before it, closes the connection, and with it goes all that was
on its way. So after a loss each large batch is sent again alone, between what came before it and what came after. If
the connection is then closed again and again, while a new one is made and answers each time, the batch is to blame.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from destination_redis.transport.too_large import TooLarge, too_large

#: Bytes of a command that nothing takes for too large.
LARGE = 64 * 1024
#: Times that a connection is closed on a batch that is alone on its way, before the batch is to blame.
_CLOSES = 2

ReplyHandler = Callable[[object], None]
Split = Callable[[bytes], Sequence[bytes]]


@dataclass(slots=True)
class Batch:
    """Commands that are sent in one go; `number` rises from batch to batch of a pipeline.

    `on_reply` is given every reply and raises on a bad one; an error that contains `ignore_error` is a good reply. What
    has no key (`keyless`) is meant for this one server. A server that lost any of what was answered before it answered
    a batch that `covers` is found out; what waits for such a batch is `uncovered`. `split` makes one command of many
    records one command for each of them.
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
    answered: int = 0
    size: int = 0
    #: Whether it may be why a connection was closed, and how often that was while it was alone on its way.
    suspect: bool = False
    closed: int = 0
    #: The reply that refused a command for its size.
    refusal: Exception | None = None

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
        )


class Window:
    """Batches in the order of sending: first those on their way, then those that wait."""

    def __init__(self) -> None:
        self.flying: deque[Batch] = deque()
        self._waiting: deque[Batch] = deque()
        #: Bytes of all of them.
        self.size = 0
        #: Bytes from which on a batch of many records was refused.
        self._refused_size = math.inf
        #: What was found of batches that are out of the window, since the server takes them no more.
        self.rejected: list[TooLarge] = []

    def __bool__(self) -> bool:
        return bool(self.flying or self._waiting)

    @property
    def oldest(self) -> Batch | None:
        """The oldest batch."""
        return self.flying[0] if self.flying else self._waiting[0] if self._waiting else None

    @property
    def careful(self) -> bool:
        """Whether anything waits until a batch that may be to blame is answered."""
        return bool(self._waiting)

    def add(self, batch: Batch) -> None:
        """Take a batch that is to be sent."""
        self._waiting.append(batch)
        self.size += batch.size

    def next(self) -> Batch | None:
        """Return the batch that is to be sent now, on its way from then on; None where none is."""
        while self._waiting:
            batch = self._waiting[0]
            blamed = batch.refusal is not None or batch.closed >= _CLOSES
            if batch.split and (blamed or batch.size >= self._refused_size):
                self._split()
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
            batch.suspect = batch.suspect or (batch.size > LARGE and max(map(len, batch.commands)) > LARGE)

    def clear(self) -> list[Batch]:
        """Return all batches, and be empty."""
        everything = [*self.flying, *self._waiting]
        self.flying.clear()
        self._waiting.clear()
        self.size = 0
        return everything

    def _split(self) -> None:
        """Replace a batch by one for each of its records."""
        whole = self._waiting.popleft()
        split = whole.split
        assert split is not None
        self._refused_size = min(self._refused_size, whole.size)
        blank = replace(whole, split=None, suspect=False, closed=0, refusal=None)
        parts = [replace(blank, commands=[piece]) for piece in split(whole.commands[-1])]
        for part in parts:
            part.suspect = part.size > LARGE
        self._waiting.extendleft(reversed(parts))
        self.size += sum(part.size for part in parts) - whole.size

    def _reject(self) -> None:
        """Leave a batch out, and with it all later records: in a collection they follow upon each other."""
        batch = self._waiting.popleft()
        sent = [each for one in (batch, *self._waiting) for each in one.commands]
        self.rejected.append(too_large(batch.number, max(batch.commands, key=len), batch.refusal, sent))
        self._waiting = deque(
            each for each in self._waiting if each.covers or each.keyless or each.number < batch.number
        )
        self.size = sum(each.size for each in (*self.flying, *self._waiting))
