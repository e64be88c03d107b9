"""The known limits of a stream: what the server says that it refuses, and what it has refused before."""

from contextlib import suppress

from destination_redis.caches.extent import SHORT_KEY, Extent, Measure
from destination_redis.errors import NoElement, RejectedRecord
from destination_redis.protocol.json_depth import depth
from destination_redis.protocol.messages import UNREADABLE, Record
from destination_redis.transport.too_large import SizeLimit, TooLarge
from destination_redis.transport.window import LARGE

#: No value has this many times the bytes of the record's data: a cursor is stored as hexadecimal text, and a colon in a
#: key as three characters.
_GROWTH = 3


class KnownLimits:
    """Tells which records the server will refuse, so that they are not sent."""

    def __init__(self, measure: Measure, limit: SizeLimit | None) -> None:
        """`limit` is the server's setting, None if it does not tell it."""
        self._measure = measure
        self._limit = limit
        self._refused: Extent | None = None
        self._refused_depth: int | None = None
        # Refused by closing the connection: this may be a coincidence, but not twice.
        self._closed = 0

    def why_refused(self, record: Record) -> str | None:
        """Return why the server will refuse a record; None if nothing is known about one like it."""
        if self._refused_depth and (levels := depth(bytes(record.data))) >= self._refused_depth:
            return f"its JSON has {levels:,} levels, and one with {self._refused_depth:,} was refused"
        may_exceed = self._limit is not None and _GROWTH * len(record.data) + LARGE > self._limit.limit
        if not may_exceed and self._refused is None:
            return None
        with suppress(NoElement, RejectedRecord, *UNREADABLE):  # raised again when it is encoded
            return self._why_too_large(self._measure(record))
        return None

    def learn(self, record: Record, found: TooLarge) -> None:
        """Note a record that was refused."""
        if found.deep:
            self._refused_depth = depth(bytes(record.data))
            return
        self._closed += not found.reply_text
        extent = self._measure(record)
        if extent.key <= SHORT_KEY:
            extent = extent._replace(key=0)
        if (found.reply_text or self._closed > 1) and (self._refused is None or extent < self._refused):
            self._refused = extent

    def _why_too_large(self, extent: Extent) -> str | None:
        if self._limit:
            setting, limit = self._limit
            what = "its key" if extent.key > limit else "one of its values"
            if (size := max(extent.key, extent.value)) > limit:
                return f"{what} has {size:,} bytes, and {setting} allows {limit:,}"
        if self._refused and extent.reaches(self._refused):
            return f"its {extent.command:,} bytes are not fewer than those of a record that was refused"
        return None
