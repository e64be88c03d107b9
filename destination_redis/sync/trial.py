"""The trial of a record: it is sent alone and waited for, because the server may refuse it for what it contains.

Only the answer shows what a proxy refuses, or a server that does not tell its limits. Such a record may be large, or
deep. The order of the steps follows from these failures:

- If the record was sent among others, later ones could be stored before it is refused, and states would wait for them.
  So nothing is sent after it before the answer.
- A command that was refused may still arrive late, from a lost connection. So its id is never used again. A list counts
  its elements by their ids, so its ledger notes an id that has none.
- The connection may be closed each time after the record was stored. So the server is asked whether it has it.
- The process may die, or a failover lose a step, at any time. No state covers the record before all is done: the next
  sync removes what is there of the id and of the rejected record, and the source sends the record again.
"""

from destination_redis.protocol.messages import Record
from destination_redis.sync.stream_writer import StreamWriter
from destination_redis.transport.pipeline import Pipeline
from destination_redis.transport.too_large import reason


class Trial:
    """One record of a stream; everything before it must have been sent."""

    def __init__(self, pipeline: Pipeline, writer: StreamWriter, record: Record) -> None:
        """Begin before the record is encoded."""
        self._pipeline = pipeline
        self._writer = writer
        self._record = record
        self._number = writer.generations.next_id
        self._after = pipeline.sent

    def why_refused(self) -> str | None:
        """Wait for the answer to the record, which must have been sent; return why it is refused, None if it is stored.

        Raises TooLarge if another record, which was sent before, is refused.
        """
        self._pipeline.drain()
        found = self._pipeline.take_rejected()
        if found is None:
            return None
        if found.number <= self._after:
            raise found
        self._pipeline.go_on_after(found)
        if self._writer.pass_over(found.key, self._number):
            return None
        self._writer.refused(self._record, found)
        return reason(found, self._pipeline.limit_on(found))
