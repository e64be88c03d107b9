"""Where the records of streams live: the protocol of what moves and removes them."""

from collections.abc import Sequence
from typing import Protocol

from destination_redis.ledger.lease import Claim
from destination_redis.ledger.ledger import Ledger


class Placement(Protocol):
    """Moves and removes records of streams that live in one way.

    Every step goes by the ledgers and by the ids alone, does no harm when it is done twice, and returns once all of it
    is answered. Claims are given many at a time, so that what must read every key of a server does it once for all.
    """

    def move(self, claims: Sequence[Claim]) -> None:
        """Give the records of each staged generation their live keys: all of them, or, in a merge, what is newer.

        Where `enter` would come too late for that, since the old ones go before, the ledger moves on to "remove" here.
        """

    def remove_old(self, claims: Sequence[Claim]) -> None:
        """Remove the live records whose ids are below each staged generation's first."""

    def enter(self, claim: Claim, promoted: Ledger) -> None:
        """Move the ledger on at the end of a promotion, once all else is done; without waiting."""

    def drop(self, claims: Sequence[Claim]) -> None:
        """Remove the staged records that each ledger says are to go."""

    def sweep(self, claims: Sequence[Claim]) -> None:
        """Remove what a sync that died had sent and not got acknowledged, where sending again would double it."""
