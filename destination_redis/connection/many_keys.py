"""Many keys in one script: a single server runs it, a node of a cluster or a proxy that shards by key may not."""

import uuid
from collections.abc import Callable, Sequence

from redis import exceptions as redis_errors

from destination_redis.connection.slots import slot_of
from destination_redis.errors import RetryDecision, retry_decision
from destination_redis.keys import check_key

#: Keys that are tried, each of another slot.
_TRIED = 16
#: Its keys expire after ten seconds, should they not be removed.
_SCRIPT = "for _, key in ipairs(KEYS) do redis.call('SET', key, ARGV[1], 'EX', 10) end return #KEYS"
VALUE = b"probe"

#: What `check` and the log say where it is not possible.
ONE_KEY = (
    "The server does not run a script with keys of several slots: each record has a script of its own, which is slower"
)
#: The error where a collection has a key of its own.
NO_COLLECTION_KEY = (
    "The server does not run a script with keys of several slots, as collection_key needs: leave it empty"
)


def probe_keys(prefix: str) -> list[bytes]:
    """Return new keys, each of another slot."""
    token = uuid.uuid4().hex
    by_slot: dict[int, bytes] = {}
    number = 0
    while len(by_slot) < _TRIED:
        key = b"%b%d" % (check_key(prefix, token), number)
        by_slot[slot_of(key)] = key
        number += 1
    return list(by_slot.values())


def writes_all(execute: Callable[..., object], keys: Sequence[bytes]) -> bool | None:
    """Return whether one script can write all keys, each with `VALUE`; None after an error that may pass."""
    try:
        return execute("EVAL", _SCRIPT, len(keys), *keys, VALUE) == len(keys)
    except (redis_errors.RedisError, OSError) as error:
        return False if retry_decision(error) is RetryDecision.FAIL else None


def takes_many_keys(execute: Callable[..., object], prefix: str) -> bool:
    """Return whether one script can write keys of several slots, so that single commands find each of them.

    The keys are removed. Raises redis-py's errors if they cannot be read or removed.
    """
    keys = probe_keys(prefix)
    try:
        return bool(writes_all(execute, keys)) and all(execute("GET", key) == VALUE for key in keys)
    finally:
        for key in keys:
            execute("UNLINK", key)
