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
from integration_tests.connector import Json, cache
from integration_tests.environments import ROOT, kept, with_this_checkout
from integration_tests.library import full
from integration_tests.servers import Server

LOCKS = ROOT / "integration_tests" / "locks"
COUNTS = {"products": 100, "users": 120}
FAKER = {"count": COUNTS["users"], "seed": 7, "parallelism": 1, "records_per_slice": 50}
#: The namespace, and PyAirbyte's strategy: overwrite, append and merge, each where it has something to do.
SYNCS = [("kept", "replace"), ("kept", "replace"), ("kept", "append"), ("merged", "merge"), ("merged", "merge")]


@pytest.fixture(scope="module")
def destination(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return with_this_checkout(tmp_path_factory.mktemp("installed") / "venv") / "bin" / "destination-redis"


@pytest.fixture(scope="module")
def faker() -> Path:
    return kept(["airbyte-source-faker"], LOCKS / "airbyte-source-faker.txt") / "bin" / "source-faker"


@pytest.fixture(scope="module")
def pyairbyte() -> Path:
    return kept(["airbyte"], LOCKS / "airbyte.txt") / "bin" / "python"


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


def by_stream(lines: Iterable[str]) -> dict[str, list[Json]]:
    records: dict[str, list[Json]] = {name: [] for name in COUNTS}
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


@pytest.mark.parametrize("cached", [False, True], ids=["without its cache", "through its cache"])
def test_pyairbyte_overwrites_appends_and_merges_what_the_source_sent(
    cached: bool,
    pyairbyte: Path,
    faker: Path,
    destination: Path,
    start_server: Callable[..., Server],
    tmp_path: Path,
) -> None:
    server = start_server()
    refused = ("merged", "append")
    task = {
        "source": str(recording(faker, tmp_path / "runs")),
        "source_config": FAKER,
        "streams": list(COUNTS),
        "destination": str(destination),
        "config": server.config,
        "cache": str(tmp_path / "cache") if cached else None,
        "syncs": [*SYNCS, refused] if cached else SYNCS,
        "outcome": str(tmp_path / "outcome.json"),
    }
    own = {"PROJECT_DIR": tmp_path, "TEMP_DIR": tmp_path, "LOGGING_ROOT": tmp_path / "logs", "OFFLINE_MODE": 1}
    environment = {**os.environ, **{f"AIRBYTE_{name}": str(value) for name, value in own.items()}}
    environment.pop("PYTHONPATH", None)
    command = [str(pyairbyte), str(ROOT / "integration_tests" / "pyairbyte_syncs.py"), json.dumps(task)]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, timeout=300, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr).decode()[-5000:]

    told = json.loads((tmp_path / "outcome.json").read_text())
    written = told["outcomes"][: len(SYNCS)]
    assert written == [sum(COUNTS.values())] * len(SYNCS)
    if cached:
        # A stream with primary keys does not become a sequence by an append: PyAirbyte hears of it.
        assert "Exit Code: 1" in told["outcomes"][-1]
        assert told["states"] == sorted(COUNTS)

    runs = sent(tmp_path / "runs")
    assert len(runs) == (2 if cached else len(SYNCS))
    _, replaced, appended, _, merged = [runs[0], *[runs[1]] * 4] if cached else runs
    alike: Callable[[Json], Json] = of_a_cache if cached else lambda record: record
    for name, count in COUNTS.items():
        kept_records = found(server, f"kept:{name}:")
        assert [record.id for record in kept_records] == list(range(count + 1, 3 * count + 1))
        for expected, actual in ((replaced, kept_records[:count]), (appended, kept_records[count:])):
            assert [alike(each) for each in by_id(contents(actual))] == [alike(each) for each in by_id(expected[name])]

        rows = found(server, f"merged:{name}:")
        assert [alike(each) for each in by_id(contents(rows))] == [alike(each) for each in by_id(merged[name])]
        assert all(server.client.exists(f"merged:{name}:{each['id']}") for each in merged[name])


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
