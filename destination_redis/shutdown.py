"""Shutdown: the request to stop, made by SIGTERM or SIGINT."""

import contextlib
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Self

from destination_redis.errors import Terminated


class Stop:
    """Turns SIGTERM and SIGINT into a request that waiting code notices at once; a context manager."""

    def __init__(self) -> None:
        self.requested = False
        self._read, self._write = os.pipe()
        self._former: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()
        os.close(self._read)
        os.close(self._write)

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Restore the previous signal handlers within this context."""
        self._give_back()
        try:
            yield
        finally:
            self._listen()

    def fileno(self) -> int:
        """Return a file descriptor that is readable once a stop is requested."""
        return self._read

    def pause(self, seconds: float) -> None:
        """Wait; raises Terminated if a stop is or gets requested."""
        if select.select([self._read], [], [], seconds)[0]:
            raise Terminated

    def _listen(self) -> None:
        # Only the main thread can handle signals.
        main = threading.current_thread() is threading.main_thread()
        for number in (signal.SIGTERM, signal.SIGINT) if main else ():
            self._former[number] = signal.signal(number, self._request)

    def _give_back(self) -> None:
        while self._former:
            signal.signal(*self._former.popitem())

    def _request(self, _number: int, _frame: FrameType | None) -> None:
        if not self.requested:
            self.requested = True
            os.write(self._write, b"!")
