"""What a server says to a new connection before it closes it: told at once, tried again only where that may help."""

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from integration_tests.support.connector.library import check, failure, full, write
from integration_tests.support.messages import COMPLETE, record, state
from integration_tests.support.servers.certificates import SERVER, listening
from integration_tests.support.servers.other_servers import greeting
from integration_tests.support.servers.server import Server

PROTECTED = b"-DENIED Redis is running in protected mode because protected mode is enabled and no password is set.\r\n"
IN_PROTECTED_MODE = (
    "The server is in protected mode, so it refuses connections from other machines: set a password on it, or turn its "
    "protected-mode off"
)
NO_REDIS = "The server on this port is not Redis: it speaks another protocol"
NO_CONNECTION = "The server accepts no more connections (maxclients)"
MESSAGES = [record(1), state(1), COMPLETE]
#: A password makes AUTH the first command, whose reply the greeting is then taken for.
PASSWORDS = pytest.mark.parametrize("password", [None, "secret"])

FINAL = {
    "protected mode": (PROTECTED, IN_PROTECTED_MODE),
    "Valkey's protected mode": (b"-DENIED Running in protected mode because of that\r\n", IN_PROTECTED_MODE),
    "denied for another reason": (b"-DENIED not from here\r\n", "The server refuses the connection: not from here"),
    "a password": (b"-NOAUTH Authentication required.\r\n", "The server requires a password"),
}
RETRIED = {
    "maxclients": (b"-ERR max number of clients reached\r\n", NO_CONNECTION),
    "a cluster's maxclients": (b"-ERR max number of clients + cluster connections reached\r\n", NO_CONNECTION),
    "loading": (b"-LOADING Redis is loading\r\n", "The server is still loading its data into memory"),
    "a proxy's own words": (b"-ERR no backend\r\n", "The server closes each new connection: no backend"),
    "nothing": (b"", "The server closed the connection"),
}
OTHERS = {
    "SSH": (b"SSH-2.0-OpenSSH_9.6\r\n", " (SSH-2.0-OpenSSH_9.6)"),
    "SMTP": (b"220 mail.example.com ESMTP\r\n", " (220 mail.example.com ESMTP)"),
    "IMAP": (b"* OK ready\r\n", " (* OK ready)"),
    "MySQL": (b"J\0\0\0\n8.0.36\0", ""),
    "a very long line": (b"x" * 5000 + b"\r\n", f" ({'x' * 60})"),
}


@PASSWORDS
@pytest.mark.parametrize("name", FINAL)
def test_a_greeting_that_is_final_is_told_at_once(name: str, password: str | None) -> None:
    said, says = FINAL[name]
    with greeting(said) as config:
        config["password"] = password
        assert check(config) == f"{says}."
        error = failure(config, [full()], MESSAGES, 100)
    assert (str(error), error.failure_type) == (f"{says} (while connecting to the server)", FailureType.config_error)


@PASSWORDS
@pytest.mark.parametrize("name", RETRIED)
def test_a_greeting_that_may_pass_is_told_by_check_and_tried_again_by_write(name: str, password: str | None) -> None:
    said, says = RETRIED[name]
    with greeting(said) as config:
        config["password"] = password
        assert check(config) == f"{says}."
        error = failure(config, [full()], MESSAGES, 0.5)
    assert error.failure_type is FailureType.transient_error
    assert str(error).startswith(f"{says}; tried again for ")


@pytest.mark.parametrize("name", OTHERS)
def test_a_server_of_another_protocol_is_said_to_be_no_redis_and_what_it_greets_with(name: str) -> None:
    said, shown = OTHERS[name]
    with greeting(said, closes=False) as config:
        assert check(config) == f"{NO_REDIS}{shown}."
        error = failure(config, [full()], MESSAGES, 100)
    assert error.failure_type is FailureType.config_error
    assert str(error).startswith(f"{NO_REDIS}{shown} (")


def test_a_web_server_answers_what_is_no_redis_reply() -> None:
    with greeting(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", after=True) as config:
        assert check(config) == f"{NO_REDIS}."
        error = failure(config, [full()], MESSAGES, 100)
    assert error.failure_type is FailureType.config_error


@pytest.mark.parametrize("deployment", ["cluster", "sentinel"])
def test_nodes_and_sentinels_greet_too(deployment: str) -> None:
    with greeting(PROTECTED) as config:
        config["deployment"] = {"deployment": deployment, "service_name": "mymaster"}
        assert IN_PROTECTED_MODE in str(check(config))
        assert failure(config, [full()], MESSAGES, 100).failure_type is FailureType.config_error


def test_the_protected_mode_of_a_real_server_is_recognised(start_server: Callable[..., Server]) -> None:
    own = own_address()
    server = start_server("--bind", f"127.0.0.1 {own}", "--protected-mode", "yes")
    assert check(server.config) is None
    assert check({**server.config, "host": own}) == f"{IN_PROTECTED_MODE}."


def test_the_protected_mode_of_a_real_server_is_recognised_in_tls_too(tmp_path: Path) -> None:
    own = own_address()
    with listening(tmp_path, SERVER, "no", "--bind", f"127.0.0.1 {own}", "--protected-mode", "yes") as (config, _):
        config["ssl_mode"] = {"mode": "require"}
        assert check(config) is None
        assert check({**config, "host": own}) == f"{IN_PROTECTED_MODE}."


def own_address() -> str:
    """Return this machine's address that is not its loopback's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("This machine has but its loopback")
        own: str = probe.getsockname()[0]
    return own


def test_a_server_without_a_free_connection_is_waited_for(start_server: Callable[..., Server], tmp_path: Path) -> None:
    path = tmp_path / "s"
    server = start_server("--unixsocket", str(path))
    for config in (server.config, {"host": str(path)}):
        server.client.config_set("maxclients", 1)
        assert check(config) == f"{NO_CONNECTION}."
        with pytest.raises(AirbyteTracedException, match="accepts no more connections"):
            list(write(config, [full()], MESSAGES, 0.5))
        server.client.config_set("maxclients", 100)
        assert len(list(write(config, [full()], MESSAGES, 0.5))) == 1
