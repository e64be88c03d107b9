"""The keys of collections under a template, which have slots of their own: the script that takes a lease sees none."""

from collections.abc import Sequence
from functools import partial

from destination_redis.connection.many_keys import NO_COLLECTION_KEY
from destination_redis.errors import config_error
from destination_redis.keys import DataKeys
from destination_redis.ledger.lease import StreamLease
from destination_redis.ledger.ledger import Task
from destination_redis.protocol.catalog import COLLECTION
from destination_redis.resp import pack_command
from destination_redis.transport.pipeline import Pipeline
from destination_redis.transport.window import Kind


def check_collections(leases: Sequence[StreamLease], pipeline: Pipeline) -> None:
    """Check that the key of each collection is free or the stream's, and correct the ledgers by what is there.

    Raises a config error if a key is not the stream's, or if the server runs no script with keys of two slots.
    """
    if not pipeline.many_keys and uses_templates(leases):
        raise config_error(NO_COLLECTION_KEY)
    for lease in leases:
        for keys in _not_yet(lease):
            replies: list[object] = []
            commands = [pack_command("EXISTS", key) for key in (keys.staged_collection, keys.collection)]
            pipeline.send(commands, partial(_both, lease, keys.collection, replies), Kind.OTHER)
    pipeline.flush()


def uses_templates(leases: Sequence[StreamLease]) -> bool:
    """Return whether any collection is or will be under a template."""
    return any(
        each.placement == COLLECTION and each.template
        for lease in leases
        for each in (lease.value.live.storage, lease.value.newest.storage, lease.wanted)
    )


def _not_yet(lease: StreamLease) -> list[DataKeys]:
    """Return the keys of collections that the ledger's task or this sync puts in place, but for the live one."""
    ledger = lease.value
    promotes = ledger.staged is not None and ledger.task in (Task.PROMOTE, Task.REMOVE)
    storages = [ledger.newest.storage, lease.wanted] if promotes else [lease.wanted]
    found = [each.keys_of(lease.keys) for each in storages if each.placement == COLLECTION and each.template]
    live = lease.live_keys.collection if ledger.live.placement == COLLECTION else b""
    return [keys for keys in dict.fromkeys(found) if keys.collection != live]


def _both(lease: StreamLease, key: bytes, replies: list[object], reply: object) -> None:
    replies.append(reply)
    if len(replies) == 2:
        lease.found_collection(key, staged=replies[0] == 1, final=replies[1] == 1)
