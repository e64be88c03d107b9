"""The pause of garbage collection, which shortens the start of the program."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any

from destination_redis.console.terminal import INTERRUPTED, say


@contextmanager
def uncollected() -> Iterator[None]:
    """Disable garbage collection during imports: they create very many objects, all of which stay.

    Imports take a second, in which people may press Ctrl-C: they get no stack trace.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    except KeyboardInterrupt:
        sys.excepthook = partial(_interrupted, sys.excepthook)
        raise
    finally:
        if collecting:
            gc.enable()


def freeze() -> None:
    """Exempt all existing objects from later collections, including the one at exit."""
    gc.freeze()


def _interrupted(
    former: Any,  # noqa: ANN401 - a hook
    kind: type[BaseException],
    error: BaseException,
    where: TracebackType | None,
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        say(INTERRUPTED)
    else:
        former(kind, error, where)
