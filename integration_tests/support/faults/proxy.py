"""A proxy between connector and server: one command at a time, so that a test acts on any one of them."""

import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

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
        """Return the next whole command or reply; raises Gone at the end."""
        while not self.buffer or (end := _end(self.buffer, 0)) < 0:
            try:
                data = self.socket.recv(1 << 16)
            except OSError:
                raise Gone from None
            if not data:
                raise Gone
            self.buffer += data
        found, self.buffer = self.buffer[:end], self.buffer[end:]
        return found

    def send(self, data: bytes) -> None:
        try:
            self.socket.sendall(data)
        except OSError:
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


def _name(command: bytes) -> str:
    """Return the command's name with its first argument, of a script with the first key."""
    parts = command.split(b"\r\n")[2::2]
    shown = parts[:2] if parts[0] not in (b"EVAL", b"EVALSHA") else [parts[0], *parts[3:4]]
    return b" ".join(each[:60] for each in shown).decode()


@dataclass
class Exchange:
    """One command that has arrived at the proxy; commands are counted from 1 over all connections."""

    number: int
    command: bytes
    _client: Stream
    _server: Stream
    _proxy: "Proxy"

    @property
    def name(self) -> str:
        return _name(self.command)

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
        with suppress(OSError):
            while self._client.socket.recv(1 << 16):
                pass
        raise Gone

    def send(self, size: int) -> None:
        """Let the server have the first bytes of it, so many."""
        self._server.send(self.command[:size])

    def hold(self) -> None:
        """Reset the client's connection alone, and keep the server's with this command and all that followed inside."""
        held = self.command + self._client.buffer
        with suppress(OSError):
            while select.select([self._client.socket], [], [], _SENT)[0] and (
                data := self._client.socket.recv(1 << 16)
            ):
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
    """Connections to one port, each to a server; all commands go through `act`."""

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
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

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
                    answered.append(_name(command))
            server.socket.close()
        self.held.clear()
        return answered

    def reset(self) -> None:
        """Reset all connections, but for those that are held."""
        held = [server for server, _ in self.held]
        for stream in list(self._streams):
            if stream not in held:
                with suppress(OSError):
                    stream.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # a thread still accepts
        self._listener.close()
        for stream in self._streams:
            with suppress(OSError):
                stream.socket.shutdown(socket.SHUT_RDWR)
            stream.socket.close()

    def _accept(self) -> None:
        while True:
            try:
                client = Stream(self._listener.accept()[0])
            except OSError:
                return
            try:
                server = Stream(socket.create_connection(("127.0.0.1", self.target)))
            except OSError:
                client.reset()
                continue
            self._streams += [client, server]
            threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: Stream, server: Stream) -> None:
        try:
            while True:
                if not client.buffer:
                    ready, _, _ = select.select([client.socket, server.socket], [], [], self._idle)
                    if not ready:
                        self._drop(client, server)
                    if server.socket in ready:  # nothing is asked: it has closed the connection
                        break
                command = client.next()
                with self._counting:
                    exchange = Exchange(len(self.seen) + 1, command, client, server, self)
                    self.seen.append(exchange.name)
                self.act(exchange)
        except (Gone, OSError, ValueError):
            pass
        held = server in [each for each, _ in self.held]
        for stream in (client,) if held else (client, server):
            with suppress(OSError):
                stream.socket.close()

    def _drop(self, client: Stream, server: Stream) -> None:
        self.dropped += 1
        exchange = Exchange(0, b"", client, server, self)
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
