"""The CDK's standard tests of a destination (its DestinationTestSuiteBase), run by the CDK's own command."""

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest

from destination_redis.config.spec import specification
from integration_tests.support.project import ROOT
from integration_tests.support.servers.server import Server

#: Long enough, and with a digit, for the suite to look for it in all that the connector says.
PASSWORD = "correct-horse-8"


@pytest.fixture
def suite(start_server: Callable[..., Server], tmp_path: Path) -> Path:
    """Return a folder as the suite wants it: named after the connector, the configs under secrets."""
    server = start_server()
    server.client.config_set("requirepass", PASSWORD)
    good = {**server.config, "password": PASSWORD}
    java = {"username": "default", "cache_type": "hash", "ssl": False, "ssl_mode": {"mode": "disable"}}
    java["tunnel_method"] = {"tunnel_method": "NO_TUNNEL"}
    configs = {
        "config": good,
        "config_of_the_java_connector": {**good, **java},
        "config_with_a_wrong_password": {**good, "password": PASSWORD[::-1]},
    }
    folder = tmp_path / "destination-redis"
    (folder / "secrets").mkdir(parents=True)
    for name in ("metadata.yaml", "acceptance-test-config.yml"):
        (folder / name).symlink_to(ROOT / name)
    for name, config in configs.items():
        (folder / "secrets" / f"{name}.json").write_text(json.dumps(config))
    return folder


def test_the_standard_suite_is_green(suite: Path) -> None:
    arguments = ["connector", "test", str(suite), "--pytest-arg=-m", "--pytest-arg=not image_tests"]
    command = [sys.executable, "-c", "from airbyte_cdk.cli.airbyte_cdk import cli; cli()", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("PYTEST_ADDOPTS", None)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    cases = ET.parse(suite / "build" / "test-results" / "standard-tests-junit.xml").getroot().iter("testcase")
    assert sorted(case.attrib["name"].split("[")[0] for case in cases if case.find("skipped") is None) == [
        *["test_check"] * 3,
        *["test_config_matches_spec"] * 2,
    ]


@pytest.mark.parametrize("cloud", [False, True])
def test_the_suites_lint_finds_no_secret_unmarked(cloud: bool) -> None:
    from airbyte_cdk.test.standard_tests import _spec_lint as lint  # noqa: PLC0415 - it takes a second to import

    assert lint.find_secret_marking_errors(specification(cloud=cloud)["connectionSpecification"]) == []
