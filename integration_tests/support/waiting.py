"""Waiting for what another process does."""

import time
from collections.abc import Callable


def wait_until(there: Callable[[], bool], seconds: float = 60) -> None:
    """Return as soon as something is there; fails where it never comes."""
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, "It never came"
        time.sleep(0.001)
