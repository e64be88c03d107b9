"""The memory of a server, as INFO reports it."""

from collections.abc import Iterable
from dataclasses import dataclass

from redis import Redis

from destination_redis.config.settings import RedisConfig
from destination_redis.connection.replies import ask, info, number
from destination_redis.protocol.catalog import PRIMARY_KEY, Stream


@dataclass(frozen=True, slots=True)
class Memory:
    """What a server says of its memory, in bytes; without a limit nothing is ever evicted or refused."""

    policy: str = "noeviction"
    limit: int = 0
    used: int = 0

    @property
    def room(self) -> int:
        """Bytes that are free."""
        return max(self.limit - self.used, 0)


def memory_of(client: Redis) -> Memory:
    """Return what the server says; raises redis-py's errors."""
    told = info(ask(client, "INFO", "memory"))
    used = number(told.get("used_memory")) - number(told.get("mem_not_counted_for_evict"))
    return Memory(told.get("maxmemory_policy", "noeviction"), number(told.get("maxmemory")), max(used, 0))


def why_evicting(policy: str, config: RedisConfig, streams: Iterable[Stream] | None, *, clustered: bool) -> str | None:
    """Return the warning that a server with this policy may lose what is synced; None where it does not.

    `streams` is None where they are not known: then those with deletions may be among them.
    """
    lost = []
    if policy.startswith("allkeys-"):
        lost = ["records", "the connector's own keys"]
    elif policy.startswith("volatile-"):
        deleting = streams is None or any(each.placement == PRIMARY_KEY and each.may_delete for each in streams)
        if config.ttl_seconds is not None:
            lost.append("records before their time")
        if config.deletion_mode == "hard" and deleting:
            lost.append("what keeps a deleted row (append_dedup) from coming back")
        if clustered:
            lost.append("the witness without which a sync counts as one that lost data")
    if not lost:
        return None
    return (
        f"The server's maxmemory-policy is {policy}: where its memory is full it removes {', and '.join(lost)}. "
        "Set it to noeviction."
    )
