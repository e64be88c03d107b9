"""Where the records of streams live: the protocol of what writes, moves and removes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from destination_redis.caches import CollectionCache, Encoder, KeyedCache
from destination_redis.ledger.lease import StreamLease
from destination_redis.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Target:
    """What the records of a stream, whose sync has begun, are written to."""

    lease: StreamLease
    cache: KeyedCache | CollectionCache
    #: Whether they are staged.
    staged: bool
    #: Whether a deleted row is kept as a record.
    soft_deletions: bool = False


def _nothing_gathered() -> list[bytes]:
    return []


class Writer(NamedTuple):
    """What writes the records of a stream.

    If `encode` gathers records, it returns nothing for them; `take_gathered` returns their commands, or sends them.
    """

    encode: Encoder
    take_gathered: Callable[[], list[bytes]] = _nothing_gathered


class Placement(Protocol):
    """Writes, moves and removes records of streams that live in one way.

    Every step but writing goes by the ledgers and the ids alone, does no harm when it is done twice, and returns once
    all of it is answered. Many leases are given at a time, so that a step that must read every key does it once.
    """

    def writer(self, target: Target) -> Writer:
        """Return what writes the records of a stream."""

    def move(self, leases: Sequence[StreamLease]) -> None:
        """Give the records of each staged generation their live keys: all of them, or, in a merge, what is newer.

        Where `enter` would come too late for that, since the old ones go before, the ledger moves on to "remove" here.
        """

    def remove_old(self, leases: Sequence[StreamLease]) -> None:
        """Remove the live records whose ids are below each staged generation's first."""

    def enter(self, lease: StreamLease, promoted: Ledger) -> None:
        """Move the ledger on at the end of a promotion, once all else is done; without waiting."""

    def drop(self, leases: Sequence[StreamLease]) -> None:
        """Remove the staged records that each ledger says are to go."""

    def discard_unacknowledged(self, leases: Sequence[StreamLease]) -> None:
        """Remove what a sync that died had sent and not got acknowledged, where sending again would double it."""
