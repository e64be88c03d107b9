"""The input: bytes of a file descriptor -> whole lines, and the wish to stop."""

import contextlib
import fcntl
import os
import select
from collections.abc import Iterator

from destination_redis.errors import Terminated, system_error
from destination_redis.shutdown import Stop

#: Bytes read at once: large, so that reading costs little; a pipe is widened to it where the system allows.
_CHUNK = 256 * 1024
#: Bytes of a line: as many as Redis takes for a value, unless it is told to take more (proto-max-bulk-len).
_LONGEST = 512 * 1024 * 1024
#: Milliseconds an idle input is waited for before whoever reads may look after other things.
_IDLE = 1000


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


def may_have_line_above(size: int, lines: bytes) -> bool:
    """Return whether any of `lines` may have more bytes than `size`: it has, or more than half of them."""
    step = size // 2
    return any(lines.find(b"\n", at, at + step) < 0 for at in range(0, len(lines), step))


def _joined(parts: list[bytes], last: bytes) -> bytes:
    """Return the parts and the last one as one, and let them go: a long line would be in memory twice."""
    whole = b"".join((*parts, last))
    parts.clear()
    return whole
