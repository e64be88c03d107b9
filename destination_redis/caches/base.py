"""How a record is written in one Redis data type: the protocol, and a record as it is read back."""

from collections.abc import Callable, Iterable
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


#: (id, record) -> a packed command.
Writer = Callable[[int, Record], bytes]


class RedisCache(Protocol):
    """Turns records into commands of one data type, and stored keys back into records."""

    def __init__(self, sync_id: int | None) -> None:
        """Take the sync's id, which `_airbyte_meta` names."""

    def writer(self, around: tuple[bytes, bytes]) -> Writer:
        """Return what makes a record with an id the one packed command that stores it under that id.

        `around` is what stands before and after the id in the key.
        """

    def get_all(self, client: "Redis", keys: Iterable[bytes]) -> list[RedisRecord]:
        """Return the records stored under `keys`, in their order; a missing key is left out."""
