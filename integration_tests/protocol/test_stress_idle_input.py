"""Inputs that are silent for long: the claim and the connection are kept, and a proxy that drops it is survived."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis import Redis

from integration_tests.support.connector.process import Connector
from integration_tests.support.faults.proxy import Proxy, proxy
from integration_tests.support.faults.seed import FULL, report
from integration_tests.support.messages import record, state, status, stream
from integration_tests.support.servers.server import Server, running
from integration_tests.support.stored import ledger, values

pytestmark = pytest.mark.stress

#: Seconds between two lines of the input; a claim of thirty seconds is renewed every ten.
QUIET = 150.0 if FULL else 13.0


@pytest.fixture(scope="module")
def lonely() -> Iterator[Server]:
    with running("redis-7.0") as server:
        yield server


def left(client: Redis, name: str) -> int:
    """Return for how many more milliseconds a stream is claimed."""
    seconds, microseconds = client.time()
    return int(ledger(client, f"default:{name}")["writer_until"]) - int(seconds) * 1000 - int(microseconds) // 1000


def quiet_sync(server: Server, way: Proxy, name: str, folder: Path) -> int:
    """Run a sync of two records with a long silence between; return the least time its claim had left."""
    folder = folder / name
    folder.mkdir()
    sync = Connector({**server.config, "port": way.port}, folder).start([stream(name)])
    sync.send(record(1, name), state(1, name))
    sync.wait_for_states(1, 60)
    least = left(server.client, name)
    deadline = time.monotonic() + QUIET
    while time.monotonic() < deadline:
        least = min(least, left(server.client, name))
        time.sleep(0.25)
    sync.send(record(2, name), state(2, name))
    sync.wait_for_states(2, 200)
    sync.send(status("COMPLETE", name))
    outcome = sync.finish()
    assert outcome.code == 0, outcome.text
    assert values(server.client, f"default:{name}:") == [1, 2]
    return least


def test_a_long_silence_keeps_the_claim_and_the_connection_and_one_that_a_proxy_drops_is_opened_again(
    lonely: Server, tmp_path: Path
) -> None:
    with (
        proxy(lonely.port, idle=25) as patient,
        proxy(lonely.port, idle=2) as hasty,
        proxy(lonely.port, idle=2, silently=True) as silent,
        ThreadPoolExecutor() as pool,
    ):
        ways = {"kept": patient, "reset": hasty} | ({"silent": silent} if FULL else {})
        runs = {name: pool.submit(quiet_sync, lonely, way, name, tmp_path) for name, way in ways.items()}
        least = {name: run.result() for name, run in runs.items()}

    # One connection, whose renewals keep it from being idle for long.
    assert patient.dropped == 0
    assert patient.seen.count("CLIENT INFO") == 1
    assert least["kept"] > 10_000
    assert hasty.dropped > 0
    assert hasty.seen.count("CLIENT INFO") > 1
    assert least["reset"] > 10_000
    drops = {"connections_dropped": hasty.dropped + silent.dropped, "records_compared": 2 * len(ways)}
    report("quiet inputs", seconds_of_silence=int(QUIET), inputs_tried=len(ways), **drops)
