"""A destination as one writes it first: the CDK's parser, redis-py pipelines of 1,000, states sent back.

Run as ``plain.py write --config C --catalog K < messages``. It guarantees nothing.
"""

import logging
import sys
from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

import orjson
from airbyte_cdk.destinations import Destination
from airbyte_cdk.models import AirbyteConnectionStatus, AirbyteMessage, ConfiguredAirbyteCatalog, Status, Type
from redis import Redis

BATCH = 1_000


class PlainDestination(Destination):
    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:  # noqa: ARG002 - the CDK's
        return AirbyteConnectionStatus(status=Status.SUCCEEDED)

    def write(
        self,
        config: Mapping[str, Any],
        configured_catalog: ConfiguredAirbyteCatalog,  # noqa: ARG002 - the CDK's signature
        input_messages: Iterable[AirbyteMessage],
    ) -> Iterable[AirbyteMessage]:
        pipeline = Redis(config["host"], config["port"]).pipeline(transaction=False)
        ids = count(1)
        for message in input_messages:
            if message.type == Type.RECORD and message.record:
                number, record = next(ids), message.record
                fields: dict[Any, Any] = {
                    "_airbyte_ab_id": number,
                    "_airbyte_emitted_at": record.emitted_at,
                    "_airbyte_data": orjson.dumps(record.data),
                }
                pipeline.hset(f"default:{record.stream}:{number}", mapping=fields)
                if len(pipeline) >= BATCH:
                    pipeline.execute()
            elif message.type == Type.STATE:
                pipeline.execute()
                yield message
        pipeline.execute()

    def run_cmd(self, parsed_args: Any) -> Iterable[AirbyteMessage]:
        # The CDK's own would first look for a spec.json and check the configuration against it.
        config = self.read_config(parsed_args.config)
        yield from self._run_write(config, parsed_args.catalog, sys.stdin)  # type: ignore[arg-type] # as the CDK does


if __name__ == "__main__":
    PlainDestination().run(sys.argv[1:])
