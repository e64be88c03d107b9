"""The loop of a sync: encode each record, send batches, commit, and acknowledge states."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from destination_redis.config.settings import WithoutStatus
from destination_redis.console.output import OutputError
from destination_redis.errors import (
    MayBeRefused,
    NoElement,
    RejectedRecord,
    Terminated,
    safe_text,
    system_error,
    transient_error,
)
from destination_redis.ledger.heartbeat import LeaseHeartbeat
from destination_redis.placements.upserts import FlushRequired
from destination_redis.protocol.messages import (
    UNREADABLE,
    Message,
    Record,
    decode,
    decode_trace,
    why_unreadable,
)
from destination_redis.protocol.parsing import Parser
from destination_redis.protocol.states import decode_state
from destination_redis.sync.checkpoints import Checkpoints
from destination_redis.sync.completion import finish
from destination_redis.sync.progress import Progress
from destination_redis.sync.sender import Sender
from destination_redis.sync.stream_writer import StreamWriter
from destination_redis.sync.streams import Streams
from destination_redis.sync.trial import Trial
from destination_redis.transport.pipeline import Pipeline
from destination_redis.transport.too_large import RecordTooLarge, TooLarge
from destination_redis.transport.window import LARGE

#: Seconds between commits if the input never pauses.
_COMMIT_EVERY = 0.5
#: Bytes of unacknowledged states that force a commit; in CDC one state can have megabytes.
_STATES = 4 * 1024 * 1024
# What an encoder raises for a record.
_NOT_ENCODED = (FlushRequired, MayBeRefused, NoElement, RejectedRecord, *UNREADABLE)

logger = logging.getLogger("airbyte")


class Sync:
    """Writes the input to open streams, prints states, and finishes the streams."""

    def __init__(
        self,
        streams: Streams,
        pipeline: Pipeline,
        acknowledge: Callable[[bytes], None],
        progress: Progress,
        without_status: WithoutStatus,
    ) -> None:
        """Set the open streams.

        `acknowledge` prints a line at once; `without_status` is the setting `overwrite_without_status`.
        """
        self._streams = streams
        self._pipeline = pipeline
        self._states = Checkpoints(pipeline, acknowledge)
        self._sender = Sender(streams, pipeline, self._states)
        self._heartbeat = LeaseHeartbeat([writer.lease for writer in streams.all])
        self._progress = progress
        self._without_status = without_status
        self._parser = Parser(LARGE)
        self._committed_at = time.monotonic()

    def run(self, lines: Iterable[bytes]) -> Iterator[None]:
        """Write a chunk of `lines` at each step; raises a traced error if a stream is not complete at the end."""
        try:
            for chunk in lines:
                if chunk:
                    for messages, part in self._parser.parse(chunk):
                        self._take(messages, part)
                    self._sender.send()
                self._maintain(idle=not chunk)
                yield  # to close the generator here is like killing the process: nothing more is committed
            self._commit()
        except Exception as error:
            self._end_early(error)
            raise
        if count := self._parser.left_out:
            logger.warning("Lines of the input that are not messages and were left out: %d", count)
        finish(self._streams, self._pipeline, self._without_status)

    def _commit(self) -> None:
        self._sender.commit()
        self._committed_at = time.monotonic()

    def _take(self, messages: list[Message], lines: bytes) -> None:
        if len(messages) != 1 or len(lines) <= LARGE:
            self._take_messages(messages, lines)
            return
        # A large record has its own batch: if the server refuses it, the states before it are still acknowledged.
        self._sender.send()
        record = messages[0].record
        writer = self._streams.by_name.get(record.key) if record and messages[0].type == "RECORD" else None
        if record is not None and writer is not None:
            self._try(writer, record)
        else:
            self._take_messages(messages, lines)
        self._sender.send()

    def _take_messages(self, messages: list[Message], lines: bytes) -> None:
        streams, add, gathering = self._streams, self._sender.commands.append, self._sender.gathering
        writers, name, namespace, writer = streams.by_name, "", None, None
        apart: list[bytes] = []
        for index, message in enumerate(messages):
            record = message.record
            if message.type != "RECORD" or record is None:
                apart = apart or lines.split(b"\n")
                self._take_other(index, message, apart[index])
                continue
            # Looked up once for a run of records of one stream.
            if writer is None or record.stream != name or record.namespace != namespace:
                name, namespace = record.stream, record.namespace
                writer = (
                    writers.get((namespace, name))
                    or writers.get(record.key)
                    or streams.refuse(record.key, self._parser.place(index))
                )
            generations = writer.generations
            number = generations.next_id
            if number > generations.reserve_above:
                writer.admit()
            try:
                command = writer.encode(number, record)
            except _NOT_ENCODED as why:
                found = self._encode_otherwise(writer, record, why, index)
                add = self._sender.commands.append
                if found is None:
                    continue
                command = found
            if command:
                add(command)
            else:
                gathering[writer] = None
            generations.next_id = number + 1
            if writer is not streams.current:
                streams.switch(writer)

    def _encode_otherwise(self, writer: StreamWriter, record: Record, why: Exception, index: int) -> bytes | None:
        """Return the command for a record that was not encoded at once; None if there is nothing more to do for it."""
        while isinstance(why, FlushRequired):
            self._commit()
            try:
                return writer.encode(writer.generations.next_id, record)
            except _NOT_ENCODED as again:
                why = again
        if isinstance(why, MayBeRefused):
            self._try(writer, record, index)
        elif isinstance(why, NoElement):
            writer.without_element += 1
            self._streams.switch(writer)
        elif isinstance(why, RejectedRecord):
            self._reject(writer, record, str(why))
        else:
            where = "" if writer.keeps_rejected else f" ({self._parser.place(index).lower()})"
            self._reject(writer, record, f"its data cannot be read{where}: {why_unreadable(why)}")
        return None

    def _try(self, writer: StreamWriter, record: Record, index: int = 0) -> None:
        """Send a record that the server may refuse in a batch of its own.

        If rejected records are kept, wait for the answer, and reject it if it is refused.
        """
        self._sender.send()
        self._heartbeat.keep()
        writer.admit()
        if (reason := writer.why_refused(record)) is not None:
            self._reject(writer, record, reason)
            return
        trial, number = Trial(self._pipeline, writer, record), writer.generations.next_id
        try:
            command: bytes | None = writer.encode_alone(number, record)
        except _NOT_ENCODED as why:
            command = self._encode_otherwise(writer, record, why, index)
        if command is None:
            return
        self._sender.commands += [command] if command else []
        self._sender.gathering[writer] = None
        self._streams.switch(writer)
        writer.generations.next_id = number + 1
        self._sender.send()
        if writer.keeps_rejected and (reason := trial.why_refused()) is not None:
            self._reject(writer, record, reason)

    def _reject(self, writer: StreamWriter, record: Record, reason: str) -> None:
        writer.reject(record, reason)
        self._sender.gathering[writer] = None
        self._streams.switch(writer)

    def _take_other(self, index: int, message: Message, line: bytes) -> None:
        try:
            match message.type:
                case "STATE":
                    if decode(line) != message:  # one line had two messages, another one none
                        raise system_error(f"{self._parser.place(index)} or one near it holds more than one message")
                    state = decode_state(line, message)
                    (count, rejected), covered = self._streams.take_state(state)
                    self._states.take(state.acknowledged(count - rejected, rejected), covered)
                case "TRACE":
                    self._streams.take_trace(decode_trace(message), self._parser.place(index))
                case "RECORD":
                    raise system_error(f"{self._parser.place(index)} is a RECORD without a record")
                case _ if message.record is not None:
                    raise system_error(f"{self._parser.place(index)} has a record, but its type is not RECORD")
        except UNREADABLE as error:
            self._parser.refuse(line, error, index)

    def _maintain(self, *, idle: bool) -> None:
        now = time.monotonic()
        overdue = now - self._committed_at > _COMMIT_EVERY
        if idle or overdue or self._states.size > _STATES:
            self._commit()
        self._heartbeat.keep()
        self._progress.tick()

    def _end_early(self, error: Exception) -> None:
        """Commit what states cover after an error; promote nothing, and release the leases for the next run."""
        try:
            self._sender.commit_before(error)
            for writer in self._streams.all:
                writer.lease.release(clean=False)
            self._pipeline.flush()
        except Exception as second:  # noqa: BLE001 - the first error is the one to report
            logger.warning("The last records could not be committed: %s", safe_text(second) or type(second).__name__)
            with suppress(OutputError):  # the output may be what failed
                self._states.rescue()
        if isinstance(error, TooLarge):
            stream = next((str(writer.stream) for writer in self._streams.all if writer.lease.owns(error.key)), "")
            raise RecordTooLarge(error, stream, *(self._pipeline.limit_on(error) or ())) from error
        if isinstance(error, Terminated):
            raise transient_error(
                "The sync was asked to end before its input did; acknowledged records are kept", error
            ) from error
