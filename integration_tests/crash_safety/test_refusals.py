"""Commands that a server refuses for a while: whatever ends the waiting, no state passes them."""

import json
import signal
import threading
import time

import pytest

from integration_tests.support.connector.process import Connector
from integration_tests.support.messages import Json, dedup, record, state, stream
from integration_tests.support.servers.server import Server


@pytest.mark.parametrize("configured", [stream(), dedup()], ids=["append", "append_dedup"])
def test_no_state_passes_a_refused_command_where_the_waiting_is_ended_by_a_signal(
    connector: Connector, server: Server, configured: Json
) -> None:
    messages: list[Json] = []
    for number in range(1, 200_001):
        message = record(number)
        message["record"]["data"]["pad"] = "x" * 200
        messages.append(message)
        if number % 200 == 0:
            messages.append(state(number))
    running = connector.start([configured])
    feeder = threading.Thread(target=running.feed, args=(messages,))
    feeder.start()
    running.wait_for_states(20)
    server.client.config_set("maxmemory", 1)
    time.sleep(4)  # it is in one of its pauses now, which last seconds
    server.client.config_set("maxmemory", 0)
    running.process.send_signal(signal.SIGTERM)
    outcome = running.ended()
    feeder.join()

    assert outcome.code != 0
    acknowledged = outcome.states[-1]["stream"]["stream_state"]["cursor"]
    stored = set()
    for key in server.client.scan_iter("default:users:*", count=10_000):
        data = server.client.hget(key, "_airbyte_data")
        assert isinstance(data, bytes)
        stored.add(json.loads(data)["id"])
    assert set(range(1, acknowledged + 1)) <= stored
    assert acknowledged < 200_000
