"""The streams of a sync: found by the names that messages use, with those that the next state covers."""

import logging
from collections.abc import Iterable, Mapping
from typing import NoReturn

from destination_redis.errors import system_error
from destination_redis.protocol.messages import Key, SourceError, StreamStatus
from destination_redis.protocol.states import State
from destination_redis.search.maintenance import Promote
from destination_redis.sync.checkpoints import Covered
from destination_redis.sync.stream_writer import Counts, StreamWriter

logger = logging.getLogger("airbyte")


class Streams:
    """The stream writers of a sync, and what its states say about them."""

    def __init__(self, by_name: Mapping[tuple[str | None, str], StreamWriter], promote: Promote) -> None:
        """Take the stream writers by (namespace, name); `promote` makes staged generations live."""
        self.by_name = by_name
        self.promote = promote
        self.all = list(dict.fromkeys(by_name.values()))
        #: The stream of the last record.
        self.current = self.all[0] if self.all else None
        #: The last GLOBAL or LEGACY state: it covers all streams.
        self.last_global: State | None = None
        # Streams with records since that state, and the current one. At first all of them.
        self._touched = dict.fromkeys(self.all)
        # Streams outside the catalog that had a state.
        self._unknown: set[Key] = set()

    def switch(self, writer: StreamWriter) -> None:
        """Make the stream of a record the current one."""
        self.current = writer
        self._touched[writer] = None

    def take_state(self, state: State) -> tuple[Counts, list[Covered]]:
        """Return the records since the last state of its kind, and the streams that it newly covers."""
        writers: Iterable[StreamWriter]
        if state.stream is None:
            # It has no news for the other streams. The current one stays: `switch` does not see its next record.
            writers, self._touched = self._touched, dict.fromkeys(filter(None, [self.current]))
            counts = [writer.state(own=False) for writer in writers]
            count = Counts(*map(sum, zip(*counts, strict=True)))
            self.last_global = state
        elif (writer := self.by_name.get(state.stream.key)) is not None:
            count, writers = writer.state(own=True, end_mark=state.end_mark), (writer,)
        else:
            count, writers = Counts(), ()
            self._warn_of_unknown(state.stream.key)
        return count, [(each, each.position) for each in writers if each.cover()]

    def take_trace(self, trace: StreamStatus | SourceError | None, place: str) -> None:
        """Note a stream's status, or an error of the source; `place` is its position in the input."""
        match trace:
            case StreamStatus():
                key = trace.stream_descriptor.key
                writer = self.by_name.get(key) or self.refuse(key, place)
                writer.tracker.change(trace.status, writer.stream)
                if trace.status.terminal:
                    writer.end()
            case SourceError(named):
                found = self.by_name.get(named.key) if named else None
                for writer in [found] if found else self.all:
                    writer.tracker.failed = True

    def refuse(self, key: Key, place: str) -> NoReturn:
        """Raise the error for a message, at `place` in the input, of a stream that is not in the catalog."""
        raise system_error(f"{place} names the stream {name_of(key)}, which is not in the catalog")

    def _warn_of_unknown(self, key: Key) -> None:
        if key not in self._unknown:
            self._unknown.add(key)
            logger.warning("The stream %s is not in the catalog; its states are passed on, as they came", name_of(key))


def name_of(key: Key) -> str:
    """Return a stream's name, after its namespace and a period if it has one."""
    return ".".join(filter(None, key))
