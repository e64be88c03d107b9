"""The probe of a server: whether one script may use keys of several slots."""

import logging
from functools import partial

from destination_redis.connection.many_keys import ONE_KEY, VALUE, probe_keys, writes_all
from destination_redis.resp import pack_command
from destination_redis.transport.pipeline import Pipeline

#: Times that values are looked for if a script with many keys is needed.
_TRIES = 3

logger = logging.getLogger("airbyte")


def probe_many_keys(pipeline: Pipeline, prefix: str, *, needed: bool = False) -> bool:
    """Return whether one script can write keys of several slots, so that single commands find each of them.

    It writes keys of its own on the pipeline's connection, and removes them. The ledgers must be leased: if the process
    dies, the next sync then closes that connection, and no late command is executed. Nothing may be in flight.

    Anything else counts as no, which is only slower. If it is `needed`, a no would end the sync: then an error that may
    pass, such as a lost connection, counts as yes, and values that are missing are looked for again with new keys.
    """
    for _ in range(_TRIES if needed else 1):
        keys = probe_keys(prefix)
        found: list[object] = []
        written = writes_all(partial(pipeline.ask, keys[0]), keys)
        pipeline.send([pack_command("GET", key) for key in keys], on_reply=found.append)
        pipeline.send([pack_command("UNLINK", key) for key in keys])
        pipeline.flush()
        # After a lost connection the first replies come again.
        if (written and found[-len(keys) :] == [VALUE] * len(keys)) or (written is None and needed):
            return True
    logger.info(ONE_KEY)
    return False
