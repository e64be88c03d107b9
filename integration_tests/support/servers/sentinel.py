"""A primary with a replica and the sentinels that watch them, each a real server."""

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis

from integration_tests.support.messages import Json
from integration_tests.support.servers.server import Server, free_port, require, running
from integration_tests.support.waiting import wait_until

SERVICE = "mymaster"


class Sentinel:
    """One sentinel, with lines of its own in its configuration."""

    def __init__(self, folder: Path, primary: int, quorum: int, *lines: str, port: int | None = None) -> None:
        self.port = port or free_port()
        file = folder / f"sentinel-{self.port}.conf"
        basics = [f"port {self.port}", "bind 127.0.0.1", f"dir {folder}"]
        watched = [
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary} {quorum}",
            f"sentinel down-after-milliseconds {SERVICE} 500",
            f"sentinel failover-timeout {SERVICE} 3000",
        ]
        file.write_text("\n".join([*basics, *watched, *lines]) + "\n")
        command = [require("redis-7.0"), str(file), "--sentinel"]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def close(self) -> None:
        self.process.kill()
        self.process.wait(60)


class Watched:
    """A primary and its replica, in step, and three sentinels that know of all."""

    def __init__(self, primary: Server, replica: Server, sentinels: list[Sentinel]) -> None:
        self.primary = primary
        self.replica = replica
        self.sentinels = sentinels
        self._parted = False

    @property
    def config(self) -> Json:
        """The configuration for it; the first sentinel it names is the first of these."""
        first, *further = [sentinel.port for sentinel in self.sentinels]
        nodes = [f"127.0.0.1:{port}" for port in further]
        return {
            "host": "127.0.0.1",
            "port": first,
            "deployment": {"deployment": "sentinel", "service_name": SERVICE, "nodes": nodes},
        }

    def part(self) -> None:
        """Have the replica, in step until now, receive nothing more."""
        self._wait_until_in_step()
        self._parted = True
        # Whoever is connected stays so, but the replica cannot come back.
        self.primary.client.config_set("requirepass", "unknown to the replica")
        self.primary.client.client_kill_filter(_type="replica")

    def lose_primary(self) -> None:
        """Kill the primary, the replica being in step where it was not parted; the sentinels do the rest in a while."""
        if not self._parted:
            self._wait_until_in_step()
        self.primary._process.kill()
        self.primary._process.wait(60)

    def _wait_until_in_step(self) -> None:
        wait_until(lambda: self.primary.offset == self.replica.offset)


@contextmanager
def watched() -> Iterator[Watched]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sentinel-test-")))
        primary = stack.enter_context(running("redis-7.0", "--repl-diskless-sync-delay", "0"))
        replica = stack.enter_context(running("redis-7.0", "--replicaof", "127.0.0.1", str(primary.port)))
        wait_until(lambda: replica.client.info("replication")["master_link_status"] == "up")
        sentinels = [Sentinel(folder, primary.port, 2) for _ in range(3)]
        for sentinel in sentinels:
            stack.callback(sentinel.close)
            stack.enter_context(redis.Redis(port=sentinel.port))
        for sentinel in sentinels:
            _wait_until_it_knows_the_others(sentinel)
        yield Watched(primary, replica, sentinels)


def _wait_until_it_knows_the_others(sentinel: Sentinel) -> None:
    deadline = time.monotonic() + 60
    with redis.Redis(port=sentinel.port, protocol=2) as client:
        while time.monotonic() < deadline:
            try:
                seen = client.sentinel_master(SERVICE)
            except redis.ConnectionError:
                seen = {}
            if seen and seen["num-other-sentinels"] == 2 and seen["num-slaves"] == 1:
                return
            time.sleep(0.05)
    raise AssertionError("The sentinels did not find each other")
