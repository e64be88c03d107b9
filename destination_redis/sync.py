"""The loop: route each record, send in batches, settle, acknowledge."""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import msgspec

from destination_redis.caches import RedisCache
from destination_redis.completion import Seen, why_incomplete
from destination_redis.errors import Terminated, system_error, transient_error
from destination_redis.ledger import LEASE, Claim
from destination_redis.messages import (
    Descriptor,
    Message,
    Record,
    State,
    decode,
    decode_all,
    decode_state,
    decode_status,
)
from destination_redis.pipeline import Lane
from destination_redis.placement import SequencePlacement
from destination_redis.progress import Progress
from destination_redis.streams import Stream

#: Seconds after which what is open is settled even where the input never pauses.
_SETTLE_EVERY = 0.5
#: Bytes of states that may wait for an acknowledgement; in CDC one can be megabytes.
_STATES = 4 * 1024 * 1024
#: Milliseconds a replica is waited for after the ledger moved; late is worth a warning, not more.
_REPLICA_WAIT = 500


class Route:
    """One stream on its way from the input to its place."""

    def __init__(self, stream: Stream, claim: Claim, placement: SequencePlacement, cache: RedisCache) -> None:
        self.stream = stream
        self.claim = claim
        self.placement = placement
        self.write = cache.writer(placement.around)
        self._first_id = placement.next_id
        self._seen = Seen()
        self.confirmed = 0
        #: Records up to the last state of its own.
        self.stated = 0

    @property
    def label(self) -> str:
        """The stream's name."""
        return str(self.stream)

    @property
    def received(self) -> int:
        """Records taken from the input."""
        return self.placement.next_id - self._first_id

    @property
    def seen(self) -> Seen:
        """What the input held for the stream."""
        self._seen.records = self.received
        return self._seen

    def end(self) -> None:
        """Let no record come any more: the next one meets `admit`."""
        self.placement.alarm = -1

    def admit(self) -> None:
        """Let the next record in, once its id is reserved; raises where the stream has ended."""
        if self._seen.ended:
            raise system_error(f"A record of the stream {self.stream} came after its status {self._seen.status}")
        self.placement.reserve()


@dataclass(slots=True)
class _Pending:
    line: bytes
    targets: list[tuple[Route, int, int]]
    after: int = 0


class Sync:
    """One run of `write`, from started placements to states printed and streams finished."""

    def __init__(
        self,
        routes: Mapping[tuple[str | None, str], Route],
        lane: Lane,
        acknowledge: Callable[[bytes], None],
        progress: Progress,
        logger: logging.Logger,
    ) -> None:
        """Take the routes by the names messages use; `acknowledge` puts a line out at once."""
        self._routes = routes
        self._all = list({id(route): route for route in routes.values()}.values())
        self._lane = lane
        self._acknowledge = acknowledge
        self._progress = progress
        self._logger = logger
        self._commands: list[bytes] = []
        self._current = self._all[0] if self._all else None
        self._states_here: list[_Pending] = []
        self._waiting: deque[_Pending] = deque()
        self._committing: deque[_Pending] = deque()
        self._state_bytes = 0
        self._touched: set[Route] = set()
        self._globally_stated = 0
        self._number = 0
        self._other_lines = 0
        self._settled_at = self._renewed_at = time.monotonic()
        self._warned = False

    def run(self, lines: Iterable[bytes]) -> None:
        """Write all of `lines`; raises a traced error where any stream is not complete at the end."""
        try:
            for chunk in lines:
                if chunk:
                    self._take(chunk)
                    self._flush()
                self._look_after(idle=not chunk)
        except Exception as error:
            self._wind_up(error)
            raise
        self.settle()
        if self._other_lines:
            self._logger.warning("%d lines of the input were no JSON objects and were left out", self._other_lines)
        self._finish()

    def settle(self) -> None:
        """Return when all that was taken is in Redis, committed as far as states cover it, and these are out."""
        self._flush()
        self._lane.settle()
        self._advance()
        self._lane.settle()
        self._advance()
        self._settled_at = time.monotonic()

    def _take(self, lines: bytes) -> None:
        messages = decode_all(lines)
        if messages is not None:
            self._take_messages(messages, lines)
            self._number += len(messages)
            return
        for line in lines.split(b"\n")[:-1]:
            try:
                message = decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                self._undecodable(line, error)
            else:
                self._take_messages([message], line)
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
            placement = route.placement
            number = placement.next_id
            if number > placement.alarm:
                route.admit()
            placement.next_id = number + 1
            self._current = route
            add(route.write(number, record))

    def _undecodable(self, line: bytes, error: Exception, index: int = 0) -> None:
        start = line.lstrip()
        if start.startswith(b"{"):
            what = "invalid UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
            raise system_error(f"{self._place(index)} is not an Airbyte message: {what}") from None
        self._other_lines += bool(start)

    def _place(self, index: int) -> str:
        """Return where in the input the line is that has `index` among those just taken."""
        return f"Line {self._number + index + 1} of the input"

    def _take_other(self, index: int, message: Message, line: bytes) -> None:
        try:
            match message.type:
                case "STATE":
                    self._take_state(decode_state(line, message), index)
                case "TRACE":
                    if (status := decode_status(message)) is not None:
                        route = self._route_of(status.stream_descriptor, index)
                        route.seen.change(status.status, route.stream)
                        if status.status.terminal:
                            route.end()
                case "RECORD":
                    raise system_error(f"{self._place(index)} is a RECORD without a record")
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._undecodable(line, error, index)

    def _route_of(self, named: Record | Descriptor, index: int) -> Route:
        name = named.stream if isinstance(named, Record) else named.name
        route = self._routes.get((named.namespace or None, name))
        if route is None:
            full = f"{named.namespace}.{name}" if named.namespace else name
            raise system_error(f"{self._place(index)} names the stream {full}, which is not in the catalog")
        return route

    def _take_state(self, state: State, index: int) -> None:
        if state.stream is not None:
            route = self._route_of(state.stream, index)
            route.seen.state(own=True)
            count, route.stated = route.received - route.stated, route.received
            routes: Iterable[Route] = (route,)
        else:
            for route in self._all:
                route.seen.state(own=False)
            total = sum(route.received for route in self._all)
            count, self._globally_stated = total - self._globally_stated, total
            routes = self._all
        targets = [(r, r.placement.last_id, r.received) for r in routes if r.confirmed < r.received]
        line = state.acknowledged(count)
        self._states_here.append(_Pending(line, targets))
        self._state_bytes += len(line)

    def _flush(self) -> None:
        """Send what is open; each batch ends with a move, so that a server that lost answered writes is found out."""
        if self._commands:
            self._lane.send(self._commands)
            self._commands = []
            if self._current is not None:
                self._current.claim.move()
        for state in self._states_here:
            state.after = self._lane.sent
        self._waiting.extend(self._states_here)
        self._states_here.clear()
        self._advance()

    def _advance(self) -> None:
        """Commit what states cover once it is answered, and put them out once that is answered."""
        settled = self._lane.settled
        reached: dict[Route, tuple[int, int]] = {}
        group = []
        while self._waiting and self._waiting[0].after <= settled:
            state = self._waiting.popleft()
            reached |= {route: (last_id, count) for route, last_id, count in state.targets}
            group.append(state)
        if reached:
            for route, (last_id, count) in reached.items():
                route.placement.commit(last_id)
                route.confirmed = count
            self._wait_for_replica()
        for state in group:
            state.after = self._lane.sent if reached else state.after
        self._committing.extend(group)
        while self._committing and self._committing[0].after <= settled:
            line = self._committing.popleft().line
            self._acknowledge(line)
            self._state_bytes -= len(line)

    def _wait_for_replica(self) -> None:
        if self._lane.peer.replicas:
            wait = self._lane.pack("WAIT", 1, _REPLICA_WAIT)
            self._lane.send([wait], judge=self._judge_wait)

    def _judge_wait(self, reply: object) -> None:
        if reply == 0 and not self._warned:
            self._warned = True
            self._logger.warning("No replica confirmed the ledger within %d ms", _REPLICA_WAIT)

    def _look_after(self, *, idle: bool) -> None:
        now = time.monotonic()
        overdue = now - self._settled_at > _SETTLE_EVERY
        if idle or overdue or self._state_bytes > _STATES:
            self.settle()
        if now - self._renewed_at > LEASE / 1000 / 3:
            self._renewed_at = now
            for route in self._all:
                route.claim.move()
        self._progress.tick()

    def _wind_up(self, error: Exception) -> None:
        """Settle what is open before the end of input; promote nothing, and let the next run begin at once."""
        try:
            self.settle()
            self._release()
        except Exception as second:  # noqa: BLE001 - the first error is the one to report
            self._logger.warning("What was open could not be settled: %s", second)
        if isinstance(error, Terminated):
            raise transient_error(
                "The sync was asked to end before its input did; what was acknowledged stays", error
            ) from error

    def _finish(self) -> None:
        ended = sum(route.seen.ended for route in self._all)
        records = any(route.received for route in self._all)
        reasons = [(route, self._why_incomplete(route, ended, records)) for route in self._all]
        for route, reason in reasons:
            if reason is None:
                route.placement.commit(route.placement.last_id)
        self._lane.settle()
        for route, reason in reasons:
            if reason is None:
                route.confirmed = route.received
                if route.placement.staging:
                    route.placement.promote()
            route.claim.release(clean=reason is None)
        self._wait_for_replica()
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
            replaces=route.placement.staging,
            has_live=route.placement.has_live(),
            others_ended=ended > int(route.seen.ended),
            input_had_records=input_had_records,
        )

    def _release(self) -> None:
        for route in self._all:
            route.claim.release(clean=False)
        self._lane.settle()
