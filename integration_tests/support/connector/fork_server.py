"""A fork server: the connector as a process of its own that starts in milliseconds, for it is imported already."""

import contextlib
import functools
import gc
import json
import logging
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from integration_tests.support.project import ROOT


class Process:
    """A process that was forked, as subprocess.Popen shows one."""

    def __init__(self, status: int) -> None:
        self._status = os.fdopen(status, "rb", buffering=0)
        self.pid = int(self._status.readline())
        self._ended: tuple[int, int] | None = None

    @property
    def memory(self) -> int:
        """The most bytes that it had, once it has ended."""
        assert self._ended
        return self._ended[1]

    def poll(self) -> int | None:
        return self.wait(0) if self._ended or self._has_ended(0) else None

    def wait(self, seconds: float) -> int:
        """Return the exit code, negative for a signal."""
        if self._ended is None:
            if not self._has_ended(seconds):
                raise subprocess.TimeoutExpired("the connector", seconds)
            code, memory = map(int, self._status.readline().split())
            self._ended = code, memory
            self._status.close()
        return self._ended[0]

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _has_ended(self, seconds: float) -> bool:
        return bool(select.select([self._status], [], [], seconds)[0])


class Forked(Process):
    """One with pipes to its standard input and from its output."""

    def __init__(self, stdin: int, stdout: int, status: int) -> None:
        super().__init__(status)
        self.stdin = os.fdopen(stdin, "wb", buffering=0)
        self.stdout = os.fdopen(stdout, "rb", buffering=0)

    def feed(self, content: bytes) -> None:
        """Write to its standard input, until that is closed or the process has ended."""
        try:
            self.stdin.write(content)
        except BrokenPipeError:
            pass
        except ValueError:
            if not self.stdin.closed:
                raise

    def close(self) -> None:
        """Close the pipes and end the process, if it has not ended."""
        with contextlib.suppress(OSError):
            self.stdin.close()
        self.stdout.close()
        self.kill()
        self.wait(20)


class Forks:
    """Starts the connector by forks of one process, which ends with this one."""

    def __init__(self) -> None:
        self._socket, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "integration_tests.support.connector.fork_server", str(theirs.fileno())]
            quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
            self._server = subprocess.Popen(command, pass_fds=[theirs.fileno()], cwd=ROOT, **quiet)  # type: ignore[call-overload] # no overload has **

    def start(self, arguments: Sequence[str], answer_timeout: float = 0) -> Forked:
        """Start the connector; what it writes to stderr goes to stdout, `answer_timeout` is redis-py's if not 0."""
        stdin, feed = os.pipe()
        read, stdout = os.pipe()
        try:
            status = self._fork(arguments, (stdin, stdout, stdout), answer_timeout=answer_timeout)
        finally:
            os.close(stdin)
            os.close(stdout)
        return Forked(feed, read, status)

    def run(
        self,
        arguments: Sequence[str],
        files: tuple[int, int, int],
        *,
        debug: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> Process:
        """Start the connector with these as its standard input, output and error, its log at debug level if asked.

        `environment` is added to that of the fork server.
        """
        return Process(self._fork(arguments, files, debug=debug, environment=dict(environment or {})))

    def _fork(self, arguments: Sequence[str], files: tuple[int, int, int], **more: Any) -> int:
        """Return the file descriptor that tells the process's id, then how it ended."""
        status, tell = os.pipe()
        request = {"arguments": list(arguments), **more}
        socket.send_fds(self._socket, [json.dumps(request).encode()], [*files, tell])
        os.close(tell)
        return status


@functools.cache
def forks() -> Forks:
    """Return the one fork server of this process."""
    return Forks()


def _serve(number: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever watches a process ends unwatched
    with socket.socket(fileno=number) as requests:
        while True:
            message, given, *_ = socket.recv_fds(requests, 65536, 4)
            if not message:
                return
            if os.fork() == 0:
                requests.close()
                *files, status = given
                _watch(json.loads(message), files, status)
            for each in given:
                os.close(each)


def _watch(request: dict[str, Any], files: Sequence[int], status: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    process = os.fork()
    if process == 0:
        os.close(status)
        for target, given in enumerate(files):
            os.dup2(given, target)
            os.close(given)
        os._exit(_run(request))
    for given in files:
        os.close(given)
    os.write(status, b"%d\n" % process)
    _, ended, used = os.wait4(process, 0)
    memory = used.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    with contextlib.suppress(BrokenPipeError):  # nobody asks any more
        os.write(status, b"%d %d\n" % (os.waitstatus_to_exitcode(ended), memory))
    os._exit(0)


def _run(request: dict[str, Any]) -> int:
    """Run the connector as main.py does; return the exit code that a process of its own would have."""
    from destination_redis import command_line  # noqa: PLC0415 - the tests have no need of it
    from destination_redis.sync import session  # noqa: PLC0415 - the tests have no need of it

    if timeout := request.get("answer_timeout"):  # of this process alone
        connect = vars(session)["connect"]  # fails where it is not what connects: the default is many times as long
        vars(session)["connect"] = functools.partial(connect, answer_timeout=timeout)
    if request.get("debug"):
        for name in (None, "airbyte", "asyncio", "asyncssh"):
            logging.getLogger(name).setLevel(logging.DEBUG)
    os.environ.update(request.get("environment", {}))
    sys.argv = ["main.py", *request["arguments"]]
    code = 0
    try:
        command_line.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # noqa: BLE001 - as the interpreter does
        sys.excepthook(*sys.exc_info())
        code = 1
    logging.shutdown()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        code = 120  # the interpreter's own for this
    return code


if __name__ == "__main__":
    import destination_redis.command_line  # before the first fork
    import destination_redis.connection.ssh_tunnel  # noqa: F401 - the same

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    gc.freeze()
    _serve(int(sys.argv[1]))
