"""The ledger of a stream as a value: what is committed, staged and in progress. Redis holds it in a small hash."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import NamedTuple

from destination_redis.ledger.storage import Storage
from destination_redis.protocol.catalog import COLLECTION, PRIMARY_KEY

Fields = dict[str, int | str | None]

_DEFAULT = Storage()


class Task(StrEnum):
    """What is in progress. A sync that finds a task does it again from its beginning."""

    NONE = ""
    #: The staged generation becomes the live one.
    PROMOTE = "promote"
    #: The staged records are added to the live ones.
    MERGE = "merge"
    #: The rest of a promotion: the collection is already in place, and the old records, each with a key, are removed.
    REMOVE = "remove"


class Loss(IntEnum):
    """Whether a server lost acknowledged updates of the ledger; scripts set LOST by its number."""

    NONE = 0
    #: Only a sync that replaces the stream may start, and it must not continue the staged generation.
    LOST = 1
    #: Such a sync has started: all that it stages was sent after the loss.
    BEFORE_STAGED = 2


class OwnKey(StrEnum):
    """What the key `<namespace>:<stream>` holds. The scripts that put it there note it, unless its type is enough."""

    NONE = ""
    COUNTER = "counter"
    COLLECTION = "collection"


@dataclass(frozen=True, slots=True)
class Generation:
    """Records that become visible, and are removed, together."""

    #: The catalog's generation_id and sync_id, which identify a generation.
    number: int | None = None
    sync_id: int | None = None
    #: Its first id, and the last one that an acknowledged state covers; below `first` if none does.
    first: int = 1
    committed: int = 0
    storage: Storage = _DEFAULT

    @property
    def pair(self) -> tuple[int | None, int | None]:
        """(generation_id, sync_id): the same for all syncs of this generation."""
        return self.number, self.sync_id

    @property
    def placement(self) -> str:
        """The placement of its records."""
        return self.storage.placement

    @property
    def acknowledged(self) -> bool:
        """Whether a state covers any of its records."""
        return self.committed >= self.first


@dataclass(frozen=True, slots=True)
class Dropped:
    """Staged ids of an older sync to remove, first and last inclusive, and where they are."""

    first: int
    last: int
    placement: str
    template: str = ""
    #: By primary key: the number of parts of a record's key, None if it is not known.
    key_parts: int | None = None


class RejectedId(NamedTuple):
    """The id of a rejected record; in the Redis stream that keeps it, the entry `<record_id>-<number>`."""

    #: The id that the stream's next record has.
    record_id: int = 0
    #: Counts the rejected records of the stream; no number is used twice.
    number: int = 0

    def __str__(self) -> str:
        return f"{self.record_id}-{self.number}"


#: Before the first rejected record of a stream.
NOT_REJECTED = RejectedId()


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger of a stream. Live and staged ids are one sequence."""

    live: Generation = Generation()
    staged: Generation | None = None
    #: No id above it has been sent.
    reserved: int = 0
    task: Task = Task.NONE
    dropped: Dropped | None = None
    loss: Loss = Loss.NONE
    #: By primary key: what orders the records, how often that changed, and whether any record was ever deleted.
    cursor: str = ""
    cursor_epoch: int = 0
    deletes: bool = False
    #: With a key for each record: whether any record may have an expiry of its own.
    expires: bool = False
    #: In a collection: the last id that was written to it. The scripts of the collection maintain it.
    sent: int = 0
    #: The last rejected record that an acknowledged state covers, and the number of the last one that was written. The
    #: script that writes them maintains that number.
    rejected: RejectedId = NOT_REJECTED
    rejected_sent: int = 0
    #: What of Redis's type string the stream's key held when the ledger was read. The scripts that change it note it.
    own_key: OwnKey = OwnKey.NONE

    @property
    def new(self) -> bool:
        """Whether no id was ever assigned."""
        return self.reserved == 0

    @property
    def newest(self) -> Generation:
        """The generation of the latest records."""
        return self.staged or self.live

    @property
    def has_live(self) -> bool:
        """Whether any live record may exist."""
        # By primary key, unacknowledged records stay. After a clean end nothing is reserved.
        last = self.reserved if self.live.placement == PRIMARY_KEY else self.live.committed
        return self.loss is not Loss.NONE or last >= self.live.first

    @property
    def top(self) -> int:
        """The last acknowledged id, live or staged."""
        return max(self.live.committed, self.staged.committed if self.staged else 0)

    @property
    def staged_acknowledged(self) -> bool:
        """Whether a state covers any staged record, or any that was rejected since staging began."""
        staged = self.staged
        return staged is not None and (staged.acknowledged or self.rejected.record_id >= staged.first)

    @property
    def last_rejected(self) -> int:
        """The number of the last rejected record; 0 if there never was one."""
        return max(self.rejected.number, self.rejected_sent)

    @property
    def collected(self) -> bool:
        """Whether the stream's key is its collection, not its counter."""
        storage = self.readable
        return storage.placement == COLLECTION and not storage.template

    @property
    def counted(self) -> bool:
        """Whether the stream's key is its counter; with a template of its own there is none."""
        return not self.collected and not self.live.storage.template

    def uses_own_key(self, template: str) -> bool:
        """Return whether the stream's key is its counter or collection, or becomes that in a sync with `template`."""
        used = {template}
        if not self.new:
            used.add(self.live.storage.template)
        if self.staged and self.task in (Task.PROMOTE, Task.REMOVE):
            used.add(self.staged.storage.template)
        return "" in used

    @property
    def readable(self) -> Storage:
        """The storage of the records that can be read."""
        return self.staged.storage if self.staged and self.task is Task.REMOVE else self.live.storage

    def agrees(self, *, collection: bool) -> bool:
        """Return whether the ledger allows that the stream's key is a collection, or that it is not one."""
        # After a loss the key and the ledger may differ in age. Then only a refresh may start, which replaces both.
        return self.loss is not Loss.NONE or self.changes_key or self.collected == collection

    @property
    def changes_key(self) -> bool:
        """Whether a promotion is in progress between a collection and records with their own keys."""
        if self.staged is None or self.task not in (Task.PROMOTE, Task.REMOVE):
            return False
        return (self.live.placement == COLLECTION) != (self.staged.placement == COLLECTION)

    def fields(self) -> list[str]:
        """Return field, value, field, value … as stored in the hash, without what scripts maintain."""
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
            "drop_template": dropped.template,
            "drop_key_parts": dropped.key_parts,
            "lost": int(self.loss),
            "cursor": self.cursor,
            "cursor_epoch": self.cursor_epoch,
            "deletes": int(self.deletes),
            # Never reset, so most streams do without the field.
            **({"expires": 1} if self.expires else {}),
            "rejected": self.rejected.number,
            "rejected_record_id": self.rejected.record_id,
        }
        return [text for name, value in values.items() for text in (name, "" if value is None else str(value))]


def _generation_fields(prefix: str, generation: Generation) -> Fields:
    return {
        f"{prefix}generation": generation.number,
        f"{prefix}sync_id": generation.sync_id,
        f"{prefix}first": generation.first,
        f"{prefix}committed": generation.committed,
        **generation.storage.stored(prefix),
    }
