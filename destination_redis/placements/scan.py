"""The keys of streams, found by SCAN: one pass over a server for all of them."""

from collections.abc import Iterator, Mapping
from typing import cast

from destination_redis.errors import config_error
from destination_redis.keys import KeyTemplate
from destination_redis.ledger.lease import LeaseHeartbeat, StreamLease
from destination_redis.transport.pipeline import Pipeline

#: Keys a SCAN looks at in one step: large, since each step is a round trip, and small beside a server's patience.
_COUNT = 2000


def scan(
    pipeline: Pipeline, heartbeat: LeaseHeartbeat, places: Mapping[KeyTemplate, StreamLease]
) -> Iterator[list[tuple[StreamLease, bytes, bytes]]]:
    """Yield, step by step, (claim, key, record's part) of every key in one of `places`; the part may hold colons.

    A key that is there from beginning to end is found, maybe more than once. Whose key it is, and whether it is a
    record at all, is for the caller to find out.
    """
    # No head is the beginning of another: names hold no colons, and each head ends with one.
    heads = {template.head: (template, lease) for template, lease in places.items()}
    lengths = sorted({len(head) for head in heads})
    match = (b"MATCH", next(iter(places)).pattern) if len(places) == 1 else ()
    for keys in _all_keys(pipeline, match):
        found = []
        for key in keys:
            for length in lengths:
                place = heads.get(key[:length])
                if place is not None and (part := place[0].part(key)) is not None:
                    found.append((place[1], key, part))
                    break
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
                    raise config_error("The server's reply to SCAN has no cursor and keys: a refresh cannot go by it")
