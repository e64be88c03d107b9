"""The connector's command line, a command at a time: what it left, and what it took."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from integration_tests.support.connector.fork_server import Process, forks
from integration_tests.support.messages import Json

Content = bytes | Iterable[bytes]


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code (negative: the signal), its output, and the seconds and bytes it took."""

    code: int
    out: str
    err: str
    seconds: float
    memory: int

    @property
    def messages(self) -> list[Json]:
        """Every line of the output, each of which has to be a message."""
        found = [json.loads(line, parse_int=_int) for line in self.out.split("\n")[:-1]]
        assert all(isinstance(message, dict) and "type" in message for message in found), self.out
        return found

    def of(self, kind: str) -> list[Json]:
        return [message for message in self.messages if message["type"] == kind]

    @property
    def states(self) -> list[Json]:
        return [message["state"] for message in self.of("STATE")]

    @property
    def logged(self) -> list[str]:
        return [message["log"]["message"] for message in self.of("LOG")]

    @property
    def error(self) -> Json | None:
        """The body of its one TRACE ERROR, None where it has none."""
        errors = [message["trace"]["error"] for message in self.of("TRACE")]
        assert len(errors) <= 1, self.out
        return errors[0] if errors else None


class CommandLine:
    """The connector as a command, forked, whose output and errors are kept apart."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def write(self, config: object, catalog: object, content: Content, **more: Any) -> Ran:
        """Run `write`; config and catalog are bytes, or values to be made JSON."""
        return self.run("write", self._file("config", config), self._file("catalog", catalog), content=content, **more)

    def check(self, config: object, **more: Any) -> Ran:
        return self.run("check", self._file("config", config), **more)

    def run(
        self,
        command: str,
        *files: str,
        content: Content = b"",
        seconds: float = 60,
        terminate_after: float | None = None,
        debug: bool = False,
    ) -> Ran:
        """Run a command with its input, its log at debug level if asked for.

        One that has not ended after `terminate_after` seconds is sent SIGTERM, and killed after `seconds`.
        """
        given = [part for name, file in zip(("--config", "--catalog"), files, strict=False) for part in (name, file)]
        began = time.monotonic()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            reading, writing = os.pipe()
            process = forks().run([command, *given], (reading, out.fileno(), err.fileno()), debug=debug)
            os.close(reading)
            feeder = threading.Thread(target=_feed, args=(writing, content))
            feeder.start()
            code = _ended(process, seconds if terminate_after is None else terminate_after, seconds)
            feeder.join()
            return Ran(code, _text(out), _text(err), time.monotonic() - began, process.memory)

    def _file(self, name: str, value: object) -> str:
        file = self._folder / f"{name}.json"
        file.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
        return str(file)


def _ended(process: Process, terminate_after: float, seconds: float) -> int:
    """Return the exit code of a process that is told to end, then killed, after so many seconds."""
    try:
        return process.wait(terminate_after)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(seconds - terminate_after)
    except subprocess.TimeoutExpired:
        process.kill()
    return process.wait(20)


def _feed(descriptor: int, content: Content) -> None:
    with contextlib.suppress(BrokenPipeError), os.fdopen(descriptor, "wb", buffering=0) as pipe:
        for part in [content] if isinstance(content, bytes) else content:
            left = memoryview(part)
            while left:
                left = left[pipe.write(left) :]


def _int(digits: str) -> int | str:
    """Return a number, or its digits where Python would refuse so many."""
    return int(digits) if len(digits) < 1000 else digits


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode()
