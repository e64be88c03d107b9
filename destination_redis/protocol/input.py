"""The input: bytes of a file descriptor -> whole lines, and the wish to stop."""

import contextlib
import fcntl
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Self

from destination_redis.errors import Terminated, system_error

#: Bytes read at once: large, so that reading costs little; a pipe is widened to it where the system allows.
_CHUNK = 256 * 1024
#: Bytes of a line: as many as Redis takes for a value, unless it is told to take more (proto-max-bulk-len).
_LONGEST = 512 * 1024 * 1024
#: Milliseconds an idle input is waited for before whoever reads may look after other things.
_IDLE = 1000


class Stop:
    """SIGTERM and SIGINT as a wish that waiting code notices at once; used as a context."""

    def __init__(self) -> None:
        self.requested = False
        self._read, self._write = os.pipe()
        self._former: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()
        os.close(self._read)
        os.close(self._write)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Leave signals to whoever else takes them, for so long."""
        self._give_back()
        try:
            yield
        finally:
            self._listen()

    def fileno(self) -> int:
        """Return a descriptor that is readable once the wish is there."""
        return self._read

    def pause(self, seconds: float) -> None:
        """Wait; raises Terminated where the wish is there or comes."""
        if select.select([self._read], [], [], seconds)[0]:
            raise Terminated

    def _listen(self) -> None:
        # Only the main thread of a program can be told of signals.
        main = threading.current_thread() is threading.main_thread()
        for number in (signal.SIGTERM, signal.SIGINT) if main else ():
            self._former[number] = signal.signal(number, self._request)

    def _give_back(self) -> None:
        while self._former:
            signal.signal(*self._former.popitem())

    def _request(self, _number: int, _frame: FrameType | None) -> None:
        if not self.requested:
            self.requested = True
            os.write(self._write, b"!")


def read_lines(descriptor: int, stop: Stop, longest: int = _LONGEST) -> Iterator[bytes]:
    """Yield whole lines, with their ends, as many as each reading brings; nothing where the input has nothing ready.

    A last line without an end is given one. Raises Terminated as soon as `stop` is requested, and a system error as
    soon as a line has more than `longest` bytes, so that one that never ends does not take all memory.
    """
    with contextlib.suppress(OSError, AttributeError):  # Linux alone has it
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _CHUNK)
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    poller.register(stop.fileno(), select.POLLIN)
    rest: list[bytes] = []  # of a line that has not ended, however long, joined once
    size = 0
    while True:
        ready = {number for number, _ in poller.poll(0)}
        while descriptor not in ready and not stop.requested:
            yield b""
            ready = {number for number, _ in poller.poll(_IDLE)}
        if stop.requested:
            raise Terminated
        try:
            chunk = os.read(descriptor, _CHUNK)
        except OSError as error:
            raise system_error(f"The standard input cannot be read: {error.strerror}", error) from error
        if not chunk:
            break
        end = chunk.rfind(b"\n") + 1
        if end:
            yield _joined(rest, chunk[:end])
            size = 0
        if end < len(chunk):
            rest.append(chunk[end:])
            size += len(rest[-1])
            if size > longest:
                raise system_error(f"A line of the input is longer than {longest:,} bytes, which no record can be")
    if rest:
        yield _joined(rest, b"\n")


def _joined(parts: list[bytes], last: bytes) -> bytes:
    """Return the parts and the last one as one, and let them go: a long line would be in memory twice."""
    whole = b"".join((*parts, last))
    parts.clear()
    return whole
