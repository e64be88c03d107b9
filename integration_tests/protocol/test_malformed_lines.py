"""Lines that mean harm, one among good ones, in every data type and mode, by the command line's own way."""

import codecs
import itertools
import json
import subprocess
from typing import Any

import pytest

from integration_tests.support.connector.cli import CommandLine, Ran
from integration_tests.support.connector.process import Connector
from integration_tests.support.data_types import UPSERTING, WHOLE, Shape, columns, settings_for
from integration_tests.support.faults.seed import FULL, report, rng
from integration_tests.support.fuzzing.malformed import (
    LINES,
    MARK,
    Random,
    assert_honest,
    mutated,
    real_lines,
    retyped,
)
from integration_tests.support.messages import COMPLETE, Json, dedup, lines, record, state, status, stream
from integration_tests.support.servers.foreign import Foreign
from integration_tests.support.servers.server import Server
from integration_tests.support.stored import values

pytestmark = pytest.mark.stress

MEGABYTE = 1024 * 1024


def everything(server: Server, name: str) -> bytes:
    """Return the content of every record's key, or collection, of a stream, staged ones too."""
    client: Any = server.client
    found: list[bytes] = []
    for key in client.scan_iter(f"*default:{name}*", count=10_000):
        if key.startswith(b"airbyte:{"):
            continue
        match client.type(key):
            case b"string":
                found.append(client.get(key))
            case b"hash":
                found += client.hvals(key)
            case b"list":
                found += client.lrange(key, 0, -1)
            case b"set":
                found += client.smembers(key)
            case b"zset":
                found += client.zrange(key, 0, -1)
            case b"stream":
                found += [value for _, entry in client.xrange(key) for value in entry.values()]
            case _:
                found.append(client.execute_command("JSON.GET", key))
    return b"\n".join(found)


class Case:
    """One stream, its good messages, and a malformed line between them."""

    def __init__(self, random: Random, number: int, line: bytes | None) -> None:
        """Take a line, None for a message that is changed at random."""
        self.name = f"a{number + 1}"
        modes = ["append", "overwrite", "append_dedup"]
        self.mode = random.choice(modes)
        self.shape: Shape = random.choice(UPSERTING if self.mode == "append_dedup" else WHOLE)
        records, others = real_lines(self.name)
        for index, each in enumerate(records):
            each["record"]["data"] |= {"id": f"{MARK}-{'bad' * (index > 5)}{index}", "token": f"token{index}-{number}"}
            each["record"]["data"] |= columns(index)
        self.tokens = [each["record"]["data"]["token"] for each in records[:6]]
        self.good = [json.dumps(each).encode() for each in records[:6]]
        self.good.insert(3, json.dumps(state(3, self.name)).encode())
        self.end = [json.dumps(state(6, self.name)).encode(), json.dumps(status("COMPLETE", self.name)).encode()]
        base = random.choice([records[7], records[7], random.choice(others), state(5, self.name)])
        name = json.dumps(self.name).encode()
        self.line = mutated(random, json.dumps(base).encode()) if line is None else line.replace(b'"retyped"', name)
        self.at = random.randrange(len(self.good) + 1)

    def catalog(self) -> Json:
        if self.mode == "append_dedup":
            return {"streams": [dedup(self.name, cursor_field=["updated_at"])]}
        return {"streams": [stream(self.name, self.mode)]}

    def config(self, server: Server) -> Json:
        return {**server.config, **settings_for(self.shape)}

    def content(self) -> bytes:
        return b"".join(line + b"\n" for line in [*self.good[: self.at], self.line, *self.good[self.at :], *self.end])

    @property
    def about(self) -> str:
        return f"{self.mode} {self.shape} {self.line[:1000]!r}"

    def assert_nothing_lost(self, ran: Ran, held: bytes) -> None:
        for token in self.tokens if ran.code == 0 else self.tokens[: covered(ran)]:
            assert token.encode() in held, self.about
        if ran.code == 0:
            for given in self.line.split(b"\n"):
                line = given.removeprefix(codecs.BOM_UTF8)  # a byte order mark alone is an empty line
                if line.strip() and not self._arrived(line, held):
                    assert "left out" in "".join(ran.logged), self.about

    def assert_exact(self, cli: CommandLine, server: Server, done: int) -> None:
        """Run it again without the malformed line, as a source does that goes on behind its last state."""
        again = 0 if self.mode == "overwrite" else done
        rest = [line for line in self.good if MARK.encode() in line][again:]
        ran = cli.write(self.config(server), self.catalog(), b"\n".join([*rest, *self.end]))
        assert ran.code == 0, f"{self.about}\n{ran.out}"
        held = everything(server, self.name)
        assert [held.count(token.encode()) for token in self.tokens] == [1] * len(self.tokens), self.about

    def _arrived(self, line: bytes, held: bytes) -> bool:
        """Return whether a line, that did no harm, is a record that arrived or a message that is no record."""
        try:
            message = json.loads(line.decode(errors="replace"), parse_int=str)
        except (ValueError, RecursionError):
            return False
        if not isinstance(message, dict) or message.get("type") != "RECORD":
            return isinstance(message, dict)
        data = message["record"]["data"]
        token = str(data.get("token")) if isinstance(data, dict) else ""
        # Others are written in more than one way.
        plain = token.startswith("token") and token.replace("-", "").isalnum() and token.isascii()
        return not plain or token.encode() in held


def covered(ran: Ran) -> int:
    """Return how many good records the states of a run cover."""
    reached = [state["stream"]["stream_state"].get("cursor") for state in ran.states if "stream" in state]
    return max([number for number in reached if number in (3, 6)], default=0)


def test_a_malformed_line_among_good_ones_loses_nothing_and_ends_in_a_sentence(
    cli: CommandLine, fuzzed_server: Server
) -> None:
    random = rng("lines")
    foreign = Foreign(server := fuzzed_server)
    counts = {"inputs": 0, "honest_failures": 0, "exact_retries": 0, "records_compared": 0}
    wrong = list(retyped("retyped"))
    odd = [*LINES, *random.sample(wrong, 1500)] if FULL else [*random.sample(LINES, 40), *random.sample(wrong, 60)]
    for line in [*odd, *[None] * (1500 if FULL else 100)]:
        case = Case(random, counts["inputs"], line)
        ran = cli.write(case.config(server), case.catalog(), case.content())
        assert_honest(ran)
        case.assert_nothing_lost(ran, everything(server, case.name))
        if ran.code and random.random() < 0.3:
            case.assert_exact(cli, server, covered(ran))
            counts["exact_retries"] += 1
        foreign.assert_untouched()
        clear(foreign, case)
        counts["inputs"] += 1
        counts["honest_failures"] += ran.code
        counts["records_compared"] += len(case.tokens)
    report("malformed lines", **counts)


def test_a_line_of_100_megabytes_that_never_ends_is_an_error_in_bounded_memory(
    cli: CommandLine, fuzzed_server: Server
) -> None:
    fuzzed_server.client.flushall()
    begun = json.dumps(record(3)).encode().removesuffix(b"}}") + b', "more": "'
    content = [lines(record(1), record(2), state(2)), begun, *[b"x" * MEGABYTE] * 100]
    ran = cli.write(fuzzed_server.config, {"streams": [stream()]}, content, seconds=300)
    assert_honest(ran)
    assert ran.error
    assert "Line 4 of the input" in ran.error["message"]
    assert len(ran.states) == 1
    assert values(fuzzed_server.client) == [1, 2]
    assert ran.memory < 400 * MEGABYTE
    report("a line of 100 MB", megabytes=ran.memory // MEGABYTE)


@pytest.mark.skipif(not FULL, reason="half a gigabyte is for make stress")
def test_a_line_longer_than_any_value_is_an_error_before_its_end(cli: CommandLine, fuzzed_server: Server) -> None:
    fuzzed_server.client.flushall()
    content = itertools.chain([lines(record(1), state(1))], itertools.repeat(b"{" + b"x" * MEGABYTE))
    ran = cli.write(fuzzed_server.config, {"streams": [stream()]}, content, seconds=300)
    assert_honest(ran)
    assert ran.error
    assert ran.error["message"] == "A line of the input is longer than 536,870,912 bytes, the limit for a record"
    assert values(fuzzed_server.client) == [1]
    assert ran.memory < 800 * MEGABYTE
    report("a line without an end", megabytes=ran.memory // MEGABYTE)


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\n\n", b" \n\r\n\t\n"])
def test_lines_with_other_ends_or_empty_ones_between_them_are_taken(
    cli: CommandLine, fuzzed_server: Server, end: bytes
) -> None:
    fuzzed_server.client.flushall()
    messages = [record(1), state(1), record(2), record(3), state(3), COMPLETE]
    for content in (lines(*messages, end=end), lines(*messages, end=end).rstrip()):
        ran = cli.write(fuzzed_server.config, {"streams": [stream("users", "overwrite")]}, content)
        assert_honest(ran)
        assert ran.code == 0, ran.out
        assert values(fuzzed_server.client) == [1, 2, 3]
        assert len(ran.states) == 2


def test_a_process_of_its_own_is_as_honest(connector: Connector) -> None:
    odd = b'{"type":"RECORD","record":{"stream":"users","emitted_at":1,"data":{"a":"%b","b":%b}}}\n'
    content = lines(record(1), state(1)) + odd % (MARK.encode(), b"[" * 100_000) + lines(record(2))
    done = subprocess.run(connector.command([stream()]), input=content, capture_output=True, timeout=120, check=False)
    ran = Ran(done.returncode, done.stdout.decode(), done.stderr.decode(), 0, 0)
    assert_honest(ran)
    assert ran.error
    assert ran.error["message"] == "Line 3 of the input is not an Airbyte message: it is nested too deeply"


@pytest.mark.parametrize("cache_type", ["json", "hash"])
def test_of_a_record_that_the_server_refuses_nothing_is_told(cli: CommandLine, server: Server, cache_type: str) -> None:
    server.client.rpush(f"default:users:{MARK}", "of another type")
    for configured in (stream("users"), dedup("rows"), dedup("users")):
        message = record(1, configured["stream"]["name"])
        message["record"]["data"] |= {"id": MARK, "at": MARK, "secret": f"{MARK} 'quoted'"}
        ran = cli.write({**server.config, "cache_type": cache_type}, {"streams": [configured]}, lines(message))
        assert_honest(ran)
        refused = cache_type == "json" or configured == dedup("users")
        assert ran.code == refused, ran.out


def clear(foreign: Foreign, case: Case) -> None:
    """Remove what a case has written, which has to be under its own keys."""
    name = f"default:{case.name}"
    heads = (f"{name}:", f"airbyte:tmp:{{{name}:", f"airbyte:tombstone:{{{name}:")
    for key in foreign.others():
        text = key.decode(errors="replace")
        assert text.startswith(heads) or text in (name, f"airbyte:{{{name}}}", f"airbyte:tmp:{{{name}}}"), case.about
    foreign.remove_others()
