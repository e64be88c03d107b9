"""Commands that a proxy or a tunnel keeps in a connection thought dead, and lets through when all has gone on."""

import signal
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING

import pytest

from integration_tests.support.data_types import HASH
from integration_tests.support.faults.proxy import Act, Exchange, at, proxy
from integration_tests.support.faults.runner import Runner, Runners, cursor_of, dump, play
from integration_tests.support.faults.scenarios import MODES, Scenario
from integration_tests.support.faults.seed import FULL, report, rng

if TYPE_CHECKING:
    from integration_tests.support.connector.fork_server import Forked

pytestmark = pytest.mark.stress

#: More commands than it takes to connect anew.
CONNECTING = 11


def executed(answered: list[str]) -> list[str]:
    """Return which of these commands ought not to have been answered.

    What a connection begins with changes nothing; it is cut off once it is known which one it is. Nor does a look at
    the memory.
    """
    return [name for name in answered if name.split(" ")[0] not in ("CLIENT", "INFO")]


class Lateness:
    """Tries instants at which a connection is held, and counts."""

    def __init__(self) -> None:
        self.instants = self.held = self.records = 0
        self.wrong: list[str] = []

    def hold(self, runner: Runner, number: int, again: dict[int, Act], *, released_at: int = 0) -> bool:
        """Hold the connection at the command of this number, do something `again` so many commands later.

        What is held is let through so many commands later, 0 for after the end, and nothing comes of it. Return False
        where the sync has no such command.
        """
        scenario, client = runner.scenario, runner.server.client
        runner.reset()
        answered: list[str] = []

        def release(exchange: Exchange) -> None:
            self.held += len(way.held)
            answered.extend(way.release())
            exchange.forward()

        acts: dict[int, Act] = {number: Exchange.hold, **{number + later: act for later, act in again.items()}}
        if released_at:
            acts[number + released_at] = release
        with proxy(runner.server.port, at(acts)) as way:
            outcome = play(runner.start(way.port, scenario.streams()), scenario.messages())
            if len(way.seen) < number:
                return False
            before = dump(client)
            self.held += len(way.held)
            answered += way.release()
            after = dump(client)
        self.instants += 1
        what = (
            f"{scenario}, held at {number} ({way.seen[number - 1]!r}), again {list(again)}, let through {released_at}"
        )
        if outcome.code != 0:
            self.wrong.append(f"{what}: it did not survive: {outcome.text}")
        elif (found := scenario.found(client)) != scenario.expected():
            self.wrong.append(f"{what}: found {found}")
        if untidy := scenario.untidy(client):
            self.wrong.append(f"{what}: {untidy}")
        if changed := [key for key in {*before, *after} if before.get(key) != after.get(key)]:
            self.wrong.append(f"{what}: late commands changed {changed}")
        if late := executed(answered):
            self.wrong.append(f"{what}: these were executed: {late}")
        self.records += len(scenario.expected())
        return True

    def report(self, what: str) -> None:
        counts = {"connections_held": self.held, "records_compared": self.records}
        report(what, instants_tried=self.instants, faults_survived=self.instants - len(self.wrong), **counts)
        assert not self.wrong, f"{len(self.wrong)} problems:\n" + "\n".join(self.wrong[:40])
        assert self.held >= self.instants > 0


@pytest.mark.parametrize("mode", MODES)
def test_commands_that_a_proxy_held_change_nothing_when_they_come_late(mode: str, runners: Runners) -> None:
    chance = rng(f"late {mode}")
    scenarios = runners.scenarios(mode)
    late = Lateness()
    for scenario in scenarios if FULL else chance.sample(scenarios, 1):
        runner = runners.of(scenario)
        number = chance.randint(1, 1 if FULL else 4)
        # Let through in the middle of the sync, or after its end.
        while late.hold(runner, number, {}, released_at=chance.choice([0, CONNECTING + chance.randint(1, 6)])):
            number += chance.randint(1, 5 if FULL else 7)
    late.report(f"{mode}, late commands")


@pytest.mark.parametrize("mode", MODES)
def test_where_the_next_connection_is_lost_too_no_older_one_is_forgotten(mode: str, runners: Runners) -> None:
    chance = rng(f"late again {mode}")
    late = Lateness()
    runner = runners.of(Scenario(mode, HASH))
    for number in (11, 12, 16, 22) if FULL else (12,):
        for later in range(1 if FULL else 4, CONNECTING + 2):
            late.hold(runner, number, {later: chance.choice([Exchange.reset, Exchange.hold])})
    late.report(f"{mode}, late commands of several connections")


@pytest.mark.parametrize("mode", MODES)
def test_commands_of_a_dead_writer_change_nothing_when_they_come_after_its_successor(
    mode: str, runners: Runners
) -> None:
    chance = rng(f"dead {mode}")
    instants = held = records = 0
    for scenario in runners.scenarios(mode):
        if not FULL and chance.random() > 0.2 and scenario.shape != HASH:
            continue
        runner = runners.of(scenario)
        client = runner.server.client
        for _ in range(4 if FULL else 2):
            number = chance.randint(10, scenario.commands)
            process: Future[Forked] = Future()
            dies = number + chance.randint(1, CONNECTING)
            acts: dict[int, Act] = {number: Exchange.hold, dies: partial(kill, process=process)}
            runner.reset()
            with proxy(runner.server.port, at(acts)) as way:
                process.set_result(runner.start(way.port, scenario.streams()))
                ended = play(process.result(), scenario.messages())
                if len(way.seen) < dies:
                    assert ended.code == 0, ended.text
                    continue  # it was over before that command
                assert ended.code == -signal.SIGKILL, ended.text
                what = f"{scenario}, held at {number} ({way.seen[number - 1]})"
                cursor = cursor_of(ended)
                twice = range(cursor + 1, scenario.committed(client, cursor) + 1)
                # Its connection is still open, so its lease is waited for; this one is over.
                client.hset("airbyte:{default:users}", "writer_until", 1)
                again = play(runner.start(runner.server.port, scenario.streams()), scenario.messages(cursor))
                assert again.code == 0, f"{what}: {again.text}"
                before = dump(client)
                held += len(way.held)
                assert executed(way.release()) == [], what
                assert dump(client) == before, what
            assert scenario.found(client) == scenario.expected(twice), what
            assert scenario.untidy(client) == [], what
            instants += 1
            records += len(scenario.expected(twice))
    counts = {"connections_held": held, "records_compared": records}
    report(f"{mode}, late commands of a dead writer", instants_tried=instants, faults_survived=instants, **counts)
    assert held == instants > 0


def kill(exchange: Exchange, process: "Future[Forked]") -> None:
    process.result().kill()
    exchange.reset()
