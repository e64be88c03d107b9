"""Histories of one row: upserts, deletions with a cursor and deletions without one, and what they come to."""

import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from destination_redis.config.parse import parse_config
from destination_redis.connection.clients import connect
from destination_redis.keys import StreamKeys
from destination_redis.ledger.lease import StreamLease
from destination_redis.placements import Target
from destination_redis.placements.record_scripts import Scripts
from destination_redis.placements.upserts import FlushRequired, Upserts
from destination_redis.protocol.catalog import parse_catalog
from destination_redis.protocol.messages import decode
from destination_redis.transport.pipeline import Pipeline
from integration_tests.support.data_types import HASH, Shape, keyed_cache
from integration_tests.support.messages import Json, record
from integration_tests.support.servers.server import Server

SCHEMA = {"properties": {"at": {"type": "integer"}, "_ab_cdc_deleted_at": {"type": "string"}}}


@dataclass(frozen=True)
class Change:
    """What a source sends of a row; `value` is None where it deletes the row."""

    key: int
    cursor: int | None
    value: int | None

    @property
    def floor(self) -> bool:
        """Whether it is a deletion without a cursor."""
        return self.value is None and self.cursor is None

    @property
    def message(self) -> Json:
        message = record(0)
        data: dict[str, Any] = {"id": self.key, "at": self.cursor, "value": self.value}
        if self.value is None:
            data["_ab_cdc_deleted_at"] = "now"
        message["record"]["data"] = data
        return message


def outcome(changes: Sequence[Change]) -> int | None:
    """Return the value of a row after these changes, in the order of arrival; None where it is deleted.

    The newest by (cursor, arrival) of what lies above the last deletion without a cursor.
    """
    last_floor = max((arrival for arrival, change in enumerate(changes) if change.floor), default=-1)
    counting = list(enumerate(changes))[last_floor + 1 :]
    orders = [(-1 if change.cursor is None else change.cursor, arrival) for arrival, change in counting]
    return changes[max(orders)[1]].value if orders else None


def all_kinds(key: int = 0) -> list[Change]:
    """Return one change of every kind; values are given by `numbered`."""
    upserts = [Change(key, cursor, 0) for cursor in (None, 1, 2)]
    return [*upserts, *(Change(key, cursor, None) for cursor in (None, 1, 2))]


def numbered(history: Sequence[Change], key: int) -> list[Change]:
    """Return the history as one of the row `key`; each upsert has a value that tells which it is."""
    return [
        Change(key, change.cursor, None if change.value is None else position)
        for position, change in enumerate(history, 1)
    ]


def all_histories(most: int) -> Iterator[tuple[Change, ...]]:
    """Yield every history of up to `most` changes."""
    for length in range(1, most + 1):
        yield from itertools.product(all_kinds(), repeat=length)


@contextmanager
def written(
    server: Server,
    configured: Json,
    changes: Sequence[Change],
    *,
    staged: bool,
    shape: Shape = HASH,
    soft: bool = False,
    together: int = 1,
    expire_at: str = "",
    ttl: int = 0,
) -> Iterator[tuple[Pipeline, list[bytes]]]:
    """Yield a pipeline, and the changes as the commands that a sync sends, whose ids are 1, 2, 3 …

    So many changes are gathered `together`.
    """
    (parsed,) = parse_catalog(json.dumps({"streams": [configured]}).encode())
    plan = replace(parsed, expire_at=expire_at, expiry=ttl)
    cache = keyed_cache(shape)
    with connect(parse_config(server.config)) as servers:
        pipeline = Pipeline(servers)
        pipeline.open()
        pipeline.many_keys = True
        lease = StreamLease(pipeline, plan, StreamKeys("default", "users"), "token")
        lease.take(busy=lambda *_: None)
        pipeline.flush()
        if expire_at:  # noted at the start of a sync
            lease.update(replace(lease.value, expires=True, deletes=True))
            pipeline.flush()
        write, take, *_ = Upserts(Target(lease, cache, staged, soft), Scripts(pipeline)).writer()
        commands = []
        for number, change in enumerate(changes, 1):
            message = decode(json.dumps(change.message).encode())
            assert message.record
            while True:
                try:
                    write(number, message.record)
                    if number % together == 0 or number == len(changes):
                        commands += take()
                    break
                except FlushRequired:
                    pipeline.flush()
        yield pipeline, commands
        pipeline.flush()
        pipeline.close()
