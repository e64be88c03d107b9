"""The connector as a user runs it: a process with files and pipes; forked, since a start takes a second.

Tests of the whole program start it for real: by `Connector.command`, in the image, under PyAirbyte.
"""

import io
import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from integration_tests.support.connector.fork_server import forks
from integration_tests.support.messages import Json
from integration_tests.support.project import MAIN, PYTHON


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
        self.process.feed(_input(messages))

    def feed_all(self, content: bytes) -> None:
        """Send all the rest of the input, until the process ends."""
        self.process.feed(content)
        self.process.stdin.close()

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
        running.process.feed(content)
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
