"""The keys of streams, found by SCAN: one pass over a server for all of them."""

from collections.abc import Iterator, Mapping

from destination_redis.claim import Claim, Lease
from destination_redis.keys import pattern, record_part
from destination_redis.pipeline import Lane

#: Keys a SCAN looks at in one step: large, since each step is a round trip, and small beside a server's patience.
_COUNT = 2000

Around = tuple[bytes, bytes]


def scan(lane: Lane, lease: Lease, places: Mapping[Around, Claim]) -> Iterator[list[tuple[Claim, bytes, bytes]]]:
    """Yield, step by step, (claim, key, record's part) of every key in one of `places`; the part may hold colons.

    A key that is there from beginning to end is found, maybe more than once. Whose key it is, and whether it is a
    record at all, is for the caller to find out.
    """
    # No head is the beginning of another: names hold no colons, and each head ends with one.
    heads = {head: (tail, claim) for (head, tail), claim in places.items()}
    lengths = sorted({len(head) for head in heads})
    match = (b"MATCH", pattern(next(iter(places)))) if len(places) == 1 else ()
    cursor: bytes = b"0"
    while True:
        reply = lane.call("SCAN", cursor, *match, "COUNT", _COUNT)
        assert isinstance(reply, list)
        cursor, keys = reply
        found = []
        for key in keys:
            for length in lengths:
                tail, claim = heads.get(key[:length], (b"", None))
                if claim is not None and (part := record_part(key, (key[:length], tail))) is not None:
                    found.append((claim, key, part))
                    break
        if found:
            yield found
        lease.keep()
        if cursor == b"0":
            return
