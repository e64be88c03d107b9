"""A server that is read-only for a while, loads its data, never answers, or whose replica does not."""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from integration_tests.support.connector.library import check, full, write
from integration_tests.support.connector.process import Connector
from integration_tests.support.messages import COMPLETE, Json, record, state, stream
from integration_tests.support.servers.server import SERVERS, Server, running
from integration_tests.support.stored import values
from integration_tests.support.waiting import wait_until

#: A millisecond for every key, so that thousands take seconds.
SLOW_TO_LOAD = ("--key-load-delay", "1000", "--loading-process-events-interval-bytes", "1024")
KEYS = 2000


@pytest.fixture(scope="module", params=SERVERS)
def _server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.param) as server:
        yield server


def test_a_primary_that_is_read_only_for_a_while_costs_time_and_nothing_else(
    connector: Connector, server: Server
) -> None:
    sync = connector.start([stream()])
    sync.send(record(1), state(1))
    sync.wait_for_states(1)
    server.client.config_resetstat()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen: a primary found would have its data copied here
        server.client.execute_command("REPLICAOF", "127.0.0.1", str(nobody.getsockname()[1]))
        try:
            for number in range(2, 1001):
                sync.send(record(number), state(number))
            wait_until(lambda: bool(server.client.info("errorstats")))
            assert len(sync.outcome(0).states) == 1
            assert values(server.client) == [1]
        finally:
            server.client.execute_command("REPLICAOF", "NO", "ONE")
    sync.wait_for_states(1000)
    sync.send(COMPLETE)
    outcome = sync.finish()

    assert outcome.code == 0, outcome.text
    assert values(server.client) == list(range(1, 1001))
    assert [one["stream"]["stream_state"]["cursor"] for one in outcome.states] == list(range(1, 1001))


@contextmanager
def loading(server: Server) -> Iterator[threading.Thread]:
    """Start the stopped server; within, it is loading at first; it has loaded when the thread yielded has ended."""
    starting = threading.Thread(target=server.start)
    starting.start()
    try:
        wait_until(lambda: "LOADING" in answer(server.port))
        yield starting
    finally:
        starting.join()


def answer(port: int) -> str:
    """Return what the server says to a PING."""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(100).decode()
    except OSError:
        return ""


def test_a_loading_server_is_recognised_by_check_and_waited_for_by_write(start_server: Callable[..., Server]) -> None:
    server = start_server(*SLOW_TO_LOAD)
    for number in range(KEYS):
        server.client.set(f"other:{number}", "x" * 100)

    def messages(loaded: threading.Thread) -> Iterator[Json]:
        yield from (record(1), state(1))
        loaded.join()
        server.stop()
        with loading(server):
            yield from (record(2), state(2), record(3), state(3), COMPLETE)

    server.stop()
    with loading(server) as loaded:
        assert check(server.config) == "The server is still loading its data into memory."
        states = list(write(server.config, [full()], messages(loaded)))
    assert [one["stream"]["stream_state"]["cursor"] for one in states] == [1, 2, 3]
    assert values(server.client) == [1, 2, 3]


def test_a_server_that_never_answers_times_out_in_time() -> None:
    silent, full = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0), backlog=0)
    waiting = [socket.socket() for _ in range(3)]
    for one in waiting:  # they fill the backlog: who comes next is not even connected
        one.setblocking(False)
        one.connect_ex(full.getsockname())
    configs = [{"host": "127.0.0.1", "port": one.getsockname()[1]} for one in (silent, full)]
    configs.append({**configs[0], "ssl": True})
    began = time.monotonic()
    with ThreadPoolExecutor() as pool:
        try:
            answers = list(pool.map(check, configs))
        finally:
            for one in (*waiting, silent, full):
                one.close()
    assert answers == ["The connection timed out."] * 3
    assert time.monotonic() - began < 20


@pytest.fixture
def replicated(start_server: Callable[..., Server]) -> tuple[Server, Server]:
    """Return a primary and its replica, in step."""
    primary = start_server("--repl-diskless-sync-delay", "0")
    replica = start_server("--replicaof", f"127.0.0.1 {primary.port}")
    wait_until(lambda: replica.client.info("replication")["master_link_status"] == "up")
    # It is sent commands only from its first acknowledgement on, up to a second later.
    primary.client.set("in step", 1)
    wait_until(lambda: primary.client.wait(1, 1000) == 1)
    primary.client.delete("in step")
    primary.client.config_resetstat()
    return primary, replica


def waits(server: Server) -> int:
    """Return how often the server was told to WAIT."""
    return int(server.client.info("commandstats").get("cmdstat_wait", {}).get("calls", 0))


@pytest.mark.parametrize("states", [True, False])
def test_what_was_acknowledged_and_every_clean_end_has_reached_the_replica(
    replicated: tuple[Server, Server], tmp_path: Path, states: bool
) -> None:
    primary, replica = replicated
    messages = [part for number in range(1, 1001) for part in (record(number), state(number))[: 1 + states]]
    for _ in range(5):  # a busy machine may keep a replica from confirming in time, which is then said
        primary.client.flushall()
        outcome = Connector(primary.config, tmp_path).write([stream()], [*messages, COMPLETE])
        assert outcome.code == 0, outcome.text
        if "No replica confirmed" not in outcome.text:
            break

    assert "No replica confirmed" not in outcome.text
    assert waits(primary) > 0
    assert values(replica.client) == list(range(1, 1001))


def test_a_replica_that_hangs_is_worth_a_warning_and_the_sync_ends_well(
    replicated: tuple[Server, Server], tmp_path: Path
) -> None:
    primary, replica = replicated
    process = int(replica.client.info("server")["process_id"])
    os.kill(process, signal.SIGSTOP)
    try:
        outcome = Connector(primary.config, tmp_path).write([stream()], [record(1), state(1), record(2), COMPLETE])
    finally:
        os.kill(process, signal.SIGCONT)

    assert outcome.code == 0, outcome.text
    warnings = [message["log"] for message in outcome.messages if message["type"] == "LOG"]
    assert [log["level"] for log in warnings if "No replica confirmed the ledger" in log["message"]] == ["WARN"]
    assert len(outcome.states) == 1
    assert values(primary.client) == [1, 2]
