"""The progress of a sync: LOG lines, and a live line on a terminal."""

import logging
import time
from collections.abc import Iterable
from typing import Protocol, Self

from destination_redis.console.terminal import show

#: Seconds between two LOG lines, and the most streams one of them names.
_EVERY = 5.0
_MOST_NAMED = 10
#: Seconds between two changes of the live line.
_LIVE_EVERY = 0.1


class Counted(Protocol):
    """A stream's counts, in records."""

    @property
    def label(self) -> str:
        """The stream's name."""

    @property
    def received(self) -> int:
        """Records read from the input."""

    @property
    def confirmed(self) -> int:
        """Records that Redis has confirmed."""

    @property
    def without_element(self) -> int:
        """Records read from the input that have no element, so that nothing is stored of them."""

    @property
    def rejected(self) -> int:
        """Records read from the input that cannot be stored."""

    @property
    def past(self) -> int:
        """Records read from the input that are not stored, because the time at which they expire was past."""

    @property
    def rejected_key(self) -> str:
        """The key under which rejected records are kept."""


class Progress:
    """Reports counts every few seconds; a context manager."""

    def __init__(self, logger: logging.Logger, streams: Iterable[Counted], *, live: bool = False) -> None:
        """Set the streams; `live` shows a live line."""
        self._logger = logger
        self._streams = tuple(streams)
        self._started = self._last = time.monotonic()
        self._shown = 0.0
        self._before: dict[str, int] = {}
        self._live = live

    def __enter__(self) -> Self:
        if self._live:
            show("Waiting for records on the standard input")
        return self

    def __exit__(self, *_: object) -> None:
        self._log()
        for stream in self._streams:
            if stream.without_element:
                self._logger.warning(
                    "%s: %d records have no element, because a field that the element is taken from is null or absent "
                    "in them",
                    *(stream.label, stream.without_element),
                )
            if stream.rejected:
                self._logger.warning(
                    "%s: %d records could not be stored and were rejected; see the Redis stream %s",
                    *(stream.label, stream.rejected, stream.rejected_key),
                )
            if stream.past:
                self._logger.warning(
                    "%s: %d records were not stored, because the time in the field that expire_at names was past",
                    *(stream.label, stream.past),
                )

    def tick(self) -> None:
        """Report if it is time."""
        now = time.monotonic()
        if self._live and now - self._shown >= _LIVE_EVERY:
            self._shown = now
            received = sum(stream.received for stream in self._streams)
            if received:
                rate = received / max(now - self._started, 0.001)
                show(f"{received:,} records received, {rate:,.0f} records/s")
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
