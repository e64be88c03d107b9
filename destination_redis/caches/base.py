"""How a record is written in one Redis data type: the protocol, and a record as it is read back."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from destination_redis.messages import Record

if TYPE_CHECKING:
    from redis import Redis


@dataclass(frozen=True, slots=True)
class RedisRecord:
    """A stored record: its id, its time in milliseconds as received, its data's bytes, and meta JSON where kept."""

    id: int
    emitted_at: bytes
    data: bytes
    meta: bytes | None = None


class RedisCache(Protocol):
    """Turns records into commands of one data type, and stored keys back into records."""

    def __init__(self, sync_id: int | None) -> None:
        """Take the sync's id, which `_airbyte_meta` names."""

    def write(self, key: bytes, record_id: bytes, record: Record) -> bytes:
        """Return the one command, in the Redis protocol, that stores `record` under `key`."""

    def get_all(self, client: "Redis", keys: Iterable[bytes]) -> list[RedisRecord]:
        """Return the records stored under `keys`, in their order; a missing key is left out."""
