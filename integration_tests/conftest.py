from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from integration_tests.connector import Connector
from integration_tests.servers import SERVERS, Server, running


@pytest.fixture(scope="session", params=SERVERS)
def _server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.param) as server:
        yield server


@pytest.fixture
def server(_server: Server) -> Server:
    _server.client.flushall()
    return _server


@pytest.fixture
def start_server() -> Iterator[Callable[..., Server]]:
    with ExitStack() as stack:
        yield lambda *options: stack.enter_context(running("redis-7.0", *options))


@pytest.fixture
def connector(server: Server, tmp_path: Path) -> Connector:
    return Connector(server.config, tmp_path)
