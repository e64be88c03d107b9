"""What stands in metadata.yaml, and the one version and the one name that all files share."""

import copy
import hashlib
import json
import os
import re
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from destination_redis.config.spec import specification
from integration_tests.support.project import ROOT

METADATA: dict[str, Any] = yaml.safe_load((ROOT / "metadata.yaml").read_text())
DATA: dict[str, Any] = METADATA["data"]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT, POETRY = PYPROJECT["project"], PYPROJECT["tool"]["poetry"]
LOCK: dict[str, Any] = tomllib.loads((ROOT / "poetry.lock").read_text())
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


def changelog() -> list[list[str]]:
    """Return the cells of each row of the user page's changelog, newest first."""
    rows = re.findall(r"^\| *\d+\.\d+\.\d+ *\|.*\|$", text("docs/redis.md"), re.MULTILINE)
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def anchor(title: str) -> str:
    """Return what a link to a title ends with."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")


def lines() -> Iterator[tuple[Path, str]]:
    """Yield the lines that the registry's check for unencrypted addresses reads; it leaves out tests and pictures."""
    left_out = {"unit_tests", "integration_tests", "build"}
    places = [path for path in ROOT.iterdir() if not path.name.startswith(".") and path.name not in left_out]
    places += [ROOT / ".ci", ROOT / ".gitignore", ROOT / ".dockerignore", ROOT / ".pre-commit-config.yaml"]
    for place in places:
        for path in place.rglob("*") if place.is_dir() else [place]:
            if path.is_file() and path.suffix not in (".svg", ".gz", ".pyc"):
                yield from ((path, line) for line in path.read_text().splitlines())


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
        "docs/redis.md": changelog()[0][0],
        "pyproject.toml": POETRY["version"],
    } == dict.fromkeys(["metadata.yaml", "Dockerfile", "CHANGELOG.md", "docs/redis.md", "pyproject.toml"], version)


def test_the_version_is_of_one_day_in_both_changelogs() -> None:
    day = only(rf"^## \[{re.escape(PROJECT['version'])}\] - (\S+)$", text("CHANGELOG.md"))
    assert changelog()[0][:2] == [PROJECT["version"], day]


def test_each_version_links_the_pull_request_that_made_it() -> None:
    assert [row[0] for row in changelog()][-2:] == ["0.1.4", "0.1.3"]
    for version, _, link, _ in changelog():
        # What a release does not know yet: its own number.
        number = r"\d+" if version != PROJECT["version"] else r"\d+|\*PR_NUMBER_PLACEHOLDER\*"
        assert re.fullmatch(rf"\[({number})\]\(https://github\.com/airbytehq/airbyte/pull/\1\)", link), version


def test_the_image_is_built_on_the_base_image_the_metadata_name() -> None:
    base = only(r"[\w./-]*/python-connector-base[\w.@:-]*", text("Dockerfile"))
    assert re.fullmatch(r"docker\.io/airbyte/python-connector-base:\d+\.\d+\.\d+@sha256:[0-9a-f]{64}", base)
    assert DATA["connectorBuildOptions"]["baseImage"] == base


def test_the_package_has_one_name_and_one_licence() -> None:
    assert DATA["remoteRegistries"]["pypi"]["packageName"] == PROJECT["name"]
    assert DATA["license"] == PROJECT["license"] == POETRY["license"] == "MIT"
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


def test_whoever_must_upgrade_has_a_week_for_it_knows_what_comes_then_and_finds_the_guide() -> None:
    for version, change in DATA["releases"]["breakingChanges"].items():
        released = date.fromisoformat(next(row[1] for row in changelog() if row[0] == version))
        assert date.fromisoformat(change["upgradeDeadline"]) >= released + timedelta(days=7)
        assert change["deadlineAction"] in ("auto_upgrade", "disable")
        guide = f"{DATA['documentationUrl']}-migrations#{anchor(f'Upgrading to {version}')}"
        assert change["migrationDocumentationUrl"] == guide


def test_a_major_version_says_why_it_is_not_to_be_left_for_an_older_one() -> None:
    unsafe = DATA["releases"]["unsafeDowngrades"]
    assert list(unsafe) == [version for version in DATA["releases"]["breakingChanges"] if MAJOR(version)]
    assert all(change["message"] for change in unsafe.values())


def test_the_cloud_is_offered_a_connector_that_verifies_the_server() -> None:
    assert DATA["registryOverrides"]["cloud"]["enabled"]
    modes = specification(cloud=True)["connectionSpecification"]["properties"]["ssl_mode"]["oneOf"]
    assert [mode["title"] for mode in modes] == ["verify-ca", "verify-full"]


def test_no_file_names_an_unencrypted_address() -> None:
    read = list(lines())
    assert {"README.md", "spec.py", "redis.md", "poetry.lock", "chart.py"} <= {path.name for path, _ in read}
    names = re.compile("http://(?!json-schema.org|localhost)", re.IGNORECASE)
    found = [(path, line) for path, line in read if names.search(line) and "# ignore-https-check" not in line]
    assert found == []


def test_the_lock_is_of_the_dependencies_that_are_set() -> None:
    # What poetry hashes, so that `poetry check --lock` says the same.
    project = {name: PROJECT[name] for name in ("requires-python", "dependencies", "optional-dependencies")}
    names = ("dependencies", "source", "extras", "dev-dependencies", "group")
    content = {"project": project, "tool": {"poetry": {name: POETRY[name] for name in names if name in POETRY}}}
    hashed = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    assert LOCK["metadata"]["content-hash"] == hashed, "Run `poetry lock`"
    # The registry's check of the tag cdk:python looks into this table, and breaks off where there is none.
    assert "dependencies" in POETRY


def test_the_lock_has_one_version_of_each_package_and_its_hashes() -> None:
    # pip takes the versions as constraints.
    names = [package["name"] for package in LOCK["package"]]
    assert len(set(names)) == len(names)
    assert all(file["hash"].startswith("sha256:") for package in LOCK["package"] for file in package["files"])
    assert all(package["files"] for package in LOCK["package"])


def test_the_lock_names_no_place_that_packages_come_from() -> None:
    assert "://" not in text("poetry.lock")
    assert not [package["name"] for package in LOCK["package"] if "source" in package]
    assert {key for package in LOCK["package"] for file in package["files"] for key in file} == {"file", "hash"}
    assert "source" not in POETRY


def test_the_icon_is_square() -> None:
    icon = ET.fromstring(text(DATA["icon"]))
    left, top, width, height = icon.attrib["viewBox"].split()
    assert (left, top) == ("0", "0")
    assert width == height
    assert icon.attrib["width"] == icon.attrib["height"]
