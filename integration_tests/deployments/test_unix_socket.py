"""A server reached by a Unix socket: a path in place of a host."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration_tests.support.connector.library import check
from integration_tests.support.connector.process import Connector
from integration_tests.support.messages import COMPLETE, record, state, stream
from integration_tests.support.servers.server import Server
from integration_tests.support.stored import values


@pytest.fixture
def path() -> Iterator[str]:
    # Such a path has 107 bytes at most, which the folder of a test may exceed.
    folder = tempfile.mkdtemp()
    yield f"{folder}/with a space.sock"
    shutil.rmtree(folder)


def test_a_sync_through_a_unix_socket_survives_a_lost_connection_and_takes_over_from_a_dead_writer(
    start_server: Callable[..., Server], path: str, tmp_path: Path
) -> None:
    server = start_server("--unixsocket", path)
    connector = Connector({"host": path, "port": 1}, tmp_path)
    first = connector.start([stream()])
    first.send(record(1), state(1))
    first.wait_for_states(1)
    server.client.client_kill_filter(_type="normal", skipme=True)
    first.send(record(2), state(2), record(3))
    first.wait_for_states(2)
    first.kill()
    outcome = connector.write([stream()], [record(3), COMPLETE])

    assert outcome.code == 0, outcome.text
    assert values(server.client) == [1, 2, 3]


def test_a_path_without_a_socket_is_said_to_be_one(tmp_path: Path) -> None:
    assert check({"host": f"{tmp_path}/none"}) == "There is no Unix socket at this path."
    (tmp_path / "file").touch()
    assert check({"host": f"{tmp_path}/file"}) == "The connection was refused: no server listens there."


def test_tls_and_tunnels_are_refused_with_a_unix_socket() -> None:
    ssh_server = {"tunnel_host": "ssh.invalid", "tunnel_user": "me"}
    tunnel = {"tunnel_method": "SSH_PASSWORD_AUTH", **ssh_server, "tunnel_user_password": "secret"}
    refused = "A Unix socket (host begins with /) cannot be used with "
    assert check({"host": "/s", "ssl": True}) == f"{refused}TLS: turn ssl off"
    tunnelled = check({"host": "/s", "tunnel_method": tunnel})
    assert tunnelled == f"{refused}an SSH tunnel: set tunnel_method to NO_TUNNEL"
