"""One writer a stream: a paused one is replaced and says so, and what its server forgot is noticed in time."""

import signal
from typing import Any

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from integration_tests.support.connector.library import full, write
from integration_tests.support.connector.process import Connector, Running
from integration_tests.support.faults.proxy import Exchange, proxy
from integration_tests.support.messages import COMPLETE, generation, record, state, stream
from integration_tests.support.servers.server import Server
from integration_tests.support.stored import LEDGER, ledger, values
from integration_tests.support.waiting import wait_until


def writing(connector: Connector) -> Running:
    """Return a sync that has one acknowledged record and waits for more input."""
    running = connector.start([stream()])
    running.send(record(1), state(1))
    running.wait_for_states(1)
    return running


def now(server: Server) -> int:
    """Return the server's clock in milliseconds."""
    seconds, microseconds = server.client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


def cut(server: Server) -> None:
    """Close the connection of every writer."""
    own = server.client.client_id()
    for client in server.client.client_list():
        if int(client["id"]) != own:
            server.client.client_kill_filter(_id=client["id"])


def everything(server: Server) -> dict[bytes, Any]:
    """Return every key with what it holds."""
    return {
        key: server.client.hgetall(key) if server.client.type(key) == b"hash" else server.client.get(key)
        for key in server.client.scan_iter()
    }


def test_a_paused_writer_is_taken_over_when_its_lease_is_up_and_fails_when_it_goes_on(
    connector: Connector, server: Server
) -> None:
    first = writing(connector)
    first.process.send_signal(signal.SIGSTOP)
    try:
        # The lease of 30 seconds is shortened to 3, which the second writer cannot tell from one that is nearly up.
        until = now(server) + 3000
        server.client.hset(LEDGER, "writer_until", until)
        token = ledger(server.client)["writer"]
        second = connector.start([stream()])
        for number in range(2, 8):
            second.send(record(number), state(number))
        wait_until(lambda: ledger(server.client)["writer"] != token)
        assert now(server) >= until
        second.wait_for_states(6)
        second.send(COMPLETE)
        assert second.finish().code == 0
        left = everything(server)
    finally:
        first.process.send_signal(signal.SIGCONT)
    first.send(record(98), state(98), record(99), COMPLETE)
    outcome = first.finish()

    assert outcome.code != 0
    assert outcome.error["failure_type"] == "transient_error"
    assert "Another sync has taken over the stream users" in outcome.error["message"]
    assert len(outcome.states) == 1
    assert everything(server) == left
    assert values(server.client) == list(range(1, 8))


@pytest.mark.parametrize("connection_lost", [False, True])
def test_a_writer_whose_ledger_was_taken_fails_and_acknowledges_nothing_more(
    connector: Connector, server: Server, connection_lost: bool
) -> None:
    running = writing(connector)
    server.client.hset(LEDGER, "writer", "another")
    if connection_lost:
        cut(server)
    running.send(record(2), state(2), record(3), state(3), COMPLETE)
    outcome = running.finish()

    assert outcome.code != 0
    assert outcome.error["failure_type"] == "transient_error"
    assert "Another sync has taken over the stream users" in outcome.error["message"]
    assert len(outcome.states) == 1
    held = ledger(server.client)
    assert (held["writer"], held["committed"]) == ("another", "1")
    if connection_lost:  # what was on its way is not sent again
        assert values(server.client) == [1]


def test_a_writers_connection_tells_whose_it_is(connector: Connector, server: Server) -> None:
    running = writing(connector)
    own = server.client.client_id()
    names = {client["name"] for client in server.client.client_list() if int(client["id"]) != own}
    running.send(COMPLETE)
    assert running.finish().code == 0
    assert names == {"destination-redis"}


def test_a_server_that_lost_only_what_was_not_acknowledged_fails_the_sync_and_the_retry_is_exact(
    connector: Connector, server: Server
) -> None:
    running = writing(connector)
    running.send(record(2))
    wait_until(lambda: len(values(server.client)) == 2)
    # As a server that was replaced by one a moment behind: the record and the move after it are gone.
    server.client.delete("default:users:2")
    server.client.hincrby(LEDGER, "version", -1)
    cut(server)
    running.send(record(3), state(3), COMPLETE)
    outcome = running.finish()

    assert outcome.code != 0
    assert outcome.error["failure_type"] == "transient_error"
    assert "lost writes to the stream users that were not acknowledged yet" in outcome.error["message"]
    assert len(outcome.states) == 1
    retried = connector.write([stream()], [record(2), record(3), state(3), COMPLETE])
    assert retried.code == 0, retried.text
    assert values(server.client) == [1, 2, 3]


@pytest.mark.parametrize("gone", ["a commit", "the ledger"])
def test_a_server_that_lost_what_was_acknowledged_fails_every_sync_until_a_refresh(
    connector: Connector, server: Server, gone: str
) -> None:
    running = writing(connector)
    running.send(record(2), state(2))
    running.wait_for_states(2)
    if gone == "a commit":
        server.client.delete("default:users:2")
        server.client.set("default:users", 1)
        server.client.hincrby(LEDGER, "committed", -1)
        server.client.hincrby(LEDGER, "version", -1)
    else:
        server.client.delete(LEDGER)
    cut(server)
    running.send(record(3), state(3), COMPLETE)
    outcome = running.finish()

    assert outcome.code != 0
    assert outcome.error["failure_type"] == "config_error"
    assert "refresh" in outcome.error["message"]
    assert len(outcome.states) == 2
    plain = connector.write([stream()], [record(3), COMPLETE])
    assert plain.error["failure_type"] == "config_error"
    assert "refresh" in plain.error["message"]
    refreshed = connector.write([stream(**generation(2, 2, 2))], [record(4), COMPLETE])
    assert refreshed.code == 0, refreshed.text
    assert values(server.client) == [4]


def test_a_loss_while_the_ledger_is_given_back_is_found_out(server: Server) -> None:
    released: list[bytes] = []

    def act(exchange: Exchange) -> None:
        if b"\r\nreleased_by\r\n" in exchange.command and not released:
            released.append(exchange.command)
            # As a server that was replaced by one that lacks the record and its commit.
            server.client.delete("default:users:1")
            server.client.delete("default:users")
            server.client.hset(LEDGER, mapping={"committed": 0, "version": 1})
            exchange.reset()
        exchange.forward()

    with proxy(server.port, act) as way, pytest.raises(AirbyteTracedException, match="refresh"):
        list(write({**server.config, "port": way.port}, [full()], [record(1), state(1), COMPLETE]))
    with pytest.raises(AirbyteTracedException, match="refresh"):
        list(write(server.config, [full()], [record(2), COMPLETE]))


def test_a_ledger_that_is_given_back_twice_is_given_back(server: Server) -> None:
    released: list[bytes] = []

    def act(exchange: Exchange) -> None:
        if b"\r\nreleased_by\r\n" in exchange.command and not released:
            released.append(exchange.execute())
            exchange.reset()
        exchange.forward()

    with proxy(server.port, act) as way:
        states = list(write({**server.config, "port": way.port}, [full()], [record(1), state(1), COMPLETE]))
    assert (len(states), released, ledger(server.client)["writer"]) == (1, [b"$2\r\nok\r\n"], "")


def test_a_refresh_that_lost_acknowledged_records_is_not_gone_on_with_but_one_begun_after_the_loss_is(
    connector: Connector, server: Server
) -> None:
    assert connector.write([stream()], [record(1), COMPLETE]).code == 0
    running = connector.start([stream(**generation(2, 2, 2))])
    running.send(record(2), state(2))
    running.wait_for_states(1)
    # As a server that was replaced by one that lacks the staged record and its commit.
    server.client.delete("airbyte:tmp:{default:users:2}")
    server.client.hincrby(LEDGER, "staged_committed", -1)
    server.client.hincrby(LEDGER, "version", -1)
    cut(server)
    running.send(record(3), state(3), COMPLETE)
    assert "lost acknowledged data of the stream users: refresh it" in running.finish().error["message"]

    # The source goes on after the state it was acknowledged.
    retried = connector.write([stream(**generation(2, 2, 2))], [record(3), state(3), COMPLETE])
    assert retried.error["failure_type"] == "config_error"
    assert "refresh" in retried.error["message"]
    assert values(server.client) == [1]

    interrupted = connector.write([stream(**generation(3, 3, 3))], [record(4), state(4)])
    assert interrupted.error["failure_type"] == "transient_error"
    resumed = connector.write([stream(**generation(3, 3, 3))], [record(5), state(5), COMPLETE])
    assert resumed.code == 0, resumed.text
    assert values(server.client) == [4, 5]
