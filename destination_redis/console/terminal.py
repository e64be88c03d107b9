"""The terminal: sentences, warnings and a live line on standard error."""

import logging
import os
import sys
from contextlib import suppress
from typing import TextIO

#: Columns of a terminal that does not report its width.
_COLUMNS = 80
#: Printed after Ctrl-C.
INTERRUPTED = "Interrupted"
#: Moves to the beginning of the line and erases it.
_ERASE = "\r\x1b[K"


def is_terminal(file: TextIO | None) -> bool:
    """Whether a standard stream is a terminal; a closed one is not."""
    try:
        return file is not None and file.isatty()
    except ValueError:
        return False


def attended() -> bool:
    """Whether standard error is a terminal."""
    return is_terminal(sys.stderr)


def has_live_line() -> bool:
    """Whether a live line is possible: the terminal can erase it, and messages do not go to a terminal too."""
    return attended() and not is_terminal(sys.stdout) and os.environ.get("TERM", "") not in ("", "dumb")


def say(text: str) -> None:
    """Print `text` on a line of its own; never raises."""
    _write(f"{_ERASE if has_live_line() else ''}{printable(text)}\n")


def show(text: str) -> None:
    """Print `text` as the live line, cut to the terminal's width; never raises.

    The cursor is left at its beginning, so that other output overwrites it.
    """
    columns = 0
    with suppress(OSError, ValueError):
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    _write(f"{_ERASE}{printable(text)[: (columns or _COLUMNS) - 1]}\r")


def printable(text: str) -> str:
    """Return `text` with control characters escaped: a name may contain terminal control sequences."""
    return text if text.isprintable() else "".join(map(_escaped, text))


class Warnings(logging.Handler):
    """Prints warnings on the terminal when the messages, which include them, go elsewhere."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.addFilter(lambda record: record.levelno < logging.FATAL)  # the final error is printed at the end

    def emit(self, record: logging.LogRecord) -> None:
        """Print a warning."""
        say(f"Warning: {self.format(record)}")


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def _write(text: str) -> None:
    with suppress(OSError, ValueError, AttributeError):  # full, closed, or closed before the program started
        sys.stderr.write(text)
        sys.stderr.flush()
