from collections.abc import Iterator

import pytest

from integration_tests.acceptance.harness import Destination
from integration_tests.connector import Connector
from integration_tests.servers import ONE_OF_THEM, Server, running


@pytest.fixture(scope="session", params=ONE_OF_THEM)
def _server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.param) as server:
        yield server


@pytest.fixture
def destination(connector: Connector, server: Server) -> Destination:
    return Destination(connector, server.client)
