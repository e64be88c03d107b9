"""Shutdown: SIGTERM and SIGINT as a request that waiting code notices."""

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
    """SIGTERM and SIGINT as a wish that waiting code notices at once; used as a context."""

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
        """Leave signals to whoever else takes them, for so long."""
        self._give_back()
        try:
            yield
        finally:
            self._listen()

    def fileno(self) -> int:
        """Return a descriptor that is readable once the wish is there."""
        return self._read

    def pause(self, seconds: float) -> None:
        """Wait; raises Terminated where the wish is there or comes."""
        if select.select([self._read], [], [], seconds)[0]:
            raise Terminated

    def _listen(self) -> None:
        # Only the main thread of a program can be told of signals.
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
