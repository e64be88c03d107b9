"""The memory of a server, as INFO reports it."""

from collections.abc import Sequence
from dataclasses import dataclass

from redis import Redis

from destination_redis.config.settings import RedisConfig
from destination_redis.connection.replies import ask, info, number
from destination_redis.protocol.catalog import PRIMARY_KEY, Stream


@dataclass(frozen=True, slots=True)
class Memory:
    """A server's memory, in bytes; with a limit of 0 nothing is ever evicted or refused."""

    policy: str = "noeviction"
    limit: int = 0
    used: int = 0

    @property
    def free(self) -> int:
        """Free memory in bytes."""
        return max(self.limit - self.used, 0)


def memory_of(client: Redis) -> Memory:
    """Return the memory as the server reports it; raises redis-py's errors."""
    reply = info(ask(client, "INFO", "memory"))
    used = number(reply.get("used_memory")) - number(reply.get("mem_not_counted_for_evict"))
    return Memory(reply.get("maxmemory_policy", "noeviction"), number(reply.get("maxmemory")), max(used, 0))


def why_evicting(policy: str, settings: Sequence[tuple[RedisConfig, Stream | None]], *, clustered: bool) -> str | None:
    """Return the warning that a server with this policy may evict synced data; None if it does not.

    `settings` are those of each stream. The stream is None if it is unknown: then it may have deletions.
    """
    lost = []
    if policy.startswith("allkeys-"):
        lost = ["records", "the connector's own keys"]
    elif policy.startswith("volatile-"):
        if any(config.expiry or config.expire_at is not None for config, _ in settings):
            lost.append("records before they expire")
        if any(_has_tombstones(config, stream) for config, stream in settings):
            lost.append("the tombstones that keep deleted rows (append_dedup) from reappearing")
        if clustered:
            lost.append("the watermarks without which a sync is taken to have lost data")
    if not lost:
        return None
    return (
        f"The server's maxmemory-policy is {policy}: when its memory is full, it removes {', and '.join(lost)}. "
        "Set it to noeviction."
    )


def _has_tombstones(config: RedisConfig, stream: Stream | None) -> bool:
    if stream is not None and stream.placement != PRIMARY_KEY:
        return False
    # A record whose own expiry is past is a deletion.
    return config.expire_at is not None or (config.deletion_mode == "hard" and (stream is None or stream.may_delete))
