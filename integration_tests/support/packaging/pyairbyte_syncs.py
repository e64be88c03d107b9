"""What PyAirbyte does, run in its own environment: python pyairbyte_syncs.py '<a task as JSON>'."""

import json
import sys
from pathlib import Path
from typing import Any

import airbyte as ab
from airbyte.exceptions import AirbyteConnectorWriteError
from airbyte.strategies import WriteStrategy


def main(task: dict[str, Any]) -> None:
    source = ab.get_source(
        "source-faker",
        config=task["source_config"],
        local_executable=task["source"],
        streams=task["streams"],
    )
    cache = ab.new_local_cache("faker", cache_dir=task["cache"])
    # Through the cache, only the first sync reads the source for itself.
    cached: tuple[Any, dict[str, Any]] = (source, {"cache": cache})
    outcomes: list[int | str] = []
    for way, namespace, strategy in task["syncs"]:
        destination = ab.get_destination(
            "destination-redis",
            config={**task["config"], "default_namespace": namespace},
            local_executable=task["destination"],
        )
        if not outcomes:
            destination.check()
        data, options = cached if way == "cached" else (source, {"cache": False, "state_cache": False})
        try:
            written = destination.write(data, write_strategy=WriteStrategy(strategy), **options)
            outcomes.append(written.processed_records)
        except AirbyteConnectorWriteError as error:
            outcomes.append(str(error))
        if way == "cached" and data is source:
            cached = (source.read(cache=cache, force_full_refresh=True), {})
    states = cache.get_state_provider("source-faker", destination_name="destination-redis").known_stream_names
    Path(task["outcome"]).write_text(json.dumps({"outcomes": outcomes, "states": sorted(states)}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
