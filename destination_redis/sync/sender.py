"""The sender of a sync: it sends what was taken from the input, and commits what states cover."""

from contextlib import suppress
from typing import TYPE_CHECKING

from destination_redis.console.output import OutputError
from destination_redis.sync.checkpoints import Checkpoints
from destination_redis.sync.streams import Streams
from destination_redis.transport.pipeline import Pipeline
from destination_redis.transport.too_large import TooLarge

if TYPE_CHECKING:
    from destination_redis.sync.stream_writer import StreamWriter


class Sender:
    """Holds the commands and the states that are not sent yet."""

    def __init__(self, streams: Streams, pipeline: Pipeline, states: Checkpoints) -> None:
        self._streams = streams
        self._pipeline = pipeline
        self._states = states
        self.commands: list[bytes] = []
        #: Writers that have gathered records.
        self.gathering: dict[StreamWriter, None] = {}

    def send(self) -> None:
        """Send all gathered records; a ledger update ends each batch, to detect a server that lost answered writes."""
        for writer in self.gathering:
            self.commands += writer.take_gathered()
            writer.send_rejected()
        self.gathering.clear()
        if self.commands and self._streams.current is not None:
            self._pipeline.send(self.commands)
            self._streams.current.lease.update()
            self.commands = []
        self._states.sent()
        self._states.advance()

    def commit(self) -> None:
        """Return when all records are in Redis, those covered by states are committed, and these states are printed."""
        self.send()
        for _ in range(2):  # first the records, then the commits
            self._pipeline.flush()
            self._states.advance()

    def commit_before(self, error: Exception) -> None:
        """Commit what states cover, except a record that is too large and the records after it."""
        if not isinstance(error, OutputError):  # the source would not learn of the commit
            with suppress(OutputError):  # the first error is the one to report
                self._commit_all_before(error)

    def _commit_all_before(self, error: Exception) -> None:
        while True:
            if isinstance(error, TooLarge):
                self.commands.clear()
                self._states.forget(error.number)
            try:
                self.commit()
            except TooLarge as another:
                error = another
            else:
                return
