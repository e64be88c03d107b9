"""PyAirbyte's smoke test of a destination, run in its own environment: python pyairbyte_smoke.py '<a task as JSON>'."""

import json
import sys
from pathlib import Path
from typing import Any

import airbyte as ab
from airbyte._util.destination_smoke_tests import run_destination_smoke_test


def main(task: dict[str, Any]) -> None:
    destination = ab.get_destination("destination-redis", config=task["config"], local_executable=task["destination"])
    result = run_destination_smoke_test(
        destination=destination, scenarios="all", reuse_namespace=task["namespace"], skip_preflight=True
    )
    Path(task["outcome"]).write_text(result.model_dump_json())


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
