"""The proxy that stands between connector and server in tests of faults: what it passes on, and what it leaves."""

import socket
from collections.abc import Iterator

import pytest

from integration_tests.support.faults.proxy import Cut, proxy
from integration_tests.support.servers.server import Server, running
from integration_tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def _server() -> Iterator[Server]:
    with running("redis-7.0") as server:
        yield server


def command(*words: str) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word.encode()) for word in words)


BEFORE, FIRST, SECOND = command("SET", "before", "1"), command("SET", "first", "1"), command("SET", "second", "1")
#: Bytes from where FIRST has its key to its end.
REST = len(FIRST) - FIRST.index(b"first")


@pytest.mark.parametrize(
    ("size", "there"),
    [
        (0, {b"before"}),
        (REST - 1, {b"before"}),
        (REST, {b"before", b"first"}),
        (REST + len(SECOND) - 1, {b"before", b"first"}),
        (REST + len(SECOND), {b"before", b"first", b"second"}),
    ],
)
def test_a_cut_passes_exactly_so_many_bytes_and_nothing_later(server: Server, size: int, there: set[bytes]) -> None:
    cut = Cut(b"first", size)
    with proxy(server.port, cut) as way:
        with socket.create_connection(("127.0.0.1", way.port)) as client:
            client.sendall(BEFORE + FIRST + SECOND)
            assert cut.done.wait(20)
        with socket.create_connection(("127.0.0.1", way.port)) as another:
            another.sendall(command("SET", "late", "1"))
            wait_until(lambda: "SET late" in way.seen)
    wait_until(lambda: set(server.client.scan_iter()) == there)
