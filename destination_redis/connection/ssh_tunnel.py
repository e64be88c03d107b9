"""The SSH tunnel: one connection to a jump server, with a channel for each Redis connection.

A Redis connection gets one end of a socket pair that only this process has, so no other user of the machine can use the
tunnel, and TLS runs through it end to end. The private key stays in memory.
"""

import asyncio
import concurrent.futures
import contextlib
import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncssh
from redis.connection import Connection

from destination_redis.config.tunnel import SshKeyTunnel, SshPasswordTunnel
from destination_redis.connection.tls_connection import TlsConnection
from destination_redis.errors import UnreachableError, config_error

#: Bytes forwarded at once.
_CHUNK = 256 * 1024
#: Seconds of silence before a keepalive message, and how many of these may go unanswered.
_KEEPALIVE, _SILENCES = 10, 3
#: Algorithms of host keys.
_HOST_KEYS = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)


class Tunnel:
    """One SSH connection at a time, opened when first needed and reopened when lost."""

    def __init__(self, method: SshKeyTunnel | SshPasswordTunnel, timeout: float) -> None:
        """Take the settings; `timeout` is in seconds, for the login and for each channel.

        Raises a config error if a key in the settings cannot be read.
        """
        self._where = {"host": method.tunnel_host, "port": method.tunnel_port, "username": method.tunnel_user}
        self._credentials = _credentials(method)
        self._timeout = timeout
        self._ssh: asyncssh.SSHClientConnection | None = None
        self._one_at_a_time = asyncio.Lock()
        self._pumps: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        # It must not keep the process from exiting.
        self._thread = threading.Thread(target=self._loop.run_forever, name="ssh-tunnel", daemon=True)
        self._thread.start()

    def dial(self, host: str, port: int) -> socket.socket:
        """Return a socket connected to `host` and `port` as seen from the jump server.

        Raises UnreachableError if a retry may help, and a config error if it cannot.
        """
        ours, theirs = socket.socketpair()
        opening = asyncio.run_coroutine_threadsafe(self._open(theirs, host, port), self._loop)
        try:
            # Each step inside has its own, shorter timeout.
            opening.result(4 * self._timeout)
        except BaseException as error:
            opening.cancel()
            ours.close()
            theirs.close()
            if isinstance(error, concurrent.futures.TimeoutError):
                raise UnreachableError("The SSH jump server did not answer in time") from error
            raise
        return ours

    def close(self) -> None:
        """End every channel, the SSH connection and the thread."""
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(self._timeout)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(self._timeout)
        self._loop.close()

    async def _open(self, theirs: socket.socket, host: str, port: int) -> None:
        ssh = await self._login()
        try:
            async with asyncio.timeout(self._timeout):
                far = await ssh.open_connection(host, port)
        except asyncssh.ChannelOpenError as error:
            if error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
                raise config_error("The SSH jump server does not allow a tunnel to the Redis host", error) from error
            raise UnreachableError(_unreachable(error.reason)) from error
        except (TimeoutError, asyncssh.Error, OSError) as error:
            # The SSH connection may be dead without having noticed: the next try opens a new one.
            ssh.abort()
            raise UnreachableError("The connection to the SSH jump server was lost") from error
        near = await asyncio.open_connection(sock=theirs, limit=_CHUNK)
        pump = asyncio.create_task(_join(near, far))
        self._pumps.add(pump)
        pump.add_done_callback(self._pumps.discard)

    async def _login(self) -> asyncssh.SSHClientConnection:
        async with self._one_at_a_time:
            if self._ssh is None or self._ssh.is_closed():
                self._ssh = await self._connect()
            return self._ssh

    async def _connect(self) -> asyncssh.SSHClientConnection:
        try:
            return await asyncssh.connect(
                **self._where,
                **self._credentials,
                config=None,  # the machine's own SSH setup (agent, keys, known hosts) is not the user's
                agent_path=None,
                gss_kex=False,
                gss_auth=False,
                connect_timeout=self._timeout,
                login_timeout=self._timeout,
                keepalive_interval=_KEEPALIVE,
                keepalive_count_max=_SILENCES,
            )
        except asyncssh.PermissionDenied as error:
            what = "password" if "password" in self._credentials else "key"
            raise config_error(f"The SSH jump server does not accept the user or the {what}", error) from error
        except asyncssh.HostKeyNotVerifiable as error:
            raise config_error("The SSH jump server presents a different key than tunnel_host_key", error) from error
        except asyncssh.KeyExchangeFailed as error:
            raise config_error("The SSH jump server and this connector have no algorithm in common", error) from error
        except (asyncssh.Error, OSError) as error:
            raise UnreachableError(_explain(error)) from error

    async def _end(self) -> None:
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        if self._ssh is not None:
            self._ssh.close()
            try:
                async with asyncio.timeout(1):
                    await self._ssh.wait_closed()
            except (asyncssh.Error, OSError, TimeoutError):
                self._ssh.abort()


@contextmanager
def tunnelled(method: SshKeyTunnel | SshPasswordTunnel, timeout: float) -> Iterator[Tunnel]:
    """Yield a tunnel that is closed with the context; nothing is connected before it is used."""
    # Otherwise asyncssh logs every channel.
    logging.getLogger("asyncssh").setLevel(logging.WARNING)
    tunnel = Tunnel(method, timeout)
    try:
        yield tunnel
    finally:
        tunnel.close()


class TunnelConnection(Connection):
    """A connection through a tunnel; `host` and `port` are the server's, as seen from the jump server."""

    def __init__(self, *, tunnel: Tunnel, **arguments: Any) -> None:  # noqa: ANN401 - redis-py's signature
        self._tunnel = tunnel
        super().__init__(**arguments)  # type: ignore[no-untyped-call] # redis-py's

    def _connect(self) -> socket.socket:
        connected = self._tunnel.dial(self.host, self.port)
        connected.settimeout(self.socket_timeout)
        return connected


class TunnelTlsConnection(TlsConnection, TunnelConnection):
    """The same in TLS, which verifies the server and not the jump server."""


def _credentials(method: SshKeyTunnel | SshPasswordTunnel) -> dict[str, Any]:
    if isinstance(method, SshPasswordTunnel):
        arguments: dict[str, Any] = {
            "password": method.tunnel_user_password.get_secret_value(),
            "client_keys": None,
            "preferred_auth": "password,keyboard-interactive",
        }
    else:
        # A single-line form field has "\n" as two characters.
        text = method.ssh_key.get_secret_value().replace("\\n", "\n").replace("\r\n", "\n").strip() + "\n"
        try:
            arguments = {"client_keys": [asyncssh.import_private_key(text)], "preferred_auth": "publickey"}
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            encrypted = "passphrase" in str(error).lower()
            reason = "it needs a passphrase" if encrypted else "it is not a private key in PEM or OpenSSH format"
            raise config_error(f"The SSH private key cannot be read: {reason}") from None
    arguments["known_hosts"] = None
    if method.tunnel_host_key:
        line = method.tunnel_host_key.strip()
        try:
            arguments["known_hosts"] = [asyncssh.import_public_key(line)], [], []
        except asyncssh.KeyImportError:
            raise config_error("tunnel_host_key is not a public key in OpenSSH format") from None
        # A server with several host keys presents the first algorithm listed that it has.
        own = ["rsa-sha2-512", "rsa-sha2-256", "ssh-rsa"] if line.startswith("ssh-rsa") else [line.split()[0]]
        arguments["server_host_key_algs"] = list(dict.fromkeys([*own, *_HOST_KEYS]))
    return arguments


def _explain(error: Exception) -> str:
    text = str(error)
    if isinstance(error, socket.gaierror):
        return "The SSH jump server was not found"
    if isinstance(error, ConnectionRefusedError) or "Connect call failed" in text:
        return "The connection to the SSH jump server was refused: no server listens on that host and port"
    if isinstance(error, TimeoutError) or "imeout" in text:
        return "The SSH jump server did not answer in time"
    return "The SSH jump server closed the connection before the login; it may not be an SSH server"


def _unreachable(reason: str) -> str:
    return f"The Redis host cannot be reached from the SSH jump server ({reason.rstrip('.')})"


async def _join(
    near: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    far: tuple["asyncssh.SSHReader[bytes]", "asyncssh.SSHWriter[bytes]"],
) -> None:
    """Forward bytes both ways until one end closes, then close both: half a Redis connection is useless."""
    (near_reader, near_writer), (far_reader, far_writer) = near, far
    ways = {
        asyncio.create_task(_pass_on(near_reader, far_writer)),
        asyncio.create_task(_pass_on(far_reader, near_writer)),
    }
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        near_writer.close()
        far_writer.channel.abort()


async def _pass_on(
    source: "asyncio.StreamReader | asyncssh.SSHReader[bytes]",
    target: "asyncio.StreamWriter | asyncssh.SSHWriter[bytes]",
) -> None:
    with contextlib.suppress(OSError, asyncssh.Error):
        while data := await source.read(_CHUNK):
            target.write(data)
            await target.drain()
