"""A destination as one writes it first: the CDK's parser, redis-py pipelines of 1,000, states sent back.

Run as ``plain.py write --config C --catalog K < messages``. It guarantees nothing.
"""

import json
import sys
from itertools import count
from pathlib import Path
from typing import Any

import orjson
from airbyte_cdk.models.airbyte_protocol_serializers import AirbyteMessageSerializer
from redis import Redis

BATCH = 1_000


def main(config: Path) -> None:
    settings = json.loads(config.read_bytes())
    pipeline = Redis(settings["host"], settings["port"]).pipeline(transaction=False)
    ids = count(1)
    for line in sys.stdin.buffer:
        message = AirbyteMessageSerializer.load(orjson.loads(line))
        if record := message.record:
            number = next(ids)
            fields: dict[Any, Any] = {
                "_airbyte_ab_id": number,
                "_airbyte_emitted_at": record.emitted_at,
                "_airbyte_data": orjson.dumps(record.data),
            }
            pipeline.hset(f"default:{record.stream}:{number}", mapping=fields)
            if len(pipeline) >= BATCH:
                pipeline.execute()
        elif message.state:
            pipeline.execute()
            sys.stdout.buffer.write(orjson.dumps(AirbyteMessageSerializer.dump(message)) + b"\n")
    pipeline.execute()


if __name__ == "__main__":
    main(Path(sys.argv[sys.argv.index("--config") + 1]))
