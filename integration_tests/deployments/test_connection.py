"""What a server sees of the connections, and what they look out for by themselves."""

import socket
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
import redis

from destination_redis.config.parse import parse_config
from destination_redis.connection.clients import connect
from integration_tests.support.connector.library import check
from integration_tests.support.connector.process import Connector
from integration_tests.support.messages import COMPLETE, Json, record, state, stream
from integration_tests.support.servers.certificates import SERVER, listening
from integration_tests.support.servers.sentinel import SERVICE, Sentinel
from integration_tests.support.servers.server import Server, running
from integration_tests.support.stored import values
from integration_tests.support.waiting import wait_until

NAME = "destination-redis"
#: Of a single server there is but one client.
ANY = ("", 0)
LIBRARY = {"lib-name": NAME, "lib-ver": version("airbyte-destination-redis")}


def seen(client: redis.Redis) -> list[Json]:
    """Return what the server's CLIENT LIST shows of the connections that are not the test's own."""
    own = client.client_id()
    return [one for one in client.client_list() if int(one["id"]) != own and "S" not in one["flags"]]


@pytest.mark.parametrize(
    ("server_name", "library"),
    [("redis-8.2", LIBRARY), ("valkey-9.1", LIBRARY), ("redis-7.0", {}), ("redis-6.2", {})],
)
def test_a_connection_says_whose_it_is_as_far_as_the_server_can_be_told(
    server_name: str, library: dict[str, str], tmp_path: Path
) -> None:
    with running(server_name) as server:
        writing = Connector(server.config, tmp_path).start([stream()])
        writing.send(record(1), state(1))
        writing.wait_for_states(1)
        connections = seen(server.client)
        writing.send(COMPLETE)
        outcome = writing.finish()

        assert outcome.code == 0, outcome.text
        assert values(server.client) == [1]
    assert connections
    for one in connections:
        assert one["name"] == NAME
        assert {name: value for name, value in one.items() if name.startswith("lib-")} == library


@pytest.mark.parametrize("server_name", ["redis-8.2", "redis-7.0"])
def test_a_connection_that_may_not_say_whose_it_is_does_without(server_name: str) -> None:
    with running(server_name) as server:
        server.client.execute_command("ACL", "SETUSER", "silent", "on", ">secret", "~*", "+@all", "-client")
        config = {**server.config, "username": "silent", "password": "secret"}
        assert check(config) is None
        with connect(parse_config(config)) as servers:
            servers.client(ANY).exists("any")
            assert [one["name"] for one in seen(server.client)] == [""]


def test_a_sentinel_is_told_whose_the_connection_is_too(start_server: Callable[..., Server], tmp_path: Path) -> None:
    one = Sentinel(tmp_path, start_server().port, 1)
    try:
        deployment = {"deployment": "sentinel", "service_name": SERVICE}
        config = {"host": "127.0.0.1", "port": one.port, "deployment": deployment}
        wait_until(lambda: check(config) is None)
        with connect(parse_config(config)) as servers, redis.Redis(port=one.port) as asking:
            servers.client(ANY).exists("any")
            assert NAME in [connection["name"] for connection in seen(asking)]
    finally:
        one.close()


def test_an_idle_connection_shows_a_sign_of_life_before_load_balancers_drop_it(tmp_path: Path) -> None:
    with listening(tmp_path, SERVER, "no") as (config, server):
        for ssl, port in ((False, server.port), (True, config["port"])):
            settings = {**config, "ssl": ssl, "port": port, "ssl_mode": {"mode": "require"}}
            with connect(parse_config(settings)) as servers:
                client = servers.client(ANY)
                connection = client.connection_pool.get_connection()
                one = connection._get_socket()
                assert one is not None
                assert one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
                assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30
                assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == 10
                assert one.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 6
                client.connection_pool.release(connection)


def test_a_server_that_is_busy_for_longer_than_connecting_may_take_is_waited_for(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = start_server()
    writing = Connector(server.config, tmp_path).start([stream()])
    writing.send(record(1), state(1))
    writing.wait_for_states(1)
    server.client.client_pause(12_000)
    writing.send(record(2), state(2))
    writing.wait_for_states(2, 30)
    writing.send(COMPLETE)
    outcome = writing.finish()

    assert outcome.code == 0, outcome.text
    assert values(server.client) == [1, 2]
