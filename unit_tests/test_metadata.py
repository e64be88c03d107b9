"""What stands in metadata.yaml, and the one version and the one name that all files share."""

import copy
import os
import re
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
import yaml

from destination_redis.spec import specification

ROOT = Path(__file__).parent.parent
METADATA: dict[str, Any] = yaml.safe_load((ROOT / "metadata.yaml").read_text())
DATA: dict[str, Any] = METADATA["data"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MAJOR = re.compile(r"[1-9]\d*\.0\.0").fullmatch


def text(name: str) -> str:
    return (ROOT / name).read_text()


def only(pattern: str, content: str) -> str:
    """Return the one value there is of a pattern."""
    found = set(re.findall(pattern, content, re.MULTILINE))
    assert len(found) == 1, f"{pattern}: {found}"
    return str(found.pop())


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def registry_takes(metadata: dict[str, Any]) -> bool:
    """Return whether the registry's own model takes it; where that is missing, skip on a laptop and fail in CI."""
    try:
        from airbyte_connector_models.metadata.v0 import connector_metadata_definition_v0 as v0  # noqa: PLC0415
    except ImportError:
        if os.environ.get("CI") == "true":
            pytest.fail("airbyte-connector-models is missing")
        pytest.skip("airbyte-connector-models is missing")
    try:
        v0.ConnectorMetadataDefinitionV0.model_validate(metadata)
    except ValueError:
        return False
    return True


def test_the_metadata_are_what_the_registry_takes() -> None:
    assert registry_takes(METADATA)


@pytest.mark.parametrize("parent", ["connectorBuildOptions", "registryOverrides", "releases", None])
def test_the_registry_would_refuse_a_key_it_does_not_know(parent: str | None) -> None:
    wrong = copy.deepcopy(METADATA)
    (wrong["data"][parent] if parent else wrong["data"])["unheardOf"] = True
    assert not registry_takes(wrong)


def test_every_file_that_names_the_version_names_the_same() -> None:
    version = PROJECT["version"]
    assert {
        "metadata.yaml": DATA["dockerImageTag"],
        "Dockerfile": only(r'io\.airbyte\.version="?([\w.]+)', text("Dockerfile")),
        "CHANGELOG.md": re.findall(r"^## \[(\d[\w.]*)\] - \d{4}-\d\d-\d\d$", text("CHANGELOG.md"), re.MULTILINE)[0],
        "docs/redis.md": re.findall(r"^\| *(\d+\.\d+\.\d+) *\|", text("docs/redis.md"), re.MULTILINE)[0],
    } == dict.fromkeys(["metadata.yaml", "Dockerfile", "CHANGELOG.md", "docs/redis.md"], version)


def test_the_version_is_of_one_day_in_both_changelogs() -> None:
    day = only(rf"^## \[{re.escape(PROJECT['version'])}\] - (\S+)$", text("CHANGELOG.md"))
    assert only(rf"^\| *{re.escape(PROJECT['version'])} *\| *(\S+) *\|", text("docs/redis.md")) == day


def test_the_image_is_built_on_the_base_image_the_metadata_name() -> None:
    base = only(r"[\w./-]*/python-connector-base[\w.@:-]*", text("Dockerfile"))
    assert re.fullmatch(r"docker\.io/airbyte/python-connector-base:\d+\.\d+\.\d+@sha256:[0-9a-f]{64}", base)
    assert DATA["connectorBuildOptions"]["baseImage"] == base


def test_the_package_has_one_name_and_one_licence() -> None:
    assert DATA["remoteRegistries"]["pypi"]["packageName"] == PROJECT["name"]
    assert DATA["license"] == PROJECT["license"] == "MIT"
    assert text("LICENSE").startswith("MIT License")


def test_the_name_is_the_one_that_files_and_commands_have() -> None:
    name = DATA["githubIssueLabel"]
    assert DATA["dockerRepository"] == f"airbyte/{name}"
    assert DATA["documentationUrl"].endswith(f"/integrations/destinations/{name.removeprefix('destination-')}")
    assert list(PROJECT["scripts"]) == [name]
    assert specification()["documentationUrl"] == DATA["documentationUrl"]


def test_it_succeeds_the_java_connector() -> None:
    assert DATA["definitionId"] == "d4d3fef9-e319-45c2-881a-bd02ce44cc9f"
    assert numbers(DATA["dockerImageTag"]) > (0, 1, 4)


def test_refreshes_are_announced_and_every_tag_is_a_pair() -> None:
    assert DATA["supportsRefreshes"] is True
    assert {"language:python", "cdk:python"} <= set(DATA["tags"])
    assert all(re.fullmatch(r"\w+:\w+", tag) for tag in DATA["tags"])


def test_every_host_that_is_allowed_is_a_setting() -> None:
    form = specification()["connectionSpecification"]
    for host in DATA["allowedHosts"]["hosts"]:
        options = [form]
        for name in re.fullmatch(r"\$\{([\w.]+)\}", host)[1].split("."):  # type: ignore[index]
            named = [option["properties"][name] for option in options if name in option["properties"]]
            assert named, host
            options = [option for each in named for option in each.get("oneOf", [])]


def test_a_major_version_says_what_breaks_and_how_to_go_on() -> None:
    breaking = DATA["releases"]["breakingChanges"]
    assert not MAJOR(DATA["dockerImageTag"]) or DATA["dockerImageTag"] in breaking
    guide = re.findall(r"^## Upgrading to (\S+)$", text("docs/redis-migrations.md"), re.MULTILINE)
    assert guide == sorted(breaking, key=numbers, reverse=True)


def test_the_icon_is_square() -> None:
    icon = ET.fromstring(text(DATA["icon"]))
    left, top, width, height = icon.attrib["viewBox"].split()
    assert (left, top) == ("0", "0")
    assert width == height
    assert icon.attrib["width"] == icon.attrib["height"]
