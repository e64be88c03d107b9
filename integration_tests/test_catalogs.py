"""Catalogs of many streams, whose messages come one by one in turn."""

import json
import subprocess
import sys
import time
from itertools import count

import pytest

from integration_tests.connector import (
    Connector,
    Json,
    generation,
    record,
    state,
    status,
    stream,
    values,
)
from integration_tests.servers import Server

STREAMS = 2000
MEGABYTE = 1024 * 1024

# Runs a command and prints the most memory it had, in bytes, which the system counts for children that have ended.
_MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(most if sys.platform == "darwin" else most * 1024, file=sys.stderr)
sys.exit(code)
"""


def global_state(cursor: int) -> Json:
    shared = {"shared_state": {"cursor": cursor}, "stream_states": []}
    return {"type": "STATE", "state": {"type": "GLOBAL", "global": shared}}


def test_two_thousand_streams_record_by_record_fit_into_256_megabytes(
    connector: Connector, server: Server, capfd: pytest.CaptureFixture[str]
) -> None:
    names = [f"table_{number}" for number in range(STREAMS)]
    messages = [record(number, name) for number in (1, 2) for name in names]
    messages += [global_state(1), *(status("COMPLETE", name) for name in names)]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", _MEASURED, *connector.command(map(stream, names))],
        input="".join(json.dumps(message) + "\n" for message in messages),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    took = time.monotonic() - began
    most = int(done.stderr.splitlines()[-1]) / MEGABYTE
    with capfd.disabled():
        print(f"\n{STREAMS} streams took {took:.1f} seconds and {most:.0f} MB")

    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    states = [json.loads(line)["state"] for line in done.stdout.splitlines() if '"STATE"' in line]
    assert [one["destinationStats"]["recordCount"] for one in states] == [2 * STREAMS]
    reading = server.client.pipeline(transaction=False)
    for name in names:
        reading.get(f"default:{name}")
        reading.hget(f"default:{name}:1", "_airbyte_data")
        reading.hget(f"default:{name}:2", "_airbyte_data")
    assert reading.execute() == [b"2", b'{"id": 1}', b'{"id": 2}'] * STREAMS
    assert server.client.dbsize() == 4 * STREAMS  # with a ledger and a counter for each
    assert most < 256


def test_global_states_among_interleaved_streams_come_back_in_order_and_count_every_stream(
    connector: Connector, server: Server
) -> None:
    names = ["a", "b", "c"]
    messages: list[Json] = []
    numbers = count(1)
    for cursor in range(1, 101):  # before the nth state n % 7 rounds, so a state without a record too
        messages += [record(next(numbers), name) for _ in range(cursor % 7) for name in names]
        messages.append(global_state(cursor))
    sent = [message["record"] for message in messages if message["type"] == "RECORD"]
    outcome = connector.write(
        [stream("a"), stream("b", "overwrite"), stream("c", **generation(2, 2, 2))],
        [*messages, *(status("COMPLETE", name) for name in names)],
    )

    assert outcome.code == 0, outcome.text
    assert [one["global"]["shared_state"]["cursor"] for one in outcome.states] == list(range(1, 101))
    counts = [one["destinationStats"]["recordCount"] for one in outcome.states]
    assert counts == [3 * (cursor % 7) for cursor in range(1, 101)]
    for name in names:
        expected = [one["data"]["id"] for one in sent if one["stream"] == name]
        assert values(server.client, f"default:{name}:") == expected


def test_states_of_streams_of_their_own_come_back_in_the_order_of_the_input(
    connector: Connector, server: Server
) -> None:
    names = ["a", "b", "c"]
    messages: list[Json] = []
    for cursor in range(1, 101):
        name = names[cursor % 3]
        messages += [record(cursor, "a"), record(cursor, "b"), record(cursor, "c"), state(cursor, name)]
    outcome = connector.write(map(stream, names), [*messages, *(status("COMPLETE", name) for name in names)])

    assert outcome.code == 0, outcome.text
    assert [one["stream"]["stream_state"]["cursor"] for one in outcome.states] == list(range(1, 101))
    counts = [one["destinationStats"]["recordCount"] for one in outcome.states]
    assert counts == [1, 2] + [3] * 98
    for name in names:
        assert values(server.client, f"default:{name}:") == list(range(1, 101))
