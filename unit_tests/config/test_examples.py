"""The files in examples/: what a reader copies has to be right."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from destination_redis.config.parse import parse_config, unknown_settings
from destination_redis.config.spec import specification
from destination_redis.protocol.catalog import parse_catalog
from integration_tests.support.project import EXAMPLES, ROOT

CONFIGS = {path.stem: json.loads(path.read_text()) for path in sorted((EXAMPLES / "configs").glob("*.json"))}
FORM = specification()["connectionSpecification"]
COMPOSE = yaml.safe_load((EXAMPLES / "docker-compose.yml").read_text())


def choices(node: Any) -> Iterator[tuple[str, str]]:
    """Yield (tag, value) of every choice in the specification."""
    if isinstance(node, dict):
        for option in node.get("oneOf", []):
            yield from ((name, field["const"]) for name, field in option["properties"].items() if "const" in field)
        for value in node.values():
            yield from choices(value)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_is_valid_by_the_specification_and_by_the_connector(name: str) -> None:
    config = CONFIGS[name]
    assert [error.message for error in Draft7Validator(FORM).iter_errors(config)] == []
    settings = parse_config(config)
    assert unknown_settings(config) == []
    assert settings.storage_format == (settings.cache_type, settings.record_format)


@pytest.mark.parametrize(
    "wrong",
    [
        {"port": 6379},
        {"host": "h", "ssl_mode": {"mode": "some"}},
        {"host": "h", "port": "6379"},
        {"host": "h", "cache_type": "bag"},
    ],
)
def test_the_specification_refuses_what_is_wrong(wrong: dict[str, Any]) -> None:
    assert not Draft7Validator(FORM).is_valid(wrong)


@pytest.mark.parametrize("choice", list(choices(FORM)), ids="-".join)
def test_every_kind_of_deployment_tls_and_tunnel_has_a_config(choice: tuple[str, str]) -> None:
    tag, value = choice
    groups = [group for config in CONFIGS.values() for group in config.values() if isinstance(group, dict)]
    assert value in [group.get(tag) for group in groups]


def test_the_index_of_examples_lists_every_config() -> None:
    listed = re.findall(r"^\| `(.+)\.json` \|", (EXAMPLES / "README.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(CONFIGS)


def test_the_catalog_is_one() -> None:
    streams = parse_catalog((EXAMPLES / "catalog.json").read_bytes())
    assert {stream.name for stream in streams} == {"products", "users", "purchases"}


def test_docker_compose_listens_on_this_machine_alone() -> None:
    ports = [port for service in COMPOSE["services"].values() for port in service["ports"]]
    assert len(ports) == len(COMPOSE["services"])
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)


def test_docker_compose_has_redis_8_and_an_insight_that_looks_at_it() -> None:
    redis, insight = COMPOSE["services"]["redis"], COMPOSE["services"]["insight"]
    assert redis["image"].split(":") == ["redis", "8"]
    assert insight["image"].startswith("redis/redisinsight:")
    assert insight["environment"]["RI_REDIS_HOST"] in COMPOSE["services"]
    assert redis["ports"] == [f"127.0.0.1:6379:{insight['environment']['RI_REDIS_PORT']}"]
    assert set(insight["depends_on"]) == {"redis"}
    assert [volume.partition(":")[0] for volume in redis["volumes"]] == list(COMPOSE["volumes"])


def test_docker_compose_has_a_config_that_leads_to_it() -> None:
    config = CONFIGS["docker-compose"]
    published = [service["ports"][0].split(":")[1] for service in COMPOSE["services"].values()]
    assert config["host"] == "localhost"
    assert str(config["port"]) == published[0]


def test_the_files_that_docker_compose_tells_to_use_are_there() -> None:
    told = re.findall(r"examples/\S+", (EXAMPLES / "docker-compose.yml").read_text())
    assert len(told) == 4
    assert [name for name in told if not (ROOT / name).exists()] == []
