"""SSH tunnels through a real sshd: by key and by password, with TLS inside, dropped and built again."""

import ipaddress
import json
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from integration_tests.support.connector.library import check
from integration_tests.support.connector.process import Connector
from integration_tests.support.messages import COMPLETE, Json, record, state, stream
from integration_tests.support.servers.certificates import AUTHORITY, SERVER, identity, listening
from integration_tests.support.servers.listener import listening_to
from integration_tests.support.servers.server import Server, free_port, running
from integration_tests.support.servers.ssh_server import (
    OPENSSH,
    PEM,
    PKCS8,
    Key,
    SshServer,
    private,
    public,
    sshd,
    user,
)
from integration_tests.support.stored import values
from integration_tests.support.waiting import wait_until

ED25519, RSA = ed25519.Ed25519PrivateKey.generate(), rsa.generate_private_key(65537, 2048)
STRANGER = ed25519.Ed25519PrivateKey.generate()
KEY = private(ED25519, OPENSSH)
PASSWORD = "S3cret-of-the-user"
MANY = 3000


@pytest.fixture(scope="module")
def shared() -> Iterator[tuple[SshServer, Server]]:
    with sshd(ED25519, RSA) as ssh_server, running("redis-7.0") as server:
        yield ssh_server, server


@pytest.fixture
def ssh_server(shared: tuple[SshServer, Server]) -> SshServer:
    return shared[0]


@pytest.fixture
def server(shared: tuple[SshServer, Server]) -> Server:
    shared[1].client.flushall()
    return shared[1]


@pytest.mark.parametrize(
    ("key", "form"), [(RSA, PEM), (RSA, OPENSSH), (RSA, PKCS8), (ED25519, OPENSSH), (ED25519, PKCS8)]
)
def test_every_usual_form_of_a_key_opens_the_tunnel(
    ssh_server: SshServer, server: Server, key: Key, form: object
) -> None:
    text = private(key, form)  # type: ignore[arg-type]
    assert check({**server.config, "tunnel_method": ssh_server.tunnel(text)}) is None


def test_a_key_pasted_into_one_line_opens_the_tunnel(ssh_server: SshServer, server: Server) -> None:
    assert check({**server.config, "tunnel_method": ssh_server.tunnel(KEY.strip().replace("\n", "\\n"))}) is None


def test_a_password_opens_the_tunnel_and_a_wrong_one_is_said_to_be_wrong(ssh_server: SshServer, server: Server) -> None:
    with user(PASSWORD) as name:
        assert check({**server.config, "tunnel_method": ssh_server.password_tunnel(name, PASSWORD)}) is None
        wrong = check({**server.config, "tunnel_method": ssh_server.password_tunnel(name, "another")})
    assert wrong == "The SSH jump server does not accept the user or the password"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"tunnel_host": "ssh.invalid"}, "The SSH jump server was not found."),
        ({"tunnel_port": 1}, "The connection to the SSH jump server was refused: no server listens"),
        ({"ssh_key": private(STRANGER, OPENSSH)}, "The SSH jump server does not accept the user or the key"),
        ({"tunnel_user": "nobody-there"}, "The SSH jump server does not accept the user or the key"),
        ({"ssh_key": "no key"}, "The SSH private key cannot be read: it is not a private key in PEM or OpenSSH format"),
        ({"ssh_key": private(RSA, PEM, "secret")}, "The SSH private key cannot be read: it needs a passphrase"),
        ({"ssh_key": private(RSA, PKCS8, "secret")}, "The SSH private key cannot be read: it needs a passphrase"),
        ({"ssh_key": "\n".join(KEY.split("\n")[:-3])}, "The SSH private key cannot be read: it is not a private key"),
        ({"tunnel_host_key": public(STRANGER)}, "The SSH jump server presents a different key than tunnel_host_key"),
        ({"tunnel_host_key": public(RSA)}, "The SSH jump server presents a different key than tunnel_host_key"),
        ({"tunnel_host_key": "no key"}, "tunnel_host_key is not a public key in OpenSSH format"),
    ],
)
def test_check_says_in_one_sentence_what_is_wrong_with_a_tunnel(
    ssh_server: SshServer, server: Server, wrong: Json, says: str
) -> None:
    answer = check({**server.config, "tunnel_method": {**ssh_server.tunnel(KEY), **wrong}})
    assert answer is not None
    assert answer.startswith(says)


def test_an_encrypted_key_in_openssh_form_is_said_to_need_a_passphrase(ssh_server: SshServer, tmp_path: Path) -> None:
    file = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", str(file)], check=True)
    answer = check({"host": "h", "tunnel_method": ssh_server.tunnel(file.read_text())})
    assert answer == "The SSH private key cannot be read: it needs a passphrase"


def test_the_ssh_servers_key_is_accepted_where_it_is_the_one_that_is_set(ssh_server: SshServer, server: Server) -> None:
    tunnel = ssh_server.tunnel(KEY, tunnel_host_key=f"{public(ssh_server.host_key)} root@ssh\n")
    assert check({**server.config, "tunnel_method": tunnel}) is None


@pytest.mark.parametrize(("host", "reason"), [("127.0.0.1", "Connection refused"), ("redis.invalid", "")])
def test_a_redis_host_that_the_ssh_server_does_not_reach_is_told_apart(
    ssh_server: SshServer, host: str, reason: str
) -> None:
    answer = check({"host": host, "port": free_port(), "tunnel_method": ssh_server.tunnel(KEY)})
    assert answer is not None
    assert answer.startswith(f"The Redis host cannot be reached from the SSH jump server ({reason}")


def test_a_server_that_hangs_up_is_said_to_be_no_ssh_server_maybe(ssh_server: SshServer, server: Server) -> None:
    with listening_to(socket.socket.close) as port:
        answer = check({**server.config, "tunnel_method": {**ssh_server.tunnel(KEY), "tunnel_port": port}})
    assert answer == "The SSH jump server closed the connection before the login; it may not be an SSH server."


def test_tls_in_a_tunnel_identifies_the_redis_host_and_not_this_end_or_the_ssh_server(
    ssh_server: SshServer, tmp_path: Path
) -> None:
    redis_host = "127.0.0.5"
    full = {"mode": "verify-full", "ca_certificate": AUTHORITY.pem}
    tunnel = {"host": redis_host, "tunnel_method": ssh_server.tunnel(KEY), "ssl_mode": full}
    named = identity("server", AUTHORITY, x509.IPAddress(ipaddress.ip_address(redis_host)))
    with listening(tmp_path, named, "no", "--bind", "127.0.0.1", redis_host) as (config, _):
        assert check({**config, **tunnel}) is None
    with listening(tmp_path, SERVER, "no", "--bind", "127.0.0.1", redis_host) as (config, _):
        assert check({**config, **tunnel}) == f"The server's certificate is not valid for the host {redis_host}."


def test_tls_and_none_are_told_apart_through_a_tunnel_too(
    ssh_server: SshServer, server: Server, tmp_path: Path
) -> None:
    tunnel = {"tunnel_method": ssh_server.tunnel(KEY), "ssl_mode": {"mode": "require"}}
    plain = "The server does not speak TLS on this port: turn ssl off, or set the TLS port."
    assert check({**server.config, **tunnel, "ssl": True}) == plain
    with listening(tmp_path, SERVER, "no") as (config, _):
        closed = "The server closed the connection; it speaks TLS on this port: turn ssl on."
        assert check({**config, **tunnel, "ssl": False}) == closed


def test_nothing_of_a_tunnel_outlives_its_use(ssh_server: SshServer, server: Server) -> None:
    before = threading.active_count()
    assert check({**server.config, "tunnel_method": ssh_server.tunnel(KEY)}) is None
    wait_until(lambda: ssh_server.sessions == [])
    assert threading.active_count() == before


def test_a_sync_whose_tunnel_drops_ends_exact_and_its_key_never_is_in_a_file(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    with sshd(ED25519) as ssh_server:
        connector = Connector({**server.config, "tunnel_method": ssh_server.tunnel(KEY)}, tmp_path)
        running = connector.start([stream()])
        for number in range(1, MANY):
            running.send(record(number))
            if number % 100 == 0:
                running.send(state(number))
            if number == MANY // 2:
                running.wait_for_states(5)
                assert ssh_server.sessions
                ssh_server.cut()
        ssh_server.start()
        running.wait_for_states(MANY // 100 - 1)
        assert [file for file in temporary.rglob("*") if file.is_file()] == []
        running.send(COMPLETE)
        outcome = running.finish()

    assert outcome.code == 0, outcome.text
    assert values(server.client) == list(range(1, MANY))
    assert [one["stream"]["stream_state"]["cursor"] for one in outcome.states] == list(range(100, MANY, 100))


def test_the_writer_behind_a_tunnel_is_taken_over_once_it_is_dead(
    ssh_server: SshServer, server: Server, tmp_path: Path
) -> None:
    connector = Connector({**server.config, "tunnel_method": ssh_server.tunnel(KEY)}, tmp_path)
    first = connector.start([stream()])
    first.send(record(1), state(1), record(2))
    first.wait_for_states(1)
    first.kill()
    outcome = connector.write([stream()], [record(2), COMPLETE])

    assert outcome.code == 0, outcome.text
    assert values(server.client) == [1, 2]


def test_a_sync_told_to_end_does_so_with_its_tunnel(ssh_server: SshServer, server: Server, tmp_path: Path) -> None:
    connector = Connector({**server.config, "tunnel_method": ssh_server.tunnel(KEY)}, tmp_path)
    running = connector.start([stream()])
    running.send(record(1), state(1))
    running.wait_for_states(1)
    running.process.send_signal(signal.SIGTERM)
    outcome = running.ended()

    assert outcome.error["failure_type"] == "transient_error"
    assert json.dumps(KEY)[1:-1] not in outcome.text
    wait_until(lambda: ssh_server.sessions == [])
