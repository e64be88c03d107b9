"""The ledger as Redis holds it, read back as a value."""

import dataclasses
from collections.abc import Mapping, Sequence

from destination_redis.ledger.ledger import Dropped, Generation, Ledger, Loss, OwnKey, RejectedId, Task
from destination_redis.ledger.storage import Storage, stored_as
from destination_redis.protocol.catalog import PRIMARY_KEY

# The first id of a stream with primary keys is a time in microseconds, which is above this.
_MICROSECONDS = 10**14


def parse(reply: Sequence[bytes], counter: bytes) -> Ledger:
    """Return the ledger in a reply to HGETALL, or of the Java connector's counter if there is no ledger.

    A counter above `committed` was written by the Java connector: its records are live, and ids continue above them.
    """
    stored = {reply[i].decode(): reply[i + 1].decode() for i in range(0, len(reply), 2)}
    count = int(counter or b"0")
    # A sync that died before its first update leaves a hash with only the writer's fields.
    if "reserved" not in stored and count > _MICROSECONDS:
        # The Java connector never counts this far: this is a stream of upserts whose ledger, and so format, is lost.
        live = Generation(committed=count, storage=Storage(PRIMARY_KEY))
        return Ledger(live, reserved=count, loss=Loss.LOST)
    ledger = _stored(stored) if "reserved" in stored else Ledger()
    if ledger.counted and count > ledger.live.committed:
        live = dataclasses.replace(ledger.live, committed=count)
        return dataclasses.replace(ledger, live=live, reserved=max(count, ledger.reserved))
    return ledger


def _stored(stored: Mapping[str, str]) -> Ledger:
    def number(name: str) -> int:
        return int(stored.get(name) or 0)

    live = _generation("", stored, Generation())
    where = (stored.get("drop_placement") or live.placement, stored.get("drop_template", ""))
    drop = Dropped(number("drop_first"), number("drop_last"), *where, number("drop_key_parts") or None)
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
        expires=number("expires") == 1,
        sent=number("sent"),
        rejected=RejectedId(number("rejected_record_id"), number("rejected")),
        rejected_sent=number("rejected_sent"),
        own_key=OwnKey(stored.get("own_key", "")),
    )


def _generation(prefix: str, stored: Mapping[str, str], default: Generation) -> Generation:
    """Return a generation; missing fields of its storage are taken from `default`."""

    def text(name: str) -> str:
        return stored.get(prefix + name, "")

    return Generation(
        number=int(text("generation")) if text("generation") else None,
        sync_id=int(text("sync_id")) if text("sync_id") else None,
        first=int(text("first") or 1),
        committed=int(text("committed") or 0),
        storage=stored_as(prefix, stored, default.storage),
    )
