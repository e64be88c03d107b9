"""An SSH server: a real sshd on a free port, with keys made for the occasion, and users who may log in."""

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from integration_tests.support.messages import Json
from integration_tests.support.servers.server import free_port

Key = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

OPENSSH, PEM = serialization.PrivateFormat.OpenSSH, serialization.PrivateFormat.TraditionalOpenSSL
PKCS8 = serialization.PrivateFormat.PKCS8


def private(key: Key, form: serialization.PrivateFormat, password: str = "") -> str:
    how = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, how).decode()


def public(key: Key) -> str:
    """Return the line that sshd writes and reads."""
    form = serialization.PublicFormat.OpenSSH
    return key.public_key().public_bytes(serialization.Encoding.OpenSSH, form).decode()


class SshServer:
    """One sshd; who holds one of `keys` may log in as the user who runs the tests."""

    def __init__(self, binary: str, keys: list[Key]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="sshd-test-"))
        self._binary = binary
        self.host_key = ed25519.Ed25519PrivateKey.generate()
        self.port = free_port()
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd does not start without it
        files = {"host_key": private(self.host_key, OPENSSH), "keys": "".join(public(key) + "\n" for key in keys)}
        for name, content in files.items():
            path = self._folder / name
            path.touch(mode=0o600)
            path.write_text(content)
        self._folder.chmod(0o755)
        self._process = self._start()

    def tunnel(self, key: str, **more: str) -> Json:
        """Return the setting for a tunnel by key."""
        method = {"tunnel_method": "SSH_KEY_AUTH", "ssh_key": key}
        return {**self._tunnel(getpass.getuser()), **method, **more}

    def password_tunnel(self, name: str, password: str) -> Json:
        """Return the setting for a tunnel by password."""
        return {**self._tunnel(name), "tunnel_method": "SSH_PASSWORD_AUTH", "tunnel_user_password": password}

    def _tunnel(self, name: str) -> Json:
        return {"tunnel_host": "127.0.0.1", "tunnel_port": self.port, "tunnel_user": name}

    @property
    def sessions(self) -> list[int]:
        """The processes, one for each SSH connection, that this sshd has started."""
        found = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            if parent == self._process.pid:
                found.append(int(stat.parent.name))
        return found

    def cut(self) -> None:
        """End every SSH connection, and take no more."""
        sessions = self.sessions
        self._process.kill()
        self._process.wait(60)
        for session in sessions:
            os.kill(session, signal.SIGKILL)

    def start(self) -> None:
        self._process = self._start()

    def close(self) -> None:
        self.cut()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> "subprocess.Popen[bytes]":
        options = {
            "Port": self.port,
            "ListenAddress": "127.0.0.1",
            "HostKey": self._folder / "host_key",
            "AuthorizedKeysFile": self._folder / "keys",
            "PidFile": "none",
            "PermitRootLogin": "yes",
            "PasswordAuthentication": "yes",
            "StrictModes": "no",
            "UsePAM": "no",
        }
        given = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        command = [self._binary, "-D", "-q", "-f", "/dev/null", *given]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 5).close()
            except ConnectionRefusedError:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            else:
                return process


@contextmanager
def sshd(*keys: Key) -> Iterator[SshServer]:
    binary = "/usr/sbin/sshd"  # which it wants to be started by
    if not Path(binary).exists():
        _missing(f"{binary} is missing")
    server = SshServer(binary, list(keys))
    try:
        yield server
    finally:
        server.close()


@contextmanager
def user(password: str) -> Iterator[str]:
    """Yield the name of a user of this system who exists for the while; only root can make one."""
    if os.geteuid() != 0 or not shutil.which("useradd"):
        _missing("only root can make a user with a password")
    name = f"ssh-{secrets.token_hex(4)}"
    _run("useradd", "--no-create-home", "--shell", "/usr/sbin/nologin", name)
    try:
        _run("chpasswd", given=f"{name}:{password}")
        yield name
    finally:
        _run("userdel", name)


def _run(*command: str, given: str = "") -> None:
    """Run what changes the users, again while another such program holds their files."""
    for left in reversed(range(10)):
        done = subprocess.run(command, input=given, text=True, capture_output=True, check=False)
        if done.returncode == 0:
            return
        assert left, done.stderr
        time.sleep(0.2)


def _missing(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)
