"""The probe of a server: whether one script may use keys of several slots."""

import logging

from destination_redis.connection.many_keys import ONE_KEY, VALUE, probe_keys, writes_all
from destination_redis.resp import pack_command
from destination_redis.transport.pipeline import Pipeline

logger = logging.getLogger("airbyte")


def probe_many_keys(pipeline: Pipeline, prefix: str) -> bool:
    """Return whether one script can write keys of several slots, so that single commands find each of them.

    It writes keys of its own on the pipeline's connection, and removes them. The ledgers must be leased: if the process
    dies, the next sync then closes that connection, and no late command is executed. Nothing may be in flight.
    """
    keys = probe_keys(prefix)
    found: list[object] = []
    written = writes_all(lambda *command: pipeline.ask(keys[0], *command), keys)
    pipeline.send([pack_command("GET", key) for key in keys], on_reply=found.append)
    pipeline.send([pack_command("UNLINK", key) for key in keys])
    pipeline.flush()
    if written and found == [VALUE] * len(keys):
        return True
    logger.info(ONE_KEY)
    return False
