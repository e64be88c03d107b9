"""Standard output: protocol messages, one per line, and nothing else.

`sys.stdout` is None where it was closed before the program started.
"""

import os
import select
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain

_CLOSED = "The standard output was closed before all messages were written to it"


class OutputError(Exception):
    """No more messages can be written; the text is a sentence for the user."""


def put(line: bytes) -> None:
    """Write a line at once, after everything printed before it; raises OutputError."""
    if sys.stdout is None:
        raise OutputError(_CLOSED)
    try:
        sys.stdout.flush()
        out = sys.stdout.buffer
        written = out.write(line)
        while written < len(line):  # if unbuffered, a signal or a full disk may cut a write short
            written += out.write(line[written:])
        out.flush()
    except OSError as error:
        raise _failed(error) from error


def flush() -> None:
    """Flush what was printed; raises OutputError."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        raise _failed(error) from error


def while_read(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of the input; raises OutputError as soon as the reader of the output is gone."""
    if sys.stdout is None:
        raise OutputError(_CLOSED)
    poller = select.poll()
    poller.register(sys.stdout, 0)  # for errors only
    for chunk in chain(lines, [b""]):  # once more at the end of the input
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in poller.poll(0)):
            raise OutputError(_CLOSED)
        yield chunk


def wait_for_reader() -> None:
    """Make writes block while the reader is slow: a process that shares the output may have made it non-blocking."""
    with suppress(OSError, ValueError, AttributeError):
        os.set_blocking(sys.stdout.fileno(), True)


def discard() -> None:
    """Drop what could not be written: on exit the interpreter would try again, and print a stack trace."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _failed(error: OSError) -> OutputError:
    if isinstance(error, BrokenPipeError):
        return OutputError(_CLOSED)
    return OutputError(f"The standard output cannot be written: {error.strerror}")
