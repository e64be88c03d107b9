"""A fork server: the connector as a process of its own that starts in milliseconds, for it is imported already."""

import contextlib
import functools
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


class Forked:
    """A process as subprocess.Popen shows one."""

    def __init__(self, stdin: int, stdout: int, status: int) -> None:
        self.stdin = os.fdopen(stdin, "wb", buffering=0)
        self.stdout = os.fdopen(stdout, "rb", buffering=0)
        self._status = os.fdopen(status, "rb", buffering=0)
        self.pid = int(self._status.readline())
        self._code: int | None = None

    def poll(self) -> int | None:
        return self._code if self._code is not None or not self._ended(0) else self.wait(0)

    def wait(self, seconds: float) -> int:
        """Return the exit code, negative for a signal."""
        if self._code is None:
            if not self._ended(seconds):
                raise subprocess.TimeoutExpired("the connector", seconds)
            self._code = int(self._status.readline())
            self._status.close()
        return self._code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def close(self) -> None:
        """Close the pipes and end the process, if it has not ended."""
        with contextlib.suppress(OSError):
            self.stdin.close()
        self.stdout.close()
        self.kill()
        self.wait(20)

    def _ended(self, seconds: float) -> bool:
        return bool(select.select([self._status], [], [], seconds)[0])


class Forks:
    """Starts the connector by forks of one process."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        command = [sys.executable, "-m", "integration_tests.forks", str(theirs.fileno())]
        quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
        self._server = subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=ROOT, **quiet)  # type: ignore[call-overload]
        theirs.close()

    def start(self, arguments: Sequence[str], answer_timeout: float = 0) -> Forked:
        """Start the connector; what it writes to stderr goes to stdout, `answer_timeout` is redis-py's if not 0."""
        stdin, feed = os.pipe()
        read, stdout = os.pipe()
        status, tell = os.pipe()
        request = {"arguments": list(arguments), "answer_timeout": answer_timeout}
        socket.send_fds(self._socket, [json.dumps(request).encode()], [stdin, stdout, tell])
        for given in (stdin, stdout, tell):
            os.close(given)
        return Forked(feed, read, status)

    def close(self) -> None:
        self._socket.close()
        self._server.wait(20)


@contextmanager
def forking() -> Iterator[Forks]:
    forks = Forks()
    try:
        yield forks
    finally:
        forks.close()


def _serve(number: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever watches a process ends unwatched
    with socket.socket(fileno=number) as requests:
        while True:
            message, given, *_ = socket.recv_fds(requests, 65536, 3)
            if not message:
                return
            if os.fork() == 0:
                requests.close()
                _watch(json.loads(message), *given)
            for each in given:
                os.close(each)


def _watch(request: dict[str, Any], stdin: int, stdout: int, status: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    process = os.fork()
    if process == 0:
        os.close(status)
        for target, given in enumerate((stdin, stdout, stdout)):
            os.dup2(given, target)
        os.close(stdin)
        os.close(stdout)
        os._exit(_run(request))
    os.close(stdin)
    os.close(stdout)
    os.write(status, b"%d\n" % process)
    _, ended = os.waitpid(process, 0)
    with contextlib.suppress(BrokenPipeError):  # nobody asks any more
        os.write(status, b"%d\n" % os.waitstatus_to_exitcode(ended))
    os._exit(0)


def _run(request: dict[str, Any]) -> int:
    """Run the connector as main.py does; return the exit code that a process of its own would have."""
    from destination_redis import connection, destination  # noqa: PLC0415 - the tests have no need of it

    if request["answer_timeout"]:  # of this process alone
        connect = functools.partial(connection.connect, answer_timeout=request["answer_timeout"])
        vars(destination)["connect"] = connect
    sys.argv = ["main.py", *request["arguments"]]
    code = 0
    try:
        destination.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter does
        sys.excepthook(*sys.exc_info())
        code = 1
    try:
        sys.stdout.flush()
    except OSError:
        code = 120  # the interpreter's own for this
    return code


if __name__ == "__main__":
    import destination_redis.destination  # noqa: F401 - before the first fork

    gc.freeze()
    _serve(int(sys.argv[1]))
