"""Servers for the tests of data types."""

from collections.abc import Iterator

import pytest

from integration_tests.support.servers.server import Server, json_module, running


@pytest.fixture(scope="module")
def _strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Yield a server that takes no value above one megabyte."""
    modules = json_module(tmp_path_factory.mktemp("module"))
    with running("redis-7.0", "--proto-max-bulk-len", "1mb", *modules) as server:
        yield server
