"""TLS as servers ask for it."""

import logging
import os
import socket
import ssl
import stat
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from destination_redis.destination import DestinationRedis
from integration_tests.support.connector.process import Connector
from integration_tests.support.messages import COMPLETE, Json, record, state, stream
from integration_tests.support.servers.certificates import (
    AUTHORITY,
    CLIENT,
    ELSEWHERE,
    MUTUAL,
    OTHER_AUTHORITY,
    SERVER,
    Identity,
    identity,
    listening,
)
from integration_tests.support.servers.other_servers import greeting
from integration_tests.support.servers.server import Server
from integration_tests.support.servers.ssh_server import PKCS8, private
from integration_tests.support.stored import values

LOCALHOST = x509.DNSName("localhost")
EXPIRED = "The server's certificate, or its authority's, has expired."
NOT_YET = "The server's certificate, or its authority's, is not valid yet; a clock may be wrong."
SELF_SIGNED = "The server's certificate is self-signed: set it as ca_certificate to trust it."
NO_AUTHORITY = (
    "The server's certificate is not signed by a trusted authority: "
    "set ca_certificate, or leave it empty to trust the system's authorities."
)
PLAIN = "The server does not speak TLS on this port: turn ssl off, or set the TLS port."
TLS_ONLY = "The server closed the connection; it speaks TLS on this port: turn ssl on."
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
        assert check(config, mode="verify-ca", **theirs) == ("FAILED", NO_AUTHORITY)
        assert check(config, mode="verify-full", **theirs) == ("FAILED", NO_AUTHORITY)
        assert check(config, mode="verify-full") == ("FAILED", NO_AUTHORITY)
        assert check(config, mode="disable") == ("FAILED", NO_AUTHORITY)


def test_only_verify_full_asks_for_the_hosts_name(tmp_path: Path) -> None:
    with listening(tmp_path, ELSEWHERE, "no") as (config, _):
        ours = {"ca_certificate": AUTHORITY.pem}
        assert check(config, mode="verify-ca", **ours)[0] == "SUCCEEDED"
        for host in ("127.0.0.1", "localhost"):
            says = f"The server's certificate is not valid for the host {host}."
            assert check({**config, "host": host}, mode="verify-full", **ours) == ("FAILED", says)


@pytest.mark.parametrize(
    ("shown", "says"),
    [
        (identity("server", AUTHORITY, LOCALHOST, valid=(-2, -1)), EXPIRED),
        (identity("server", AUTHORITY, LOCALHOST, valid=(1, 2)), NOT_YET),
        (identity("server", OTHER_AUTHORITY, LOCALHOST), NO_AUTHORITY),
        (identity("server", identity("authority"), LOCALHOST), NO_AUTHORITY),
        (identity("server", None, LOCALHOST), SELF_SIGNED),
    ],
    ids=["expired", "not yet valid", "of another authority", "of another authority of that name", "self-signed"],
)
def test_a_certificate_that_is_not_accepted_is_said_to_be_what_it_is(
    tmp_path: Path, shown: Identity, says: str
) -> None:
    with listening(tmp_path, shown, "no") as (config, _):
        config |= {"host": "localhost"}
        assert check(config, mode="require")[0] == "SUCCEEDED"
        for mode in ("verify-ca", "verify-full"):
            assert check(config, mode=mode, ca_certificate=AUTHORITY.pem) == ("FAILED", says)


def test_a_self_signed_certificate_is_trusted_where_it_is_the_authority_that_is_set(tmp_path: Path) -> None:
    alone = identity("server", None, LOCALHOST)
    with listening(tmp_path, alone, "no") as (config, _):
        assert check({**config, "host": "localhost"}, mode="verify-full", ca_certificate=alone.pem)[0] == "SUCCEEDED"


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_a_client_certificate_is_shown_where_one_is_set_and_missed_where_none_is(tmp_path: Path, version: str) -> None:
    with listening(tmp_path, SERVER, "yes", "--tls-protocols", version) as (config, _):
        ours = {"ca_certificate": AUTHORITY.pem}
        shown = {"client_certificate": CLIENT.pem, "client_key": CLIENT.key_pem()}
        for mode in ("verify-ca", "verify-full"):
            assert check(config, mode=mode, **ours, **shown)[0] == "SUCCEEDED"
        # Before 1.3 there was no word for it.
        refuses = "The server refuses the TLS connection; it may require a client certificate."
        missed = "The server requires a client certificate." if version == "TLSv1.3" else refuses
        for mode, authority in (("verify-full", ours), ("require", {})):
            assert check(config, mode=mode, **authority) == ("FAILED", missed)


@pytest.mark.parametrize(
    ("client", "says"),
    [
        (identity("client", OTHER_AUTHORITY), "it does not trust its authority"),
        (identity("client", AUTHORITY, valid=(-2, -1)), "it has expired"),
    ],
    ids=["of another authority", "expired"],
)
def test_a_client_certificate_that_the_server_does_not_accept_is_said_to_be_so(
    tmp_path: Path, client: Identity, says: str
) -> None:
    with listening(tmp_path, SERVER, "yes") as (config, _):
        shown = {"client_certificate": client.pem, "client_key": client.key_pem()}
        refused = f"The server does not accept the client certificate: {says}."
        assert check(config, mode="verify-full", ca_certificate=AUTHORITY.pem, **shown) == ("FAILED", refused)


def test_a_sync_ends_at_once_where_the_servers_certificate_is_not_accepted(tmp_path: Path) -> None:
    with listening(tmp_path, ELSEWHERE, "no") as (config, _):
        ssl_mode = {"mode": "verify-full", "ca_certificate": AUTHORITY.pem}
        outcome = Connector({**config, "ssl_mode": ssl_mode}, tmp_path).write([stream()], [record(1)])
    assert outcome.code != 0
    assert outcome.error["failure_type"] == "config_error"
    assert outcome.error["message"].startswith("The server's certificate is not valid for the host 127.0.0.1")


def test_tls_spoken_to_a_plain_port_is_a_plain_sentence_soon(start_server: Callable[..., Server]) -> None:
    server = start_server()
    for password in ("", "secret"):
        server.client.config_set("requirepass", password)
        before = time.monotonic()
        assert check({**server.config, "ssl": True}, mode="require") == ("FAILED", PLAIN)
        assert time.monotonic() - before < 5


def test_a_server_that_is_slow_to_shake_hands_is_waited_for(tmp_path: Path) -> None:
    with listening(tmp_path, SERVER, "no", "--enable-debug-command", "yes") as (config, server):
        sleeping = threading.Thread(target=server.client.execute_command, args=("DEBUG", "SLEEP", "4"))
        sleeping.start()
        assert check(config, mode="require")[0] == "SUCCEEDED"
        sleeping.join()


@pytest.mark.parametrize("clients", ["no", "yes"])
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_no_tls_where_the_server_asks_for_it_is_a_plain_sentence(tmp_path: Path, clients: str, version: str) -> None:
    with listening(tmp_path, SERVER, clients, "--tls-protocols", version) as (config, _):
        assert check({**config, "ssl": False}, mode="disable") == ("FAILED", TLS_ONLY)
        assert check({**config, "ssl": False, "password": "any"}, mode="disable") == ("FAILED", TLS_ONLY)


def test_no_tls_where_the_server_answers_it_with_an_alert_is_the_same_plain_sentence(tmp_path: Path) -> None:
    for name, content in {"cert": SERVER.pem, "key": SERVER.key_pem()}.items():
        (tmp_path / name).write_text(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert", tmp_path / "key")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with listener.accept()[0] as plain:
                plain.recv(1000)
                plain.sendall(b"\x15\x03\x03\x00\x02\x02\x46")  # fatal: protocol_version
            with context.wrap_socket(listener.accept()[0], server_side=True):
                pass

        answering = threading.Thread(target=answer)
        answering.start()
        assert check({"host": "127.0.0.1", "port": listener.getsockname()[1]}, mode="disable") == ("FAILED", TLS_ONLY)
        answering.join()


def test_what_speaks_another_protocol_is_said_to_be_no_redis() -> None:
    says = "The server on this port is not Redis: it speaks another protocol."
    with greeting(b"HTTP/1.1 400 Bad Request\r\n\r\n", after=True) as config:
        assert check(config, mode="disable") == ("FAILED", says)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"client_key_password": "an0ther"}, "The client key cannot be read: client_key_password is wrong"),
        ({"client_key_password": "x" * 1025}, "The client key cannot be read: client_key_password is wrong"),
        ({"client_key_password": ""}, "The client key is encrypted: set client_key_password"),
        ({"client_key": "no key"}, "The client key in the settings is not valid PEM"),
        ({"client_key": ""}, "client_certificate and client_key belong together: set both or neither"),
        ({"client_certificate": "no certificate"}, "The client certificate in the settings is not valid PEM"),
        ({"client_certificate": "não"}, "The client certificate in the settings is not valid PEM"),
        ({"ca_certificate": "no certificate"}, "The CA certificate in the settings is not valid PEM"),
        ({"ca_certificate": "não"}, "The CA certificate in the settings is not valid PEM"),
        ({"client_key": OTHER_AUTHORITY.key_pem()}, "The client key does not match the client certificate"),
        ({"client_key": RSA_KEY}, "The client key does not match the client certificate"),
    ],
)
def test_settings_that_do_not_fit_are_said_to_be_so(wrong: dict[str, str], says: str) -> None:
    assert check({"host": "h", "ssl": True}, mode="verify-full", **{**MUTUAL, **wrong}) == ("FAILED", says)


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
        connector = Connector({**config, "ssl_mode": {"mode": "verify-full", **MUTUAL}}, tmp_path)
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
        assert check(config, mode="verify-full", **MUTUAL)[0] == "SUCCEEDED"
    assert modes == [0o600, 0o600]
    assert list(temporary.iterdir()) == []


def test_the_java_connectors_settings_write_over_tls(tmp_path: Path) -> None:
    with listening(tmp_path, SERVER, "yes") as (config, server):
        ssl_mode = {"mode": "verify-full", **MUTUAL}
        java: Json = {"cache_type": "hash", "tunnel_method": {"tunnel_method": "NO_TUNNEL"}}
        connector = Connector({**config, **java, "host": "localhost", "ssl_mode": ssl_mode}, tmp_path)
        outcome = connector.write([stream()], [record(1), record(2), COMPLETE])

        assert outcome.code == 0, outcome.text
        assert values(server.client) == [1, 2]
