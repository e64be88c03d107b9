"""The connector's command line in a child of a process that has imported it already: a start costs milliseconds.

What is run is `main` with a pipe for its input, so every byte takes the way that it takes in a process of its own.
"""

import array
import contextlib
import json
import logging
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from integration_tests.connector import Json
from integration_tests.servers import PYTHON

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
    """A process that is the connector, not begun yet, as often as is asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        ours, theirs = socket.socketpair()
        with theirs:
            command = [PYTHON, "-m", "integration_tests.forked", str(theirs.fileno())]
            self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=Path(__file__).parent.parent)
        self._socket = ours
        self._replies = ours.makefile("r")

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
        patience: float | None = None,
        debug: bool = False,
    ) -> Ran:
        """Run a command with its input, its log at debug level if asked for.

        One that is not over after so many seconds of `patience` is told to end, and after `seconds` killed: its code
        tells so.
        """
        given = [part for name, file in zip(("--config", "--catalog"), files, strict=False) for part in (name, file)]
        began = time.monotonic()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            reading, writing = os.pipe()
            request = json.dumps([[command, *given], debug]).encode()
            descriptors = array.array("i", [reading, out.fileno(), err.fileno()])
            self._socket.sendmsg([request], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
            os.close(reading)
            process = int(self._replies.readline())
            killer = threading.Timer(seconds, os.kill, (process, signal.SIGKILL))
            killer.start()
            ending = threading.Timer(seconds if patience is None else patience, os.kill, (process, signal.SIGTERM))
            ending.start()
            feeder = threading.Thread(target=_feed, args=(writing, content))
            feeder.start()
            code, memory = json.loads(self._replies.readline())
            killer.cancel()
            ending.cancel()
            feeder.join()
            return Ran(code, _text(out), _text(err), time.monotonic() - began, memory)

    def close(self) -> None:
        self._socket.close()
        self._replies.close()
        self._process.wait(20)

    def _file(self, name: str, value: object) -> str:
        file = self._folder / f"{name}.json"
        file.write_bytes(value if isinstance(value, bytes) else json.dumps(value).encode())
        return str(file)


@contextmanager
def command_line(folder: Path) -> Iterator[CommandLine]:
    forks = CommandLine(folder)
    try:
        yield forks
    finally:
        forks.close()


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


def _serve(control: socket.socket) -> None:
    import destination_redis.destination  # noqa: PLC0415 - what takes a second, once
    import destination_redis.tunnel  # noqa: PLC0415

    main = destination_redis.destination.main
    while True:
        request, descriptors, *_ = socket.recv_fds(control, 1 << 16, 3)
        if not request:
            return
        arguments, debug = json.loads(request)
        process = os.fork()
        if process == 0:
            control.close()
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
                os.close(descriptor)
            if debug:
                for name in (None, "airbyte", "asyncio", "asyncssh"):
                    logging.getLogger(name).setLevel(logging.DEBUG)
            sys.argv[1:] = arguments
            os._exit(_run(main))
        for descriptor in descriptors:
            os.close(descriptor)
        control.sendall(b"%d\n" % process)
        _, status, usage = os.wait4(process, 0)
        most = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        control.sendall(json.dumps([os.waitstatus_to_exitcode(status), most]).encode() + b"\n")


def _run(main: Any) -> int:
    """Run `main` and end as an interpreter does; return its exit code."""
    code = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - the interpreter's own way
        sys.excepthook(*sys.exc_info())
        code = 1
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    return code


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _serve(socket.socket(fileno=int(sys.argv[1])))
