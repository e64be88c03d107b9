"""Durability: who must have a record, beside the server that answered, before it counts as settled."""

from destination_redis.config.base import Settings, setting
from destination_redis.errors import transient_error


class Durability(Settings):
    """What has to have a record; nothing more than the server unless something is asked for."""

    replicas: int = setting(
        "Replicas",
        0,
        default=0,
        description="So many replicas have what was written before a state is acknowledged (WAIT).",
        ge=0,
        le=100,
    )
    fsync: bool = setting(
        "Disk",
        1,
        default=False,
        description="The append-only file on disk has it too (WAITAOF: Redis 7.2, Valkey), on these replicas as well.",
    )
    timeout_ms: int = setting(
        "Time-out (ms)",
        2,
        default=5000,
        description="Milliseconds after which it is an error that they do not have it.",
        ge=1,
        le=50_000,
    )

    def __bool__(self) -> bool:
        return bool(self.replicas or self.fsync)

    @property
    def command(self) -> tuple[str | int, ...]:
        """What asks a server for it; it covers what was written before on the same connection."""
        if self.fsync:
            return "WAITAOF", 1, self.replicas, self.timeout_ms
        return "WAIT", self.replicas, self.timeout_ms

    def check_reply(self, reply: object) -> None:
        """Raise a transient error where it was not met in time."""
        parts = reply if isinstance(reply, list) else [0 if self.fsync else 1, reply]
        # A number that another server does not give counts as 0.
        disk, replicas = [part if isinstance(part, int) else 0 for part in (*parts, 0, 0)[:2]]
        if replicas < self.replicas or disk < 1:
            of_disk = f" and {disk} of 1 disks" if self.fsync else ""
            raise transient_error(
                f"{replicas} of {self.replicas} replicas{of_disk} confirmed what was written within "
                f"{self.timeout_ms} ms (durability), so its states stay back"
            )
