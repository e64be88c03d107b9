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
#: (packed key or keys, id, cursor, record) -> what follows an upsert's head.
Upserter = Callable[[bytes, int, bytes, Record], bytes]


@dataclass(frozen=True, slots=True)
class Lua:
    """What the scripts for upserts are made of that differs between data types.

    `ours` and `read` are functions of a key: whether it has this type; and id (nil where there is no record), cursor,
    and whether it is a staged deletion. `write` and `mark` are statements: they replace KEYS[1] whole, by ARGV as
    `upserter` gives them, and make it a staged deletion; `held` is its id so far, or nil. The first write of both is
    one that a server refuses when it is out of memory. A function costs its making at every call: so few of them.
    """

    ours: str
    read: str
    write: str
    mark: str


class RedisCache(Protocol):
    """Turns records into commands of one data type, and stored keys back into records."""

    def __init__(self, sync_id: int | None) -> None:
        """Take the sync's id, which `_airbyte_meta` names."""

    def writer(self, around: tuple[bytes, bytes]) -> Writer:
        """Return what makes a record with an id the one packed command that stores it under that id.

        `around` is what stands before and after the id in the key.
        """

    @property
    def lua(self) -> Lua:
        """How scripts read and write a record of this type."""

    def upserter(self, head: Callable[[int], bytes], first_id: int) -> Upserter:
        """Return what makes a record an upsert in the generation that begins with `first_id`.

        `head` gives the command's first bytes for a number of arguments beyond id, cursor and first id.
        """

    def get_all(self, client: "Redis", keys: Iterable[bytes]) -> list[RedisRecord]:
        """Return the records stored under `keys`, in their order; a missing key is left out."""
