"""Standard error as a person reads it: sentences, and on a terminal a live line and warnings."""

import logging
import os
import sys
from contextlib import suppress
from typing import TextIO

#: Columns of a terminal that does not say how many it has.
_COLUMNS = 80
#: What Ctrl-C is told.
INTERRUPTED = "Interrupted"
#: Moves to the beginning of the line and erases it.
_ERASE = "\r\x1b[K"


def is_terminal(file: TextIO | None) -> bool:
    """Whether a standard stream is a terminal; one that is closed is none."""
    try:
        return file is not None and file.isatty()
    except ValueError:
        return False


def attended() -> bool:
    """Whether a person sees the standard error."""
    return is_terminal(sys.stderr)


def has_live_line() -> bool:
    """Whether there can be a live line: the terminal can erase it, and no messages are printed to a terminal too."""
    return attended() and not is_terminal(sys.stdout) and os.environ.get("TERM", "") not in ("", "dumb")


def say(text: str) -> None:
    """Print `text` on a line of its own; never raises."""
    _write(f"{_ERASE if has_live_line() else ''}{printable(text)}\n")


def show(text: str) -> None:
    """Print `text` in the place of the live line, cut to the terminal's width; never raises.

    The cursor is left at its beginning, for whoever else prints to the terminal.
    """
    columns = 0
    with suppress(OSError, ValueError):
        columns = os.get_terminal_size(sys.stderr.fileno()).columns
    _write(f"{_ERASE}{printable(text)[: (columns or _COLUMNS) - 1]}\r")


def printable(text: str) -> str:
    """Return `text` with control characters as their escapes: a name may hold what would steer the terminal."""
    return text if text.isprintable() else "".join(map(_escaped, text))


class Warnings(logging.Handler):
    """Shows warnings to a person who cannot see them among the messages, since these go elsewhere."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.addFilter(lambda record: record.levelno < logging.FATAL)  # the last error is said in the end

    def emit(self, record: logging.LogRecord) -> None:
        """Print a warning."""
        say(f"Warning: {self.format(record)}")


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()


def _write(text: str) -> None:
    with suppress(OSError, ValueError, AttributeError):  # full, closed, or closed before the program started
        sys.stderr.write(text)
        sys.stderr.flush()
