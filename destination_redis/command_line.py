"""The program: `destination-redis` and main.py."""

import logging
import os
import sys

from destination_redis.config.cloud import in_cloud
from destination_redis.console.guard import guard
from destination_redis.console.output import flush, wait_for_reader
from destination_redis.console.terminal import Warnings, attended, is_terminal
from destination_redis.destination import DestinationRedis
from destination_redis.gc_pause import freeze
from destination_redis.redaction.secrets import masking

logger = logging.getLogger("airbyte")


def main() -> None:
    """Run the command line and flush its output."""
    freeze()
    wait_for_reader()
    logging.raiseExceptions = False  # no stack trace on stderr if a LOG line cannot be written
    if attended() and not is_terminal(sys.stdout):
        logging.getLogger().addHandler(Warnings())
    guard(masking(()), logger)
    try:
        DestinationRedis(cloud=in_cloud(os.environ)).run(sys.argv[1:])
    except SystemExit:  # for example --help
        flush()
        raise
    flush()
