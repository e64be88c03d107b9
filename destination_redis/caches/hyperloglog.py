"""The HyperLogLog cache: the data, or one field, of all records of a stream in one HyperLogLog, which counts them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from redis import Redis

from destination_redis.caches.base import Capabilities, Collection, RedisRecord
from destination_redis.caches.elements import chunked
from destination_redis.caches.set import SetCache
from destination_redis.errors import NotReadableError

_COLLECTION = Collection(
    append=chunked("PFADD"),
    discard_unacknowledged="",
    merge="""
redis.call('PFMERGE', KEYS[3], KEYS[2])
redis.call('UNLINK', KEYS[2])
""",
)


class HyperLogLogCache(SetCache):
    """Writes records with PFADD."""

    __slots__ = ()

    capabilities: ClassVar[Capabilities] = Capabilities(("columns",), collection=True, settings=("value",), string=True)
    collection = _COLLECTION

    def get_all(self, client: Redis, keys: Iterable[bytes]) -> Iterator[RedisRecord]:  # noqa: ARG002
        """Raise NotReadableError: the elements themselves are not stored."""
        key = next(iter(keys), b"").decode(errors="replace")
        raise NotReadableError(f"A HyperLogLog cannot be read back, only counted: use PFCOUNT {key}")

    def probes(self, key: bytes) -> Sequence[Sequence[str | bytes]]:
        """Return the commands for HyperLogLogs, the one that counts included."""
        return [("PFADD", key, "{}"), ("PFCOUNT", key), ("PFMERGE", key, key)]
