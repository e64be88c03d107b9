"""The heartbeat of a run's leases."""

import time
from collections.abc import Sequence

from destination_redis.ledger.lease import LEASE, StreamLease


class LeaseHeartbeat:
    """Renews the leases of a run during work that does not update the ledgers."""

    def __init__(self, leases: Sequence[StreamLease]) -> None:
        self._leases = leases
        self._kept_at = time.monotonic()

    def keep(self) -> None:
        """Renew every lease if it is time; never waits."""
        now = time.monotonic()
        if now - self._kept_at > LEASE / 3000:
            self._kept_at = now
            for lease in self._leases:
                lease.update()
