"""Standard output: the messages of the protocol, one a line, and nothing else.

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
    """No message can be written any more; its text is a sentence for the user."""


def put(line: bytes) -> None:
    """Write a line at once, after everything printed before it; raises OutputError."""
    if sys.stdout is None:
        raise OutputError(_CLOSED)
    try:
        sys.stdout.flush()
        out = sys.stdout.buffer
        written = out.write(line)
        while written < len(line):  # unbuffered, a signal or a disk that becomes full may cut a write short
            written += out.write(line[written:])
        out.flush()
    except OSError as error:
        raise _failed(error) from error


def flush() -> None:
    """Write what was printed; raises OutputError."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError as error:
        raise _failed(error) from error


def while_read(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of the input; raises OutputError as soon as nobody can read the output any more."""
    if sys.stdout is None:
        raise OutputError(_CLOSED)
    poller = select.poll()
    poller.register(sys.stdout, 0)  # for errors alone
    for chunk in chain(lines, [b""]):  # at the end of the input once more
        if any(event & (select.POLLERR | select.POLLHUP) for _, event in poller.poll(0)):
            raise OutputError(_CLOSED)
        yield chunk


def wait_for_reader() -> None:
    """Let writing wait where the reader is slow: another process that has the output too may have changed that."""
    with suppress(OSError, ValueError, AttributeError):
        os.set_blocking(sys.stdout.fileno(), True)


def discard() -> None:
    """Drop what could not be written: the interpreter would try again when it exits, and print a stack."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _failed(error: OSError) -> OutputError:
    if isinstance(error, BrokenPipeError):
        return OutputError(_CLOSED)
    return OutputError(f"The standard output cannot be written: {error.strerror}")
