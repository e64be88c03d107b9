"""TLS as servers ask for it."""

import logging
import os
import ssl
import stat
import tempfile
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from destination_redis.destination import DestinationRedis
from integration_tests.certificates import (
    AUTHORITY,
    CLIENT,
    ELSEWHERE,
    KEY_PASSWORD,
    OTHER_AUTHORITY,
    SERVER,
    identity,
    listening,
)
from integration_tests.connector import COMPLETE, Connector, Json, record, state, stream, values
from integration_tests.jump import PKCS8, private

#: What the Java connector's verify-full takes.
ENCRYPTED = {
    "ca_certificate": AUTHORITY.pem,
    "client_certificate": CLIENT.pem,
    "client_key": CLIENT.key_pem(KEY_PASSWORD),
    "client_key_password": KEY_PASSWORD,
}
RSA_KEY = private(rsa.generate_private_key(65537, 2048), PKCS8)


def check(config: Json, **ssl_mode: str) -> tuple[str, str]:
    """Return the answer of `check`, a status and a sentence."""
    answer = DestinationRedis().check(logging.getLogger("airbyte"), {**config, "ssl_mode": ssl_mode})
    return answer.status.value, answer.message or ""


def test_the_server_is_identified_as_far_as_the_mode_asks_for_it(tmp_path: Path) -> None:
    with listening(tmp_path, SERVER, "no") as (config, _):
        ours, theirs = {"ca_certificate": AUTHORITY.pem}, {"ca_certificate": OTHER_AUTHORITY.pem}
        assert check(config, mode="require")[0] == "SUCCEEDED"
        assert check(config, mode="verify-ca", **ours)[0] == "SUCCEEDED"
        assert check(config, mode="verify-full", **ours)[0] == "SUCCEEDED"
        unknown = "The server's certificate could not be verified."
        assert check(config, mode="verify-ca", **theirs) == ("FAILED", unknown)
        assert check(config, mode="verify-full", **theirs) == ("FAILED", unknown)
        assert check(config, mode="verify-full") == ("FAILED", unknown)
        assert check(config, mode="disable") == ("FAILED", unknown)


def test_only_verify_full_asks_for_the_hosts_name(tmp_path: Path) -> None:
    with listening(tmp_path, ELSEWHERE, "no") as (config, _):
        ours = {"ca_certificate": AUTHORITY.pem}
        assert check(config, mode="verify-ca", **ours)[0] == "SUCCEEDED"
        status, message = check(config, mode="verify-full", **ours)
        assert (status, message) == ("FAILED", "The server's certificate could not be verified.")


def test_a_client_certificate_is_shown_where_one_is_set_and_missed_where_none_is(tmp_path: Path) -> None:
    with listening(tmp_path, SERVER, "yes") as (config, _):
        ours = {"ca_certificate": AUTHORITY.pem}
        shown = {"client_certificate": CLIENT.pem, "client_key": CLIENT.key_pem()}
        for mode in ("verify-ca", "verify-full"):
            assert check(config, mode=mode, **ours, **shown)[0] == "SUCCEEDED"
        for mode, authority in (("verify-full", ours), ("require", {})):
            status, message = check(config, mode=mode, **authority)
            assert status == "FAILED"
            # The alert that says so may be overtaken by the end of the connection.
            assert "client certificate" in message or message == "The server closed the connection."
        stranger = identity("client", OTHER_AUTHORITY)
        shown = {"client_certificate": stranger.pem, "client_key": stranger.key_pem()}
        status, message = check(config, mode="verify-full", **ours, **shown)
        assert status == "FAILED"
        assert "client certificate" in message or message == "The server closed the connection."


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"client_key_password": "wrong"}, "The client key cannot be read: client_key_password is wrong"),
        ({"client_key_password": "x" * 1025}, "The client key cannot be read: client_key_password is wrong"),
        ({"client_key_password": ""}, "The client key is encrypted: set client_key_password"),
        ({"client_key": "no key"}, "The client key in the settings is not valid PEM"),
        ({"client_key": ""}, "client_certificate and client_key belong together: set both or neither"),
        ({"client_certificate": "no certificate"}, "The client certificate in the settings is not valid PEM"),
        ({"client_certificate": "não"}, "The client certificate in the settings is not valid PEM"),
        ({"ca_certificate": "no certificate"}, "The CA certificate in the settings is not valid PEM"),
        ({"ca_certificate": "não"}, "The CA certificate in the settings is not valid PEM"),
        ({"client_key": OTHER_AUTHORITY.key_pem()}, "The client key does not belong to the client certificate"),
        ({"client_key": RSA_KEY}, "The client key does not belong to the client certificate"),
    ],
)
def test_settings_that_do_not_fit_are_said_to_be_so(wrong: dict[str, str], says: str) -> None:
    assert check({"host": "h", "ssl": True}, mode="verify-full", **{**ENCRYPTED, **wrong}) == ("FAILED", says)


def test_the_systems_authorities_are_trusted_only_where_none_is_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(tmp_path, SERVER, "no") as (config, _):
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca"))
        assert check(config, mode="verify-full")[0] == "SUCCEEDED"
        assert check(config, mode="disable")[0] == "SUCCEEDED"
        assert check(config, mode="verify-full", ca_certificate=OTHER_AUTHORITY.pem)[0] == "FAILED"


def test_an_intermediate_authority_can_be_the_one_that_is_trusted(tmp_path: Path) -> None:
    between = identity("between", AUTHORITY, authority_itself=True)
    shown = identity("server", between, x509.DNSName("localhost"))
    with listening(tmp_path, shown, "no") as (config, _):
        assert check({**config, "host": "localhost"}, mode="verify-full", ca_certificate=between.pem)[0] == "SUCCEEDED"


def test_the_client_key_is_never_in_a_file_though_connections_come_and_go_and_the_sync_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    untouched = temporary.stat().st_mtime_ns  # what is made or removed in a folder changes it
    with listening(tmp_path, SERVER, "yes") as (config, server):
        connector = Connector({**config, "ssl_mode": {"mode": "verify-full", **ENCRYPTED}}, tmp_path)
        running = connector.start([stream()])
        for number in range(1, 4):
            running.send(record(number), state(number))
            running.wait_for_states(number)
            assert opened_in_memory(running.process.pid) == []
            server.client.client_kill_filter(_type="normal", skipme=True)
        running.kill()
        outcome = connector.write([stream()], [record(4), COMPLETE])

        assert outcome.code == 0, outcome.text
        assert values(server.client) == [1, 2, 3, 4]
    assert list(temporary.iterdir()) == []
    assert temporary.stat().st_mtime_ns == untouched


def opened_in_memory(process: int) -> list[str]:
    """Return the files of a process that lie in memory alone."""
    opened = [str(file.readlink()) for file in Path(f"/proc/{process}/fd").iterdir()]
    assert opened
    return [file for file in opened if "memfd" in file]


def test_where_the_system_has_no_files_in_memory_the_key_is_in_one_of_ones_own_only_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    modes: list[int] = []
    load = ssl.SSLContext.load_cert_chain

    def look_and_load(context: ssl.SSLContext, *given: str) -> None:
        modes.extend(stat.S_IMODE(file.stat().st_mode) for file in temporary.iterdir())
        load(context, *given)

    with listening(tmp_path, SERVER, "yes") as (config, _):
        monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", look_and_load)
        monkeypatch.setattr(tempfile, "tempdir", str(temporary))
        monkeypatch.delattr(os, "memfd_create")
        assert check(config, mode="verify-full", **ENCRYPTED)[0] == "SUCCEEDED"
    assert modes == [0o600, 0o600]
    assert list(temporary.iterdir()) == []


def test_no_tls_where_the_server_asks_for_it_is_a_plain_sentence(tmp_path: Path) -> None:
    with listening(tmp_path, SERVER, "no") as (config, _):
        status, message = check({**config, "ssl": False}, mode="disable")
        assert (status, message) == ("FAILED", "The server closed the connection.")


def test_the_java_connectors_settings_write_over_tls(tmp_path: Path) -> None:
    with listening(tmp_path, SERVER, "yes") as (config, server):
        ssl_mode = {"mode": "verify-full", **ENCRYPTED}
        java: Json = {"cache_type": "hash", "tunnel_method": {"tunnel_method": "NO_TUNNEL"}}
        connector = Connector({**config, **java, "host": "localhost", "ssl_mode": ssl_mode}, tmp_path)
        outcome = connector.write([stream()], [record(1), record(2), COMPLETE])

        assert outcome.code == 0, outcome.text
        assert values(server.client) == [1, 2]
