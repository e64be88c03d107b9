"""What a sync says of the servers' memory before its first record, and what `check` says of it."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration_tests.support.connector.library import check, full, full_dedup, write
from integration_tests.support.connector.process import Connector
from integration_tests.support.data_types import UPSERTING, WHOLE, Shape, columns, settings_for
from integration_tests.support.docs.permissions import LEAST, MORE
from integration_tests.support.messages import COMPLETE, Json, generation, record, state, stream
from integration_tests.support.servers.server import Server, needs_json
from integration_tests.support.stored import ledger

RECORDS = 400
PAD = "x" * 2000
DELETING = {"properties": {"at": {"type": "integer"}, "_ab_cdc_deleted_at": {"type": "string"}}}
CASES = [(shape, mode) for shape in WHOLE for mode in ("overwrite", "append_dedup")]
CASES = [(shape, mode) for shape, mode in CASES if mode == "overwrite" or shape in UPSERTING]


@pytest.fixture(scope="module")
def _server(_server_with_json: Server) -> Server:
    return _server_with_json


@pytest.fixture(autouse=True)
def _without_limits(server: Server) -> Iterator[None]:
    yield
    server.client.config_set("maxmemory", 0)
    server.client.config_set("maxmemory-policy", "noeviction")


def padded(number: int) -> Json:
    return record(number, data={"id": number, "at": 1, "pad": f"{number}{PAD}", **columns(number)})


def of_mode(mode: str, number: int) -> Json:
    """Return a stream that replaces what is there."""
    numbers = generation(number, number, number)
    return full_dedup(**numbers) if mode == "append_dedup" else full(mode=mode, **numbers)


def said(caplog: pytest.LogCaptureFixture, config: Json, configured: Json, *messages: Json) -> list[str]:
    """Return the warnings of a sync."""
    caplog.clear()
    list(write(config, [configured], [*messages, COMPLETE]))
    return [each.message for each in caplog.records if each.levelname == "WARNING"]


def give(server: Server, room: int) -> None:
    """Let the server have so many bytes more than it uses."""
    server.client.config_set("maxmemory", server.client.info("memory")["used_memory"] + room)


def used(server: Server) -> int:
    """Return the bytes that a server uses once no connection but this one is left: each has its buffers."""
    server.wait_until_alone()
    return int(server.client.info("memory")["used_memory"])


def reckoned(warning: str) -> float:
    """Return the bytes that a warning says are needed."""
    (needed, _) = re.findall(r"([\d,.]+) MB", warning)
    return float(needed.replace(",", "")) * 1e6


@pytest.mark.parametrize(
    ("policy", "settings", "deletes", "expected"),
    [
        ("noeviction", {"ttl_seconds": 900}, True, ""),
        ("allkeys-lru", {}, False, "removes records, and the connector's own keys"),
        ("volatile-ttl", {}, False, ""),
        ("volatile-lfu", {"ttl_seconds": 900}, False, "removes records before they expire"),
        ("volatile-lfu", {"streams": [{"stream": "users", "ttl_seconds": 900}]}, False, "records before they expire"),
        ("volatile-lru", {"expire_at": "ends", "deletion_mode": "soft"}, False, "removes records before they expire"),
        ("volatile-ttl", {"expire_at": "ends"}, False, "the tombstones that keep deleted rows"),
        ("volatile-random", {}, True, "removes the tombstones that keep deleted rows (append_dedup) from reappearing"),
        ("volatile-random", {"deletion_mode": "soft"}, True, ""),
        ("volatile-random", {"streams": [{"stream": "users", "deletion_mode": "soft"}]}, True, ""),
    ],
)
def test_a_sync_warns_of_a_policy_that_evicts_what_it_writes(
    server: Server, caplog: pytest.LogCaptureFixture, policy: str, settings: Json, expected: str, *, deletes: bool
) -> None:
    server.client.config_set("maxmemory-policy", policy)
    config = {**server.config, **settings}
    schema = DELETING if deletes else {"properties": {"at": {"type": "integer"}}}
    warned = said(caplog, config, full_dedup(schema=schema), record(1))
    assert len(warned) == bool(expected)
    assert all(policy in each and expected in each and "noeviction" in each for each in warned)

    caplog.clear()
    assert check(config) is None
    # It knows no streams: any of them may have deletions, and be one for which no entry holds.
    hides = "deletion_mode" in settings or policy.startswith(("allkeys", "noeviction"))
    hides = hides or (deletes and "streams" not in settings)
    assert bool(re.search("maxmemory-policy", caplog.text)) == (bool(expected) or not hides)


@pytest.mark.parametrize(("shape", "mode"), CASES, ids=lambda each: each if isinstance(each, str) else "-".join(each))
def test_a_replacement_that_will_not_fit_is_warned_of_by_the_size_of_what_is_there(
    server: Server, caplog: pytest.LogCaptureFixture, shape: Shape, mode: str
) -> None:
    needs_json(server, shape)
    config = {**server.config, **settings_for(shape)}
    said(caplog, config, of_mode(mode, 1), padded(0))  # the scripts take memory too, the first time
    server.client.flushall()
    server.client.mset({f"another:{number}": PAD for number in range(3000)})
    before = used(server)
    assert said(caplog, config, of_mode(mode, 1), *map(padded, range(RECORDS))) == []
    size = used(server) - before
    assert size > RECORDS * len(PAD)

    give(server, size // 4)
    (warning,) = said(caplog, config, of_mode(mode, 2), *map(padded, range(RECORDS)[:4]))
    assert "The old data of users" in warning
    # Keys of a stream by primary key are counted among some of all keys; a Redis stream's blocks hold some in reserve,
    # which MEMORY USAGE leaves out.
    tolerance = 0.6 if mode != "overwrite" else 0.4 if shape[0] == "stream" else 0.2
    assert reckoned(warning) == pytest.approx(size, rel=tolerance)
    server.client.config_set("maxmemory", 0)

    give(server, size)
    assert said(caplog, config, of_mode(mode, 3), padded(0)) == []  # by now little is there


@pytest.mark.parametrize("shape", [("hash", "envelope"), ("list", "envelope")], ids="-".join)
def test_what_a_refresh_has_staged_already_is_not_needed_once_more(
    server: Server, caplog: pytest.LogCaptureFixture, shape: Shape
) -> None:
    config = {**server.config, **settings_for(shape)}
    said(caplog, config, of_mode("overwrite", 1), *map(padded, range(RECORDS)))
    begun = [*map(padded, range(RECORDS - 100)), state(1)]
    with pytest.raises(Exception, match="Not complete"):
        list(write(config, [of_mode("overwrite", 2)], [*begun, record(0)]))
    give(server, 100 * len(PAD) // 2)
    (warning,) = said(caplog, config, of_mode("overwrite", 2), padded(0))
    assert reckoned(warning) == pytest.approx(100 * len(PAD), rel=0.4)


def test_without_a_limit_nothing_is_asked_but_how_much_memory_there_is(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    said(caplog, server.config, of_mode("append_dedup", 1), padded(1))
    server.client.config_resetstat()
    assert said(caplog, server.config, of_mode("append_dedup", 2), padded(1)) == []
    asked = server.client.info("commandstats")
    assert not {name for name in asked if "memory" in name}


@pytest.mark.parametrize(
    ("more", "warnings"), [([], 0), (["+info"], 1), (MORE.split()[3:], 2)], ids=["least", "info", "all"]
)
def test_a_user_who_may_not_ask_for_memory_syncs_without_a_warning(
    server: Server, caplog: pytest.LogCaptureFixture, more: list[str], warnings: int
) -> None:
    said(caplog, server.config, of_mode("overwrite", 1), *map(padded, range(RECORDS)))
    give(server, RECORDS * len(PAD) // 2)
    server.client.config_set("maxmemory-policy", "volatile-lru")
    server.client.execute_command(*LEAST.split(), "+expire", *more)
    config = {**server.config, "username": "airbyte", "password": "password", "ttl_seconds": 900}
    try:
        assert len(said(caplog, config, of_mode("overwrite", 2), padded(1))) == warnings
    finally:
        server.client.execute_command("ACL", "DELUSER", "airbyte")
    assert ledger(server.client)["generation"] == "2"


def test_no_connection_stays_idle_once_the_question_is_answered(server: Server, tmp_path: Path) -> None:
    sync = Connector(server.config, tmp_path).start([stream()])
    sync.send(record(1), state(1))
    sync.wait_for_states(1)
    assert [each["name"] for each in server.client.client_list()].count("destination-redis") == 1
    assert sync.kill().states
