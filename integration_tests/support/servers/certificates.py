"""Certificates of an authority made for the occasion, and servers that show them."""

import datetime as dt
import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from integration_tests.support.messages import Json
from integration_tests.support.servers.server import Server, free_port, running

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


def identity(
    name: str,
    authority: Identity | None = None,
    *hosts: x509.GeneralName,
    authority_itself: bool = False,
    valid: tuple[int, int] = (-1, 1),
) -> Identity:
    """Return a new identity: an authority, or what `authority` has signed; `valid` are hours from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    since, until = (dt.datetime.now(dt.UTC) + dt.timedelta(hours=hours) for hours in valid)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(authority.certificate.subject if authority else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(until)
        .add_extension(x509.BasicConstraints(authority is None or authority_itself, path_length=None), critical=True)
    )
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    return Identity(builder.sign(authority.key if authority else key, hashes.SHA256()), key)


AUTHORITY, OTHER_AUTHORITY = identity("authority"), identity("other authority")
SERVER = identity("server", AUTHORITY, x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
ELSEWHERE = identity("elsewhere", AUTHORITY, x509.DNSName("redis.example.com"))
CLIENT = identity("client", AUTHORITY)
#: The settings with which both ends identify themselves; the Java connector's verify-full takes the same.
MUTUAL = {
    "ca_certificate": AUTHORITY.pem,
    "client_certificate": CLIENT.pem,
    "client_key": CLIENT.key_pem(KEY_PASSWORD),
    "client_key_password": KEY_PASSWORD,
}


def showing(folder: Path, shown: Identity, clients: str) -> list[str]:
    """Return the options of a server that shows a certificate; its files are in `folder`."""
    files = {"cert": shown.pem, "key": shown.key_pem(), "ca": AUTHORITY.pem}
    for name, content in files.items():
        (folder / name).write_text(content)
    options = ["--tls-auth-clients", clients, "--tls-ca-cert-file", str(folder / "ca")]
    return [*options, "--tls-cert-file", str(folder / "cert"), "--tls-key-file", str(folder / "key")]


@contextmanager
def listening(folder: Path, shown: Identity, clients: str, *more: str) -> Iterator[tuple[Json, Server]]:
    """Yield the config of a server that shows a certificate and asks its clients for one, or not."""
    port = free_port()
    options = ["--tls-port", str(port), *showing(folder, shown, clients)]
    with running("redis-7.0", *options, *more) as server:
        yield {"host": "127.0.0.1", "port": port, "ssl": True}, server
