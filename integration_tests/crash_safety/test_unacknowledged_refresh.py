"""A refresh that died before its first state: the next sync may store records in another way, and may die as well."""

from pathlib import Path

import pytest

from integration_tests.support.connector.library import complete, written
from integration_tests.support.connector.process import Connector
from integration_tests.support.data_types import HASH, Shape, cache
from integration_tests.support.faults.attempts import Attempts
from integration_tests.support.faults.kinds import BREAKS, DEATHS
from integration_tests.support.faults.runner import Runner
from integration_tests.support.faults.scenarios import Scenario
from integration_tests.support.faults.seed import FULL, rng
from integration_tests.support.messages import COMPLETE, Json, dedup, generation, record, state, stream
from integration_tests.support.servers.server import Server, needs_json
from integration_tests.support.stored import ledger
from integration_tests.support.waiting import wait_until

LIST: Shape = ("list", "columns")
STREAM: Shape = ("stream", "columns")
USER = "user:{key}"
#: A sync, and how the refresh before it stored records: with another template, element, data type or placement.
CASES = [
    (Scenario("refresh_dedup", HASH), Scenario("refresh_dedup", HASH, template=USER)),
    (Scenario("append_dedup", HASH, template=USER), Scenario("refresh_dedup", HASH, template="u:{key}")),
    (Scenario("append", HASH), Scenario("refresh_dedup", HASH, template=USER)),
    (Scenario("refresh", HASH), Scenario("refresh", ("json", "envelope"))),
    (Scenario("refresh", HASH), Scenario("refresh", LIST)),
    (Scenario("refresh", LIST, valued=True), Scenario("refresh", LIST)),
    (Scenario("append", LIST), Scenario("refresh", LIST, valued=True)),
    (Scenario("append", LIST, template="queue"), Scenario("refresh", LIST)),
    (Scenario("append", LIST), Scenario("refresh", ("set", "columns"))),
    (Scenario("append", STREAM), Scenario("refresh", LIST)),
    (Scenario("append", LIST, valued=True, rejecting=True), Scenario("refresh", STREAM, rejecting=True)),
    (Scenario("refresh_dedup", HASH, rejecting=True), Scenario("refresh", STREAM, rejecting=True)),
]
FAULTS = [*DEATHS[:2], *BREAKS[:2]]


@pytest.fixture(scope="module")
def _server(_server_with_json: Server) -> Server:
    return _server_with_json


@pytest.mark.parametrize(("scenario", "died"), CASES, ids=str)
def test_what_it_staged_in_another_way_is_dropped_even_if_the_next_sync_dies_at_any_command(
    server: Server, tmp_path: Path, scenario: Scenario, died: Scenario
) -> None:
    needs_json(server, died.shape)
    runner = Runner(scenario, server, tmp_path)
    runner.leave_staged(died)
    attempts = Attempts()
    step = 1 if FULL else 7
    number = 1 if FULL else rng(f"unacknowledged {scenario} {died}").randint(1, step)
    while attempts.attempt(runner, {number: FAULTS[number % len(FAULTS)]}):
        number += step
    attempts.report(f"{scenario} after {died} died, a fault at its commands")


@pytest.mark.parametrize(
    ("died", "settings", "configured", "key", "kind"),
    [
        ({"cache_type": "list", "value": "id"}, {"cache_type": "list"}, stream(), "default:users", b"list"),
        ({"cache_type": "set"}, {"cache_type": "list"}, stream(), "default:users", b"list"),
        ({"cache_type": "list", "value": "id"}, {}, stream(), "default:users:%d", b"hash"),
        ({"record_key": "u:{key}"}, {"record_key": USER}, dedup(), "user:1", b"hash"),
        ({"record_key": "u:{key}"}, {"cache_type": "list"}, stream(), "default:users", b"list"),
    ],
)
@pytest.mark.parametrize("minimum", [0, 2], ids=["the next sync adds", "the refresh is retried"])
def test_a_stream_without_live_records_may_then_be_stored_in_another_way(
    server: Server, tmp_path: Path, died: Json, settings: Json, configured: Json, key: str, kind: bytes, minimum: int
) -> None:
    shape: Shape = (settings.get("cache_type", "hash"), "columns")
    first = dedup() if "record_key" in died else stream()
    dying = Connector({**server.config, "record_format": "columns", **died}, tmp_path)
    running = dying.start([first | generation(2, 2, 2)])
    running.send(record(0, data={"id": 5, "at": 5}))
    wait_until(lambda: bool(server.client.keys("airbyte:tmp:*")))
    running.kill()
    server.wait_until_alone()
    streams = [complete(configured | generation(2, minimum, 2))]
    assert written(server, shape, streams, record(0, data={"id": 1, "at": 1}), state(1), COMPLETE, **settings) == 1
    held = ledger(server.client)
    key = key % int(held["committed"]) if "%" in key else key
    assert server.client.type(key) == kind
    assert len(list(cache(shape).get_all(server.client, [key.encode()]))) == 1
    left = {name.decode() for name in server.client.scan_iter()}
    assert left <= {key, "airbyte:{default:users}", "airbyte:templates", "default:users"}
    assert (held["staged_first"], held["drop_last"], held["task"]) == ("0", "0", "")
