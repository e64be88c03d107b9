"""Runs of small syncs on one server, each from the same beginning, as a source and its platform run them."""

import json
import os
import select
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis import Redis

from integration_tests.support.connector.fork_server import Forked, forks
from integration_tests.support.connector.process import Outcome
from integration_tests.support.expiries import now
from integration_tests.support.faults.scenarios import SCENARIOS, Scenario
from integration_tests.support.messages import Json, lines
from integration_tests.support.servers.server import Server, has_json
from integration_tests.support.waiting import wait_until

#: Seconds after which a sync that has not ended is taken to hang.
HANGS = 120.0
#: Seconds between messages sent in haste: enough for one to be taken by itself, too little for its answer.
_PAUSE = 0.001
#: Milliseconds beyond which an expiry is a point in time.
_FAR = 10**9


class Runner:
    """Runs scenarios on one server, each from the same beginning."""

    def __init__(self, scenario: Scenario, server: Server, folder: Path) -> None:
        self.scenario = scenario
        self.server = server
        self._folder = folder
        server.client.flushall()
        first = scenario.was or scenario
        streams, messages = first.before()
        ended = play(self._start(first.config(server.port), streams, 0), [messages])
        assert ended.code == 0, ended.text
        if scenario.merging:
            streams, messages = scenario.cancelled()
            ended = play(self._start(scenario.config(server.port), streams, 0), [messages])
            assert "Not complete" in ended.text
        self._keep()

    def leave_staged(self, other: Scenario) -> None:
        """Let there also be, at the beginning, what a refresh as in `other` staged that died before its first state."""
        process = self._start(other.config(self.server.port), other.streams(), 0)
        process.stdin.write(lines(*other.messages()[0][:-1]))
        wait_until(lambda: bool(self.server.client.keys("airbyte:tmp:*")))
        process.kill()
        process.wait(20)
        process.close()
        self.server.wait_until_alone()
        self._keep()

    def reset(self) -> None:
        """Let there be the old data alone; what lives for a while has all of that time again."""
        client = self.server.client
        client.flushall()
        for key, content in self._dumps.items():
            expiry, value = content
            client.restore(key, expiry, value, absttl=expiry > _FAR)

    def _keep(self) -> None:
        """Keep what is there, for the beginning."""
        client = self.server.client
        left: dict[bytes, int] = {key: max(0, client.pttl(key)) for key in client.scan_iter()}
        now_ms = round(now(client) * 1000)
        expiries = {key: some + now_ms if some > _FAR else some for key, some in left.items()}
        self._dumps: dict[bytes, tuple[int, Any]] = {key: (at, client.dump(key)) for key, at in expiries.items()}

    def start(self, port: int, streams: list[Json], answer_timeout: float = 0) -> Forked:
        return self._start(self.scenario.config(port), streams, answer_timeout)

    def _start(self, settings: Json, streams: list[Json], answer_timeout: float) -> Forked:
        config, catalog = (self._folder / f"{name}-{settings['port']}.json" for name in ("config", "catalog"))
        config.write_text(json.dumps(settings))
        catalog.write_text(json.dumps({"streams": streams}))
        arguments = ["write", "--config", str(config), "--catalog", str(catalog)]
        return forks().start(arguments, answer_timeout)


class Runners:
    """Prepares a server for one scenario after the other."""

    def __init__(self, server: Server, folder: Path) -> None:
        self._server = server
        self._folder = folder

    def scenarios(self, mode: str) -> list[Scenario]:
        """Return those that the server takes."""
        documents = has_json(self._server)
        return [each for each in SCENARIOS if each.mode == mode and (documents or each.shape[0] != "json")]

    def of(self, scenario: Scenario) -> Runner:
        return Runner(scenario, self._server, self._folder)


def dump(client: Redis) -> dict[bytes, bytes]:
    """Return every key with all that it holds."""
    return {key: client.dump(key) for key in client.scan_iter()}  # type: ignore[misc]


def play(
    process: Forked, steps: Sequence[Sequence[Json]], *, hasty: bool = False, output: bytearray | None = None
) -> Outcome:
    """Send step by step, each once the states before have come back unless `hasty`, and return how it ended.

    In haste each message is sent by itself, so that there are many small batches on their way at once. What the process
    prints can be seen in `output` meanwhile.
    """
    deadline = time.monotonic() + HANGS
    output = bytearray() if output is None else output
    wanted = 0
    try:
        for number, step in enumerate(steps):
            _wait_for(process, output, wanted, deadline)
            if not hasty or not number:  # it reads what comes only once it has begun
                wanted += sum(message["type"] == "STATE" for message in step)
            try:
                for part in map(lines, step) if hasty else [lines(*step)]:
                    process.stdin.write(part)
                    time.sleep(_PAUSE if hasty else 0)
            except BrokenPipeError:
                break
        process.stdin.close()
        _wait_for(process, output, None, deadline)
        code = process.wait(max(0, deadline - time.monotonic()))
    finally:
        process.close()
    return outcome(code, output)


def outcome(code: int, output: bytes | bytearray) -> Outcome:
    text = output.decode()
    return Outcome(code, [json.loads(line) for line in text.splitlines() if line.startswith("{")], text)


def states(output: bytes | bytearray) -> int:
    """Return how many states were printed."""
    return output.count(b'"type":"STATE"')


def cursor_of(ended: Outcome, least: int = 0) -> int:
    """Return the last record that a source knows is acknowledged."""
    return max([least, *(int(one["stream"]["stream_state"]["cursor"]) for one in ended.states)])


def _wait_for(process: Forked, output: bytearray, wanted: int | None, deadline: float) -> None:
    """Read until there are so many states, or the end of the output."""
    while wanted is None or states(output) < wanted:
        left = deadline - time.monotonic()
        if left < 0 or not select.select([process.stdout], [], [], left)[0]:
            raise AssertionError(f"It hangs: {output.decode()}")
        data = os.read(process.stdout.fileno(), 65536)
        if not data:
            return
        output += data
