"""The input: whole lines read from a file descriptor, until a stop is requested."""

import contextlib
import fcntl
import os
import select
from collections.abc import Iterator

from destination_redis.errors import Terminated, system_error
from destination_redis.shutdown import Stop

#: Bytes per read: large, so that reading is cheap. A pipe's buffer is set to this size if the system allows it.
_CHUNK = 256 * 1024
#: Bytes per line: the most that Redis accepts for a value by default (proto-max-bulk-len).
_LONGEST = 512 * 1024 * 1024
#: Milliseconds to wait for idle input before the caller can do other work.
_IDLE = 1000


def read_lines(descriptor: int, stop: Stop, longest: int = _LONGEST) -> Iterator[bytes]:
    """Yield the whole lines of each read, with their line feeds; b"" while no input is ready.

    A missing line feed is added to the last line. Raises Terminated as soon as `stop` is requested, and a system error
    as soon as a line has more than `longest` bytes, so that an endless line does not exhaust the memory.
    """
    with contextlib.suppress(OSError, AttributeError):  # Linux only
        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, _CHUNK)
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    poller.register(stop.fileno(), select.POLLIN)
    rest: list[bytes] = []  # parts of an unfinished line, joined only once
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
                raise system_error(f"A line of the input is longer than {longest:,} bytes, the limit for a record")
    if rest:
        yield _joined(rest, b"\n")


def may_have_line_above(size: int, lines: bytes) -> bool:
    """Return whether any of `lines` may have more than `size` bytes; a line of more than half of that may count."""
    step = size // 2
    return any(lines.find(b"\n", at, at + step) < 0 for at in range(0, len(lines), step))


def _joined(parts: list[bytes], last: bytes) -> bytes:
    """Return the parts joined, and clear them: otherwise a long line would be in memory twice."""
    whole = b"".join((*parts, last))
    parts.clear()
    return whole
