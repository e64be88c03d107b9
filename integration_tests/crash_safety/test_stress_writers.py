"""Two syncs of one stream at once: one is paused past its claim, replaced, and woken again."""

import select
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from integration_tests.support.faults.proxy import Exchange, at, proxy
from integration_tests.support.faults.runner import HANGS, Runner, Runners, dump, play, states
from integration_tests.support.faults.scenarios import MODES
from integration_tests.support.faults.seed import FULL, report, rng
from integration_tests.support.waiting import wait_until

if TYPE_CHECKING:
    from integration_tests.support.connector.fork_server import Forked

pytestmark = pytest.mark.stress

#: The first command that a writer sends under its claim.
CLAIMED = 10
#: How often the other one asks for the claim: before it has cut off the first one, and then.
TAKES = 2


class Pair:
    """A writer that is paused at a command, and another one that replaces it meanwhile."""

    def __init__(self, runner: Runner, number: int, woken_after: int) -> None:
        """Pause the first at its command of that number.

        Wake it after so many commands that the other sent under its claim, 0 for after its end.
        """
        self._runner = runner
        self._number = number
        self._woken_after = woken_after
        self._process: Future[Forked] = Future()
        self._woken: Future[None] = Future()
        self.paused: Future[str] = Future()
        self._output = bytearray()
        self._moves = self._claimed = 0

    def run(self) -> list[str] | None:
        """Return what is wrong, None where the first has no such command."""
        runner, scenario, client = self._runner, self._runner.scenario, self._runner.server.client
        runner.reset()
        with (
            proxy(runner.server.port, at({self._number: self._pause})) as way,
            proxy(runner.server.port, self._watch) as other_way,
            ThreadPoolExecutor() as pool,
        ):
            self._process.set_result(runner.start(way.port, scenario.streams()))
            first = pool.submit(play, self._process.result(), scenario.messages(), output=self._output)
            wait_until(lambda: first.done() or self.paused.done(), HANGS)
            if not self.paused.done():
                return None
            while select.select([self._process.result().stdout], [], [], 0.02)[0]:  # all that it printed is taken
                time.sleep(0.01)
            cursor = 2 * states(self._output)
            # A newcomer cannot tell a lease that was ended from one that lapsed.
            client.hset("airbyte:{default:users}", "writer_until", 1)
            twice = range(cursor + 1, scenario.committed(client, cursor) + 1)
            second = play(runner.start(other_way.port, scenario.streams()), scenario.messages(cursor))
            before = dump(client)
            self._wake()
            ended = first.result()
        problems = [] if second.code == 0 else [f"the second writer failed: {second.text}"]
        if ended.code <= 0 or "Another sync has taken over the stream users" not in ended.error["message"]:
            problems.append(f"the first writer was not fenced: {ended.text}")
        if 2 * len(ended.states) != cursor:
            problems.append(f"the first writer acknowledged more: {ended.text}")
        if before != dump(client):
            problems.append("the first writer changed something")
        if (found := scenario.found(client)) != (expected := scenario.expected(twice)):
            problems.append(f"found {found}, expected {expected}")
        return problems + scenario.untidy(client)

    def __str__(self) -> str:
        where = f"paused at {self._number} ({self.paused.result()}), woken after {self._woken_after}"
        return f"{self._runner.scenario}, {where}"

    def _pause(self, exchange: Exchange) -> None:
        self._process.result().send_signal(signal.SIGSTOP)
        self.paused.set_result(exchange.name)
        self._woken.result()
        exchange.forward()  # late, as all that it had sent

    def _watch(self, exchange: Exchange) -> None:
        self._moves += exchange.name.startswith("EVAL airbyte:")
        self._claimed += self._moves > TAKES
        if self._claimed == self._woken_after > 0:
            self._wake()
        exchange.forward()

    def _wake(self) -> None:
        if not self._woken.done():
            self._process.result().send_signal(signal.SIGCONT)
            self._woken.set_result(None)


@pytest.mark.parametrize("mode", MODES)
def test_a_writer_paused_past_its_claim_is_fenced_wherever_it_was(mode: str, runners: Runners) -> None:
    chance = rng(f"writers {mode}")
    instants = records = 0
    wrong: list[str] = []
    scenarios = runners.scenarios(mode)
    for scenario in scenarios if FULL else chance.sample(scenarios, 2):
        runner = runners.of(scenario)
        for number in chance.sample(range(CLAIMED, scenario.commands), 6 if FULL else 2):
            pair = Pair(runner, number, chance.choice([0, chance.randint(1, 10)]))
            if (problems := pair.run()) is not None:
                wrong += [f"{pair}: {problem}" for problem in problems]
                instants += 1
                records += len(scenario.expected())
    report(f"{mode}, two writers", instants_tried=instants, problems=len(wrong), records_compared=records)
    assert not wrong, "\n".join(wrong[:40])
    assert instants
