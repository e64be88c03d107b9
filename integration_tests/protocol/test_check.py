"""`check` as a user runs it: one answer, in a sentence, whatever is wrong, and nothing left behind."""

import json
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from integration_tests.support.connector import library
from integration_tests.support.project import MAIN, PYTHON
from integration_tests.support.servers.server import Server, free_port

Check = Callable[[dict[str, Any]], tuple[str, str]]

PASSWORD = "S3cret-pass-of-alice"


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Return a function that checks a config as a user does; every check ends well, with one answer, no password."""

    def run(config: dict[str, Any]) -> tuple[str, str]:
        file = tmp_path / "config.json"
        file.write_text(json.dumps(config))
        command = [PYTHON, MAIN, "check", "--config", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        messages = [json.loads(line) for line in done.stdout.splitlines()]
        answers = [message for message in messages if message["type"] == "CONNECTION_STATUS"]
        assert PASSWORD not in done.stdout + done.stderr
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(answers) == 1, done.stdout + done.stderr
        answer = answers[0]["connectionStatus"]
        return answer["status"], answer.get("message") or ""

    return run


@pytest.fixture
def alice(server: Server) -> Iterator[Callable[..., dict[str, Any]]]:
    """Return a function that makes the user alice with all rights but those given, and the config of hers."""

    def make(*without: str) -> dict[str, Any]:
        rules = ("on", f">{PASSWORD}", "~*", "&*", "+@all", *without)
        server.client.execute_command("ACL", "SETUSER", "alice", "reset", *rules)
        return {**server.config, "username": "alice", "password": PASSWORD}

    yield make
    server.client.execute_command("ACL", "DELUSER", "alice")


def test_a_good_check_leaves_no_key_behind(check: Check, server: Server) -> None:
    assert check(server.config)[0] == "SUCCEEDED"
    assert server.client.dbsize() == 0


def test_a_user_with_a_password_can_check(check: Check, alice: Callable[..., dict[str, Any]]) -> None:
    assert check(alice())[0] == "SUCCEEDED"


def test_a_host_that_does_not_exist_is_not_found(check: Check) -> None:
    status, message = check({"host": "redis.invalid", "password": PASSWORD})
    assert status == "FAILED"
    assert "not found" in message


def test_a_closed_port_refuses_the_connection(check: Check) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and does not listen
        status, message = check({"host": "127.0.0.1", "port": bound.getsockname()[1], "password": PASSWORD})
    assert status == "FAILED"
    assert "refused" in message


def test_a_wrong_password_is_said_to_be_wrong(check: Check, alice: Callable[..., dict[str, Any]]) -> None:
    status, message = check({**alice(), "password": f"{PASSWORD}2"})
    assert status == "FAILED"
    assert "password is wrong" in message


def test_a_password_the_server_does_not_ask_for_is_an_error_that_says_so(check: Check, server: Server) -> None:
    status, message = check({**server.config, "password": PASSWORD})
    assert status == "FAILED"
    assert "password" in message


def test_a_missing_password_is_asked_for(check: Check, start_server: Callable[..., Server]) -> None:
    server = start_server()
    server.client.config_set("requirepass", PASSWORD)
    status, message = check(server.config)
    assert status == "FAILED"
    assert "requires a password" in message


@pytest.mark.parametrize("command", ["HSET", "RENAME", "EVAL", "UNLINK"])
def test_a_user_who_may_not_run_a_command_is_told_which(
    check: Check, alice: Callable[..., dict[str, Any]], server: Server, command: str
) -> None:
    status, message = check(alice(f"-{command.lower()}"))
    assert status == "FAILED"
    assert f"command {command}" in message
    assert server.client.dbsize() == 0


def test_a_user_who_may_not_touch_the_connectors_keys_is_told_so(
    check: Check, alice: Callable[..., dict[str, Any]], server: Server
) -> None:
    status, message = check(alice("resetkeys", "~default:*"))
    assert status == "FAILED"
    assert "keys" in message
    assert server.client.dbsize() == 0


def test_a_user_who_may_not_list_clients_is_warned(
    check: Check, alice: Callable[..., dict[str, Any]], server: Server
) -> None:
    status, message = check(alice("-client"))
    assert status == "SUCCEEDED"
    assert "CLIENT LIST" in message
    assert server.client.dbsize() == 0


def test_a_read_only_replica_is_recognised(check: Check, start_server: Callable[..., Server]) -> None:
    primary, replica = start_server(), start_server()
    replica.client.execute_command("REPLICAOF", "127.0.0.1", str(primary.port))
    status, message = check(replica.config)
    assert status == "FAILED"
    assert "read-only replica" in message


def test_a_database_index_out_of_range_is_recognised(check: Check, server: Server) -> None:
    status, message = check({**server.config, "deployment": {"deployment": "standalone", "database": 9999}})
    assert status == "FAILED"
    assert "database index" in message


def test_a_database_of_ones_own_is_left_empty(check: Check, server: Server) -> None:
    deployment = {"deployment": "standalone", "database": 3}
    assert check({**server.config, "deployment": deployment})[0] == "SUCCEEDED"
    assert "db3" not in server.client.info("keyspace")


def test_a_config_error_names_the_setting(check: Check) -> None:
    status, message = check({"host": "localhost", "port": 0, "password": PASSWORD})
    assert status == "FAILED"
    assert "port: " in message


def test_a_password_of_the_wrong_shape_is_not_printed(check: Check) -> None:
    status, message = check({"host": "localhost", "password": [PASSWORD]})
    assert status == "FAILED"
    assert "password: " in message


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"host": NaN'])
def test_a_configuration_that_is_no_json_object_is_a_failed_check(tmp_path: Path, content: str) -> None:
    (file := tmp_path / "config.json").write_text(content)
    done = subprocess.run([PYTHON, MAIN, "check", "--config", str(file)], capture_output=True, text=True, check=False)
    (message,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert message["connectionStatus"]["status"] == "FAILED"
    assert message["connectionStatus"]["message"].startswith("The configuration is no")


def test_a_mistyped_setting_is_named_where_check_fails_too(caplog: pytest.LogCaptureFixture) -> None:
    assert library.check({"host": "127.0.0.1", "prot": 6379, "port": free_port()}) is not None
    assert "The setting prot is unknown and has no effect" in caplog.text
