"""Where the records of streams live: the protocol of what moves and removes them."""

from collections.abc import Sequence
from typing import Protocol

from destination_redis.ledger.lease import StreamLease
from destination_redis.ledger.ledger import Ledger


class Placement(Protocol):
    """Moves and removes records of streams that live in one way.

    Every step goes by the ledgers and by the ids alone, does no harm when it is done twice, and returns once all of it
    is answered. Claims are given many at a time, so that what must read every key of a server does it once for all.
    """

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
