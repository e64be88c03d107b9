"""Attempts: syncs that meet faults, each of which ends exact or as an honest failure after which a retry is exact."""

import signal
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Protocol

from integration_tests.support.connector.process import Outcome
from integration_tests.support.faults.proxy import Act, Exchange, at, proxy
from integration_tests.support.faults.runner import Runner, cursor_of, dump, play
from integration_tests.support.faults.scenarios import Scenario
from integration_tests.support.faults.seed import report

if TYPE_CHECKING:
    from integration_tests.support.connector.fork_server import Forked

#: Seconds that a server may be silent, where it falls silent.
ANSWER_TIMEOUT = 1.0
#: Tries for retries: one to show an honest failure, one that waits for nothing any more, and one to spare.
TRIES = 4


class Faulty(Protocol):
    """Acts on a command; it is given the process too, since some faults are its own."""

    def __call__(self, exchange: Exchange, process: "Future[Forked]") -> None: ...


@dataclass(frozen=True)
class Fault:
    """What happens to a command."""

    name: str
    act: "Faulty"
    #: Whether it may end the process between a commit and the printed state.
    sudden: bool = False
    #: Whether nothing but time is lost: the sync has to end well.
    survived: bool = True

    def __str__(self) -> str:
        return self.name


class Attempts:
    """Tries faults in scenarios, and checks how each ends."""

    def __init__(self) -> None:
        self.instants = self.survived = self.records = self.retries = self.doubled = 0
        self.wrong: list[str] = []

    def attempt(self, runner: Runner, faults: Mapping[int, Fault], *, hasty: bool = False) -> bool:
        """Let a sync meet faults at its commands of these numbers; return False where it has not that many."""
        scenario, client = runner.scenario, runner.server.client
        runner.reset()
        process: Future[Forked] = Future()
        acts: dict[int, Act] = {number: partial(fault.act, process=process) for number, fault in faults.items()}
        with proxy(runner.server.port, at(acts)) as way:
            process.set_result(runner.start(way.port, scenario.streams(), ANSWER_TIMEOUT))
            outcome = play(process.result(), scenario.messages(), hasty=hasty)
            runner.server.wait_until_alone()
            seen = way.seen
        met = {number: fault for number, fault in faults.items() if number <= len(seen)}
        if not met:
            return False
        sudden = any(fault.sudden for fault in met.values())
        self.instants += 1
        problems = self._problems(outcome, met.values())
        cursor, twice, rejected_twice, tries = 0, list[int](), list[int](), 1
        while True:
            cursor = cursor_of(outcome, cursor)
            problems += scenario.steps(client, cursor)
            if outcome.code == 0 or tries == TRIES:
                break
            known = max(cursor, scenario.staged)
            if (committed := scenario.committed(client, known)) > known:
                twice += range(known + 1, committed + 1)
            rejected_twice += scenario.rejected_committed(client, cursor)
            outcome = play(runner.start(runner.server.port, scenario.streams()), scenario.messages(cursor))
            runner.server.wait_until_alone()
            tries += 1
        if outcome.code != 0:
            problems.append(f"no retry ends well: {outcome.text}")
        else:
            if twice and not sudden:
                problems.append(f"records {twice} were committed and not acknowledged")
            if (found := scenario.found(client)) != (expected := scenario.expected(twice)):
                problems.append(f"found {found}, expected {expected}")
            problems += scenario.untidy(client) + scenario.rejections(client, rejected_twice)
            problems += scenario.expiries(client)
            self.records += len(expected)
        self.retries += tries - 1
        self.doubled += len(twice)
        self.survived += not problems
        what = ", ".join(f"{fault} at {number} ({seen[number - 1]})" for number, fault in met.items())
        self.wrong += [f"{scenario}{', in haste' if hasty else ''}, {what}: {problem}" for problem in problems]
        return True

    def report(self, what: str) -> None:
        counts = {"records_compared": self.records, "retries": self.retries, "records_allowed_twice": self.doubled}
        report(what, instants_tried=self.instants, faults_survived=self.survived, **counts)
        assert not self.wrong, f"{len(self.wrong)} problems:\n" + "\n".join(self.wrong[:40])
        assert self.instants

    @staticmethod
    def _problems(outcome: Outcome, faults: Iterable[Fault]) -> list[str]:
        """Return what is wrong with how a sync ended that met these faults."""
        if outcome.code == 0:
            return []
        if outcome.code == -signal.SIGKILL and any(fault.sudden for fault in faults):
            return []
        survived = all(fault.survived for fault in faults)
        problems = [f"it did not survive: {outcome.text}"] if survived else []
        traces = [message["trace"]["error"] for message in outcome.messages if message["type"] == "TRACE"]
        if outcome.code < 0 or not traces or traces[-1]["failure_type"] == "system_error":
            problems.append(f"no honest failure: {outcome.code} {outcome.text}")
        return problems


def deliver_first_batch_late(runner: Runner, scenario: Scenario, key: bytes) -> None:
    """Hold the first script with `key` until a sync has ended; see that it then changes nothing."""
    runner.reset()
    held: list[int] = []

    def hold_the_first_batch(exchange: Exchange) -> None:
        if not held and exchange.words[0] == b"EVALSHA" and key in exchange.command:
            held.append(exchange.number)
            exchange.hold()
        exchange.forward()

    with proxy(runner.server.port, hold_the_first_batch) as way:
        outcome = play(runner.start(way.port, scenario.streams()), scenario.messages())
        assert outcome.code == 0, outcome.text
        before = dump(runner.server.client)
        way.release()
        assert held
        assert dump(runner.server.client) == before
