"""The fixtures of the acceptance tests: a server, and the harness on it."""

import pytest

from integration_tests.acceptance.harness import Destination
from integration_tests.support.connector.process import Connector
from integration_tests.support.servers.server import Server


@pytest.fixture
def destination(connector: Connector, server: Server) -> Destination:
    return Destination(connector, server.client)
