"""Records that expire at a time of their own: a sync killed at any command and done again ends as a calm one."""

import json
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from integration_tests.support.connector.fork_server import Forked, forks
from integration_tests.support.connector.library import full, full_dedup, written
from integration_tests.support.data_types import HASH
from integration_tests.support.expiries import BY_TTL, END, FOREVER, OWN, TTL, live, now, row, soon
from integration_tests.support.faults.attempts import Attempts
from integration_tests.support.faults.kinds import BREAKS, DEATHS
from integration_tests.support.faults.proxy import Act, Exchange, at, proxy
from integration_tests.support.faults.runner import Runner, play
from integration_tests.support.faults.scenarios import EXPIRING, MERGING, Scenario
from integration_tests.support.faults.seed import FULL, rng
from integration_tests.support.messages import COMPLETE, Json, generation, state
from integration_tests.support.servers.server import Server

SETTINGS: Json = {"expire_at": "ends", "ttl_seconds": TTL}
#: Seconds until what is staged expires.
_STAGED = 0.7
#: A process that is killed, before a command or after it, and connections that are cut.
FAULTS = [*DEATHS[:2], *BREAKS[:3]]
Dumps = dict[bytes, tuple[int, Any]]


def dumps(server: Server) -> Dumps:
    """Return every key with its expiry in milliseconds since 1970, 0 for none, and all that it holds."""
    client = server.client
    left: dict[bytes, int] = {key: client.pttl(key) for key in client.scan_iter()}
    now_ms = round(now(client) * 1000)
    return {key: (now_ms + some if some > 0 else 0, client.dump(key)) for key, some in left.items()}


def killed_at(number: int, process: Future[Forked], *, executed: bool) -> Act:
    """Kill the process at the command of that number, before or after it is executed."""

    def act(exchange: Exchange) -> None:
        if executed:
            exchange.execute()
        process.result().kill()
        exchange.reset()

    return at({number: act})


class Kills:
    """Syncs of some streams and messages, each from the same beginning and killed at another command."""

    def __init__(self, server: Server, folder: Path, streams: list[Json], messages: list[Json]) -> None:
        self._server = server
        self._folder = folder
        self._streams = streams
        self._messages = messages
        self._before = dumps(server)
        (folder / "catalog.json").write_text(json.dumps({"streams": streams}))

    def each(self) -> Iterator[str]:
        """Yield the command at which a sync was killed, once it was done again."""
        calm = self._run(None)
        writing = [number for number, name in enumerate(calm, 1) if "default:users" in name or name.startswith("SCAN")]
        assert len(writing) > 5
        for number in writing:
            for executed in (False, True):
                seen = self._run(number, executed=executed)
                assert len(seen) >= number
                written(self._server, HASH, self._streams, *self._messages, **SETTINGS)
                yield f"killed at {seen[number - 1]}, {executed=}"

    def _run(self, number: int | None, *, executed: bool = False) -> list[str]:
        """Return the commands of a sync that is killed at one of them, or of a calm one."""
        self._server.client.flushall()
        for key, (expiry, content) in self._before.items():
            self._server.client.restore(key, expiry, content, absttl=True)
        process: Future[Forked] = Future()
        act = Exchange.forward if number is None else killed_at(number, process, executed=executed)
        with proxy(self._server.port, act) as way:
            config = self._folder / "config.json"
            config.write_text(json.dumps({**self._server.config, "port": way.port, **SETTINGS}))
            catalog = self._folder / "catalog.json"
            process.set_result(forks().start(["write", "--config", str(config), "--catalog", str(catalog)]))
            ended = play(process.result(), [self._messages])
            assert ended.code == (0 if number is None else -signal.SIGKILL), ended.text
            self._server.wait_until_alone()
            return way.seen


@pytest.mark.parametrize("upserts", [False, True], ids=["append", "append_dedup"])
@pytest.mark.parametrize("then", ["promoted", "merged"])
def test_a_promotion_killed_at_any_command_gives_each_record_its_expiry(
    server: Server, tmp_path: Path, then: str, *, upserts: bool
) -> None:
    make = full_dedup if upserts else full
    written(server, HASH, [make(**generation(1, 0, 1))], row(1, 1), row(2, 9), row(3, 1), COMPLETE)
    ends = soon(server.client, _STAGED)
    staged = [row(1, 2, ends), row(2, 2, ends), row(4, 2, ends), row(5, 2, END / 1000), row(6), row(7, 1, "infinity")]
    refresh = [make(**generation(2, 2, 2))]
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        written(server, HASH, refresh, *staged, state(1), **SETTINGS)
    time.sleep(_STAGED + 0.1)

    new: dict[int, str | None] = {5: OWN, 6: BY_TTL, 7: FOREVER}
    old: dict[int, str | None] = {}
    if then == "merged":
        old = {2: FOREVER, 3: FOREVER} if upserts else {1: FOREVER, 2: FOREVER, 3: FOREVER}
    streams = refresh if then == "promoted" else [make(**generation(2, 0, 3))]
    for killed in Kills(server, tmp_path, streams, [COMPLETE]).each():
        assert live(server.client) == {**old, **new}, killed
        assert server.client.keys("airbyte:tmp:*") == [], killed


@pytest.mark.parametrize("upserts", [False, True], ids=["append", "append_dedup"])
@pytest.mark.parametrize("replaces", [False, True], ids=["live", "staged"])
def test_a_sync_killed_at_any_command_and_done_again_gives_each_record_its_expiry(
    server: Server, tmp_path: Path, *, upserts: bool, replaces: bool
) -> None:
    make = full_dedup if upserts else full
    written(server, HASH, [make(**generation(1, 0, 1))], row(1, 1), row(2, 9), COMPLETE, **SETTINGS)
    streams = [make(**generation(2, 2 if replaces else 0, 2))]
    messages = [
        row(1, 2, 1),
        row(2, 2, 1),
        row(3, 1, END / 1000),
        row(4, 1, "infinity"),
        row(5),
        row(6, 1, 1),
        COMPLETE,
    ]
    new: dict[int, str | None] = {3: OWN, 4: FOREVER, 5: BY_TTL}
    old: dict[int, str | None] = {} if replaces else {2: BY_TTL} if upserts else {1: BY_TTL, 2: BY_TTL}
    for killed in Kills(server, tmp_path, streams, messages).each():
        assert live(server.client) == {**old, **new}, killed


@pytest.mark.parametrize("scenario", [*EXPIRING, *MERGING], ids=str)
def test_a_fault_at_any_command_leaves_every_record_with_its_expiry(
    server: Server, tmp_path: Path, scenario: Scenario
) -> None:
    runner = Runner(scenario, server, tmp_path)
    attempts = Attempts()
    step = 1 if FULL else 6
    # The commands before the ninth open the connection and take the lease.
    number = 1 if FULL else 9 + rng(f"expiries {scenario}").randrange(step)
    while attempts.attempt(runner, {number: FAULTS[number % len(FAULTS)]}):
        number += step
    attempts.report(f"{scenario}, a fault at its commands")
