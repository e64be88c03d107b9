"""The ledger: what of a stream is committed and staged, as a value. One small hash per stream holds it."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Literal

from destination_redis.caches import RecordFormat, Written
from destination_redis.streams import COLLECTION, PRIMARY_KEY, SEQUENCE

#: Ids above it began with a time: where upserts live by primary key, the first is one.
_MICROSECONDS = 10**14
#: What `lost` says; the scripts know the first.
LOST, LOST_BEFORE = 1, 2


@dataclass(frozen=True, slots=True)
class Home:
    """Where the records of a generation live and how they are written: only a refresh changes it."""

    placement: str
    #: By primary key, its paths as JSON.
    key_fields: str
    written: Written

    def fields(self, prefix: str = "") -> dict[str, int | str | None]:
        """Return the ledger's fields that say so."""
        cache_type, record_format = self.written
        return {
            f"{prefix}placement": self.placement,
            f"{prefix}key_fields": self.key_fields,
            f"{prefix}cache_type": cache_type,
            f"{prefix}record_format": record_format,
        }

    def __str__(self) -> str:
        kept = {PRIMARY_KEY: f"by the primary key {self.key_fields}", COLLECTION: "in one key"}
        said = kept.get(self.placement, "by sequential ids")
        return f"as {self.written.cache_type} ({self.written.record_format}) {said}"


@dataclass(frozen=True, slots=True)
class Ledger:
    """What holds for a stream; ids are inclusive, one sequence for live and staged."""

    generation: int | None = None
    sync_id: int | None = None
    first: int = 1
    committed: int = 0
    #: 0 where nothing is staged.
    staged_first: int = 0
    staged_committed: int = 0
    staged_generation: int | None = None
    staged_sync_id: int | None = None
    #: No id above it has been sent.
    reserved: int = 0
    #: "promote" or "merge": under way since the move that says so, done again by whoever finds it. "remove" is what is
    #: left of a promotion whose collection is in place already, while the old records had keys of their own.
    task: str = ""
    #: Staged ids of an older sync that go away, and where they live; 0 to 0 where none do.
    drop_first: int = 0
    drop_last: int = 0
    drop_placement: str = ""
    #: LOST where a server lost acknowledged moves: only a sync that replaces may begin, and not go on with what is
    #: staged; LOST_BEFORE once one has begun.
    lost: int = 0
    #: The home of the live records, and of the staged ones; empty where nothing is staged.
    placement: str = SEQUENCE
    key_fields: str = ""
    cache_type: str = "hash"
    record_format: RecordFormat = "envelope"
    staged_placement: str = ""
    staged_key_fields: str = ""
    staged_cache_type: str = ""
    staged_record_format: RecordFormat | Literal[""] = ""
    #: By primary key: what orders its records, how often that changed, and 1 from the first deletion on.
    cursor: str = ""
    cursor_epoch: int = 0
    deletes: int = 0
    #: In a collection: the last id that was written to it. Its own scripts keep it, moves set it where a sync begins.
    sent: int = 0

    @property
    def new(self) -> bool:
        """Whether no id was ever given out."""
        return self.reserved == 0

    @property
    def live(self) -> bool:
        """Whether any live record may exist."""
        # By primary key what was not acknowledged stays; a clean end leaves nothing reserved.
        last = self.reserved if self.placement == PRIMARY_KEY else self.committed
        return bool(self.lost) or last >= self.first

    @property
    def collected(self) -> bool:
        """Whether the stream's key is its collection, not its counter."""
        return self.placement == COLLECTION or self.task == "remove"

    @property
    def staged(self) -> bool:
        """Whether a generation is staged, be it empty."""
        return self.staged_first > 0

    @property
    def home(self) -> Home:
        """The live records' home."""
        return Home(self.placement, self.key_fields, Written(self.cache_type, self.record_format))

    @property
    def shown(self) -> Home:
        """The home of the records that are there to be read."""
        return self.staged_home if self.task == "remove" else self.home

    @property
    def staged_home(self) -> Home:
        """The staged records' home; what a ledger does not say is as with the live ones."""
        written = Written(self.staged_cache_type or self.cache_type, self.staged_record_format or self.record_format)
        return Home(self.staged_placement or self.placement, self.staged_key_fields, written)

    @property
    def top(self) -> int:
        """The last acknowledged id, live or staged."""
        return max(self.committed, self.staged_committed)

    @property
    def key_parts(self) -> int | None:
        """The number of parts a live record's key has after the stream's name; None where that is not known."""
        if self.key_fields:
            return len(json.loads(self.key_fields))
        return None if self.placement == PRIMARY_KEY else 1

    def beside(self, *, collection: bool) -> "Ledger":
        """Return this ledger as it holds where the stream's key is a collection, or is not.

        Of a promotion from records with keys of their own to a collection the key itself tells how far it is: a server
        that was replaced may be a step behind, or ahead of, what the writer then made the ledger say.
        """
        if self._turns and self.staged_placement == COLLECTION:
            return dataclasses.replace(self, task="remove" if collection else "promote")
        return self

    def fits(self, *, collection: bool) -> bool:
        """Return whether the stream's key may be a collection, or may be none."""
        # After a loss the two may be of different times, and only a refresh begins, which replaces both.
        return bool(self.lost) or self._turns or self.collected == collection

    @property
    def _turns(self) -> bool:
        """Whether a promotion to or from a collection is under way."""
        ends = (self.placement, self.staged_placement)
        return self.task in ("promote", "remove") and ends.count(COLLECTION) == 1 and all(ends)

    def begun_at(self, first: int) -> "Ledger":
        """Return this ledger, so far without any id, with `first` as the first one."""
        return dataclasses.replace(self, first=first, committed=first - 1, reserved=first - 1)

    def fields(self) -> list[str]:
        """Return field, value, field, value … as the hash holds them, but for `sent`."""
        flat: list[str] = []
        for each in dataclasses.fields(self):
            if each.name == "sent":
                continue
            value = getattr(self, each.name)
            flat += [each.name, "" if value is None else str(value)]
        return flat


def parse(reply: list[bytes], counter: bytes) -> Ledger:
    """Return the ledger of an HGETALL's reply, or of the Java connector's counter where there is none.

    A counter above `committed` is the Java connector's work: its records are live, ids go on above them.
    """
    stored = {reply[i].decode(): reply[i + 1].decode() for i in range(0, len(reply), 2)}
    values: dict[str, int | str | None] = {}
    for each in dataclasses.fields(Ledger):
        if each.name in stored:
            text = stored[each.name]
            values[each.name] = text if isinstance(each.default, str) else int(text) if text else None
    # A claim that died before its first move leaves a hash that names a writer and says nothing else.
    if "reserved" not in stored and counter and int(counter) > _MICROSECONDS:
        # No count of the Java connector's: the ledger of upserts is gone, and how they lived is known no more.
        ids = int(counter)
        return Ledger(first=1, committed=ids, reserved=ids, lost=LOST, placement=PRIMARY_KEY)
    ledger = Ledger(**values)  # type: ignore[arg-type] # by the fields' names
    if counter and int(counter) > ledger.committed:
        committed = int(counter)
        ledger = dataclasses.replace(ledger, committed=committed, reserved=max(committed, ledger.reserved))
    return ledger
