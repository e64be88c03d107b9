"""A proxy between connector and server: one command at a time, so that a test acts on any one of them."""

import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from integration_tests.support.servers.listener import Listener, received, shut

#: Seconds without another byte after which all that a client has sent is taken to be there.
_SENT = 0.05


class Gone(Exception):  # noqa: N818 - an end, not an error
    """This connection is over."""


class Stream:
    """What comes from one side, cut into commands or replies."""

    def __init__(self, side: socket.socket) -> None:
        side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket = side
        self.buffer = b""

    def next(self) -> bytes:
        """Return the next whole command or reply; raises Gone at the end, ValueError where it is neither."""
        while not self.buffer or (end := _end(self.buffer, 0)) < 0:
            if not (data := received(self.socket)):
                raise Gone
            self.buffer += data
        found, self.buffer = self.buffer[:end], self.buffer[end:]
        return found

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except ConnectionError:
            raise Gone from None

    def reset(self) -> None:
        """Close it with a RST, which takes along what is on its way."""
        with suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def _end(buffer: bytes, at: int) -> int:
    """Return where the command or reply that begins at `at` ends, -1 where it is not all there."""
    line = buffer.find(b"\r\n", at)
    if line < 0:
        return -1
    kind, after = buffer[at : at + 1], line + 2
    if kind not in b"$*":
        return after
    count = int(buffer[at + 1 : line])
    if kind == b"$":
        end = after + count + 2 if count >= 0 else after
        return end if end <= len(buffer) else -1
    for _ in range(count):
        after = _end(buffer, after)
        if after < 0:
            return -1
    return after


def _commands(buffer: bytes) -> Iterator[bytes]:
    at = 0
    while (end := _end(buffer, at)) >= 0:
        yield buffer[at:end]
        at = end


def _words(command: bytes) -> list[bytes]:
    """Return the first words of a command; raises ValueError where it is none."""
    count, at = _size(command, 0, b"*")
    if not count:
        raise ValueError("A command without words")
    words = []
    for _ in range(min(count, 4)):
        size, at = _size(command, at, b"$")
        words.append(command[at : at + size])
        at += size + 2
    return words


def _size(command: bytes, at: int, kind: bytes) -> tuple[int, int]:
    """Return the number in the line of this kind at `at`, and where the next one begins."""
    end = command.index(b"\r\n", at)
    size = int(command[at + 1 : end])
    if command[at : at + 1] != kind or size < 0:
        raise ValueError(f"Not {kind!r} and a size: {command[at:end]!r}")
    return size, end + 2


def _name(words: list[bytes]) -> str:
    """Return a command's name with its first argument, of a script with the first key."""
    shown = words[:2] if words[0] not in (b"EVAL", b"EVALSHA") else [words[0], *words[3:]]
    return b" ".join(each[:60] for each in shown).decode(errors="replace")


@dataclass
class Exchange:
    """One command that has arrived at the proxy; commands are counted from 1 over all connections."""

    number: int
    command: bytes
    #: The first four at the most: the command's name and what comes after it.
    words: list[bytes]
    _client: Stream
    _server: Stream
    _proxy: "Proxy"

    @property
    def name(self) -> str:
        return _name(self.words)

    def execute(self) -> bytes:
        """Let the server execute it; return the reply."""
        self._server.send(self.command)
        return self._server.next()

    def answer(self, reply: bytes) -> None:
        self._client.send(reply)

    def forward(self) -> None:
        self.answer(self.execute())

    def reset(self) -> None:
        """Reset both connections: the command is executed only if it was before."""
        self._client.reset()
        self._server.reset()
        raise Gone

    def fall_silent(self) -> None:
        """Take no notice of anything until the client leaves."""
        while received(self._client.socket):
            pass
        raise Gone

    def send(self, size: int) -> None:
        """Let the server have the first bytes of it, so many."""
        self._server.send(self.command[:size])

    def hold(self) -> None:
        """Reset the client's connection alone, and keep the server's with this command and all that followed inside."""
        held = self.command + self._client.buffer
        while select.select([self._client.socket], [], [], _SENT)[0] and (data := received(self._client.socket)):
            held += data
        self._client.reset()
        self._proxy.held.append((self._server, held))
        raise Gone


#: What a test does with a command.
Act = Callable[[Exchange], None]


def at(acts: Mapping[int, Act]) -> Act:
    """Act on the commands of these numbers, forward all others."""
    return lambda exchange: acts.get(exchange.number, Exchange.forward)(exchange)


class Cut:
    """Passes so many bytes on from where `begins` first stands in a command, then nothing more."""

    def __init__(self, begins: bytes, size: int) -> None:
        self._begins = begins
        self._left = size
        self._begun = False
        #: Set once no more passes.
        self.done = threading.Event()

    def __call__(self, exchange: Exchange) -> None:
        if not self._begun:
            start = exchange.command.find(self._begins)
            if start < 0:
                exchange.forward()
                return
            self._begun = True
            self._left += start
        size = len(exchange.command)
        if size < self._left:
            self._left -= size
            exchange.forward()
            return
        exchange.send(self._left)
        self._left = 0
        self.done.set()
        exchange.fall_silent()


class Proxy:
    """Connections to one port, each to a server; all commands go through `act`.

    What sends no command is told so and dropped, as a server does: a port that was free a moment ago may be one that
    another test, in a process of its own, has in mind.
    """

    def __init__(
        self, target: int, act: Act = Exchange.forward, idle: float | None = None, *, silently: bool = False
    ) -> None:
        """Drop connections that are `idle` for so many seconds: by a reset or, `silently`, by passing nothing on."""
        #: Where connections made from now on lead.
        self.target = target
        self.act = act
        self._idle = idle
        self._silently = silently
        #: Connections dropped for being idle.
        self.dropped = 0
        #: The commands that have arrived, by name.
        self.seen: list[str] = []
        self.held: list[tuple[Stream, bytes]] = []
        self._counting = threading.Lock()
        self._streams: list[Stream] = []
        self._listener = Listener(self._serve)
        self.port = self._listener.port

    def release(self) -> list[str]:
        """Let through what was held; return which of these commands the server answered, by name."""
        answered = []
        for server, held in self.held:
            with suppress(Gone, OSError):
                server.socket.settimeout(10)
                server.send(held)
                server.socket.shutdown(socket.SHUT_WR)
                for command in _commands(held):
                    server.next()
                    answered.append(_name(_words(command)))
            server.socket.close()
        self.held.clear()
        return answered

    def reset(self) -> None:
        """Reset all connections, but for those that are held."""
        for stream in list(self._streams):
            if not self._holds(stream):
                shut(stream.socket)

    def close(self) -> None:
        for stream in list(self._streams):
            shut(stream.socket)
        self._listener.close()
        for stream in self._streams:
            stream.socket.close()

    def _serve(self, connection: socket.socket) -> None:
        client = Stream(connection)
        try:
            server = Stream(socket.create_connection(("127.0.0.1", self.target)))
        except ConnectionError:
            client.reset()
            return
        self._streams += [client, server]
        try:
            self._pass_on(client, server)
        except Gone:
            pass
        finally:
            if not self._holds(server):
                server.socket.close()

    def _pass_on(self, client: Stream, server: Stream) -> None:
        while True:
            if not client.buffer:
                ready, _, _ = select.select([client.socket, server.socket], [], [], self._idle)
                if not ready:
                    self._drop(client, server)
                if server.socket in ready:  # nothing is asked: it has closed the connection
                    return
            try:
                command = client.next()
                words = _words(command)
            except ValueError:
                client.send(b"-ERR Protocol error: no command\r\n")
                return
            with self._counting:
                exchange = Exchange(len(self.seen) + 1, command, words, client, server, self)
                self.seen.append(exchange.name)
            self.act(exchange)

    def _holds(self, server: Stream) -> bool:
        return server in [each for each, _ in self.held]

    def _drop(self, client: Stream, server: Stream) -> None:
        self.dropped += 1
        exchange = Exchange(0, b"", [], client, server, self)
        (exchange.fall_silent if self._silently else exchange.reset)()


@contextmanager
def proxy(
    target: int, act: Act = Exchange.forward, idle: float | None = None, *, silently: bool = False
) -> Iterator[Proxy]:
    opened = Proxy(target, act, idle, silently=silently)
    try:
        yield opened
    finally:
        opened.close()
