"""The transitions of a ledger: pure functions from one ledger to the next, without a server.

A process may die between any two commands. So the ledger first names the task, then the keys are changed, and then the
ledger notes that the task is done. The ledger alone tells a later sync what to do.
"""

from dataclasses import dataclass, replace

from destination_redis.errors import config_error
from destination_redis.ledger.ledger import NOT_REJECTED, Dropped, Generation, Ledger, Loss, RejectedId, Task
from destination_redis.ledger.storage import Storage
from destination_redis.protocol.catalog import COLLECTION, PRIMARY_KEY, SEQUENCE, Stream

#: Ids reserved when a sync starts.
FIRST_RESERVE = 256


@dataclass(frozen=True, slots=True)
class Start:
    """How a sync starts."""

    ledger: Ledger
    #: Whether its records are staged instead of added to the live ones.
    stages: bool
    #: Whether it replaces live records, and whether it continues acknowledged staged ones.
    replaces_live: bool
    continues_staged: bool
    #: Whether the stream's key becomes a collection, or stops being one, because nothing is live.
    changes_key: bool

    @property
    def next_id(self) -> int:
        """The id of its first record."""
        return self.ledger.reserved - FIRST_RESERVE + 1


def first_ids(ledger: Ledger, storage: Storage, microseconds: int) -> Ledger:
    """Return the ledger with its first id, if none was ever assigned; `microseconds` is the server's time."""
    if not ledger.new:
        return ledger
    # By primary key no key shows which ids were used. A time rises even if a ledger was lost.
    first = microseconds if storage.placement == PRIMARY_KEY else 1
    live = replace(ledger.live, first=first, committed=first - 1)
    return replace(ledger, live=live, reserved=first - 1)


def dropping(ledger: Ledger, storage: Storage) -> Ledger:
    """Return the ledger before staged records are removed that no later sync will use.

    No state covers any of them, so the source sends them again; and they are not stored as `storage` says, so this sync
    could not continue them. Then `sent` is again that of the live records.
    """
    staged = ledger.staged
    if staged is None or ledger.staged_acknowledged or staged.storage == storage:
        return ledger
    sent = ledger.live.committed if staged.placement == COLLECTION else ledger.sent
    return replace(ledger, staged=None, dropped=_to_drop(ledger, storage), sent=sent)


def start(ledger: Ledger, stream: Stream, storage: Storage) -> Start:
    """Return how a sync of `stream` starts on a ledger without a task, after `dropping`.

    Raises a config error if the existing records do not fit, so that only a refresh helps.
    """
    empty = stream.starts_empty
    replaces = empty or (stream.truncates and ledger.live.pair != stream.pair)
    continues = ledger.staged is not None and ledger.staged.pair == stream.pair and not empty
    acknowledged = continues and ledger.staged_acknowledged
    if (ledger.loss and not replaces) or (ledger.loss is Loss.LOST and acknowledged):
        raise config_error(
            f"The server lost acknowledged data of the stream {stream}: refresh it, so that all of it is sent again"
        )
    if storage.placement == PRIMARY_KEY and not acknowledged:
        continues = False  # the source starts over, and may not resend the unacknowledged staged records
    if not replaces or continues:
        _refuse_other_storage(ledger, stream, storage, replaces=replaces)
    # A rejected record belongs to the generation that has its record id, so the next one begins above it.
    ledger = replace(ledger, reserved=max(ledger.reserved, ledger.rejected.record_id))
    begun = replace(_with_expiry(_with_order(ledger, stream), stream), reserved=ledger.reserved + FIRST_RESERVE)
    if not replaces:
        begun = _add_to_live(ledger, begun, stream, storage)
    elif continues:
        begun = _continue_staged(ledger, begun)
    else:
        begun = _stage(ledger, begun, stream, storage)
    if storage.placement == COLLECTION:
        begun = replace(begun, sent=ledger.reserved)
    live = ledger.live.storage  # another one is possible only if nothing is live
    return Start(
        begun,
        stages=replaces,
        replaces_live=replaces and ledger.has_live,
        continues_staged=replaces and acknowledged,
        changes_key=not replaces and live != storage and COLLECTION in (live.placement, storage.placement),
    )


def reserve(ledger: Ledger, last_id: int) -> Ledger:
    """Return the ledger that must be stored before the ids up to `last_id` are used."""
    return replace(ledger, reserved=last_id)


def commit(ledger: Ledger, last_id: int, rejected: RejectedId = NOT_REJECTED) -> Ledger:
    """Return the ledger once an acknowledged state covers the records up to `last_id`, and those up to `rejected`."""
    ledger = replace(ledger, rejected=max(rejected, ledger.rejected))
    if ledger.staged is not None:
        staged = replace(ledger.staged, committed=max(last_id, ledger.staged.committed))
        return replace(ledger, staged=staged)
    return replace(ledger, live=replace(ledger.live, committed=max(last_id, ledger.live.committed)))


def rejected_discarded(ledger: Ledger) -> Ledger:
    """Return the ledger once the rejected records that no state covers are removed; their numbers stay used."""
    return replace(ledger, rejected=ledger.rejected._replace(number=ledger.last_rejected))


def note_deletions(ledger: Ledger) -> Ledger:
    """Return the ledger that must be stored before the first deletion is sent."""
    return replace(ledger, deletes=True)


def promoting(ledger: Ledger) -> Ledger:
    """Return the ledger once the staged generation is complete, before any of its records becomes live."""
    return replace(ledger, task=Task.PROMOTE)


def collection_in_place(ledger: Ledger) -> Ledger:
    """Return the ledger once a collection has replaced the counter, while the old records still have their own keys."""
    return replace(ledger, task=Task.REMOVE)


def promoted(ledger: Ledger) -> Ledger:
    """Return the ledger once all of the staged generation is live, and the old one is removed."""
    staged = _staged(ledger)
    live = replace(staged, committed=max(staged.committed, staged.first - 1))
    # Records lost after its first one may be its own: then it is live, but has gaps.
    loss = Loss.LOST if ledger.loss is Loss.LOST else Loss.NONE
    return replace(ledger, live=live, staged=None, task=Task.NONE, loss=loss)


def merged(ledger: Ledger) -> Ledger:
    """Return the ledger once the staged records of a cancelled refresh are among the live ones."""
    return replace(ledger, live=replace(ledger.live, committed=ledger.top), staged=None, task=Task.NONE)


def dropped(ledger: Ledger) -> Ledger:
    """Return the ledger once the staged records of an older sync are removed."""
    return replace(ledger, dropped=None)


def released(ledger: Ledger) -> Ledger:
    """Return the ledger after a clean end: no id stays reserved, so only a crash leaves unused ids behind."""
    return replace(ledger, reserved=ledger.top)


def corrected(ledger: Ledger, *, collection: bool) -> Ledger:
    """Return the ledger corrected by whether the stream's key is a `collection`.

    In a promotion from records with their own keys to a collection, the key itself shows the progress. After a failover
    the server may be a step behind or ahead of what the writer then stored in the ledger.
    """
    if ledger.changes_key and _staged(ledger).placement == COLLECTION:
        return replace(ledger, task=Task.REMOVE if collection else Task.PROMOTE)
    return ledger


def _add_to_live(ledger: Ledger, begun: Ledger, stream: Stream, storage: Storage) -> Ledger:
    """Return the ledger of a sync that adds records; staged records of a cancelled refresh are merged first."""
    live = replace(ledger.live, number=stream.generation_id, sync_id=stream.sync_id, storage=storage)
    if storage.placement == COLLECTION:
        # Unacknowledged elements are counted from here: the ids of a sync have no gaps.
        empty = not ledger.has_live and ledger.staged is None
        first = ledger.reserved + 1 if empty else live.first
        live = replace(live, first=first, committed=ledger.reserved)
    return replace(begun, live=live, task=Task.NONE if ledger.staged is None else Task.MERGE)


def _continue_staged(ledger: Ledger, begun: Ledger) -> Ledger:
    staged = _staged(ledger)
    if staged.placement == COLLECTION:
        first = staged.first if ledger.staged_acknowledged else ledger.reserved + 1
        staged = replace(staged, first=first, committed=ledger.reserved)
    return replace(begun, staged=staged, loss=_before_staged(ledger))


def _stage(ledger: Ledger, begun: Ledger, stream: Stream, storage: Storage) -> Ledger:
    number, sync_id = (None, None) if stream.starts_empty else stream.pair
    staged = Generation(number, sync_id, ledger.reserved + 1, ledger.reserved, storage)
    return replace(begun, staged=staged, dropped=_to_drop(ledger, storage), loss=_before_staged(ledger))


def _to_drop(ledger: Ledger, storage: Storage) -> Dropped | None:
    if ledger.staged is None:
        # A server that lost the ledger may have kept the collection.
        lost = ledger.loss and storage.placement == COLLECTION
        return Dropped(1, ledger.reserved + 1, COLLECTION, storage.template) if lost else ledger.dropped
    staged = ledger.staged.storage
    # By sequence, unacknowledged records are already removed; in other placements they may still exist.
    last = ledger.staged.committed if staged.placement == SEQUENCE else ledger.reserved
    last = max(last, ledger.rejected.record_id)  # rejected records are removed by these ids as well
    if last < ledger.staged.first:
        return ledger.dropped
    return Dropped(ledger.staged.first, last, staged.placement, staged.template, staged.key_parts)


def _before_staged(ledger: Ledger) -> Loss:
    # All records of this generation are sent after the loss.
    return Loss.BEFORE_STAGED if ledger.loss else Loss.NONE


def _with_order(ledger: Ledger, stream: Stream) -> Ledger:
    """Return the ledger with the order of the stream's upserts; a new one makes everything before it older."""
    if not stream.order or stream.order == ledger.cursor:
        return ledger
    return replace(ledger, cursor=stream.order, cursor_epoch=ledger.cursor_epoch + bool(ledger.cursor))


def _with_expiry(ledger: Ledger, stream: Stream) -> Ledger:
    """Return the ledger with the note that records may have expiries of their own.

    By primary key, a record whose time is past is a deletion, so all upserts must look for tombstones.
    """
    if not stream.expire_at:
        return ledger
    return replace(ledger, expires=True, deletes=ledger.deletes or stream.placement == PRIMARY_KEY)


def _refuse_other_storage(ledger: Ledger, stream: Stream, storage: Storage, *, replaces: bool) -> None:
    kept = [ledger.live.storage] if ledger.has_live and not replaces else []
    kept += [ledger.staged.storage] if ledger.staged else []
    for each in kept:
        if each != storage:
            raise config_error(
                f"The records of the stream {stream} are stored {each}, but this sync would store them {storage}: "
                "refresh the stream, so that all records are sent again"
            )


def _staged(ledger: Ledger) -> Generation:
    assert ledger.staged is not None, "Nothing is staged"
    return ledger.staged
