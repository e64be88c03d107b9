"""The proxy that stands between connector and server in tests of faults: what it passes on, and what it leaves."""

import socket
import threading
from collections.abc import Iterator

import pytest

from integration_tests.support.faults.proxy import Cut, Exchange, proxy
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


#: What sends no command: a client of another protocol at a port that was free, or one that died.
OTHERS = {
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "inline": b"PING\r\n",
    "empty line": b"\r\n",
    "empty command": b"*0\r\n",
    "no command": b"*-1\r\n",
    "no size": b"*x\r\n",
    "no text": b"*1\r\n:1\r\n",
    "null": b"*1\r\n$-1\r\n",
    "command in a command": b"*1\r\n*0\r\n",
}


def connections(server: Server) -> int:
    return len(server.client.client_list())


@pytest.mark.parametrize("name", OTHERS)
def test_what_sends_no_command_is_told_so_and_its_connections_are_closed(server: Server, name: str) -> None:
    before = connections(server)
    with proxy(server.port) as way:
        with socket.create_connection(("127.0.0.1", way.port), 20) as client:
            client.sendall(OTHERS[name])
            assert client.recv(1000).startswith(b"-ERR Protocol error")
            assert client.recv(1000) == b""
        wait_until(lambda: connections(server) == before)
        assert way.seen == []


def test_a_command_that_is_cut_by_the_clients_end_is_not_passed_on(server: Server) -> None:
    before = connections(server)
    with proxy(server.port) as way:
        for size in range(1, len(BEFORE)):
            with socket.create_connection(("127.0.0.1", way.port)) as client:
                client.sendall(BEFORE[:size])
        wait_until(lambda: connections(server) == before)
        assert way.seen == []


def test_any_bytes_are_passed_on_and_named(server: Server) -> None:
    with proxy(server.port) as way, socket.create_connection(("127.0.0.1", way.port), 20) as client:
        client.sendall(b"*3\r\n$3\r\nSET\r\n$5\r\n\xff\r\n\r\n\r\n$1\r\n1\r\n")
        assert client.recv(1000) == b"+OK\r\n"
        assert way.seen == ["SET \ufffd\r\n\r\n"]
    assert server.client.get(b"\xff\r\n\r\n") == b"1"


def test_a_proxy_that_fails_at_a_command_closes_its_connections(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda hook: failed.append(str(hook.exc_value)))

    def act(exchange: Exchange) -> None:
        raise RuntimeError(exchange.name)

    before = connections(server)
    with proxy(server.port, act) as way, socket.create_connection(("127.0.0.1", way.port), 20) as client:
        client.sendall(BEFORE)
        assert client.recv(1000) == b""
        wait_until(lambda: connections(server) == before)
    assert failed == ["SET before"]
