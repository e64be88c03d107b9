"""The files in examples/, against a real server."""

import json
from collections.abc import Iterator

import pytest

from destination_redis import DestinationRedis
from integration_tests.support.connector.library import check, full, write
from integration_tests.support.messages import COMPLETE, record
from integration_tests.support.project import EXAMPLES
from integration_tests.support.search import found
from integration_tests.support.servers.server import WITH_SEARCH, Server, json_module, running, search_module


@pytest.fixture(scope="module")
def like_compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start what Redis 8 is: a server that has JSON and search."""
    folder = tmp_path_factory.mktemp("modules")
    with running(WITH_SEARCH[0], *json_module(folder), *search_module(folder)) as server:
        yield server


@pytest.mark.parametrize("name", ["docker-compose", "search-index"])
def test_a_sync_works_with_the_config_for_docker_compose(like_compose: Server, name: str) -> None:
    like_compose.client.flushall()
    config = {**json.loads((EXAMPLES / "configs" / f"{name}.json").read_text()), "port": like_compose.port}
    assert check(config) is None
    users = full()
    users["stream"]["json_schema"] = {"properties": {"name": {"type": "string"}}}
    messages = [record(number, data={"name": name}) for number, name in enumerate(("Ann", "Bob"))]
    assert list(write(config, [users], [*messages, COMPLETE])) == []
    stored = [json.loads(each.data) for each in DestinationRedis().get_all(config, "users")]
    assert {"name": "Ann"} in stored
    assert found(like_compose.client, "@name:bob") == ["default:users:2"]
