"""The key `<namespace>:<stream>`: whether it holds the counter, the collection, or a value of another application.

The counter and some collections are of Redis's type string. So each script that puts one of them there notes it in the
ledger, in the same step: on every server the note is as old as the key. If a string has no note, its ledger is from a
version that had no such collections, or it was lost. Then the text decides.
"""

import re
from collections.abc import Iterator

from destination_redis.ledger.ledger import Ledger, Loss, OwnKey, Task
from destination_redis.ledger.storage import Storage
from destination_redis.protocol.catalog import COLLECTION

#: A counter of the Java connector or, with sequential ids, of this one; with primary keys, a time in microseconds.
_COUNTER = re.compile(rb"0|[1-9][0-9]{0,14}|[1-3][0-9]{15}")


def holds(ledger: Ledger, kind: bytes, text: bytes) -> OwnKey | None:
    """Return what the key holds, given TYPE's reply and the text of a short string; None if it is not the stream's."""
    if kind == b"none":
        return OwnKey.NONE
    counts = _COUNTER.fullmatch(text) is not None
    if kind != b"string":
        found = OwnKey.COLLECTION
    elif ledger.own_key is OwnKey.COLLECTION:
        return OwnKey.COLLECTION
    elif ledger.own_key is OwnKey.COUNTER:
        return OwnKey.COUNTER if counts else None
    elif _lost_string(ledger) and not (counts and ledger.changes_key):
        found = OwnKey.COLLECTION
    elif counts:
        found = OwnKey.COUNTER
    else:
        return None
    return found if ledger.agrees(collection=found is OwnKey.COLLECTION) else None


def _lost_string(ledger: Ledger) -> bool:
    """Return whether the server may have lost the note of a collection of type string."""
    return ledger.loss is not Loss.NONE and any(storage.in_string for storage in _collections(ledger))


def _collections(ledger: Ledger) -> Iterator[Storage]:
    """Yield the storages of the collections that the key may hold."""
    promoted = ledger.staged if ledger.task in (Task.PROMOTE, Task.REMOVE) else None
    for generation in filter(None, (ledger.live, promoted)):
        if generation.placement == COLLECTION and not generation.storage.template:
            yield generation.storage
