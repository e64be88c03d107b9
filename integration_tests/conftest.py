"""The fixtures: servers, the connector on them, and which test runs on which server."""

import os
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from integration_tests.support.connector.cli import CommandLine
from integration_tests.support.connector.process import Connector
from integration_tests.support.faults import seed  # noqa: F401 - its seed is every process's
from integration_tests.support.faults.runner import Runners
from integration_tests.support.servers.server import ONE_EACH, SERVERS, WITH_JSON, Server, json_module, running


def pytest_xdist_auto_num_workers() -> int:
    """Return the number of workers for `-n auto`: most tests wait for servers, so a core has time for two."""
    return 2 * (os.cpu_count() or 1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave each test that could run on several servers the one that its name comes to."""
    if not ONE_EACH:
        return
    same: defaultdict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
        server = next((value for value in params.values() if value in SERVERS), "")
        same[item.nodeid.replace(server, "", 1)].append(item)
    chosen = {id(some[zlib.crc32(name.encode()) % len(some)]) for name, some in same.items()}
    config.hook.pytest_deselected(items=[item for item in items if id(item) not in chosen])
    items[:] = [item for item in items if id(item) in chosen]


@pytest.fixture(scope="session", params=SERVERS)
def _server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.param) as server:
        yield server


@pytest.fixture
def server(_server: Server) -> Iterator[Server]:
    """Yield an empty server of the session. The settings that a test changes are restored after it."""
    _server.client.flushall()
    before: dict[Any, Any] = _server.client.config_get()
    yield _server
    after: dict[Any, Any] = _server.client.config_get()
    for name, value in before.items():
        if value != after[name]:
            _server.client.config_set(name, value)


@pytest.fixture
def start_server() -> Iterator[Callable[..., Server]]:
    with ExitStack() as stack:
        yield lambda *options: stack.enter_context(running("redis-7.0", *options))


@pytest.fixture
def connector(server: Server, tmp_path: Path) -> Connector:
    return Connector(server.config, tmp_path)


@pytest.fixture(scope="session")
def cli(tmp_path_factory: pytest.TempPathFactory) -> CommandLine:
    return CommandLine(tmp_path_factory.mktemp("commands"))


@pytest.fixture(scope="module")
def fuzzed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a server, with JSON, for malformed input alone."""
    with running("redis-7.0", *json_module(tmp_path_factory.mktemp("module"))) as server:
        yield server


@pytest.fixture(scope="module", params=SERVERS)
def _server_with_json(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a server of the module's own, with JSON where it takes that; as `_server` it is what `server` is there."""
    modules = json_module(tmp_path_factory.mktemp("module")) if request.param in WITH_JSON else ()
    with running(request.param, *modules) as server:
        yield server


@pytest.fixture
def runners(_server_with_json: Server, tmp_path: Path) -> Runners:
    return Runners(_server_with_json, tmp_path)
