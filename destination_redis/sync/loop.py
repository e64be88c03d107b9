"""The loop: route each record, send in batches, settle, acknowledge."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from destination_redis.config.settings import WithoutStatus
from destination_redis.console.output import OutputError
from destination_redis.errors import Terminated, system_error, told, transient_error
from destination_redis.ledger.lease import Claim, Lease
from destination_redis.placements.upserts import Unsettled
from destination_redis.protocol.messages import (
    UNREADABLE,
    Descriptor,
    Key,
    Message,
    Record,
    SourceError,
    StreamStatus,
    decode,
    decode_trace,
    why_unreadable,
)
from destination_redis.protocol.parsing import Parser
from destination_redis.protocol.states import State, decode_state
from destination_redis.sync.checkpoints import Acknowledgements
from destination_redis.sync.completion import incomplete, judge
from destination_redis.sync.progress import Progress
from destination_redis.sync.stream_writer import Route
from destination_redis.transport.pipeline import Pipeline
from destination_redis.transport.too_large import RecordTooLarge, TooLarge
from destination_redis.transport.window import LARGE

#: Seconds after which what is open is settled even where the input never pauses.
_SETTLE_EVERY = 0.5
#: Bytes of states that may wait for an acknowledgement; in CDC one can be megabytes.
_STATES = 4 * 1024 * 1024


class Sync:
    """One run of `write`, from started placements to states printed and streams finished."""

    def __init__(
        self,
        routes: Mapping[tuple[str | None, str], Route],
        lane: Pipeline,
        promote: Callable[[Sequence[Claim]], None],
        acknowledge: Callable[[bytes], None],
        progress: Progress,
        logger: logging.Logger,
        without_status: WithoutStatus,
    ) -> None:
        """Take the routes by the names messages use.

        `promote` makes staged generations live, `acknowledge` puts a line out at once, `without_status` is the setting
        `overwrite_without_status`.
        """
        self._routes = routes
        self._all = list(dict.fromkeys(routes.values()))
        self._lane = lane
        self._promote = promote
        self._states = Acknowledgements(lane, acknowledge)
        self._lease = Lease([route.claim for route in self._all])
        self._progress = progress
        self._logger = logger
        self._without_status = without_status
        self._commands: list[bytes] = []
        self._current = self._all[0] if self._all else None
        #: Streams with records since the last state that speaks for all, the current one and, at first, all.
        self._touched = dict.fromkeys(self._all)
        #: The last state that speaks for all.
        self._global: State | None = None
        #: Streams outside the catalog of which states came.
        self._unknown: set[Key] = set()
        self._parser = Parser(LARGE)
        self._settled_at = time.monotonic()

    def run(self, lines: Iterable[bytes]) -> Iterator[None]:
        """Write a chunk of `lines` at each step; raises a traced error where a stream is not complete at the end."""
        try:
            for chunk in lines:
                if chunk:
                    for messages, part in self._parser.parse(chunk):
                        self._take(messages, part)
                    self._flush()
                self._look_after(idle=not chunk)
                yield  # left here, it is like a process that was killed: nothing more is settled
            self.settle()
        except Exception as error:
            self._wind_up(error)
            raise
        if count := self._parser.left_out:
            self._logger.warning("Lines of the input that are no messages and were left out: %d", count)
        self._finish()

    def settle(self) -> None:
        """Return when all that was taken is in Redis, committed as far as states cover it, and these are out."""
        self._flush()
        for _ in range(2):  # what states cover, then their commits
            self._lane.settle()
            self._states.advance()
        self._settled_at = time.monotonic()

    def _take(self, messages: list[Message], lines: bytes) -> None:
        # In a batch of its own: where the server does not take it, the states before it are acknowledged.
        alone = len(messages) == 1 and len(lines) > LARGE
        if alone:
            self._flush()
        self._take_messages(messages, lines)
        if alone:
            self._flush()

    def _take_messages(self, messages: list[Message], lines: bytes) -> None:
        routes, add = self._routes, self._commands.append
        apart: list[bytes] = []
        for index, message in enumerate(messages):
            record = message.record
            if message.type != "RECORD" or record is None:
                apart = apart or lines.split(b"\n")
                self._take_other(index, message, apart[index])
                continue
            route = routes.get((record.namespace, record.stream)) or self._route_of(record, index)
            generations = route.generations
            number = generations.next_id
            if number > generations.alarm:
                route.admit()
            try:
                add(route.write(number, record))
            except Unsettled:
                self.settle()
                add = self._commands.append
                add(route.write(number, record))
            except UNREADABLE as error:
                raise system_error(
                    f"{self._parser.place(index)} has data that cannot be read: {why_unreadable(error)}"
                ) from None
            generations.next_id = number + 1
            if route is not self._current:
                self._current = route
                self._touched[route] = None

    def _take_other(self, index: int, message: Message, line: bytes) -> None:
        try:
            match message.type:
                case "STATE":
                    if decode(line) != message:  # with an empty line elsewhere there were as many lines as messages
                        raise system_error(f"{self._parser.place(index)} or one near it holds more than one message")
                    self._take_state(decode_state(line, message))
                case "TRACE":
                    self._take_trace(decode_trace(message), index)
                case "RECORD":
                    raise system_error(f"{self._parser.place(index)} is a RECORD without a record")
                case _ if message.record is not None:
                    raise system_error(f"{self._parser.place(index)} has a record, but its type is not RECORD")
        except UNREADABLE as error:
            self._parser.refuse(line, error, index)

    def _route_of(self, named: Record | Descriptor, index: int) -> Route:
        route = self._routes.get(named.key)
        if route is None:
            where = self._parser.place(index)
            raise system_error(f"{where} names the stream {_name(named.key)}, which is not in the catalog")
        return route

    def _take_trace(self, trace: StreamStatus | SourceError | None, index: int) -> None:
        match trace:
            case StreamStatus():
                route = self._route_of(trace.stream_descriptor, index)
                route.seen.change(trace.status, route.stream)
                if trace.status.terminal:
                    route.end()
            case SourceError(named):
                found = self._routes.get(named.key) if named else None
                for route in [found] if found else self._all:
                    route.seen.failed = True

    def _take_state(self, state: State) -> None:
        routes: Iterable[Route]
        if state.stream is None:
            # To all others it says nothing new; the next record may be of the current one unnoticed.
            routes, self._touched = self._touched, dict.fromkeys(filter(None, [self._current]))
            count = sum(route.state(own=False) for route in routes)
            self._global = state
        elif (route := self._routes.get(state.stream.key)) is not None:
            count, routes = route.state(own=True, end_mark=state.end_mark), (route,)
        else:
            count, routes = 0, ()
            self._warn_of_unknown(state.stream.key)
        covered = [(r, r.generations.last_id, r.received) for r in routes if r.cover()]
        self._states.take(state.acknowledged(count), covered)

    def _warn_of_unknown(self, key: Key) -> None:
        if key not in self._unknown:
            self._unknown.add(key)
            self._logger.warning(
                "The stream %s is not in the catalog; its states are passed on, as they came", _name(key)
            )

    def _flush(self) -> None:
        """Send what is open; each batch ends with a move, so that a server that lost answered writes is found out."""
        if self._commands:
            commands = list(filter(None, self._commands))
            for route in self._all if not commands else ():  # one data type holds for all streams
                route.flush()
            if commands and self._current is not None:
                self._lane.send(commands)
                self._current.claim.move()
            self._commands = []
        self._states.sent()
        self._states.advance()

    def _look_after(self, *, idle: bool) -> None:
        now = time.monotonic()
        overdue = now - self._settled_at > _SETTLE_EVERY
        if idle or overdue or self._states.size > _STATES:
            self.settle()
        self._lease.keep()
        self._progress.tick()

    def _wind_up(self, error: Exception) -> None:
        """Settle what is open before the end of input; promote nothing, and let the next run begin at once."""
        try:
            self._settle_before(error)
            for route in self._all:
                route.claim.release(clean=False)
            self._lane.settle()
        except Exception as second:  # noqa: BLE001 - the first error is the one to report
            self._logger.warning("What was open could not be settled: %s", told(second) or type(second).__name__)
            with suppress(OutputError):  # the output may be what failed
                self._states.rescue()
        if isinstance(error, TooLarge):
            stream = next((str(route.stream) for route in self._all if route.claim.keys.owns(error.key)), "")
            raise RecordTooLarge(error, stream, *(self._lane.limit_on(error) or ())) from error
        if isinstance(error, Terminated):
            raise transient_error(
                "The sync was asked to end before its input did; what was acknowledged stays", error
            ) from error

    def _settle_before(self, error: Exception) -> None:
        """Settle what is open; of what is too large, and of what came after it, nothing."""
        if not isinstance(error, OutputError):  # the source would not hear of what is committed now
            with suppress(OutputError):  # the first error is the one to report
                self._settle_all_before(error)

    def _settle_all_before(self, error: Exception) -> None:
        while True:
            if isinstance(error, TooLarge):
                self._commands.clear()
                self._states.forget(error.number)
            try:
                self.settle()
            except TooLarge as another:
                error = another
            else:
                return

    def _finish(self) -> None:
        reasons = judge(self._all, self._global, self._without_status)
        complete = [route for route, reason in reasons if reason is None]
        self._lane.verify()
        self._lane.rely(self._lane.sent)
        for route in complete:
            route.confirm(route.generations.last_id, route.received)
        self._lane.settle()
        self._promote([route.claim for route in complete if route.generations.staging])
        self._lane.verify()
        for route, reason in reasons:
            route.claim.release(clean=reason is None)
        self._lane.replicate()
        self._lane.settle()
        if missing := [(route.stream, reason) for route, reason in reasons if reason is not None]:
            raise incomplete(missing)


def _name(key: Key) -> str:
    return ".".join(filter(None, key))
