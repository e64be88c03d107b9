"""The users of docs/redis.md: with the least permissions everything works, and check misses each one of them."""

from collections.abc import Callable, Iterator

import pytest

from integration_tests.support.connector.library import check, full, full_dedup, write
from integration_tests.support.docs.permissions import LEAST, MORE
from integration_tests.support.messages import COMPLETE, Json, generation, record, state, status
from integration_tests.support.servers.server import Server
from integration_tests.support.stored import rows, values
from integration_tests.support.waiting import wait_until

COMMANDS = [rule for rule in LEAST.split() if rule.startswith("+")]

SCHEMA = {"properties": {"at": {"type": "integer"}, "_ab_cdc_deleted_at": {"type": "string"}}}
BOTH = (COMPLETE, status("COMPLETE", "rows"))


@pytest.fixture
def config(server: Server) -> Iterator[Json]:
    """Make the user as docs/redis.md says, and give the config for it."""
    server.client.execute_command(*LEAST.split())
    yield {**server.config, "username": "airbyte", "password": "password"}
    server.client.execute_command("ACL", "DELUSER", "airbyte")


def row(number: int, at: int, **more: str) -> Json:
    return record(number, "rows", data={"id": number, "at": at, "value": at, **more})


def deduplicated(number: int = 0) -> Json:
    """Return a stream by primary key, in a refresh of that number."""
    return full_dedup("rows", schema=SCHEMA, **(generation(number, number, number) if number else {}))


def test_every_sync_mode_and_check_work_with_the_least_permissions(server: Server, config: Json) -> None:
    def synced(streams: list[Json], *messages: Json) -> int:
        return len(list(write(config, streams, [*messages, *BOTH])))

    gone = {"_ab_cdc_deleted_at": "2024-01-01"}
    assert synced([full(), deduplicated()], record(1), row(1, 1), row(2, 1), row(2, 2, **gone), state(1)) == 1
    assert synced([full(), deduplicated()], record(2), row(1, 3), row(3, 1), state(2), state(1, "rows")) == 2
    assert values(server.client) == [1, 2]
    assert rows(server.client, "default:rows:") == {"1": 3, "3": 1}
    assert synced([full(mode="overwrite"), deduplicated(2)], record(3), row(4, 1), row(5, 1, **gone)) == 0
    assert synced([full(**generation(3, 3, 3)), deduplicated(3)], record(4), row(6, 1)) == 0
    assert values(server.client) == [4]
    assert rows(server.client, "default:rows:") == {"6": 1}
    assert check(config) is None


def test_the_empty_namespace_is_not_asked_for_where_default_namespace_is_set(server: Server, config: Json) -> None:
    server.client.execute_command("ACL", "DELUSER", "airbyte")
    server.client.execute_command(*LEAST.replace(" ~:*", "").split())
    assert list(write({**config, "default_namespace": "default"}, [full()], [record(1), COMPLETE])) == []
    assert values(server.client) == [1]
    with pytest.raises(Exception, match="no permission for one of the command's keys"):
        list(write(config, [full()], [record(1), COMPLETE]))


def test_a_template_needs_its_own_keys_in_addition(server: Server, config: Json) -> None:
    named = {**config, "record_key": "user:{key}"}
    with pytest.raises(Exception, match="no permission for one of the command's keys"):
        list(write(named, [deduplicated()], [row(1, 1), BOTH[1]]))
    server.client.execute_command("ACL", "SETUSER", "airbyte", "~user:*")
    assert list(write(named, [deduplicated()], [row(1, 1), BOTH[1]])) == []
    assert list(write(named, [deduplicated(2)], [row(2, 1), BOTH[1]])) == []
    assert rows(server.client, "user:") == {"2": 1}


@pytest.mark.parametrize("command", COMMANDS)
def test_check_misses_each_of_the_least_permissions_by_name(server: Server, config: Json, command: str) -> None:
    server.client.execute_command("ACL", "DELUSER", "airbyte")
    server.client.execute_command(*LEAST.replace(f" {command}", "", 1).split())
    if command == "+scan":
        assert check(config) is None  # and warns, as the next test shows
    else:
        answer = check(config)
        assert answer is not None
        assert "no permission for the command" in answer
        assert command[1:].upper().split("|")[0] in answer
    assert [key for key in server.client.scan_iter() if b"check" in key] == []


def test_a_plain_sync_does_without_scan_and_a_refresh_by_primary_key_says_that_it_cannot(
    server: Server, config: Json
) -> None:
    server.client.execute_command("ACL", "SETUSER", "airbyte", "-scan")
    for mode in ("append", "overwrite"):
        assert list(write(config, [full(mode=mode), deduplicated()], [record(1), row(1, 1), *BOTH])) == []
    with pytest.raises(Exception, match="no permission for the command SCAN"):
        list(write(config, [deduplicated(2)], [row(2, 1), BOTH[1]]))


def test_check_warns_of_what_the_guarantees_need_and_is_silent_once_it_is_there(
    server: Server, config: Json, caplog: pytest.LogCaptureFixture
) -> None:
    server.client.execute_command("ACL", "SETUSER", "airbyte", "-scan")
    assert check(config) is None
    warned = caplog.text
    assert "Without permission for SCAN, no stream in append_dedup can be refreshed" in warned
    for command in ("INFO", "WAIT", "CLIENT INFO", "CLIENT LIST", "CLIENT KILL"):
        assert f"Without permission for {command}, " in warned
    caplog.clear()
    server.client.execute_command(*MORE.split(), "+scan")
    assert check(config) is None
    assert "Without permission" not in caplog.text


def test_a_replica_is_not_waited_for_where_that_is_not_allowed(start_server: Callable[..., Server]) -> None:
    primary = start_server()
    start_server("--replicaof", "127.0.0.1", str(primary.port))
    wait_until(lambda: primary.client.info("replication")["connected_slaves"] == 1)
    primary.client.execute_command(*LEAST.split(), "+info")
    config = {**primary.config, "username": "airbyte", "password": "password"}
    assert len(list(write(config, [full()], [record(1), state(1), COMPLETE]))) == 1
    assert values(primary.client) == [1]
