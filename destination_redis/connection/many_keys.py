"""Many keys in one script: a single server runs it, a node of a cluster or a proxy that shards by key may not."""

import uuid
from contextlib import suppress

from redis import Redis
from redis import exceptions as redis_errors

from destination_redis.connection.slots import slot_of
from destination_redis.keys import check_key

#: Keys that are tried, each of another slot.
_TRIED = 16
_SCRIPT = "for _, key in ipairs(KEYS) do redis.call('SET', key, ARGV[1], 'EX', 60) end return #KEYS"

#: What `check` and the log say where it is not possible.
ONE_KEY = (
    "The server does not run a script with keys of several slots: each record has a script of its own, which is slower"
)


def takes_many_keys(client: Redis, prefix: str) -> bool:
    """Return whether one script can write keys of several slots, so that single commands find each of them.

    What cannot be found out counts as no. The keys that are tried are removed.
    """
    token = uuid.uuid4().hex
    by_slot: dict[int, bytes] = {}
    number = 0
    while len(by_slot) < _TRIED:
        key = b"%b%d" % (check_key(prefix, token), number)
        by_slot[slot_of(key)] = key
        number += 1
    keys = list(by_slot.values())
    try:
        if client.eval(_SCRIPT, len(keys), *keys, token) != len(keys):
            return False
        reading = client.pipeline(transaction=False)
        for key in keys:
            reading.get(key)
        return reading.execute() == [token.encode()] * len(keys)
    except (redis_errors.RedisError, OSError):
        return False
    finally:
        with suppress(redis_errors.RedisError, OSError):
            removing = client.pipeline(transaction=False)
            for key in keys:
                removing.execute_command("UNLINK", key)
            removing.execute(raise_on_error=False)
        client.connection_pool.disconnect(inuse_connections=False)  # or it stays idle until the sync ends
