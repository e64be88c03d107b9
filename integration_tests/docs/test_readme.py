"""The code blocks of README.md do what it says of them."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from destination_redis import CACHES, RecordOptions
from integration_tests.support.docs.readme import section
from integration_tests.support.messages import COMPLETE, Json, record, state, stream
from integration_tests.support.project import PYTHON
from integration_tests.support.servers.server import SERVERS, Server, running

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", params=SERVERS)
def _server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.param) as server:
        yield server


def block(text: str, language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.+?)```", text, re.DOTALL)
    return str(found)


def test_the_use_as_a_library_runs_as_it_stands(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    text = section("As a library")
    code = block(text, "python")
    assert code.count("6379") == 1
    exec(compile(code.replace("6379", str(server.port)), "README.md", "exec"), {})
    said = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("{")]
    assert said == ["acknowledged 2.0", """[b'{"name":"Ann"}', b'{"name":"Bob"}']"""]
    # The way with a client of one's own stands in the text.
    (call,) = re.findall(r"`(CACHES.+?)`", text, re.DOTALL)
    found = eval(call, {"CACHES": CACHES, "RecordOptions": RecordOptions, "client": server.client})
    assert sorted(each.data for each in found) == [b'{"name":"Ann"}', b'{"name":"Bob"}']


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the house, and add the data type of README.md: its file, and its two lines beside CACHES."""
    copy, text = tmp_path_factory.mktemp("house"), section("A new data type")
    for folder in ("destination_redis", "integration_tests"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("main.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, copy)
    (path,) = re.findall(r"`(destination_redis/caches/\w+\.py)`, for", text)
    (copy / path).write_text(block(text, "python"))
    imported, entry = [line.removeprefix("+") for line in block(text, "diff").splitlines()]
    register = copy / "destination_redis" / "caches" / "__init__.py"
    before = register.read_text()
    after = before.replace("\nfrom destination_redis.caches.hash", f"\n{imported}\nfrom destination_redis.caches.hash")
    after = after.replace('        "hash": HashCache,\n', f'        "hash": HashCache,\n{entry}\n')
    assert len(after) == len(before) + len(imported) + len(entry) + 2
    register.write_text(after)
    return copy


def run(house: Path, *arguments: str | Path, content: str = "") -> list[Json]:
    command = [PYTHON, "main.py", *map(str, arguments)]
    done = subprocess.run(command, cwd=house, input=content, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_data_type_is_one_file_and_one_entry(server: Server, house: Path, tmp_path: Path) -> None:
    (spec,) = run(house, "spec")
    choices = spec["spec"]["connectionSpecification"]["properties"]["cache_type"]["enum"]
    assert sorted(choices) == sorted([*CACHES, "geo"])
    config, catalog = tmp_path / "config.json", tmp_path / "catalog.json"
    config.write_text(json.dumps({**server.config, "cache_type": "geo", "record_format": "columns"}))
    catalog.write_text(json.dumps({"streams": [stream("towns", sync_id=1)]}))
    (checked,) = [each for each in run(house, "check", "--config", config) if each["type"] == "CONNECTION_STATUS"]
    assert checked["connectionStatus"]["status"] == "SUCCEEDED"

    towns = [("Bern", 7.45, 46.95), ("Oslo", 10.75, 59.91), *((f"Town {number}", 100, 10) for number in range(5000))]
    data = [{"name": name, "longitude": x, "latitude": y} for name, x, y in towns]
    messages = [*(record(1, "towns", data=each) for each in data), record(1, "towns", data={"name": "Atlantis"})]
    ended = json.loads(json.dumps(COMPLETE).replace("users", "towns"))
    lines = "".join(json.dumps(each) + "\n" for each in (*messages, state(1, "towns"), ended))
    output = run(house, "write", "--config", config, "--catalog", catalog, content=lines)
    assert [each["state"]["stream"]["stream_state"] for each in output if each["type"] == "STATE"] == [{"cursor": 1}]
    assert near(server, 7, 47) == ["Bern"]
    assert near(server, 0, 0) == ["Atlantis"]
    assert server.client.zcard("default:towns") == len(messages)


def near(server: Server, longitude: float, latitude: float) -> Sequence[str]:
    search = ("GEOSEARCH", "default:towns", "FROMLONLAT", longitude, latitude, "BYRADIUS", 100, "km")
    return [json.loads(member)["name"] for member in server.client.execute_command(*search)]


def test_the_contract_tests_and_the_linters_take_the_new_data_type(house: Path) -> None:
    def done(*command: str) -> str:
        environment = {**os.environ, "TEST_SERVERS": "redis-7.0"}
        ran = subprocess.run(
            command, cwd=house, env=environment, capture_output=True, text=True, timeout=300, check=False
        )
        return ran.stdout

    tests = "geo and (appends_overwrites or upserts_are_refused or permissions)"
    contract = ("-p", "no:cacheprovider", "integration_tests/data_types/test_collections.py", "-k", tests)
    assert "4 passed" in (said := done(PYTHON, "-m", "pytest", "-q", *contract)), said
    ruff, caches = str(Path(PYTHON).parent / "ruff"), "destination_redis/caches"
    assert done(ruff, "check", "--no-cache", caches) == "All checks passed!\n"
    assert "already formatted" in done(ruff, "format", "--no-cache", "--check", caches)
