"""The code blocks of docs/architecture.md do what it says of them: a data type is one file and one entry."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from destination_redis import CACHES
from integration_tests.support.docs.markdown import block, section
from integration_tests.support.messages import COMPLETE, Json, record, state, stream
from integration_tests.support.project import PYTHON, ROOT
from integration_tests.support.servers.server import SERVERS, Server, running


@pytest.fixture(scope="module", params=SERVERS)
def _server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.param) as server:
        yield server


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the project, and add the data type of the page: its file, and its two lines beside CACHES."""
    copy, text = tmp_path_factory.mktemp("project"), section("docs/architecture.md", "Adding a data type")
    for folder in ("destination_redis", "integration_tests", "docs"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("main.py", "pyproject.toml"):
        shutil.copy(ROOT / name, copy)
    (path,) = re.findall(r"`(destination_redis/caches/\w+\.py)` keeps", text)
    (copy / path).write_text(block(text, "python"))
    imported, entry = [line.removeprefix("+") for line in block(text, "diff").splitlines()]
    register = copy / "destination_redis" / "caches" / "__init__.py"
    before = register.read_text()
    after = before.replace("\nfrom destination_redis.caches.base", f"\n{imported}\nfrom destination_redis.caches.base")
    after = after.replace('        "hash": HashCache,\n', f'        "hash": HashCache,\n{entry}\n')
    assert len(after) == len(before) + len(imported) + len(entry) + 2
    register.write_text(after)
    return copy


def run(project: Path, *arguments: str | Path, content: str = "") -> list[Json]:
    command = [PYTHON, "main.py", *map(str, arguments)]
    done = subprocess.run(command, cwd=project, input=content, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_data_type_is_one_file_and_one_entry(server: Server, project: Path, tmp_path: Path) -> None:
    (spec,) = run(project, "spec")
    choices = spec["spec"]["connectionSpecification"]["properties"]["cache_type"]["enum"]
    assert sorted(choices) == sorted([*CACHES, "autocomplete"])
    config, catalog = tmp_path / "config.json", tmp_path / "catalog.json"
    config.write_text(json.dumps({**server.config, "cache_type": "autocomplete", "record_format": "columns"}))
    catalog.write_text(json.dumps({"streams": [stream("towns", sync_id=1)]}))
    (checked,) = [each for each in run(project, "check", "--config", config) if each["type"] == "CONNECTION_STATUS"]
    assert checked["connectionStatus"]["status"] == "SUCCEEDED"

    names = ["Oslo", "Bern", "Berlin", 'Ber"', "berth", *(f"Town {number}" for number in range(5000))]
    data: list[Json] = [*({"name": name} for name in names), {"name": None}, {"name": 5}, {}]
    messages = [record(1, "towns", data=each) for each in data]
    ended = json.loads(json.dumps(COMPLETE).replace("users", "towns"))
    lines = "".join(json.dumps(each) + "\n" for each in (*messages, state(1, "towns"), ended))
    output = run(project, "write", "--config", config, "--catalog", catalog, content=lines)
    assert [each["state"]["stream"]["stream_state"] for each in output if each["type"] == "STATE"] == [{"cursor": 1}]
    (query,) = re.findall(r"`(ZRANGE .+?)`", section("docs/architecture.md", "Adding a data type"))
    assert found(server, *query.split()) == ['Ber"', "Berlin", "Bern", "berth"]
    assert server.client.zcard("default:towns") == len(messages)


def found(server: Server, *command: str) -> Sequence[str]:
    return [json.loads(member.rpartition(b"\0")[2])["name"] for member in server.client.execute_command(*command)]


def test_the_contract_tests_and_the_linters_take_the_new_data_type(project: Path) -> None:
    def done(*command: str) -> str:
        environment = {**os.environ, "TEST_SERVERS": "redis-7.0"}
        ran = subprocess.run(
            command, cwd=project, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        return ran.stdout

    tests = "autocomplete and (appends_overwrites or upserts_are_refused or permissions)"
    contract = ("-p", "no:cacheprovider", "integration_tests/data_types/test_collections.py", "-k", tests)
    assert "4 passed" in (said := done(PYTHON, "-m", "pytest", "-q", *contract)), said
    ruff, caches = str(Path(PYTHON).parent / "ruff"), "destination_redis/caches"
    assert done(ruff, "check", "--no-cache", caches) == "All checks passed!\n"
    assert "already formatted" in done(ruff, "format", "--no-cache", "--check", caches)
