"""Streams, namespaces and primary keys named like patterns, hash tags, other streams' keys and the connector's own."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

import pytest

from integration_tests.support.connector.cli import CommandLine
from integration_tests.support.data_types import UPSERTING, WHOLE, Shape, columns, settings_for
from integration_tests.support.faults.seed import FULL, report, rng
from integration_tests.support.fuzzing.malformed import Random, assert_honest
from integration_tests.support.messages import Json, dedup, generation, lines, stream
from integration_tests.support.servers.foreign import Foreign
from integration_tests.support.servers.server import Server

pytestmark = pytest.mark.stress

NAMES: Sequence[str] = (
    *(
        "*",
        "[a-z]",
        "[^a]",
        "?",
        "\\*",
        "\\",
        "^-]",
        "{}",
        "{x}",
        "{",
        "}",
        "users",
        "users:1",
        "users:",
        ":users",
        ":",
    ),
    *(
        "%3A",
        "%null",
        "%",
        "%25",
        "%61irbyte",
        "airbyte",
        "airbyte:{x}",
        "airbyte:tmp:{n:users:1}",
        "airbyte:tombstone:{x}",
    ),
    *(
        "tmp",
        "index",
        "a\nb",
        "a\r\nb",
        "a\0b",
        "\0",
        " ",
        "a b",
        '"',
        "'",
        "é",
        "\U0001f600",
        "1",
        "-1",
        "n",
        "x" * 3000,
    ),
)
#: Names for namespaces, in which some of the streams are.
SPACES: Sequence[str] = (
    "*",
    "airbyte",
    "airbyte:tmp",
    "%61irbyte",
    "{n}",
    "n:users",
    "[a-z]",
    "a\nb",
    "n%3Ausers",
    "\0",
)
#: Keys of an application that hold what records hold, and are none by their names.
ALIKE = (
    *("n:users:1:cart", "n:users:{x}", "n:*:a:b", "n:[a-z]:a:b", "n:b:1", "n:other:1", "n"),
    *("airbyte:tmp:{n:b:1}", "airbyte:tmp:{n:other:1}", "airbyte:tmp:{n:users:1:2}x", "airbyte:tombstone:{n:other:1}"),
)
#: Keys of an application that match the patterns in these names, or look like records of these streams.
AMONG = (
    *("n:users:app", "n:*:app", "n:[a-z]:app", "nusers:1", "n:users*:1"),
    *("n:xx:1", "airbyte:n:users", "airbyte:tmp:{n:users:1}:x", "xairbyte:tmp:{n:users:1}"),
    *("%61irbyte:other:1", "airbyte:other:1", "airbyte:{n:other}", "{n}:users:1"),
)


@dataclass(frozen=True)
class Named:
    """A stream in the catalog."""

    namespace: str | None
    name: str
    mode: str

    @property
    def descriptor(self) -> Json:
        return {"name": self.name, "namespace": self.namespace}

    def configured(self, number: int) -> Json:
        more = {"namespace": self.namespace, **generation(number, 0 if number == 1 else number, number)}
        return dedup(self.name, **more) if self.mode == "append_dedup" else stream(self.name, self.mode, **more)


def named(random: Random, shape: Shape) -> list[Named]:
    modes = ["append", "overwrite", *(["append_dedup"] * 2 if shape in UPSERTING else [])]
    pairs: list[tuple[str | None, str]] = [(None, name) for name in NAMES]
    pairs += [(space, name) for space in SPACES for name in random.sample(NAMES, 3)]
    pairs += [("n:users", "1"), ("n", "users:1x"), ("n:users:1x", ""), ("", "n:users")]
    for _ in range(20):
        alphabet = random.choice(["*?[]\\^-ab", "{}:%n", "airbyte:{}", "\0\n\r\t \u2028é"])
        pairs.append((random.choice([None, "n2"]), "".join(random.choices(alphabet, k=random.randint(3, 12)))))
    return [
        Named(space, name, modes[-1] if name in ("users", "*", "[a-z]") else random.choice(modes))
        for space, name in dict.fromkeys(pairs)
    ]


def messages(streams: Sequence[Named], run: int, keys: Sequence[Any]) -> tuple[bytes, dict[Named, dict[Any, str]]]:
    """Return an input, and of each stream what has to be there after it: key -> token, or ids that nobody knows."""
    sent: list[Json] = []
    expected: dict[Named, dict[Any, str]] = {each: {} for each in streams}
    for number, key in enumerate(keys):
        for index, each in enumerate(streams):
            token = f"token-{run}-{index}-{number}"
            data = {"id": key, "at": number, "token": token, **columns(number)}
            # Every third row is deleted again.
            for gone in (None, "2024-01-01") if number % 3 == 2 and each.mode == "append_dedup" else (None,):
                more = {"_ab_cdc_deleted_at": gone} if gone else {}
                body = {"stream": each.name, "namespace": each.namespace, "emitted_at": 1, "data": {**data, **more}}
                sent.append({"type": "RECORD", "record": body})
            if each.mode != "append_dedup":
                expected[each][number] = token
            elif number % 3 == 2:
                expected[each].pop(part(key), None)
            else:
                expected[each][part(key)] = token
    for each in streams:
        ended = {"stream_descriptor": each.descriptor, "status": "COMPLETE"}
        sent.append({"type": "TRACE", "trace": {"type": "STREAM_STATUS", "emitted_at": 1, "stream_status": ended}})
    return lines(*sent), expected


def part(key: Any) -> str | None:
    """Return what a primary key's value is as text; None where it is null."""
    return None if key is None else key if isinstance(key, str) else json.dumps(key)


def taken_apart(key: bytes) -> list[str | None]:
    """Return a key's parts as they were before they were escaped."""
    return [None if each == b"%null" else unquote_to_bytes(each).decode() for each in key.split(b":")]


def assert_each_has_its_own(server: Server, foreign: Foreign, expected: dict[Named, dict[Any, str]]) -> int:
    """Assert that every key in the server is where its records belong; return the count of records compared."""
    owners: dict[tuple[str | None, ...], Named] = {}
    for each in expected:
        owners["n" if each.namespace in (None, "") else each.namespace, each.name] = each
    found: dict[Named, dict[Any, str]] = {each: {} for each in expected}
    for key in foreign.others():
        if key.startswith(b"airbyte:"):
            assert not key.startswith(b"airbyte:tmp:"), key
            continue
        space, name, *rest = taken_apart(key)
        owner = owners[space, name]
        texts = contents(server, key)
        if rest and owner.mode == "append_dedup":
            found[owner][":".join(map(str, rest)) if rest != [None] else None] = token_in(texts)
        else:
            found[owner] |= {(key, index): token_in([text]) for index, text in enumerate(texts) if b"token-" in text}
    for each, rows in expected.items():
        if each.mode == "append_dedup":
            assert found[each] == rows, each
        else:
            assert sorted(found[each].values()) == sorted(rows.values()), each
    return sum(map(len, found.values()))


def token_in(texts: Sequence[bytes]) -> str:
    (token,) = re.findall(rb"token-\d+-\d+-\d+", b" ".join(texts))
    return str(token.decode())


def contents(server: Server, key: bytes) -> list[bytes]:
    client: Any = server.client
    match client.type(key):
        case b"string":
            return [client.get(key)]
        case b"hash":
            return [b"|".join(client.hvals(key))]
        case b"list":
            return list(client.lrange(key, 0, -1))
        case b"set":
            return list(client.smembers(key))
        case b"zset":
            return list(client.zrange(key, 0, -1))
        case b"stream":
            return [b"|".join(entry.values()) for _, entry in client.xrange(key)]
    return [client.execute_command("JSON.GET", key)]


@pytest.mark.parametrize("shapes", [[shape] for shape in WHOLE] if FULL else [UPSERTING, UPSERTING, WHOLE, WHOLE])
def test_streams_and_rows_of_any_name_have_their_own_keys_and_no_others(
    cli: CommandLine, fuzzed_server: Server, shapes: list[Shape], request: pytest.FixtureRequest
) -> None:
    random = rng(request.node.name)
    shape = random.choice(shapes)
    foreign = Foreign(fuzzed_server, AMONG, ALIKE)
    compared = 0
    config = {**fuzzed_server.config, **settings_for(shape), "default_namespace": "n"}
    streams = named(random, shape)
    for run in (1, 2):
        keys = [*random.sample(NAMES, 12), "42:cart", "", 1, -1.5, True, None, {"a": [1, "}"]}, ["{x}"], "%6E"]
        random.shuffle(keys)
        content, after = messages(streams, run, keys)
        ran = cli.write(config, {"streams": [each.configured(run) for each in streams]}, content)
        assert_honest(ran)
        assert ran.code == 0, ran.out[-3000:]
        compared += assert_each_has_its_own(fuzzed_server, foreign, after)
        foreign.assert_untouched()
    report("malformed names", streams=len(streams), runs=2, records_compared=compared)
