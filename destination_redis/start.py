"""The start of the program, made short."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Import without looking for garbage: what modules are made of stays, and there is very much of it."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def settle() -> None:
    """Take all there is for permanent, so that no later collection, nor the one at the exit, goes through it."""
    gc.freeze()
