"""A port of the tests' own, each of whose connections has a thread; when it is closed, nothing is left of them."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

#: Seconds after which a thread that has lost its connection is taken to hang.
_HANGS = 60


class Listener:
    """Gives each connection to `serve`, in a thread of its own, and closes it when that returns or fails."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self._over = False
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def close(self) -> None:
        """Take no more connections, shut those there are, and wait for their threads."""
        self._over = True
        shut(self._socket)
        self._accepting.join(_HANGS)
        self._socket.close()
        for connection in self._connections:
            shut(connection)
        for thread in self._threads:
            thread.join(_HANGS)
        assert not any(thread.is_alive() for thread in self._threads), "A thread hangs"

    def _accept(self) -> None:
        while True:
            try:
                connection = self._socket.accept()[0]
            except OSError:
                if self._over:
                    return
                raise
            self._connections.append(connection)
            thread = threading.Thread(target=self._serve_and_close, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve_and_close(self, connection: socket.socket) -> None:
        with connection:
            self._serve(connection)


@contextmanager
def listening_to(serve: Callable[[socket.socket], None]) -> Iterator[int]:
    """Yield the port of a listener."""
    listener = Listener(serve)
    try:
        yield listener.port
    finally:
        listener.close()


def received(connection: socket.socket) -> bytes:
    """Return what comes next, nothing where the connection was closed or reset."""
    with suppress(ConnectionError):
        return connection.recv(1 << 16)
    return b""


def shut(connection: socket.socket) -> None:
    """End all waiting for a socket, which its thread may have closed meanwhile."""
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
