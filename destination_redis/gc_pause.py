"""The start of the program, made short."""

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
    """Import without looking for garbage: what modules are made of stays, and there is very much of it.

    It takes a second, so people press Ctrl-C meanwhile: they are shown no stack.
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
    """Take all there is for permanent, so that no later collection, nor the one at the exit, goes through it."""
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
