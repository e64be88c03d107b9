"""How a record is written in one Redis data type: the protocol, and a record as it is read back."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

from redis import exceptions as redis_errors

from destination_redis.keys import KeyTemplate
from destination_redis.protocol.cursor import Order
from destination_redis.protocol.json_fields import Path
from destination_redis.protocol.messages import Record

if TYPE_CHECKING:
    from redis import Redis

#: Keys, or elements of a collection, read in one go.
READ = 500
#: What a server says of a key that holds another type, RedisJSON too.
WRONG_TYPE = ("WRONGTYPE", "wrong Redis type")

#: By the names that `record_format` and ledgers use.
RecordFormat = Literal["envelope", "columns"]


class StorageFormat(NamedTuple):
    """How records are written, by the names that settings and ledgers use."""

    cache_type: str = "hash"
    record_format: RecordFormat = "envelope"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a data type can do."""

    #: The formats that a record can have; those with a place for more than its data; those with what upserts need.
    formats: tuple[RecordFormat, ...]
    metadata: tuple[RecordFormat, ...] = ()
    upserts: tuple[RecordFormat, ...] = ()
    #: Whether one key holds all records of a stream.
    collection: bool = False


@dataclass(frozen=True, slots=True)
class RedisRecord:
    """A stored record: its id, its time in milliseconds as received, its data's bytes, and meta JSON where kept."""

    id: int
    emitted_at: bytes
    data: bytes
    meta: bytes | None = None


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """What a sync's records are written with, beside their data type."""

    record_format: RecordFormat = "envelope"
    #: The sync's, which `_airbyte_meta` names.
    sync_id: int | None = None
    generation_id: int | None = None
    #: Whether every record has all of Airbyte's metadata, not only what is needed.
    full: bool = False
    #: Entries that a stream keeps, the newest ones; None for all.
    max_length: int | None = None
    #: The stream's name, for messages.
    stream: str = ""
    #: The path of the cursor into a record's data, and what its values are; () for none.
    cursor: Path = ()
    cursor_order: Order = Order.TEXT


#: (command, number of arguments after its key) -> what stands before and after the packed key.
Start = Callable[[bytes, int], tuple[bytes, bytes]]
#: (id, record) -> a packed command; nothing where it is gathered, to be sent later.
Encoder = Callable[[int, Record], bytes]
#: (id, record) -> the number of arguments it added.
Gatherer = Callable[[int, Record], int]
#: (id, cursor, record) -> an upsert's packed arguments and how many they are; the first is the number of the others.
UpsertEncoder = Callable[[int, bytes, Record], tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Lua:
    """What scripts are made of that differs between data types.

    `kind` is what TYPE says of a record's key. `read` are statements that return, for `key` of that kind: the record's
    id (nil where it is no record of this data type), its cursor, and whether it is a staged deletion. `write` and
    `mark` replace `key` whole, by ARGV from `at` to `last` as `upsert_encoder` gives them, and make it a staged
    deletion; `held` is its id so far, or nil, and `kept` is the text to store as its cursor. The first write of both
    is one that a server refuses when it is out of memory. Both are empty in a format without upserts.
    """

    kind: str
    read: str
    write: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Collection:
    """What scripts are made of that differs between data types that hold all records of a stream in one key.

    `append` are statements that add the elements in ARGV, from the fourth argument on, to KEYS[2], all but the first
    `skip`; the first of them has the id `first`. The first write is one that a server refuses when it is out of memory.
    `discard_unacknowledged` removes the elements with the ids `low` + 1 to `sent`, the newest, from KEYS[2]; it is
    empty where sending them again adds nothing. `merge` moves up to `most` elements from KEYS[2] to the end of KEYS[3].
    `width` returns the number of arguments of an element, given its first one.
    """

    append: str
    discard_unacknowledged: str
    merge: str
    width: Callable[[bytes], int] = lambda _: 1


class RedisCache(Protocol):
    """Turns records into what one data type holds, and what is stored back into records."""

    capabilities: ClassVar[Capabilities]

    def __init__(self, options: RecordOptions) -> None:
        """Take what records are written with."""

    def get_all(self, client: "Redis", keys: Iterable[bytes]) -> Iterator[RedisRecord]:
        """Yield the records stored under `keys`, in their order; what is missing or no record is left out.

        Where the id is not stored it is 0, where the time is not, empty.
        """

    def probes(self, key: bytes) -> Sequence[Sequence[str | bytes]]:
        """Return the commands that a sync sends or its scripts use, to be tried on a key that is not there."""


class KeyedCache(RedisCache, Protocol):
    """A data type of which each record has a key of its own."""

    @property
    def lua(self) -> Lua:
        """How scripts read and write a record of this type."""

    def encoder(self, keys: KeyTemplate, start: Start) -> Encoder:
        """Return what makes a record with an id the one packed command that stores it under the key of that id."""

    def upsert_encoder(self) -> UpsertEncoder:
        """Return what makes a record the arguments of its upsert: id and cursor, then what `lua.write` needs."""


@runtime_checkable
class CollectionCache(RedisCache, Protocol):
    """A data type that holds all records of a stream in one key; TYPE never says string of it, as of the counter."""

    @property
    def collection(self) -> Collection:
        """How scripts append, remove and move elements."""

    def gatherer(self, parts: list[bytes]) -> Gatherer:
        """Return what adds a record, as packed arguments, to `parts`."""


def plain(command: bytes, arguments: int) -> tuple[bytes, bytes]:
    """Start a command that is sent as it is."""
    return b"*%d\r\n$%d\r\n%b\r\n" % (2 + arguments, len(command), command), b""


def read_all(
    client: "Redis",
    keys: Iterable[bytes],
    command: Callable[[bytes], Sequence[str | bytes]],
    record: Callable[[bytes, Any], RedisRecord | None],
) -> Iterator[RedisRecord]:
    """Yield the records of `keys`, from (key, reply to the command for it), in pipelines of some hundred keys."""
    keys = iter(keys)
    while batch := list(islice(keys, READ)):
        pipeline = client.pipeline(transaction=False)
        for key in batch:
            pipeline.execute_command(*command(key))
        for key, reply in zip(batch, pipeline.execute(raise_on_error=False), strict=True):
            if isinstance(reply, redis_errors.ResponseError) and any(wrong in str(reply) for wrong in WRONG_TYPE):
                continue
            if isinstance(reply, Exception):
                raise reply
            if (found := record(key, reply)) is not None:
                yield found
