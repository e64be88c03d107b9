"""TLS as servers ask for it, with certificates of an authority made for the occasion."""

import datetime as dt
import ipaddress
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from destination_redis.destination import DestinationRedis
from integration_tests.connector import COMPLETE, Connector, Json, record, stream, values
from integration_tests.servers import Server, free_port, running

KEY_PASSWORD = "S3cret-of-the-key"


@dataclass(frozen=True)
class Identity:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(serialization.Encoding.PEM).decode()

    def key_pem(self, password: str = "") -> str:
        how = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
        form = serialization.PrivateFormat.PKCS8
        return self.key.private_bytes(serialization.Encoding.PEM, form, how).decode()


def identity(name: str, authority: Identity | None = None, *hosts: x509.GeneralName) -> Identity:
    """Return a new identity: an authority, or what `authority` has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.certificate.subject if authority else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    return Identity(builder.sign(authority.key if authority else key, hashes.SHA256()), key)


AUTHORITY, OTHER_AUTHORITY = identity("authority"), identity("other authority")
SERVER = identity("server", AUTHORITY, x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
ELSEWHERE = identity("elsewhere", AUTHORITY, x509.DNSName("redis.example.com"))
CLIENT = identity("client", AUTHORITY)


@contextmanager
def listening(folder: Path, shown: Identity, clients: str) -> Iterator[tuple[Json, Server]]:
    """Yield the config of a server that shows a certificate and asks its clients for one, or not."""
    files = {"cert": shown.pem, "key": shown.key_pem(), "ca": AUTHORITY.pem}
    for name, content in files.items():
        (folder / name).write_text(content)
    port = free_port()
    options = ["--tls-port", str(port), "--tls-auth-clients", clients]
    options += ["--tls-cert-file", str(folder / "cert"), "--tls-key-file", str(folder / "key")]
    with running("redis-7.0", *options, "--tls-ca-cert-file", str(folder / "ca")) as server:
        yield {"host": "127.0.0.1", "port": port, "ssl": True}, server


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
        ({"client_key_password": "wrong"}, "not valid PEM, or the key's password is wrong."),
        ({"client_key_password": ""}, "not valid PEM, or the key's password is wrong."),
        ({"client_key": "no key"}, "not valid PEM, or the key's password is wrong."),
        ({"ca_certificate": "no certificate"}, "The CA certificate in the settings is not valid PEM."),
        ({"client_key": OTHER_AUTHORITY.key_pem()}, "The client key does not belong to the client certificate."),
    ],
)
def test_settings_that_do_not_fit_are_said_to_be_so(tmp_path: Path, wrong: dict[str, str], says: str) -> None:
    with listening(tmp_path, SERVER, "yes") as (config, _):
        good = {
            "ca_certificate": AUTHORITY.pem,
            "client_certificate": CLIENT.pem,
            "client_key": CLIENT.key_pem(KEY_PASSWORD),
            "client_key_password": KEY_PASSWORD,
        }
        status, message = check(config, mode="verify-full", **{**good, **wrong})
        assert status == "FAILED"
        assert message.endswith(says)


def test_no_tls_where_the_server_asks_for_it_is_a_plain_sentence(tmp_path: Path) -> None:
    with listening(tmp_path, SERVER, "no") as (config, _):
        status, message = check({**config, "ssl": False}, mode="disable")
        assert (status, message) == ("FAILED", "The server closed the connection.")


def test_the_java_connectors_settings_write_over_tls(tmp_path: Path) -> None:
    with listening(tmp_path, SERVER, "yes") as (config, server):
        ssl_mode = {
            "mode": "verify-full",
            "ca_certificate": AUTHORITY.pem,
            "client_certificate": CLIENT.pem,
            "client_key": CLIENT.key_pem(KEY_PASSWORD),
            "client_key_password": KEY_PASSWORD,
        }
        java: Json = {"cache_type": "hash", "tunnel_method": {"tunnel_method": "NO_TUNNEL"}}
        connector = Connector({**config, **java, "host": "localhost", "ssl_mode": ssl_mode}, tmp_path)
        outcome = connector.write([stream()], [record(1), record(2), COMPLETE])

        assert outcome.code == 0, outcome.text
        assert values(server.client) == [1, 2]
