"""The kinds of deployment: for each its servers, the config that leads to them, and a client that sees the data.

A kind is a context manager and one line in KINDS.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ed25519
from redis import Redis

from integration_tests.support.connector.library import check
from integration_tests.support.docs.permissions import LEAST, MORE, OF_CLUSTER
from integration_tests.support.messages import Json
from integration_tests.support.servers.certificates import AUTHORITY, MUTUAL, SERVER, listening, showing
from integration_tests.support.servers.cluster import cluster
from integration_tests.support.servers.sentinel import SERVICE, Sentinel
from integration_tests.support.servers.server import free_port, running
from integration_tests.support.servers.ssh_server import OPENSSH, private, sshd, user
from integration_tests.support.waiting import wait_until

Kind = Callable[[Path], AbstractContextManager[tuple[Json, Redis]]]

PASSWORD = "S3cret-of-the-server"
FULL = {"mode": "verify-full", "ca_certificate": AUTHORITY.pem}
IDENTIFIED = {"mode": "verify-full", **MUTUAL}


@contextmanager
def plain(_: Path) -> Iterator[tuple[Json, Redis]]:
    with running("redis-7.0") as server:
        yield server.config, server.client


@contextmanager
def by_password(folder: Path) -> Iterator[tuple[Json, Redis]]:
    with plain(folder) as (config, client):
        client.config_set("requirepass", PASSWORD)
        yield {**config, "password": PASSWORD}, client


@contextmanager
def as_user(kind: Kind, folder: Path) -> Iterator[tuple[Json, Redis]]:
    with kind(folder) as (config, client):
        client.execute_command(*LEAST.split())
        client.execute_command(*MORE.split())
        yield {**config, "username": "airbyte", "password": "password"}, client


@contextmanager
def in_tls(ssl_mode: Json, folder: Path) -> Iterator[tuple[Json, Redis]]:
    with listening(folder, SERVER, "yes" if "client_key" in ssl_mode else "no") as (config, server):
        yield {**config, "ssl_mode": ssl_mode}, server.client


@contextmanager
def in_database(kind: Kind, folder: Path) -> Iterator[tuple[Json, Redis]]:
    with kind(folder) as (config, client):
        deployment = {"deployment": "standalone", **config.get("deployment", {}), "database": 3}
        with Redis(port=client.get_connection_kwargs()["port"], db=3) as inside:
            yield {**config, "deployment": deployment}, inside


@contextmanager
def by_unix_socket(_: Path) -> Iterator[tuple[Json, Redis]]:
    # Such a path has 107 bytes at most, which the folder of a test may exceed.
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/redis.sock"
        with running("redis-7.0", "--unixsocket", path) as server:
            yield {"host": path}, server.client


@contextmanager
def by_sentinel(folder: Path) -> Iterator[tuple[Json, Redis]]:
    with plain(folder) as (config, client), watching(folder, config) as settings:
        yield settings, client


@contextmanager
def by_sentinel_in_tls(folder: Path) -> Iterator[tuple[Json, Redis]]:
    files = {"cert": "tls-cert-file", "key": "tls-key-file", "ca": "tls-ca-cert-file"}
    lines = [f"{option} {folder / name}" for name, option in files.items()]
    with in_tls(IDENTIFIED, folder) as (config, client), watching(folder, config, *lines) as settings:
        yield settings, client


@contextmanager
def watching(folder: Path, config: Json, *tls: str) -> Iterator[Json]:
    """Yield the config by a sentinel of the server that `config` leads to; `tls` are the sentinel's lines for it."""
    port = free_port()
    more = ["port 0", f"tls-port {port}", "tls-replication yes", *tls] if tls else []
    sentinel = Sentinel(folder, config["port"], 1, *more, port=port)
    try:
        settings = {**config, "port": port, "deployment": {"deployment": "sentinel", "service_name": SERVICE}}
        wait_until(lambda: check(settings) is None)
        yield settings
    finally:
        sentinel.close()


@contextmanager
def by_ssh_key(kind: Kind, folder: Path) -> Iterator[tuple[Json, Redis]]:
    key = ed25519.Ed25519PrivateKey.generate()
    with kind(folder) as (config, client), sshd(key) as ssh_server:
        yield {**config, "tunnel_method": ssh_server.tunnel(private(key, OPENSSH))}, client


@contextmanager
def by_ssh_password(kind: Kind, folder: Path) -> Iterator[tuple[Json, Redis]]:
    with kind(folder) as (config, client), sshd() as ssh_server, user(PASSWORD) as name:
        yield {**config, "tunnel_method": ssh_server.password_tunnel(name, PASSWORD)}, client


@contextmanager
def by_cluster(_: Path) -> Iterator[tuple[Json, Redis]]:
    with cluster() as servers, servers.client() as client:
        yield servers.config, client  # type: ignore[misc] # it has the same commands


@contextmanager
def by_cluster_as_user(_: Path) -> Iterator[tuple[Json, Redis]]:
    with cluster() as servers, servers.client() as client:
        for node in servers.nodes:
            for line in (LEAST, MORE, OF_CLUSTER):
                node.client.execute_command(*line.split())
        yield {**servers.config, "username": "airbyte", "password": "password"}, client  # type: ignore[misc]


@contextmanager
def by_cluster_in_tls(folder: Path) -> Iterator[tuple[Json, Redis]]:
    tls = [*showing(folder, SERVER, "no"), "--tls-replication", "yes", "--tls-cluster", "yes"]
    with cluster(tls=tls) as servers, servers.client() as client:
        config = {**servers.config, "port": servers.tls_port, "ssl": True, "ssl_mode": FULL}
        yield config, client  # type: ignore[misc]


KINDS: dict[str, Kind] = {
    "no password": plain,
    "password alone": by_password,
    "user and password": partial(as_user, plain),
    "TLS require": partial(in_tls, {"mode": "require"}),
    "TLS verify-ca": partial(in_tls, {**FULL, "mode": "verify-ca"}),
    "TLS verify-full": partial(in_tls, FULL),
    "TLS verify-full and client certificate": partial(in_tls, IDENTIFIED),
    "TLS and user": partial(as_user, partial(in_tls, FULL)),
    "database": partial(in_database, plain),
    "Unix socket": by_unix_socket,
    "Unix socket and user": partial(as_user, by_unix_socket),
    "Unix socket and database": partial(in_database, by_unix_socket),
    "sentinel": by_sentinel,
    "sentinel and user": partial(as_user, by_sentinel),
    "sentinel and database": partial(in_database, by_sentinel),
    "sentinel and TLS": by_sentinel_in_tls,
    "SSH key": partial(by_ssh_key, plain),
    "SSH password": partial(by_ssh_password, plain),
    "cluster": by_cluster,
    "cluster and user": by_cluster_as_user,
    "cluster and TLS": by_cluster_in_tls,
    "SSH and TLS": partial(by_ssh_key, partial(in_tls, FULL)),
}
