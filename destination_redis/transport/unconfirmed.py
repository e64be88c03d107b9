"""The batches of a node that are answered but not yet safe: a new connection may lead to a server without them."""

from collections import deque

from destination_redis.transport.window import Batch


class Unconfirmed:
    """Answered batches that are sent again on a new connection."""

    def __init__(self, *, until_released: bool) -> None:
        """`until_released` keeps every batch until `release`: replicas or the disk have to confirm it."""
        self._until_released = until_released
        self._kept: deque[Batch] = deque()
        # Answered since a ledger last changed: only what came before an answered change would be missed.
        self._uncovered: deque[Batch] = deque()

    def __bool__(self) -> bool:
        """Whether any batch waits for `release`."""
        return bool(self._kept)

    @property
    def oldest(self) -> Batch | None:
        """The oldest batch that waits for `release`."""
        return self._kept[0] if self._kept else None

    def add(self, batch: Batch) -> None:
        """Keep a batch that is answered, if it has to be sent again on a new connection."""
        if self._until_released and not batch.keyless:
            self._keep(batch.for_resend)
        elif batch.uncovered:
            self._uncovered.append(batch.for_resend)

    def covered(self) -> None:
        """Forget what came before a change of a ledger that is answered."""
        self._uncovered.clear()

    def release(self, number: int) -> None:
        """Forget the kept batches up to `number`, which are confirmed."""
        while self._kept and self._kept[0].number <= number:
            self._kept.popleft()

    def take(self) -> list[Batch]:
        """Return all batches, and forget them."""
        batches = [*self._kept, *self._uncovered]
        self._kept.clear()
        self._uncovered.clear()
        return batches

    def _keep(self, batch: Batch) -> None:
        # The oldest is in front: a batch that another node refused may come after newer ones.
        if self._kept and batch.number < self._kept[0].number:
            self._kept.appendleft(batch)
        else:
            self._kept.append(batch)
