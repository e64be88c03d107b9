"""Servers that are not Redis, or not alone: what greets and hangs up, and proxies that refuse or change replies."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from integration_tests.support.faults.proxy import Act, Exchange
from integration_tests.support.messages import Json
from integration_tests.support.servers.listener import listening_to, received


@contextmanager
def greeting(said: bytes, *, after: bool = False, closes: bool = True) -> Iterator[Json]:
    """Yield the config of a server that says this to every connection, `after` a first command, and `closes` it."""

    def greet(client: socket.socket) -> None:
        if after:
            received(client)
        with suppress(ConnectionError):
            client.sendall(said)
        while not closes and received(client):
            pass

    with listening_to(greet) as port:
        yield {"host": "127.0.0.1", "port": port}


def is_one_of(exchange: Exchange, names: tuple[str, ...]) -> bool:
    """Return whether a command, or its container, is one of these."""
    words = [word.decode(errors="replace").upper() for word in exchange.words[:2]]
    return words[0] in names or " ".join(words) in names


def refusing(reply: bytes, *names: str) -> Act:
    """Answer commands of these names with a reply of the proxy's own."""
    return lambda exchange: exchange.answer(reply) if is_one_of(exchange, names) else exchange.forward()


def closing(*names: str) -> Act:
    """Close the connection at commands of these names."""
    return lambda exchange: exchange.reset() if is_one_of(exchange, names) else exchange.forward()


def changing(change: Callable[[Any], Any], *names: str) -> Act:
    """Change the replies to commands of these names, which are given as Python's values."""

    def act(exchange: Exchange) -> None:
        reply = exchange.execute()
        if is_one_of(exchange, names):
            reply = resp(change(value(reply)[0]))
        exchange.answer(reply)

    return act


def value(reply: bytes) -> tuple[Any, bytes]:
    """Return what a reply in RESP says, an error as an Exception, and the bytes behind it."""
    line, _, rest = reply.partition(b"\r\n")
    kind, told = line[:1], line[1:]
    match kind:
        case b":":
            return int(told), rest
        case b"+":
            return told, rest
        case b"-":
            return Exception(told.decode()), rest
        case b"$":
            size = int(told)
            return (None, rest) if size < 0 else (rest[:size], rest[size + 2 :])
    parts = []
    for _ in range(int(told)):
        part, rest = value(rest)
        parts.append(part)
    return parts, rest


def resp(told: Any) -> bytes:
    """Return what `value` would take apart."""
    match told:
        case None:
            return b"$-1\r\n"
        case int():
            return b":%d\r\n" % told
        case bytes():
            return b"$%d\r\n%b\r\n" % (len(told), told)
        case Exception():
            return b"-%b\r\n" % str(told).encode()
    return b"*%d\r\n" % len(told) + b"".join(map(resp, told))
