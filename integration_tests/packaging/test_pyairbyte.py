"""The connector as PyAirbyte and a shell run it: as the command that pip installs, fed by a source that is not ours."""

import json
import os
import shlex
import subprocess
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from destination_redis.caches import RedisRecord
from destination_redis.destination import DestinationRedis
from integration_tests.support.connector.library import full
from integration_tests.support.data_types import cache
from integration_tests.support.docs.markdown import block, section
from integration_tests.support.messages import Json
from integration_tests.support.packaging.environments import locked, with_this_checkout
from integration_tests.support.project import ROOT
from integration_tests.support.servers.server import Server

COUNTS = {"products": 100, "users": 120}
FAKER = {"count": COUNTS["users"], "seed": 7, "parallelism": 1, "records_per_slice": 50}
#: The namespace, and PyAirbyte's strategy: overwrite, append and merge, each where it has something to do.
SYNCS = [
    *[("sequence", "replace"), ("sequence", "replace"), ("sequence", "append")],
    *[("rows", "merge"), ("rows", "merge")],
]


@pytest.fixture(scope="module")
def destination(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_this_checkout(tmp_path_factory.mktemp("installed") / "venv") / "bin" / "destination-redis"


@pytest.fixture(scope="module")
def faker() -> Path:
    return locked("airbyte-source-faker") / "bin" / "source-faker"


@pytest.fixture(scope="module")
def pyairbyte() -> Path:
    return locked("airbyte") / "bin" / "python"


def recording(program: Path, folder: Path) -> Path:
    """Return a program that does the same, and leaves what each of its runs printed in `folder`."""
    folder.mkdir()
    script = folder / program.name
    script.write_text(f'#!/bin/bash\nset -o pipefail\n{program} "$@" | tee "{folder}/$$.$1"\n')
    script.chmod(0o755)
    return script


def sent(folder: Path) -> list[dict[str, list[Json]]]:
    """Return the records of each run, by stream."""
    runs = sorted(folder.glob("*.read"), key=lambda path: path.stat().st_mtime_ns)
    return [by_stream(run.read_text().splitlines()) for run in runs]


def by_stream(lines: Iterable[str], names: Iterable[str] = COUNTS) -> dict[str, list[Json]]:
    records: dict[str, list[Json]] = {name: [] for name in names}
    for message in map(json.loads, lines):
        if message["type"] == "RECORD":
            records[message["record"]["stream"]].append(message["record"]["data"])
    return records


def found(server: Server, prefix: str) -> list[RedisRecord]:
    """Return the records under a prefix, by id."""
    keys = list(server.client.scan_iter(match=f"{prefix}*", count=1000))
    return sorted(cache().get_all(server.client, keys), key=lambda record: record.id)


def contents(records: Iterable[RedisRecord]) -> list[Json]:
    return [json.loads(record.data) for record in records]


def run_python(pyairbyte: Path, folder: Path, *arguments: str, path: Path | None = None) -> None:
    """Run Python with PyAirbyte; it finds programs in `path` first, and keeps its own files in `folder`."""
    own = {"PROJECT_DIR": folder, "TEMP_DIR": folder, "LOGGING_ROOT": folder / "logs", "OFFLINE_MODE": 1}
    environment = {**os.environ, **{f"AIRBYTE_{name}": str(value) for name, value in own.items()}}
    for name in ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE"):  # without the latter every program is compiled at each start
        environment.pop(name, None)
    if path is not None:
        environment["PATH"] = f"{path}:{environment['PATH']}"
    command = [str(pyairbyte), *arguments]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, timeout=600, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()[-5000:]


def run_script(pyairbyte: Path, script: str, task: Json, folder: Path, path: Path | None = None) -> Json:
    """Run a script of the support code with PyAirbyte and return its outcome."""
    script = str(ROOT / "integration_tests" / "support" / "packaging" / script)
    run_python(pyairbyte, folder, script, json.dumps(task), path=path)
    outcome: Json = json.loads(Path(task["outcome"]).read_text())
    return outcome


def of_a_cache(record: Json) -> Json:
    """Return a record as it is before and after DuckDB: it adds columns, and knows decimals and times by their type."""
    return {name: _plain(name, value) for name, value in record.items() if not name.startswith("_airbyte_")}


def _plain(name: str, value: Any) -> Any:
    if name.endswith("_at"):
        moment = datetime.fromisoformat(value)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return Decimal(value) if name == "price" else value


def by_id(records: Iterable[Json]) -> list[Json]:
    return sorted(records, key=lambda record: int(record["id"]))


def same(record: Json) -> Json:
    return record


def test_pyairbyte_overwrites_appends_and_merges_what_the_source_sent_with_and_without_its_cache(
    pyairbyte: Path, faker: Path, destination: Path, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = start_server()
    syncs = [(way, f"{way}-{namespace}", strategy) for way in ("piped", "cached") for namespace, strategy in SYNCS]
    task = {
        "source": str(recording(faker, tmp_path / "runs")),
        "source_config": FAKER,
        "streams": list(COUNTS),
        "destination": str(destination),
        "config": server.config,
        "cache": str(tmp_path / "cache"),
        "syncs": [*syncs, ("cached", "cached-rows", "append")],
        "outcome": str(tmp_path / "outcome.json"),
    }
    told = run_script(pyairbyte, "pyairbyte_syncs.py", task, tmp_path)
    *written, refused = told["outcomes"]
    assert written == [sum(COUNTS.values())] * len(syncs)
    assert "Exit Code: 1" in refused, "An append makes no sequence of rows, and PyAirbyte hears of it"
    assert told["states"] == sorted(COUNTS), "PyAirbyte keeps the states that were acknowledged"

    # The cache's first sync reads the source, and one more run fills it for all the others.
    *piped, _, cached = sent(tmp_path / "runs")
    assert len(piped) == len(SYNCS)
    for stream in COUNTS:
        _, replaced, appended, _, merged = [run[stream] for run in piped]
        assert_stored(server, f"piped-sequence:{stream}:", replaced, appended, same)
        assert_rows(server, f"piped-rows:{stream}:", merged, same)
        assert_stored(server, f"cached-sequence:{stream}:", cached[stream], cached[stream], of_a_cache)
        assert_rows(server, f"cached-rows:{stream}:", cached[stream], of_a_cache)


def test_the_example_of_the_readme_runs_as_it_stands(
    pyairbyte: Path, faker: Path, destination: Path, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = start_server()
    code = block(section("README.md", "PyAirbyte"), "python")
    # The programs are in environments of their own here, and the server has a port of its own.
    for shown, here in {
        '"source-faker"': f'"source-faker", local_executable={str(faker)!r}',
        'local_executable="destination-redis"': f"local_executable={str(destination)!r}",
        '{"host": "localhost"}': repr(server.config),
    }.items():
        assert code.count(shown) == 1
        code = code.replace(shown, here)
    run_python(pyairbyte, tmp_path, "-c", code)
    assert len(found(server, "default:users:")) == 1000


def assert_stored(
    server: Server, prefix: str, replaced: list[Json], appended: list[Json], known: Callable[[Json], Json]
) -> None:
    """Assert that the second overwrite took the place of the first, and that the append added to it."""
    records = found(server, prefix)
    count = len(replaced)
    assert [record.id for record in records] == list(range(count + 1, 3 * count + 1))
    assert by_id(map(known, contents(records[:count]))) == by_id(map(known, replaced))
    assert by_id(map(known, contents(records[count:]))) == by_id(map(known, appended))


def assert_rows(server: Server, prefix: str, merged: list[Json], known: Callable[[Json], Json]) -> None:
    """Assert that each row is what was sent last for its primary key."""
    assert by_id(map(known, contents(found(server, prefix)))) == by_id(map(known, merged))
    assert all(server.client.exists(f"{prefix}{record['id']}") for record in merged)


def test_every_scenario_of_pyairbytes_smoke_test_is_read_back_as_it_was_sent(
    pyairbyte: Path, destination: Path, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = start_server()
    runs = recording(pyairbyte.parent / "source-smoke-test", tmp_path / "runs").parent
    namespace, outcome = "zz_deleteme_smoke_test", str(tmp_path / "outcome.json")
    task = {"config": server.config, "destination": str(destination), "namespace": namespace, "outcome": outcome}
    told = run_script(pyairbyte, "pyairbyte_smoke.py", task, tmp_path, runs)
    assert told["error"] is None
    assert told["success"]

    discovered = [json.loads(line) for run in runs.glob("*.discover") for line in run.read_text().splitlines()]
    streams = {
        stream["name"]: stream.get("source_defined_primary_key")
        for message in discovered
        if message["type"] == "CATALOG"
        for stream in message["catalog"]["streams"]
    }
    lines = [line for run in runs.glob("*.read") for line in run.read_text().splitlines()]
    sent = by_stream(lines, streams)
    assert len(streams) > 20
    assert sum(map(len, sent.values())) == told["records_delivered"]
    for name, primary_key in streams.items():
        read = [json.loads(record.data) for record in DestinationRedis().get_all(server.config, name, namespace)]
        expected = sent[name]
        if primary_key:
            expected = list(
                {json.dumps([record[path[0]] for path in primary_key]): record for record in expected}.values()
            )
        assert sorted(map(json.dumps, read)) == sorted(map(json.dumps, expected)), name


def test_a_shell_pipes_a_source_into_the_connector(
    faker: Path, destination: Path, start_server: Callable[..., Server], tmp_path: Path
) -> None:
    server = start_server()
    products = full("products", mode="overwrite")
    users = full("users", mode="append_dedup", primary_key=[["id"]], cursor_field=["updated_at"])
    files = {"faker.json": FAKER, "config.json": server.config, "catalog.json": {"streams": [products, users]}}
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    read = f"{shlex.quote(str(faker))} read --config faker.json --catalog catalog.json"
    write = f"{shlex.quote(str(destination))} write --config config.json --catalog catalog.json"
    command = ["bash", "-o", "pipefail", "-c", f"{read} | tee sent.jsonl | {write}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

    lines = (tmp_path / "sent.jsonl").read_text().splitlines()
    expected = by_stream(lines)
    assert {name: len(records) for name, records in expected.items()} == COUNTS
    assert contents(found(server, "default:products:")) == expected["products"]
    assert contents(found(server, "default:users:")) == expected["users"]
    printed = [message["state"] for message in map(json.loads, done.stdout.splitlines()) if message["type"] == "STATE"]
    states = [message["state"] for message in map(json.loads, lines) if message["type"] == "STATE"]
    assert [{**state, "destinationStats": None} for state in printed] == [
        {**state, "destinationStats": None} for state in states
    ]
    assert sum(state["destinationStats"]["recordCount"] for state in printed) == sum(COUNTS.values())
