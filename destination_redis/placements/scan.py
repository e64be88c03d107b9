"""The scan for the keys of streams: one pass over each server for all of them."""

from collections.abc import Iterator, Sequence
from typing import cast

from destination_redis.errors import config_error
from destination_redis.keys import KeyTemplate, Matcher
from destination_redis.ledger.heartbeat import LeaseHeartbeat
from destination_redis.ledger.lease import StreamLease
from destination_redis.transport.pipeline import Pipeline

#: Keys per SCAN step: many, since each step is a round trip, but few enough not to block a server.
_COUNT = 2000


def scan(
    pipeline: Pipeline, heartbeat: LeaseHeartbeat, places: Sequence[tuple[KeyTemplate, StreamLease]]
) -> Iterator[list[tuple[StreamLease, bytes, bytes]]]:
    """Yield, step by step, (lease, key, record's part) of every key that matches one of `places`.

    A key that exists during the whole scan is found at least once. The caller has to check whether it is a record, and
    whether it belongs to the stream.
    """
    matcher = Matcher(places)
    match = (b"MATCH", places[0][0].pattern) if len(places) == 1 else ()
    for keys in _all_keys(pipeline, match):
        found = [(lease, key, part) for key in keys for lease, part in matcher.match(key)]
        if found:
            yield found
        heartbeat.keep()


def _all_keys(pipeline: Pipeline, match: tuple[bytes, ...]) -> Iterator[list[bytes]]:
    for server in pipeline.servers:
        cursor: bytes | None = None
        while cursor != b"0":
            reply = pipeline.call("SCAN", cursor or b"0", *match, "COUNT", _COUNT, at=server)
            match reply:
                case [bytes() as cursor, [*keys]] if all(isinstance(key, bytes) for key in keys):
                    yield cast("list[bytes]", keys)
                case _:
                    raise config_error("The server's reply to SCAN has no cursor and keys: a refresh needs both")
