"""Standard output: the messages of the protocol, one a line, and nothing else.

`sys.stdout` is None where it was closed before the program started.
"""

import os
import select
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

_CLOSED = "The standard output was closed before all messages were written to it"


class OutputError(Exception):
    """No message can be written any more; its text is a sentence for the user."""


def wait_for_reader() -> None:
    """Let writing wait where the reader is slow: another process that has the output too may have changed that."""
    with suppress(OSError, ValueError, AttributeError):
        os.set_blocking(sys.stdout.fileno(), True)


def put(line: bytes) -> None:
    """Write a line at once, after everything printed before it; raises OutputError."""
    if sys.stdout is None:
        raise OutputError(_CLOSED)
    flush()
    with _failing():
        left = memoryview(line)
        while left:  # unbuffered, a signal or a disk that becomes full may cut a write short
            left = left[sys.stdout.buffer.write(left) :]
        sys.stdout.buffer.flush()


def flush() -> None:
    """Write what was printed; raises OutputError."""
    if sys.stdout is not None:
        with _failing():
            sys.stdout.flush()


def while_read(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of the input; raises OutputError as soon as nobody can read the output any more."""
    for chunk in lines:
        _verify()
        yield chunk
    _verify()


def discard(file: TextIO | None) -> None:
    """Drop what a standard stream could not write: the interpreter tries again when it exits, and prints a stack."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, file.fileno())  # type: ignore[union-attr] # suppressed
        os.close(nowhere)


@contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise OutputError(_CLOSED) from error
    except OSError as error:
        raise OutputError(f"The standard output cannot be written: {error.strerror}") from error


def _verify() -> None:
    if sys.stdout is None:
        raise OutputError(_CLOSED)
    poller = select.poll()
    poller.register(sys.stdout, 0)
    if any(event & (select.POLLERR | select.POLLHUP) for _, event in poller.poll(0)):
        raise OutputError(_CLOSED)
