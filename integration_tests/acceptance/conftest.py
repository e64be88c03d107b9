"""The fixtures of the acceptance tests: a server, and the harness on it."""

import pytest

from integration_tests.acceptance.harness import Destination
from integration_tests.connector import Connector
from integration_tests.servers import Server


@pytest.fixture
def destination(connector: Connector, server: Server) -> Destination:
    return Destination(connector, server.client)
