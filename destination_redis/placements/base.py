"""The interface of a placement, which writes, moves and removes the records of streams."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from destination_redis.caches import CollectionCache, Encoder, KeyedCache
from destination_redis.ledger.lease import StreamLease
from destination_redis.ledger.ledger import Ledger
from destination_redis.protocol.cursor import Order
from destination_redis.protocol.expiry import ReadExpiry, expiry_reader


@dataclass(frozen=True, slots=True)
class Target:
    """Where and how the records of a started sync are written."""

    lease: StreamLease
    cache: KeyedCache | CollectionCache
    #: Whether the records are staged.
    staged: bool
    #: Whether a deletion is stored as a record.
    soft_deletions: bool = False

    def expiry_reader(self) -> ReadExpiry | None:
        """Return what reads a record's own expiry; None if the stream's records have none."""
        stream = self.lease.stream
        if not stream.expire_at:
            return None
        order = Order.INSTANT if stream.expire_at in stream.times else Order.NUMBER
        return expiry_reader(str(stream), stream.expire_at, order)


def _nothing_gathered() -> list[bytes]:
    return []


def _not_stored(key: bytes, number: int) -> bool:  # noqa: ARG001 - as in Writer
    return False


def _none_past() -> int:
    return 0


class Writer(NamedTuple):
    """Writes the records of a stream.

    `encode` returns the command for a record, or gathers the record and returns nothing. `take_gathered` returns the
    commands for the gathered records, or sends them.

    `pass_over` is for a record that was sent alone and refused, given the key of its command and its id. It waits for
    the server, and returns whether the record is stored nevertheless: the connection may have been closed each time
    after the command was executed. Otherwise nothing is ever stored under this id.

    `past` returns the number of records that were not written because their own expiry was past.
    """

    encode: Encoder
    take_gathered: Callable[[], list[bytes]] = _nothing_gathered
    pass_over: Callable[[bytes, int], bool] = _not_stored
    past: Callable[[], int] = _none_past


class Placement(Protocol):
    """Writes, moves and removes the records of streams with this placement.

    All steps except writing use only the ledgers and the ids, may be repeated without harm, and return once everything
    is answered. They take many leases at a time, so that a step that has to read all keys reads them once.
    """

    def writer(self, target: Target) -> Writer:
        """Return what writes the records of a stream."""

    def move(self, leases: Sequence[StreamLease]) -> None:
        """Rename the records of each staged generation to their live keys: all of them or, in a merge, the newer ones.

        If the collection has to be in place before the old records are removed, so before `end_promotion`, the ledger
        is set to the task "remove" here.
        """

    def remove_old(self, leases: Sequence[StreamLease]) -> None:
        """Remove the live records whose ids are below the first id of the staged generation."""

    def end_promotion(self, lease: StreamLease, promoted: Ledger) -> None:
        """Update the ledger at the end of a promotion, without waiting."""

    def drop(self, leases: Sequence[StreamLease]) -> None:
        """Remove the staged records that each ledger names as dropped."""

    def discard_unacknowledged(self, leases: Sequence[StreamLease]) -> None:
        """Remove the unacknowledged records of a sync that died, if resending them would double them."""
