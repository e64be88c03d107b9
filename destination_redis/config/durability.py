"""Durability: which replicas and disks must confirm writes before a state is acknowledged."""

from destination_redis.config.base import Settings, setting
from destination_redis.errors import transient_error


class Durability(Settings):
    """The confirmations required in addition to the server's reply; by default none."""

    replicas: int = setting(
        "Replicas",
        0,
        default=0,
        description="How many replicas must confirm writes before a state is acknowledged (WAIT).",
        ge=0,
        le=100,
    )
    fsync: bool = setting(
        "Disk",
        1,
        default=False,
        description="Whether writes must also be in the append-only file on disk, of the server and of these replicas "
        "(WAITAOF: Redis 7.2, Valkey).",
    )
    timeout_ms: int = setting(
        "Timeout (ms)",
        2,
        default=5000,
        description="Milliseconds to wait for the confirmations; then the sync fails.",
        ge=1,
        le=50_000,
    )

    def __bool__(self) -> bool:
        return bool(self.replicas or self.fsync)

    @property
    def command(self) -> tuple[str | int, ...]:
        """The command that waits for the confirmations of all earlier writes on the same connection."""
        if self.fsync:
            return "WAITAOF", 1, self.replicas, self.timeout_ms
        return "WAIT", self.replicas, self.timeout_ms

    def check_reply(self, reply: object) -> None:
        """Raise a transient error if confirmations are missing."""
        parts = reply if isinstance(reply, list) else [0 if self.fsync else 1, reply]
        # A number that is missing from the reply counts as 0.
        disk, replicas = [part if isinstance(part, int) else 0 for part in (*parts, 0, 0)[:2]]
        if replicas < self.replicas or disk < 1:
            of_disk = f" and {disk} of 1 disks" if self.fsync else ""
            raise transient_error(
                f"{replicas} of {self.replicas} replicas{of_disk} confirmed the writes within "
                f"{self.timeout_ms} ms (durability), so their states are withheld"
            )
