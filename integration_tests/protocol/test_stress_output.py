"""A standard output that is full, or that nobody reads any more."""

import array
import fcntl
import json
import signal
import subprocess
import termios
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from integration_tests.support.connector.fork_server import Forked
from integration_tests.support.connector.process import Connector, Outcome
from integration_tests.support.faults.runner import Runner, Runners, cursor_of, outcome, play
from integration_tests.support.faults.scenarios import MODES
from integration_tests.support.faults.seed import FULL, report, rng
from integration_tests.support.messages import COMPLETE, Json, lines, record, state, stream
from integration_tests.support.servers.server import Server
from integration_tests.support.stored import values
from integration_tests.support.waiting import wait_until

pytestmark = pytest.mark.stress

#: Bytes of a pipe, the least that Linux has, and of each state: the second one does not fit.
PIPE, STATE = 4096, 3000


def stuffed(step: list[Json]) -> list[Json]:
    """Return messages of which states are large."""
    more: list[Json] = json.loads(json.dumps(step))
    for message in more:
        if message["type"] == "STATE":
            message["state"]["stream"]["stream_state"]["padding"] = "x" * STATE
    return more


def full(process: Forked) -> bool:
    """Whether one state is in the pipe; then there is no room for another."""
    unread = array.array("i", [0])
    fcntl.ioctl(process.stdout, termios.FIONREAD, unread)
    return unread[0] > STATE


def read_at_last(process: Forked) -> None:
    time.sleep(0.2)
    assert process.poll() is None


def killed(process: Forked) -> None:
    process.kill()


def asked_to_end(process: Forked) -> None:
    process.send_signal(signal.SIGTERM)
    time.sleep(0.1)


def closed(process: Forked) -> None:
    process.stdout.close()


def unread(runner: Runner, after: int, ending: Callable[[Forked], None]) -> Outcome:
    """Read no more of a sync's output once so many states are read; return how it ended."""
    process = runner.start(runner.server.port, runner.scenario.streams())
    fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, PIPE)
    output = bytearray()
    for step in runner.scenario.messages():
        process.stdin.write(lines(*stuffed(step)))
    process.stdin.close()
    while output.count(b"\n") < after:
        output += process.stdout.read(PIPE)
    wait_until(lambda: full(process), 60)
    ending(process)
    while not process.stdout.closed and (data := process.stdout.read(PIPE)):
        output += data
    code = process.wait(60)
    process.close()
    return outcome(code, output[: output.rfind(b"\n") + 1])


def stop_reading(runner: Runner, after: int, ending: Callable[[Forked], None]) -> list[str]:
    """Return what is wrong in the end where a sync's output is read no more after so many states."""
    scenario, client = runner.scenario, runner.server.client
    runner.reset()
    ended = unread(runner, after, ending)
    runner.server.wait_until_alone()
    problems = []
    if ending is read_at_last and (ended.code, len(ended.states)) != (0, 3):
        problems.append(f"it did not survive: {ended.text}")
    if ended.code == 0 if ending is closed else ending is asked_to_end and ended.code < 0:
        problems.append(f"no honest failure: {ended.code} {ended.text}")
    cursor = cursor_of(ended)
    problems += scenario.steps(client, cursor)
    twice = range(cursor + 1, scenario.committed(client, cursor) + 1)
    if ended.code != 0:
        again = play(runner.start(runner.server.port, scenario.streams()), scenario.messages(cursor))
        problems += [f"the retry failed: {again.text}"] if again.code != 0 else []
    if (found := scenario.found(client)) != (expected := scenario.expected(twice)):
        problems.append(f"found {found}, expected {expected}")
    problems += scenario.untidy(client)
    return [f"{scenario}, {ending.__name__} after {after} states: {problem}" for problem in problems]


@pytest.mark.parametrize("mode", MODES)
def test_an_output_that_is_full_or_closed_costs_no_record_and_doubles_only_what_the_source_did_not_hear_of(
    mode: str, runners: Runners
) -> None:
    chance = rng(f"output {mode}")
    instants = records = 0
    wrong: list[str] = []
    scenarios = runners.scenarios(mode)
    for scenario in scenarios if FULL else chance.sample(scenarios, 1):
        runner = runners.of(scenario)
        for ending in (read_at_last, killed, asked_to_end, closed):
            for after in (0, 1) if FULL else (chance.randint(0, 1),):
                wrong += stop_reading(runner, after, ending)
                instants += 1
                records += len(scenario.expected())
    report(f"{mode}, output", instants_tried=instants, problems=len(wrong), records_compared=records)
    assert not wrong, "\n".join(wrong[:40])


def test_a_sync_without_an_output_fails_and_the_retry_is_exact(server: Server, tmp_path: Path) -> None:
    connector = Connector(server.config, tmp_path)
    messages = [record(1), record(2), state(2), COMPLETE]
    lines = "".join(json.dumps(message) + "\n" for message in messages)
    command = ["sh", "-c", 'exec "$@" >&-', "sh", *connector.command([stream()])]
    assert subprocess.run(command, input=lines.encode(), check=False, timeout=60).returncode > 0
    doubled = values(server.client)
    retried = connector.write([stream()], messages)
    assert retried.code == 0, retried.text
    assert values(server.client) in ([1, 2], [*doubled, 1, 2])
