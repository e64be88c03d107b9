from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from integration_tests import torture  # noqa: F401 - its seed is every process's
from integration_tests.connector import Connector
from integration_tests.forks import Forks, forking
from integration_tests.runs import Runners
from integration_tests.servers import ONE_OF_THEM, SERVERS, WITH_JSON, Server, json_module, running


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


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    with forking() as started:
        yield started


@pytest.fixture(scope="module", params=ONE_OF_THEM)
def _torn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    modules = json_module(tmp_path_factory.mktemp("module")) if request.param in WITH_JSON else ()
    with running(request.param, *modules) as server:
        yield server


@pytest.fixture
def runners(_torn: Server, forks: Forks, tmp_path: Path) -> Runners:
    return Runners(_torn, forks, tmp_path)
