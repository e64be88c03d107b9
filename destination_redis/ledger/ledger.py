"""The ledger: what is committed, staged and under way for a stream, as a value. A small hash per stream holds it."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from destination_redis.caches import StorageFormat
from destination_redis.protocol.catalog import COLLECTION, PRIMARY_KEY, SEQUENCE

#: Ids above it began with a time in microseconds: where upserts live by primary key, the first id is one.
_MICROSECONDS = 10**14

Fields = dict[str, int | str | None]

_DEFAULT = StorageFormat()


class Task(StrEnum):
    """What is under way. Whoever finds it does it again, from its beginning."""

    NONE = ""
    #: The staged generation becomes the live one.
    PROMOTE = "promote"
    #: The staged records are added to the live ones.
    MERGE = "merge"
    #: The rest of a promotion whose collection is in place already, while the old records have keys of their own.
    REMOVE = "remove"


class Loss(IntEnum):
    """Whether a server lost acknowledged changes of the ledger; scripts know LOST by its number."""

    NONE = 0
    #: Only a sync that replaces the stream may begin, and it must not go on with what is staged.
    LOST = 1
    #: Such a sync has begun: whatever it stages was sent after the loss.
    BEFORE_STAGED = 2


@dataclass(frozen=True, slots=True)
class Storage:
    """Where the records of a generation live, and how they are written. Only a refresh changes it."""

    placement: str = SEQUENCE
    #: By primary key: the paths of its fields, as JSON.
    key_fields: str = ""
    storage_format: StorageFormat = _DEFAULT

    @property
    def key_parts(self) -> int | None:
        """The number of parts a record's key has after the stream's name; None where that is not known."""
        if self.key_fields:
            return len(json.loads(self.key_fields))
        return None if self.placement == PRIMARY_KEY else 1

    def __str__(self) -> str:
        kept = {PRIMARY_KEY: f"by the primary key {self.key_fields}", COLLECTION: "in one key"}
        said = kept.get(self.placement, "by sequential ids")
        return f"as {self.storage_format.cache_type} ({self.storage_format.record_format}) {said}"


@dataclass(frozen=True, slots=True)
class Generation:
    """Records that become visible, and go, together."""

    #: The catalog's generation_id and sync_id, by which a generation is known.
    number: int | None = None
    sync_id: int | None = None
    #: Its first id, and the last one that an acknowledged state covers; below `first` where none does.
    first: int = 1
    committed: int = 0
    storage: Storage = Storage()

    @property
    def pair(self) -> tuple[int | None, int | None]:
        """What a sync of the same generation has too: (generation_id, sync_id)."""
        return self.number, self.sync_id

    @property
    def placement(self) -> str:
        """Where its records live."""
        return self.storage.placement

    @property
    def acknowledged(self) -> bool:
        """Whether a state covers any of its records."""
        return self.committed >= self.first


@dataclass(frozen=True, slots=True)
class Dropped:
    """Staged ids of an older sync that are to be removed, both inclusive, and where they live."""

    first: int
    last: int
    placement: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """What holds for a stream. Ids are one sequence for live and staged records."""

    live: Generation = Generation()
    staged: Generation | None = None
    #: No id above it has been sent.
    reserved: int = 0
    task: Task = Task.NONE
    dropped: Dropped | None = None
    loss: Loss = Loss.NONE
    #: By primary key: what orders its records, how often that changed, and whether any record was ever deleted.
    cursor: str = ""
    cursor_epoch: int = 0
    deletes: bool = False
    #: In a collection: the last id that was written to it. Its own scripts keep it.
    sent: int = 0

    @property
    def new(self) -> bool:
        """Whether no id was ever given out."""
        return self.reserved == 0

    @property
    def newest(self) -> Generation:
        """The generation that the latest records belong to."""
        return self.staged or self.live

    @property
    def has_live(self) -> bool:
        """Whether any live record may exist."""
        # By primary key what was not acknowledged stays; a clean end leaves nothing reserved.
        last = self.reserved if self.live.placement == PRIMARY_KEY else self.live.committed
        return self.loss is not Loss.NONE or last >= self.live.first

    @property
    def top(self) -> int:
        """The last acknowledged id, live or staged."""
        return max(self.live.committed, self.staged.committed if self.staged else 0)

    @property
    def collected(self) -> bool:
        """Whether the stream's key is its collection, not its counter."""
        return self.live.placement == COLLECTION or self.task is Task.REMOVE

    @property
    def readable(self) -> Storage:
        """The storage of the records that can be read."""
        return self.staged.storage if self.staged and self.task is Task.REMOVE else self.live.storage

    def agrees(self, *, collection: bool) -> bool:
        """Return whether the stream's key may be a collection, or may be none."""
        # After a loss the two may be of different times, and only a refresh begins, which replaces both.
        return self.loss is not Loss.NONE or self.changes_key or self.collected == collection

    @property
    def changes_key(self) -> bool:
        """Whether a promotion is under way that turns the stream's key into a collection, or a collection into it."""
        if self.staged is None or self.task not in (Task.PROMOTE, Task.REMOVE):
            return False
        return (self.live.placement == COLLECTION) != (self.staged.placement == COLLECTION)

    def fields(self) -> list[str]:
        """Return field, value, field, value … as the hash holds them, but for `sent`."""
        staged = self.staged or Generation(first=0)
        dropped = self.dropped or Dropped(0, 0, "")
        values: Fields = {
            **_generation_fields("", self.live),
            **_generation_fields("staged_", staged),
            "reserved": self.reserved,
            "task": self.task,
            "drop_first": dropped.first,
            "drop_last": dropped.last,
            "drop_placement": dropped.placement,
            "lost": int(self.loss),
            "cursor": self.cursor,
            "cursor_epoch": self.cursor_epoch,
            "deletes": int(self.deletes),
        }
        return [text for name, value in values.items() for text in (name, "" if value is None else str(value))]


def parse(reply: Sequence[bytes], counter: bytes) -> Ledger:
    """Return the ledger of an HGETALL's reply, or of the Java connector's counter where there is none.

    A counter above `committed` is the Java connector's work: its records are live, ids go on above them.
    """
    stored = {reply[i].decode(): reply[i + 1].decode() for i in range(0, len(reply), 2)}
    count = int(counter or b"0")
    # A claim that died before its first move leaves a hash that names a writer and says nothing else.
    if "reserved" not in stored and count > _MICROSECONDS:
        # No count of the Java connector's: the ledger of upserts is gone, and how they lived is known no more.
        live = Generation(committed=count, storage=Storage(PRIMARY_KEY))
        return Ledger(live, reserved=count, loss=Loss.LOST)
    ledger = _stored(stored) if "reserved" in stored else Ledger()
    if count > ledger.live.committed:
        live = dataclasses.replace(ledger.live, committed=count)
        return dataclasses.replace(ledger, live=live, reserved=max(count, ledger.reserved))
    return ledger


def _stored(stored: Mapping[str, str]) -> Ledger:
    def number(name: str) -> int:
        return int(stored.get(name) or 0)

    live = _generation("", stored, Generation())
    drop = Dropped(number("drop_first"), number("drop_last"), stored.get("drop_placement") or live.placement)
    return Ledger(
        live=live,
        staged=_generation("staged_", stored, live) if number("staged_first") else None,
        reserved=number("reserved"),
        task=Task(stored.get("task", "")),
        dropped=drop if drop.last else None,
        loss=Loss(number("lost")),
        cursor=stored.get("cursor", ""),
        cursor_epoch=number("cursor_epoch"),
        deletes=number("deletes") == 1,
        sent=number("sent"),
    )


def _generation_fields(prefix: str, generation: Generation) -> Fields:
    cache_type, record_format = generation.storage.storage_format
    return {
        f"{prefix}generation": generation.number,
        f"{prefix}sync_id": generation.sync_id,
        f"{prefix}first": generation.first,
        f"{prefix}committed": generation.committed,
        f"{prefix}placement": generation.storage.placement,
        f"{prefix}key_fields": generation.storage.key_fields,
        f"{prefix}cache_type": cache_type,
        f"{prefix}record_format": record_format,
    }


def _generation(prefix: str, stored: Mapping[str, str], default: Generation) -> Generation:
    """Return a generation; what the hash does not say of its storage is as in `default`."""

    def text(name: str) -> str:
        return stored.get(prefix + name, "")

    default_type, default_format = default.storage.storage_format
    storage_format = StorageFormat(text("cache_type") or default_type, text("record_format") or default_format)  # type: ignore[arg-type] # as kept
    return Generation(
        number=int(text("generation")) if text("generation") else None,
        sync_id=int(text("sync_id")) if text("sync_id") else None,
        first=int(text("first") or 1),
        committed=int(text("committed") or 0),
        storage=Storage(text("placement") or default.placement, text("key_fields"), storage_format),
    )
