"""Catalogs of many streams, whose messages come one by one in turn."""

import json
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from integration_tests.support.connector.measured import run_measured
from integration_tests.support.connector.process import Connector
from integration_tests.support.faults.seed import FULL, report
from integration_tests.support.messages import Json, generation, lines, record, state, status, stream
from integration_tests.support.servers.server import Server
from integration_tests.support.stored import values

STREAMS, ROUNDS = 2000, 50 if FULL else 2


def global_state(cursor: int) -> Json:
    shared = {"shared_state": {"cursor": cursor}, "stream_states": []}
    return {"type": "STATE", "state": {"type": "GLOBAL", "global": shared}}


@pytest.mark.stress
@pytest.mark.parametrize("of_its_own", [True, False], ids=["own", "global"])
def test_two_thousand_streams_record_by_record_with_a_state_after_each_fit_into_256_megabytes(
    connector: Connector, server: Server, tmp_path: Path, *, of_its_own: bool
) -> None:
    names = [f"table_{number}" for number in range(STREAMS)]

    def content() -> Iterator[bytes]:
        cursors = count(1)
        for number in range(1, ROUNDS + 1):
            for name in names:
                cursor = next(cursors)
                after = state(cursor, name) if of_its_own else global_state(cursor)
                yield lines(record(number, name), after)
        for name in names:
            yield lines(status("COMPLETE", name))

    done = run_measured(connector.command(map(stream, names)), content(), tmp_path)
    report(
        f"{STREAMS:,} streams, record by record, a {'STREAM' if of_its_own else 'GLOBAL'} state after each",
        records=ROUNDS * STREAMS,
        records_per_second=int(ROUNDS * STREAMS / done.seconds),
        megabytes=int(done.megabytes),
    )
    states = [json.loads(line)["state"] for line in done.states]
    found = [each["stream"]["stream_state"] if of_its_own else each["global"]["shared_state"] for each in states]
    assert [each["cursor"] for each in found] == list(range(1, ROUNDS * STREAMS + 1))
    assert {each["destinationStats"]["recordCount"] for each in states} == {1}
    reading = server.client.pipeline(transaction=False)
    for name in names:
        reading.get(f"default:{name}")
        reading.hget(f"default:{name}:1", "_airbyte_data")
        reading.hget(f"default:{name}:{ROUNDS}", "_airbyte_data")
    last = b"%d" % ROUNDS
    assert reading.execute() == [last, b'{"id": 1}', b'{"id": %b}' % last] * STREAMS
    assert server.client.dbsize() == (ROUNDS + 2) * STREAMS  # with a ledger and a counter for each
    assert done.megabytes < 256


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
