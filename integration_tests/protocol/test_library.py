"""`DestinationRedis` in a program of one's own: written with the CDK's models, and read back."""

import json
import signal
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis import DestinationRedis
from integration_tests.support.connector.library import full, full_dedup, write
from integration_tests.support.data_types import WHOLE, Shape, settings_for
from integration_tests.support.data_types import storable as record
from integration_tests.support.messages import COMPLETE, Json, generation, state, status
from integration_tests.support.servers.cluster import cluster
from integration_tests.support.servers.server import WITH_JSON, Server, json_module, running
from integration_tests.support.stored import ledger, values
from integration_tests.support.waiting import wait_until


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


def until_heard_of(taken: list[int]) -> Iterator[Json]:
    """Yield a state, records until something is in `taken`, and a last state."""
    number, deadline = 1, time.monotonic() + 60
    yield from (record(1), state(1))
    while not taken:
        assert time.monotonic() < deadline
        number += 1
        yield record(number)
    yield from (state(number), COMPLETE)


def test_a_state_is_yielded_while_more_is_read(server: Server) -> None:
    taken: list[int] = []
    for one in write(server.config, [full()], until_heard_of(taken)):
        taken += cursors([one])
    assert taken[0] == 1
    assert len(taken) == 2
    assert values(server.client) == list(range(1, taken[-1] + 1))


def test_records_are_sent_in_batches_and_a_state_ends_one(server: Server) -> None:
    def messages() -> Iterator[Json]:
        yield from map(record, range(1, 2001))
        yield state(2000)
        wait_until(lambda: server.client.exists("default:users:2000") == 1, 60)  # before there is another message
        yield COMPLETE

    server.client.config_resetstat()
    assert cursors(write(server.config, [full()], messages())) == [2000]
    stats = server.client.info("commandstats")
    moves = sum(of["calls"] for name, of in stats.items() if name.startswith("cmdstat_eval"))
    assert 0 < moves < 1000  # not one for each record
    assert values(server.client) == list(range(1, 2001))


def test_what_no_batch_has_yet_is_not_lost_at_the_end_of_input(server: Server) -> None:
    assert list(write(server.config, [full()], [record(1), record(2)])) == []
    assert values(server.client) == [1, 2]


def endless() -> Iterator[Json]:
    number = 0
    while True:
        number += 1
        yield from (record(number), state(number))


def test_a_caller_who_stops_taking_states_leaves_what_a_killed_sync_leaves(server: Server) -> None:
    states = write(server.config, [full()], endless())
    (first,) = cursors([next(states)])
    states.close()  # type: ignore[attr-defined]
    assert first == 1
    committed = int(ledger(server.client)["committed"])
    assert len(values(server.client)) >= committed >= first

    assert cursors(write(server.config, [full()], [record(0), state(0), COMPLETE])) == [0]
    assert values(server.client) == [*range(1, committed + 1), 0]


def test_signals_are_the_callers_own_while_it_has_the_states(server: Server) -> None:
    def handlers() -> list[object]:
        return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    before, during = handlers(), []
    taken: list[int] = []
    for one in write(server.config, [full()], until_heard_of(taken)):
        during.append(handlers())
        taken += cursors([one])
        # Another sync inside changes nothing either.
        assert cursors(write(server.config, [full("other")], [record(1, "other"), state(1, "other")])) == [1]
    assert during == [before] * 2
    assert handlers() == before


def ids(config: Json, stream: str = "users", namespace: str | None = None) -> list[int]:
    """Return the "id" of each record that is read back."""
    return sorted(int(json.loads(each.data)["id"]) for each in DestinationRedis().get_all(config, stream, namespace))


@pytest.fixture(scope="module")
def json_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(WITH_JSON[0], *json_module(tmp_path_factory.mktemp("module"))) as server:
        yield server


@pytest.mark.parametrize("shape", WHOLE, ids="-".join)
def test_a_streams_records_are_read_back_as_the_ledger_says_they_are_written(json_server: Server, shape: Shape) -> None:
    json_server.client.flushall()
    config = {**json_server.config, **settings_for(shape)}
    assert list(write(config, [full()], [*map(record, range(1, 1201)), COMPLETE])) == []
    json_server.client.hset("default:users:1:cart", "mine", "1")
    json_server.client.set("default:users:1:2", '{"id": 5000}')
    assert ids(json_server.config) == list(range(1, 1201))  # whatever the config says of new ones
    assert ids(json_server.config, "others") == []


def test_a_collection_is_read_from_when_it_is_in_its_place_while_old_records_still_go(server: Server) -> None:
    assert list(write(server.config, [full()], [record(1), COMPLETE])) == []
    listed = {**server.config, "cache_type": "list"}
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        list(write(listed, [full(**generation(2, 2, 2))], [record(2), state(2)]))
    server.client.rename("airbyte:tmp:{default:users}", "default:users")
    server.client.hset("airbyte:{default:users}", "task", "remove")
    assert ids(server.config) == [2]


@pytest.mark.parametrize(
    ("settings", "namespace"),
    [({}, None), ({}, "a:b"), ({"default_namespace": "d"}, None), ({"default_namespace": ""}, None), ({}, "airbyte")],
)
@pytest.mark.parametrize("prefix", ["", "p*:"])
def test_a_stream_is_found_where_a_sync_has_put_it(
    server: Server, settings: Json, namespace: str | None, prefix: str
) -> None:
    config = {**server.config, **settings, "key_prefix": prefix}
    more: dict[str, Any] = {"namespace": namespace} if namespace else {}
    configured = [full("us[er]s", **more)]
    assert list(write(config, configured, [record(1, "us[er]s", **more), record(2, "us[er]s", **more)])) == []
    server.client.hset(
        "default:usees:1", mapping={"_airbyte_ab_id": 3, "_airbyte_emitted_at": 1, "_airbyte_data": "{}"}
    )
    assert ids(config, "us[er]s", namespace) == [1, 2]


def test_a_stream_of_the_java_connector_is_read_where_it_lives(server: Server) -> None:
    server.client.set(":users", 1)
    server.client.hset(
        ":users:1", mapping={"_airbyte_ab_id": 1, "_airbyte_emitted_at": 5, "_airbyte_data": '{"id": 7}'}
    )
    (found,) = DestinationRedis().get_all(server.config, "users")
    assert (found.id, found.emitted_at, found.data, found.meta) == (1, b"5", b'{"id": 7}', None)


def test_rows_by_primary_key_are_read_back_and_an_applications_keys_among_them_are_not(server: Server) -> None:
    rows = full_dedup(schema={"properties": {"at": {"type": "integer"}}})
    messages = [record(0, data={"id": number, "at": 1}) for number in (4, 5)]
    assert list(write(server.config, [rows], [*messages, COMPLETE])) == []
    server.client.hset("default:users:4:x", mapping=server.client.hgetall("default:users:4"))  # type: ignore[arg-type]
    assert ids(server.config) == [4, 5]


def test_a_stream_is_read_from_all_primaries_of_a_cluster() -> None:
    with cluster() as servers:
        listed = {**servers.config, "cache_type": "list"}
        for config, name in ((servers.config, "users"), (listed, "listed")):
            messages = [*(record(number, name) for number in range(1, 301)), status("COMPLETE", name)]
            assert list(write(config, [full(name)], messages)) == []
            assert ids(servers.config, name) == list(range(1, 301))


def test_what_cannot_be_read_is_an_error_that_says_why(server: Server, tmp_path: Path) -> None:
    with pytest.raises(AirbyteTracedException) as caught:
        ids({"host": str(tmp_path / "nowhere.sock")})
    assert caught.value.failure_type is FailureType.transient_error
    with pytest.raises(AirbyteTracedException, match="port"):
        ids({**server.config, "port": 0})
