"""A standard output that nobody reads any more, that cannot be written, or that is not there; and such inputs."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.config.parse import parse_config
from destination_redis.console.output import OutputError
from destination_redis.errors import Terminated
from destination_redis.protocol.catalog import parse_catalog
from destination_redis.shutdown import Stop
from destination_redis.sync.session import Session
from integration_tests.support.connector.fork_server import forks
from integration_tests.support.connector.process import Connector
from integration_tests.support.messages import COMPLETE, Json, lines, record, state, stream
from integration_tests.support.project import MAIN, PYTHON
from integration_tests.support.servers.server import Server
from integration_tests.support.stored import ledger, values

CLOSED = "The standard output was closed before all messages were written to it\n"
FULL = "The standard output cannot be written: No space left on device\n"
UNWRITABLE = "The standard output cannot be written: Bad file descriptor\n"


def padded(number: int, size: int) -> Json:
    """Return a state with so many bytes more."""
    large = state(number)
    large["state"]["stream"]["stream_state"]["padding"] = "x" * size
    return large


def shell(
    arguments: Sequence[str], redirection: str, content: bytes, *, buffered: bool = True, before: str = ""
) -> tuple[int, str]:
    """Run a command from a shell with such a redirection; return its exit code and its standard error."""
    command = ["bash", "-c", f'{before} exec "$@" {redirection}', "bash", PYTHON, MAIN, *arguments]
    environment = {**os.environ, "PYTHONUNBUFFERED": "" if buffered else "1"}
    done = subprocess.run(command, input=content, stderr=subprocess.PIPE, env=environment, timeout=120, check=False)
    return done.returncode, done.stderr.decode()


class Unread:
    """A write under way that nobody reads any more, once it has printed a state."""

    def __init__(self, connector: Connector) -> None:
        stdin, self._feed = os.pipe()
        read, stdout = os.pipe()
        self._error = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `ended`
        self.process = forks().run(connector.arguments([stream()]), (stdin, stdout, self._error.fileno()))
        os.close(stdin)
        os.close(stdout)
        self.send(record(1), state(1))
        with os.fdopen(read, "rb") as output:
            assert b'"STATE"' in output.readline()

    def send(self, *messages: Json) -> None:
        with contextlib.suppress(BrokenPipeError):
            os.write(self._feed, lines(*messages))

    def ended(self) -> tuple[int, str]:
        """Return the exit code and the standard error of one that ends though its input does not."""
        code = self.process.wait(60)
        os.close(self._feed)
        with self._error:
            self._error.seek(0)
            return code, self._error.read().decode()


@pytest.mark.parametrize("idle", [True, False])
def test_a_write_whose_reader_goes_away_says_so_and_the_retry_is_exact(
    idle: bool, connector: Connector, server: Server
) -> None:
    unread = Unread(connector)
    if not idle:
        unread.send(record(2), state(2))
    assert unread.ended() == (1, CLOSED)

    assert ledger(server.client)["writer"] == ""
    assert ledger(server.client)["committed"] == "1"
    began = time.monotonic()
    retried = connector.write([stream()], [record(2), state(2), COMPLETE])
    assert retried.code == 0, retried.text
    assert time.monotonic() - began < 20
    assert values(server.client) == [1, 2]


def test_a_write_that_is_interrupted_together_with_its_reader_gives_its_ledger_back(
    connector: Connector, server: Server
) -> None:
    unread = Unread(connector)
    unread.send(record(2), state(2))
    unread.process.send_signal(signal.SIGINT)
    code, said = unread.ended()

    assert code == 1
    assert said.endswith(CLOSED)
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    assert ledger(server.client)["writer"] == ""


@pytest.mark.parametrize("error", [OutputError("closed"), Terminated()])
def test_an_end_without_a_reader_gives_the_ledger_back_and_commits_only_what_was_to_be_printed(
    error: Exception, server: Server
) -> None:
    def chunks() -> Iterator[bytes]:
        yield lines(record(1), state(1))
        yield b""  # what came so far is committed then
        yield lines(record(2), state(2))
        raise error

    printed: list[bytes] = []

    def put(line: bytes) -> None:
        if printed:
            raise OutputError("closed")
        printed.append(line)

    streams = parse_catalog(json.dumps({"streams": [stream()]}).encode())
    with Stop() as stop, pytest.raises((OutputError, AirbyteTracedException)):
        deque(Session(parse_config(server.config), streams, stop).run(chunks(), put))

    assert ledger(server.client)["writer"] == ""
    assert ledger(server.client)["committed"] == ("1" if isinstance(error, OutputError) else "2")


@pytest.mark.parametrize(
    ("redirection", "said"),
    [
        ("> >(exec true)", CLOSED),
        (">/dev/full", FULL),
        (">&-", CLOSED),
        ("1</dev/null", UNWRITABLE),
    ],
)
@pytest.mark.parametrize(
    ("command", "buffered"), [("spec", True), ("check", True), ("write", True), ("write", False)], ids=str
)
def test_an_output_that_cannot_be_written_is_said_to_be_so_and_redis_is_not_blamed(
    command: str, redirection: str, said: str, buffered: bool, connector: Connector, server: Server
) -> None:
    arguments = connector.arguments([stream()])
    given = {"spec": ["spec"], "check": ["check", *arguments[1:3]], "write": arguments}[command]
    messages = lines(record(1), state(1), COMPLETE)

    assert shell(given, redirection, messages, buffered=buffered) == (1, said)
    if command == "write":
        assert ledger(server.client).get("writer", "") == ""


def test_a_file_that_takes_no_more_ends_the_sync_and_the_retry_misses_nothing(
    connector: Connector, server: Server, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    messages = [part for number in range(1, 21) for part in (record(number), padded(number, 300))]
    code, said = shell(connector.arguments([stream()]), f">{out}", lines(*messages), before="ulimit -f 2;")
    heard = [
        json.loads(line)["state"]["stream"]["stream_state"]["cursor"] for line in out.read_bytes().splitlines()[:-1]
    ]

    assert (code, said) == (1, "The standard output cannot be written: File too large\n")
    assert heard == list(range(1, len(heard) + 1))
    assert ledger(server.client)["writer"] == ""
    retried = connector.write([stream()], [*messages[2 * len(heard) :], COMPLETE])
    assert retried.code == 0, retried.text
    assert set(values(server.client)) == set(range(1, 21))


def test_an_output_that_does_not_wait_for_its_reader_is_made_to_wait(connector: Connector) -> None:
    messages = [part for number in range(1, 501) for part in (record(number), padded(number, 1000))]
    read, write = os.pipe()
    os.set_blocking(write, False)
    with tempfile.TemporaryFile() as content, tempfile.TemporaryFile() as error:
        content.write(lines(*messages, COMPLETE))
        content.seek(0)
        files = content.fileno(), write, error.fileno()
        process = forks().run(connector.arguments([stream()]), files)
        os.close(write)
        time.sleep(1)  # the pipe is full long before
        with os.fdopen(read, "rb") as output:
            printed = output.read()
        code = process.wait(60)
        error.seek(0)
        said = error.read()

    assert (code, said) == (0, b"")
    assert printed.count(b'"STATE"') == 500


@pytest.mark.parametrize(
    ("redirection", "said"),
    [
        ("<&-", "The standard input is closed: write reads messages from it"),
        ("0>/dev/null", "The standard input cannot be read: Bad file descriptor"),
    ],
)
def test_an_input_that_cannot_be_read_is_said_to_be_so_and_redis_is_not_blamed(
    redirection: str, said: str, connector: Connector, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert shell(connector.arguments([stream()]), f"{redirection} >{out}", b"") == (1, "")
    last = json.loads(out.read_bytes().splitlines()[-1])
    assert last["trace"]["error"]["message"] == said


def test_a_help_that_nobody_reads_leaves_no_stack() -> None:
    assert "Traceback" not in shell(["--help"], "> >(exec true)", b"")[1]
    assert shell(["--version"], ">/dev/full", b"") == (1, FULL)
