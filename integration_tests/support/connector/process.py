"""The connector as a user runs it: a process with files and pipes; forked, since a start takes a second.

Tests of the whole program start it for real: by `Connector.command`, in the image, under PyAirbyte.
"""

import contextlib
import io
import json
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis

from destination_redis.caches import CACHES, CollectionCache, KeyedCache, Layout, RecordFormat, RedisCache
from integration_tests.support.connector.fork_server import forks
from integration_tests.support.servers.server import MAIN, PYTHON

Json = dict[str, Any]
#: A data type and a format.
Shape = tuple[str, RecordFormat]

HASH: Shape = ("hash", "envelope")
SHAPES: list[Shape] = [(cache_type, form) for cache_type, made in CACHES.items() for form in made.formats]
#: Those that hold all records of a stream in one key, and those with a key for each.
COLLECTED = [shape for shape in SHAPES if isinstance(CACHES[shape[0]](Layout(shape[1])), CollectionCache)]
KEYED = [shape for shape in SHAPES if shape not in COLLECTED]
UPSERTING = [shape for shape in SHAPES if CACHES[shape[0]](Layout(shape[1])).lua.write]
#: Data types in which equal records are one: what a sync that died had sent need not be swept away.
FOLDING = [
    name
    for name, made in CACHES.items()
    if isinstance(it := made(Layout()), CollectionCache) and not it.collection.sweep
]


def stream(name: str = "users", mode: str = "append", **more: Any) -> Json:
    """Return a configured stream; `namespace` and generations by name."""
    inner = {"name": name, "json_schema": {}}
    if "namespace" in more:
        inner["namespace"] = more.pop("namespace")
    return {"stream": inner, "sync_mode": "full_refresh", "destination_sync_mode": mode, **more}


def dedup(name: str = "users", schema: Json | None = None, **more: Any) -> Json:
    """Return a stream deduplicated by "id", ordered by "at", unless others are given."""
    keyed = {"primary_key": [["id"]], "cursor_field": ["at"], **more}
    configured = stream(name, "append_dedup", **keyed)
    configured["stream"]["json_schema"] = schema or {}
    return configured


def generation(number: int, minimum: int, sync_id: int) -> Json:
    return {"generation_id": number, "minimum_generation_id": minimum, "sync_id": sync_id}


def record(number: int, name: str = "users", **more: Any) -> Json:
    body = {"stream": name, "data": {"id": number}, "emitted_at": 1700000000000 + number, **more}
    return {"type": "RECORD", "record": body}


def state(cursor: int, name: str = "users", **more: Any) -> Json:
    descriptor = {"name": name}
    body = {"type": "STREAM", "stream": {"stream_descriptor": descriptor, "stream_state": {"cursor": cursor}}}
    return {"type": "STATE", "state": {**body, **more}}


def status(value: str, name: str = "users") -> Json:
    described = {"stream_descriptor": {"name": name}, "status": value}
    return {
        "type": "TRACE",
        "trace": {"type": "STREAM_STATUS", "emitted_at": 1.7e12, "stream_status": described},
    }


COMPLETE = status("COMPLETE")


@dataclass(frozen=True)
class Outcome:
    code: int
    messages: list[Json]
    text: str

    @property
    def states(self) -> list[Json]:
        return [message["state"] for message in self.messages if message["type"] == "STATE"]

    @property
    def error(self) -> Json:
        """The last TRACE ERROR's body."""
        traces = [message["trace"]["error"] for message in self.messages if message["type"] == "TRACE"]
        assert traces, self.text
        error: Json = traces[-1]
        return error


class Running:
    """A write under way, its input still open."""

    def __init__(self, arguments: list[str]) -> None:
        self.process = forks().start(arguments)
        self._lines: list[str] = []
        self._over = False
        self._arrived = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def send(self, *messages: Json | str) -> None:
        self.process.stdin.write(_input(messages))

    def feed(self, messages: list[Json]) -> None:
        """Send until the process ends."""
        with contextlib.suppress(BrokenPipeError, ValueError):
            self.send(*messages)

    def wait_for_states(self, count: int, seconds: float = 60) -> list[Json]:
        with self._arrived:
            self._arrived.wait_for(lambda: len(self.outcome(0).states) >= count or self._over, seconds)
        found = self.outcome(0)
        assert len(found.states) >= count, found.text
        return found.states

    def finish(self) -> Outcome:
        self.process.stdin.close()
        return self.ended()

    def ended(self) -> Outcome:
        code = self.process.wait(120)
        self._reader.join(60)
        self.process.close()
        return self.outcome(code)

    def kill(self) -> Outcome:
        self.process.kill()
        return self.ended()

    def outcome(self, code: int) -> Outcome:
        lines = list(self._lines)
        return Outcome(code, [json.loads(line) for line in lines if line.startswith("{")], "".join(lines))

    def _read(self) -> None:
        for line in io.BufferedReader(self.process.stdout):
            with self._arrived:
                self._lines.append(line.decode())
                self._arrived.notify_all()
        with self._arrived:
            self._over = True
            self._arrived.notify_all()


class Connector:
    def __init__(self, config: Json, folder: Path) -> None:
        self.config = config
        self._folder = folder

    def start(self, streams: Iterable[Json]) -> Running:
        return Running(self.arguments(streams))

    def write(self, streams: Iterable[Json], messages: Iterable[Json | str]) -> Outcome:
        return self.write_bytes(streams, _input(messages))

    def write_bytes(self, streams: Iterable[Json], content: bytes) -> Outcome:
        running = self.start(streams)
        with contextlib.suppress(BrokenPipeError):
            running.process.stdin.write(content)
        return running.finish()

    def command(self, streams: Iterable[Json]) -> list[str]:
        """Return what starts a process of its own."""
        return [PYTHON, MAIN, *self.arguments(streams)]

    def arguments(self, streams: Iterable[Json]) -> list[str]:
        config, catalog = self._folder / "config.json", self._folder / "catalog.json"
        config.write_text(json.dumps(self.config))
        catalog.write_text(json.dumps({"streams": list(streams)}))
        return ["write", "--config", str(config), "--catalog", str(catalog)]


def _input(messages: Iterable[Json | str]) -> bytes:
    """Return the lines of these messages; text is a line as it is."""
    lines = (line if isinstance(line, str) else json.dumps(line) for line in messages)
    return "".join(line + "\n" for line in lines).encode()


def wait_until(there: Callable[[], bool], seconds: float = 60) -> None:
    """Return as soon as something is there; fails where it never comes."""
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, "It never came"
        time.sleep(0.001)


def cache(shape: Shape = HASH) -> RedisCache:
    """Return what reads records of that data type and format."""
    return CACHES[shape[0]](Layout(shape[1]))


def keyed_cache(shape: Shape) -> KeyedCache:
    """Return what writes records under keys of their own."""
    found = CACHES[shape[0]](Layout(shape[1]))
    assert not isinstance(found, CollectionCache)
    return found


def stored(client: Redis, prefix: str = "default:users:", shape: Shape = HASH) -> dict[int, int]:
    """Return record id -> the "id" in its data, for every key under `prefix`."""
    keys = list(client.scan_iter(match=prefix.replace("[", r"\[") + "*", count=1000))
    found = list(cache(shape).get_all(client, keys))
    assert [each.id for each in found] == [int(key.decode().removeprefix(prefix)) for key in keys]
    return {each.id: int(json.loads(each.data)["id"]) for each in found}


def values(client: Redis, prefix: str = "default:users:", shape: Shape = HASH) -> list[int]:
    """Return the "id" of every record in the order of arrival, or in ascending order where that is not kept."""
    if shape in COLLECTED:
        found = elements(client, prefix.removesuffix(":"), shape)
        # What the library and a process are given differs in its spaces.
        return sorted(set(found)) if shape[0] in FOLDING else found
    return [value for _, value in sorted(stored(client, prefix, shape).items())]


def elements(client: Redis, key: str, shape: Shape) -> list[int]:
    """Return the "id" of every record in a collection."""
    return [int(json.loads(each.data)["id"]) for each in cache(shape).get_all(client, [key.encode()])]


def rows(
    client: Redis, prefix: str = "default:users:", only: set[str] | None = None, shape: Shape = HASH
) -> dict[str, Any]:
    """Return primary key -> the "value" in its data, for every key under `prefix`, or only these."""
    keys = {key.decode().removeprefix(prefix): key for key in client.scan_iter(match=f"{prefix}*", count=1000)}
    keys = {name: key for name, key in keys.items() if only is None or name in only}
    found = list(cache(shape).get_all(client, keys.values()))
    assert len(found) == len(keys)
    return {name: json.loads(each.data).get("value") for name, each in zip(keys, found, strict=True)}


def ledger(client: Redis, name: str = "default:users") -> dict[str, str]:
    fields: dict[bytes, bytes] = client.hgetall(f"airbyte:{{{name}}}")  # type: ignore[assignment]
    return {name.decode(): value.decode() for name, value in fields.items()}
