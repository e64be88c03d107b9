"""`DestinationRedis().write` with the CDK's models, in a program of one's own."""

import signal
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from integration_tests.connector import COMPLETE, Json, generation, record, state, values
from integration_tests.library import full, write
from integration_tests.servers import Server


def cursors(states: Iterable[Json]) -> list[int]:
    return [one["stream"]["stream_state"]["cursor"] for one in states]


def failing(states: Iterator[Json]) -> tuple[list[Json], AirbyteTracedException]:
    """Return the states that come before the error, and the error."""
    before = []
    try:
        for one in states:
            before.append(one)  # noqa: PERF402 - the error must not take them away
    except AirbyteTracedException as error:
        return before, error
    pytest.fail("It did not fail")


def test_it_writes_the_messages_and_yields_the_states(server: Server) -> None:
    messages = [record(1), record(2), state(2), record(3), state(3), COMPLETE]
    states = list(write(server.config, [full()], messages))

    assert cursors(states) == [2, 3]
    assert [one["destinationStats"]["recordCount"] for one in states] == [2.0, 1.0]
    assert values(server.client) == [1, 2, 3]


def test_what_was_acknowledged_is_yielded_before_an_incomplete_stream_raises(server: Server) -> None:
    streams = [full(**generation(1, 0, 1))]
    states, error = failing(write(server.config, streams, [record(1), state(1), record(2)]))

    assert cursors(states) == [1]
    assert error.failure_type is FailureType.transient_error
    assert "Not complete: users" in str(error)


def test_a_config_error_is_raised_before_any_message_is_taken(server: Server) -> None:
    messages = iter([record(1)])
    states, error = failing(write({**server.config, "port": 0}, [full()], messages))

    assert states == []
    assert error.failure_type is FailureType.config_error
    assert len(list(messages)) == 1


def test_a_program_asked_to_end_gets_the_states_and_a_transient_error(server: Server) -> None:
    def messages() -> Iterator[Json]:
        yield from (record(1), state(1))
        signal.raise_signal(signal.SIGTERM)
        yield from (record(2), state(2), COMPLETE)

    states, error = failing(write(server.config, [full()], messages()))

    assert cursors(states) == [1]
    assert error.failure_type is FailureType.transient_error
    assert "asked to end" in str(error)
    assert values(server.client) == [1]


def test_any_thread_of_a_program_may_write(server: Server) -> None:
    def one(name: str) -> list[int]:
        return cursors(write(server.config, [full(name)], [record(1, name), state(1, name)]))

    with ThreadPoolExecutor() as pool:
        assert list(pool.map(one, ["a", "b", "c"])) == [[1]] * 3
    assert [values(server.client, f"default:{name}:") for name in ("a", "b", "c")] == [[1]] * 3
