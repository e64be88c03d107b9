"""The start of the program: what it does without."""

import json
import subprocess
import sys
from typing import Any

_START = """
import gc, json, sys
collections = []
gc.callbacks.append(lambda phase, found: collections.append(found["generation"]))
from destination_redis.command_line import main
found = {"collections": collections, "collecting": gc.isenabled(), "modules": list(sys.modules)}
sys.argv = ["destination-redis", "spec"]
main()
print(json.dumps(found | {"frozen": gc.get_freeze_count()}))
"""


def test_the_program_starts_without_what_only_some_syncs_need_and_never_looks_for_garbage_meanwhile() -> None:
    done = subprocess.run([sys.executable, "-c", _START], capture_output=True, timeout=60, check=True)
    spec, last = done.stdout.splitlines()
    found: dict[str, Any] = json.loads(last)
    assert json.loads(spec)["type"] == "SPEC"
    # A tunnel's, and a terminal's.
    assert not {"asyncssh", "rich"} & set(found["modules"])
    # What comes before may have a small one; the third generation's are those that take time.
    assert 2 not in found["collections"]
    assert found["collecting"]
    assert found["frozen"] > 100_000
