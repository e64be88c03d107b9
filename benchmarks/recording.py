"""A proxy that writes down what is sent through it, so that `redis-cli --pipe` can send the same."""

import contextlib
import re
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_CHUNK = 1 << 20
#: What a connection says of itself. A server may know less of that than the client does, which is no matter to a
#: client, but an error to --pipe.
_GREETING = re.compile(rb"\*(\d+)\r\n\$6\r\nCLIENT\r\n")


@contextmanager
def recording(port: int, recorded: Path) -> Iterator[int]:
    """Yield the port of a proxy to a local server; in the end `recorded` holds what all connections sent.

    They stand one after the other, as they were made.
    """
    sent: list[Path] = []
    passing: list[threading.Thread] = []

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:  # the listener is closed
                return
            sent.append(recorded.with_suffix(f".{len(sent)}"))
            passing.append(threading.Thread(target=_pass_on, args=(client, port, sent[-1])))
            passing[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        accepting = threading.Thread(target=serve)
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            accepting.join()
            for thread in passing:
                thread.join()
    with recorded.open("wb") as whole:
        for part in sent:
            with part.open("rb") as commands:
                commands.seek(_greeting(commands.read(_CHUNK)))
                shutil.copyfileobj(commands, whole, _CHUNK)
            part.unlink()


def _pass_on(client: socket.socket, port: int, recorded: Path) -> None:
    with client, socket.create_connection(("127.0.0.1", port)) as server, recorded.open("wb") as copy:
        answers = threading.Thread(target=_answer, args=(server, client))
        answers.start()
        while data := client.recv(_CHUNK):
            copy.write(data)
            server.sendall(data)
        server.shutdown(socket.SHUT_WR)
        answers.join()


def _answer(server: socket.socket, client: socket.socket) -> None:
    with contextlib.suppress(OSError):  # the client has gone
        while data := server.recv(_CHUNK):
            client.sendall(data)


def _greeting(commands: bytes) -> int:
    """Return the number of bytes that the commands about the connection take."""
    at = 0
    while found := _GREETING.match(commands, at):
        at = found.end()
        for _ in range(int(found[1]) - 1):
            head, _, _ = commands[at : at + 32].partition(b"\r\n")
            at += len(head) + 2 + int(head[1:]) + 2
    return at
