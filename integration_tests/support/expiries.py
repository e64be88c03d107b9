"""Records with an expiry of their own (expire_at), and the expiries that their keys then have."""

import json
from typing import Any

from redis import Redis

from integration_tests.support.data_types import HASH, Shape, cache
from integration_tests.support.messages import Json, record

SCHEMA = {
    "properties": {
        "at": {"type": "integer"},
        "ends": {"type": "string", "format": "date-time"},
        "_ab_cdc_deleted_at": {"type": "string"},
    }
}
#: 2099-12-31T23:59:59.500Z, as text and in milliseconds.
TEXT, END = "2099-12-31T23:59:59.5Z", 4_102_444_799_500
PAST = "2020-01-01T00:00:00Z"
TTL = 1000
#: Seconds after which a record expires while a test waits.
SOON = 1.5
NOTHING: Json = {}
#: What a key has: no expiry, that of the time to live, or its own one.
FOREVER, BY_TTL, OWN = "forever", "by ttl", "own"


def row(key: int, at: int = 1, ends: object = NOTHING, **more: Any) -> Json:
    """Return a record with that cursor and expiry, without any where it is left out."""
    data = {"id": key, "at": at, "value": at, **({} if ends is NOTHING else {"ends": ends}), **more}
    return record(key, data=data)


def now(client: Redis) -> float:
    """Return the server's time in seconds."""
    seconds, microseconds = client.time()
    return float(seconds) + float(microseconds) / 1e6


def soon(client: Redis, seconds: float = SOON) -> float:
    """Return the server's time in some seconds."""
    return now(client) + seconds


def expiry(client: Redis, key: bytes | str, end: int = END) -> str | None:
    """Return what expiry a key has, of which its own one is `end`; None if it is not there."""
    left: Any = client.pttl(key)
    if left in (-1, -2):
        return FOREVER if left == -1 else None
    if abs(now(client) * 1000 + left - end) < 1000:
        return OWN
    assert (TTL - 100) * 1000 < left <= TTL * 1000, left
    return BY_TTL


def live(client: Redis, shape: Shape = HASH) -> dict[int, str | None]:
    """Return the "id" in every live record, and the expiry of its key."""
    found = {}
    for key in client.scan_iter("default:users:*"):
        (one,) = cache(shape).get_all(client, [key])
        found[int(json.loads(one.data)["id"])] = expiry(client, key)
    return dict(sorted(found.items()))
