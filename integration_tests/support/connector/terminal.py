"""A person at a terminal: the connector with a pseudo-terminal, and what is seen on it."""

import contextlib
import errno
import fcntl
import os
import pty
import struct
import subprocess
import termios
import threading
import tty
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

from integration_tests.support.connector.fork_server import forks
from integration_tests.support.project import MAIN, PYTHON

_ERASE = "\x1b[K"


@dataclass(frozen=True)
class Seen:
    """How a command ended: its exit code, what its standard output got, and the lines that stay on the terminal."""

    code: int
    out: bytes
    lines: list[str]


class Terminal:
    """The connector at a terminal of its own; used as a context.

    Its standard error is the terminal, and its standard output too where it `shares` that. It is forked, unless it is
    to be a process started `anew`.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str] | None = None,
        columns: int = 100,
        *,
        shares: bool = False,
        anew: bool = False,
    ) -> None:
        given = {"TERM": "xterm", "PYTHONUNBUFFERED": "", **(environment or {})}
        screen, theirs = pty.openpty()
        tty.setraw(theirs)
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
        stdin, feed = os.pipe()
        read, stdout = os.pipe()
        files = stdin, theirs if shares else stdout, theirs
        if anew:
            command, variables = [PYTHON, MAIN, *arguments], {**os.environ, **given}
            started = subprocess.Popen(command, stdin=files[0], stdout=files[1], stderr=files[2], env=variables)
            self.process: Process = started
        else:
            self.process = forks().run(arguments, files, environment=given)
        for each in (stdin, stdout, theirs):
            os.close(each)
        self.stdin = os.fdopen(feed, "wb", buffering=0)
        self._out, self._drawn = bytearray(), bytearray()
        pairs = ((read, self._out), (screen, self._drawn))
        self._watchers = [threading.Thread(target=_watch, args=pair) for pair in pairs]
        for watcher in self._watchers:
            watcher.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self._end(20)

    @property
    def out(self) -> bytes:
        """What the standard output got so far."""
        return bytes(self._out)

    @property
    def drawn(self) -> str:
        """All that the terminal got so far."""
        return self._drawn.decode()

    def finish(self, content: bytes = b"") -> Seen:
        """Send the rest of the input and return how the program ended."""
        with contextlib.suppress(BrokenPipeError):
            self.stdin.write(content)
        code = self._end(120)
        return Seen(code, self.out, seen(self.drawn))

    def _end(self, seconds: float) -> int:
        self.stdin.close()
        code = self.process.wait(seconds)
        for watcher in self._watchers:
            watcher.join(seconds)
        return code


class Process(Protocol):
    """A process, forked or started."""

    def wait(self, seconds: float, /) -> int: ...

    def send_signal(self, number: int, /) -> None: ...

    def kill(self) -> None: ...


def _watch(descriptor: int, found: bytearray) -> None:
    with os.fdopen(descriptor, "rb", buffering=0) as file:
        try:
            while data := file.read(65536):
                found += data
        except OSError as error:
            if error.errno != errno.EIO:  # Linux says it of a terminal whose other end nobody has any more
                raise


def seen(drawn: str) -> list[str]:
    """Return the lines that stay: what is erased later is not among them."""
    lines = [line.rpartition(f"\r{_ERASE}")[2].rstrip("\r") for line in drawn.replace("\r\n", "\n").split("\n")]
    assert not any("\x1b" in line or "\r" in line for line in lines), drawn
    return lines[:-1] if not lines[-1] else lines
