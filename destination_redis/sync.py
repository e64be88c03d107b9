"""The loop: route each record, send in batches, settle, acknowledge."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress

from destination_redis.acknowledge import Acknowledgements
from destination_redis.claim import Claim, Lease
from destination_redis.completion import why_incomplete
from destination_redis.errors import Terminated, system_error, told, transient_error
from destination_redis.messages import (
    UNREADABLE,
    Descriptor,
    Message,
    Record,
    State,
    decode,
    decode_all,
    decode_state,
    decode_status,
    why_no_message,
    why_unreadable,
)
from destination_redis.pipeline import Pipeline
from destination_redis.progress import Progress
from destination_redis.route import Route
from destination_redis.too_large import RecordTooLarge, TooLarge
from destination_redis.upserts import Unsettled
from destination_redis.window import LARGE

#: Seconds after which what is open is settled even where the input never pauses.
_SETTLE_EVERY = 0.5
#: Bytes of states that may wait for an acknowledgement; in CDC one can be megabytes.
_STATES = 4 * 1024 * 1024


#: Bytes without the end of a line that make a chunk one with a line that is long, or nearly so.
_LONG = LARGE // 2


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
    ) -> None:
        """Take the routes by the names messages use.

        `promote` makes staged generations live, `acknowledge` puts a line out at once.
        """
        self._routes = routes
        self._all = list(dict.fromkeys(routes.values()))
        self._lane = lane
        self._promote = promote
        self._states = Acknowledgements(lane, acknowledge)
        self._lease = Lease([route.claim for route in self._all])
        self._progress = progress
        self._logger = logger
        self._commands: list[bytes] = []
        self._current = self._all[0] if self._all else None
        #: Streams with records since the last state that speaks for all, the current one and, at first, all.
        self._touched = dict.fromkeys(self._all)
        self._number = 0
        self._other_lines = 0
        self._settled_at = time.monotonic()

    def run(self, lines: Iterable[bytes]) -> Iterator[None]:
        """Write a chunk of `lines` at each step; raises a traced error where a stream is not complete at the end."""
        try:
            for chunk in lines:
                if chunk:
                    self._take(chunk)
                    self._flush()
                self._look_after(idle=not chunk)
                yield  # left here, it is like a process that was killed: nothing more is settled
            self.settle()
        except Exception as error:
            self._wind_up(error)
            raise
        if self._other_lines:
            self._logger.warning("%d lines of the input were no JSON objects and were left out", self._other_lines)
        self._finish()

    def settle(self) -> None:
        """Return when all that was taken is in Redis, committed as far as states cover it, and these are out."""
        self._flush()
        for _ in range(2):  # what states cover, then their commits
            self._lane.settle()
            self._states.advance()
        self._settled_at = time.monotonic()

    def _take(self, lines: bytes) -> None:
        messages = None if _has_long_line(lines) else decode_all(lines)
        if messages is not None:
            self._take_messages(messages, lines)
            self._number += len(messages)
            return
        for line in lines.split(b"\n")[:-1]:
            alone = len(line) > LARGE
            if alone:
                self._flush()
            try:
                message = decode(line)
            except UNREADABLE as error:
                self._undecodable(line, error)
            else:
                self._take_messages([message], line)
            if alone:
                self._flush()
            self._number += 1

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
                    f"{self._place(index)} has data that cannot be read: {why_unreadable(error)}"
                ) from None
            generations.next_id = number + 1
            if route is not self._current:
                self._current = route
                self._touched[route] = None

    def _undecodable(self, line: bytes, error: Exception, index: int = 0) -> None:
        if (wrong := why_no_message(line, error)) is not None:
            raise system_error(f"{self._place(index)} is not an Airbyte message: {wrong}") from None
        self._other_lines += bool(line.strip())

    def _place(self, index: int) -> str:
        """Return where in the input the line is that has `index` among those just taken."""
        return f"Line {self._number + index + 1} of the input"

    def _take_other(self, index: int, message: Message, line: bytes) -> None:
        try:
            match message.type:
                case "STATE":
                    if decode(line) != message:  # with an empty line elsewhere there were as many lines as messages
                        raise system_error(f"{self._place(index)} or one near it holds more than one message")
                    self._take_state(decode_state(line, message), index)
                case "TRACE":
                    if (status := decode_status(message)) is not None:
                        route = self._route_of(status.stream_descriptor, index)
                        route.seen.change(status.status, route.stream)
                        if status.status.terminal:
                            route.end()
                case "RECORD":
                    raise system_error(f"{self._place(index)} is a RECORD without a record")
        except UNREADABLE as error:
            self._undecodable(line, error, index)

    def _route_of(self, named: Record | Descriptor, index: int) -> Route:
        name = named.stream if isinstance(named, Record) else named.name
        route = self._routes.get((named.namespace or None, name))
        if route is None:
            full = f"{named.namespace}.{name}" if named.namespace else name
            raise system_error(f"{self._place(index)} names the stream {full}, which is not in the catalog")
        return route

    def _take_state(self, state: State, index: int) -> None:
        routes: Iterable[Route]
        if state.stream is not None:
            route = self._route_of(state.stream, index)
            count, routes = route.state(own=True), (route,)
        else:
            # To all others it says nothing new; the next record may be of the current one unnoticed.
            routes, self._touched = self._touched, dict.fromkeys(filter(None, [self._current]))
            count = sum(route.state(own=False) for route in routes)
        covered = [(r, r.generations.last_id, r.received) for r in routes if r.cover()]
        self._states.take(state.acknowledged(count), covered)

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
            with suppress(OSError):  # the output may be what failed
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
        ended = sum(route.seen.ended for route in self._all)
        records = any(route.received for route in self._all)
        reasons = [(route, self._why_incomplete(route, ended, records)) for route in self._all]
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
        incomplete = [f"{route.stream} ({reason})" for route, reason in reasons if reason is not None]
        if incomplete:
            raise transient_error(
                f"Not complete: {'; '.join(incomplete)}. Their old data stays as it was and "
                "what was acknowledged is kept; run the sync again"
            )

    @staticmethod
    def _why_incomplete(route: Route, ended: int, input_had_records: bool) -> str | None:
        return why_incomplete(
            route.stream,
            route.seen,
            replaces=route.generations.staging,
            has_live=route.generations.has_live(),
            others_ended=ended > int(route.seen.ended),
            input_had_records=input_had_records,
        )


def _has_long_line(lines: bytes) -> bool:
    """Return whether any of `lines` may have more than LARGE bytes; such a record is sent in a batch of its own."""
    return any(lines.find(b"\n", at, at + _LONG) < 0 for at in range(0, len(lines), _LONG))
