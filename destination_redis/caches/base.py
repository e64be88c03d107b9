"""The protocol of caches, which write records in one Redis data type and read them back."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, runtime_checkable

from redis import exceptions as redis_errors

from destination_redis.keys import KeyTemplate
from destination_redis.protocol.cursor import Order
from destination_redis.protocol.json_fields import Path
from destination_redis.protocol.messages import Record

if TYPE_CHECKING:
    from redis import Redis

#: Keys, or elements of a collection, read at once.
READ = 500
#: In error replies for a key of another type; the second is RedisJSON's.
WRONG_TYPE = ("WRONGTYPE", "wrong Redis type")

#: As named in the setting `record_format` and in ledgers.
RecordFormat = Literal["envelope", "columns"]


class StorageFormat(NamedTuple):
    """How records are stored, as named in settings and ledgers."""

    cache_type: str = "hash"
    record_format: RecordFormat = "envelope"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The capabilities of a data type."""

    #: The formats a record can have; those that store metadata; those that support upserts.
    formats: tuple[RecordFormat, ...]
    metadata: tuple[RecordFormat, ...] = ()
    upserts: tuple[RecordFormat, ...] = ()
    #: Whether one key holds all records of a stream.
    collection: bool = False
    #: The optional settings that this data type has and others do not, by name.
    settings: tuple[str, ...] = ()
    #: Those of them without which it has no elements.
    required: tuple[str, ...] = ()
    #: Settings that name a field and that this data type needs: where one is not set, the first of these names that the
    #: stream's schema has.
    default_fields: Mapping[str, Sequence[str]] = field(default_factory=dict)
    #: Whether an element is the catalog's primary key, if there is one, unless `value` names a field.
    primary_key: bool = False
    #: Whether that key is of Redis's type string, as a counter is.
    string: bool = False
    #: Whether the server parses a record as JSON, so that it may refuse its depth.
    parsed: bool = False


@dataclass(frozen=True, slots=True)
class RedisRecord:
    """A stored record: id, time (milliseconds, as received), data, and the JSON of `_airbyte_meta` if stored."""

    id: int
    emitted_at: bytes
    data: bytes
    meta: bytes | None = None


@dataclass(frozen=True, slots=True)
class RecordOptions:
    """The options for writing a sync's records, in addition to their data type."""

    record_format: RecordFormat = "envelope"
    #: The sync's id, which goes into `_airbyte_meta`.
    sync_id: int | None = None
    generation_id: int | None = None
    #: Whether every record has all of Airbyte's metadata, not only the necessary part.
    full: bool = False
    #: The numbers that limit some data types, by the names of their settings.
    limits: Mapping[str, int] = field(default_factory=dict)
    #: The stream's name, for messages.
    stream: str = ""
    #: The cursor's path in a record's data, and how its values compare; () for none.
    cursor: Path = ()
    cursor_order: Order = Order.TEXT
    #: The top-level fields of which an element consists, by the names of their settings, and those that are times.
    fields: Mapping[str, str] = field(default_factory=dict)
    times: frozenset[str] = frozenset()
    #: The number of dimensions of the top-level fields that are vectors, by name; it is not needed to read them.
    vectors: Mapping[str, int] = field(default_factory=dict)
    #: The paths of the primary key in the catalog, in any sync mode; () for none.
    primary_key: tuple[Path, ...] = ()


#: (command, number of arguments after its key) -> the bytes before and after the packed key.
Start = Callable[[bytes, int], tuple[bytes, bytes]]
#: (id, record) -> a packed command; empty if the record is gathered, to be sent later.
Encoder = Callable[[int, Record], bytes]
#: (id, record) -> the number of arguments it added.
Gatherer = Callable[[int, Record], int]
#: (id, cursor, record) -> an upsert's packed arguments and how many they are; the first is the number of the others.
UpsertEncoder = Callable[[int, bytes, Record], tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Lua:
    """The parts of scripts that depend on the data type.

    `kind` is TYPE's reply for a record's key. `read` are statements that return, for `key` of that kind: the record's
    id (nil if it is not a record of this data type), its cursor, and whether it is a staged deletion. `size` is an
    expression that is 0 if there is no `key`, else a positive number; it may raise WRONGTYPE for a key of another kind.
    `write` replaces `key` with the arguments from `upsert_encoder`, ARGV from `at` to `last`; `mark` replaces it with a
    staged deletion. In both, `held` is the id of the record that is replaced, or nil, `size` is what the expression
    gave, and `kept` the text to store as the cursor; the first write must be one that a server refuses when it is out
    of memory. Both are empty in a format without upserts.
    """

    kind: str
    read: str
    size: str = "redis.call('EXISTS', key)"
    write: str = ""
    mark: str = ""


@dataclass(frozen=True, slots=True)
class Collection:
    """The parts of scripts that depend on the data type, for types that hold all records of a stream in one key.

    `append` are statements that add the elements in ARGV, from the fourth argument on, to KEYS[2], except the first
    `skip`; the first of them has the id `first`. The first write must be one that a server refuses when it is out of
    memory. `discard_unacknowledged` removes the newest elements, with the ids `low` + 1 to `sent`, from KEYS[2]; they
    are `count`, for some ids may have no element. It is empty if sending them again adds nothing. `merge` moves up to
    `most` elements from KEYS[2] to the end of KEYS[3]; the last script leaves no KEYS[2]. Elements that stay there
    until then are told from the others by `position`, a number that is 0 in the first script and kept for the next one.
    KEYS[4] and KEYS[5] are for parts, and must not exist after a script. `width` returns the number of arguments of an
    element, given its first one.
    """

    append: str
    discard_unacknowledged: str
    merge: str
    width: Callable[[bytes], int] = lambda _: 1


class RedisCache(Protocol):
    """Converts records to one Redis data type, and stored values back to records."""

    capabilities: ClassVar[Capabilities]

    def __init__(self, options: RecordOptions) -> None:
        """Take the options for writing records."""

    def get_all(self, client: "Redis", keys: Iterable[bytes]) -> Iterator[RedisRecord]:
        """Yield the records stored under `keys`, in their order; missing keys and foreign values are skipped.

        An id that is not stored is 0, a time that is not stored is empty.
        """

    def probes(self, key: bytes) -> Sequence[Sequence[str | bytes]]:
        """Return the commands that a sync or its scripts send, to be tried on a key that does not exist."""


class KeyedCache(RedisCache, Protocol):
    """A data type in which each record has its own key."""

    @property
    def lua(self) -> Lua:
        """How scripts read and write a record of this type."""

    def encoder(self, keys: KeyTemplate, start: Start) -> Encoder:
        """Return a function that packs the one command to store a record under the key of its id."""

    def upsert_encoder(self) -> UpsertEncoder:
        """Return a function that packs the arguments of an upsert: id and cursor, then what `lua.write` needs."""


@runtime_checkable
class CollectionCache(RedisCache, Protocol):
    """A data type that holds all records of a stream in one key."""

    @property
    def collection(self) -> Collection:
        """How scripts append, remove and move elements."""

    def gatherer(self, parts: list[bytes]) -> Gatherer:
        """Return a function that adds a record, as packed arguments, to `parts`.

        It adds nothing if it raises NoElement or RejectedRecord.
        """


def plain(command: bytes, arguments: int) -> tuple[bytes, bytes]:
    """Return the `Start` of a command that is sent without a script."""
    return b"*%d\r\n$%d\r\n%b\r\n" % (2 + arguments, len(command), command), b""


def read_all(
    client: "Redis",
    keys: Iterable[bytes],
    command: Callable[[bytes], Sequence[str | bytes]],
    record: Callable[[bytes, Any], RedisRecord | None],
) -> Iterator[RedisRecord]:
    """Yield the records of `keys`, made by `record` from (key, reply to its command), in pipelines of `READ` keys."""
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
