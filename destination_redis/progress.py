"""What a person sees while a sync runs: LOG lines, and a live line where stderr is a terminal."""

import logging
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from rich.status import Status

#: Seconds between two LOG lines, and the most streams one of them names.
_EVERY = 5.0
_MOST_NAMED = 10


class Counted(Protocol):
    """A stream's counts, in records."""

    @property
    def label(self) -> str:
        """The stream's name."""

    @property
    def received(self) -> int:
        """Records taken from the input."""

    @property
    def confirmed(self) -> int:
        """Records Redis has taken."""


class Progress:
    """Reports counts every few seconds; used as a context."""

    def __init__(self, logger: logging.Logger, streams: Iterable[Counted]) -> None:
        self._logger = logger
        self._streams = tuple(streams)
        self._started = self._last = time.monotonic()
        self._before: dict[str, int] = {}
        self._status = _live_line() if sys.stderr.isatty() else None

    def __enter__(self) -> Self:
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status:
            self._status.stop()
        self._log()

    def tick(self) -> None:
        """Report, where it is time to."""
        now = time.monotonic()
        if self._status:
            received = sum(stream.received for stream in self._streams)
            rate = received / max(now - self._started, 0.001)
            self._status.update(f"{received:,} records received, {rate:,.0f} records/s")
        if now - self._last >= _EVERY:
            self._last = now
            self._log()

    def _log(self) -> None:
        seconds = max(time.monotonic() - self._started, 0.001)
        moved = [s for s in self._streams if s.received != self._before.get(s.label, 0)]
        for stream in moved[:_MOST_NAMED]:
            self._logger.info(
                "%s: %d records received, %d confirmed, %.0f records/s",
                *(stream.label, stream.received, stream.confirmed, stream.received / seconds),
            )
        if len(moved) > _MOST_NAMED:
            self._logger.info("and %d more streams", len(moved) - _MOST_NAMED)
        self._before = {stream.label: stream.received for stream in self._streams}


def _live_line() -> "Status":
    from rich.console import Console  # noqa: PLC0415 - only a terminal is worth the time it takes
    from rich.status import Status  # noqa: PLC0415 - the same

    return Status("Waiting for records", console=Console(stderr=True))
