"""Input that means harm: lines, and values for settings and catalogs, changed at random."""

import copy
import gzip
import json
import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Any

from destination_redis.config.spec import specification
from integration_tests.support.connector.cli import Ran
from integration_tests.support.messages import Json
from integration_tests.support.project import EXAMPLES

#: What records hold and no output may.
MARK = "M4rker"
_DEEP = 100_000

#: Where a value goes.
HOLE = "@@hole@@"
#: JSON text that stands where something else belongs, of some no JSON at all.
TEXTS: Sequence[bytes] = (
    *(b"null", b"true", b"0", b"-1", b"1.5", b'""', b'"x"', b"[]", b"{}", b"[[]]", b'[""]', b'{"":{}}'),
    *(b"1e400", b"-1e400", b"1" * 10_000, b"0." + b"3" * 10_000, b"1e" + b"9" * 5000, b"9223372036854775808"),
    *(b"NaN", b"Infinity", b"-Infinity", b"01", b"+1", b"1.", b".5", b"-", b"tru", b"undefined", b"'x'"),
    *(b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\u0000"', b'"\\u12"', b'"\\x"', b'"\x00"', b'"\x01"', b'"\t"'),
    *(b'"\xff"', b'"\xc3"', b'"\xe4\xbd"', b'"\xed\xa0\x80"', b'"\xc0\x80"', b'"\xf4\x90\x80\x80"', b"\xef\xbb\xbf"),
    *(b"[" * _DEEP + b"]" * _DEEP, b"[" * _DEEP, b'{"a":' * _DEEP + b"1" + b"}" * _DEEP, b"[" * 500 + b"]" * 500),
    *(b'"%b"' % (b"n" * 100_000), b'"*"', b'"airbyte:{x}"', b'"a:b{c}%d"', b'"a\\r\\nb"'),
)
#: Bytes that are put between others.
_BYTES = (
    b"\x00",
    b"\xff",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n",
    b"\r\n",
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b",",
)
#: Lines that are no message, or an odd one.
LINES: Sequence[bytes] = (
    *(b"", b" ", b"\r", b"\xef\xbb\xbf", b"\x00", b"\xff\xfe", b"null", b"[]", b'"x"', b"NaN", b"no JSON", b"{}", b"{"),
    *(b'{"type":"UNKNOWN","unknown":{"a":1}}', b'{"type":"RECORD"}', b'{"type":"STATE"}', b'{"type":"TRACE"}'),
    *(b'{"type":"record","record":{}}', b'{"TYPE":"RECORD"}', b'{"type":["RECORD"]}', b'{"type":null}', b'{"type":5}'),
    *(b'{"type":"CONTROL","control":{}}', b'{"type":"SPEC"}', b'{"type":"LOG","log":{"level":"INFO","message":"hi"}}'),
    *TEXTS,
)

Random = random.Random


@cache
def _recorded() -> tuple[bytes, ...]:
    with gzip.open(EXAMPLES / "faker.jsonl.gz") as lines:
        return tuple(line for line in lines if b'"users"' in line)


def real_lines(stream: str) -> tuple[list[Json], list[Json]]:
    """Return recorded records, each with a mark and made the stream's own, and the stream's other messages."""
    records: list[Json] = []
    others: list[Json] = []
    for line in _recorded():
        if b'"type":"RECORD"' not in line:
            others.append(json.loads(line.replace(b'"users"', json.dumps(stream).encode())))
        elif len(records) < 10:
            message = json.loads(line.replace(b'"users"', json.dumps(stream).encode()))
            message["record"]["data"]["email"] = f"{MARK}-{len(records)}@example.com"
            records.append(message)
    return records, others


def retyped(stream: str) -> Iterator[bytes]:
    """Yield messages of every kind, each with one of its values of every wrong type, or without it."""
    descriptor = {"name": stream, "namespace": None}
    changes = [{"field": "token", "change": "NULLED", "reason": "SOURCE_SERIALIZATION_ERROR"}]
    body = {"stream": stream, "namespace": None, "emitted_at": 1, "data": {"id": "x", "updated_at": "2024-01-01"}}
    stated = {"stream_descriptor": descriptor, "stream_state": {"cursor": 1}}
    error = {"message": "m", "failure_type": "system_error", "stream_descriptor": descriptor}
    messages: list[Json] = [
        {"type": "RECORD", "record": {**body, "meta": {"changes": changes}}},
        {"type": "STATE", "state": {"type": "STREAM", "stream": stated, "destinationStats": {"recordCount": 1}}},
        {"type": "STATE", "state": {"type": "GLOBAL", "global": {"shared_state": {}, "stream_states": [stated]}}},
        {"type": "STATE", "state": {"type": "LEGACY", "data": {"a": 1}}},
        {
            "type": "TRACE",
            "trace": {
                "type": "STREAM_STATUS",
                "emitted_at": 1.5,
                "stream_status": {
                    "stream_descriptor": descriptor,
                    "status": "RUNNING",
                    "reasons": [{"type": "RATE_LIMITED"}],
                },
            },
        },
        {"type": "TRACE", "trace": {"type": "ERROR", "emitted_at": 1.5, "error": error}},
        {"type": "LOG", "log": {"level": "INFO", "message": "m"}},
        {
            "type": "CONTROL",
            "control": {"type": "CONNECTOR_CONFIG", "emitted_at": 1, "connectorConfig": {"config": {}}},
        },
    ]
    for message in messages:
        for number in range(len(_places(message))):
            changed = copy.deepcopy(message)
            node, name = _places(changed)[number]
            node[name] = HOLE
            yield from (filled(changed, text) for text in TEXTS)
            del node[name]
            yield json.dumps(changed).encode()


def mutated(rng: Random, line: bytes) -> bytes:
    """Return a message that is not quite the one it was."""
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        line = rng.choice(_MUTATIONS)(rng, line)
    return line


def _truncated(rng: Random, line: bytes) -> bytes:
    return line[: rng.randrange(len(line) + 1)]


def _headless(rng: Random, line: bytes) -> bytes:
    return line[rng.randrange(len(line) + 1) :]


def _scratched(rng: Random, line: bytes) -> bytes:
    changed = bytearray(line)
    for _ in range(rng.randint(1, 4) if changed else 0):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _stuffed(rng: Random, line: bytes) -> bytes:
    at = rng.randrange(len(line) + 1)
    return line[:at] + rng.choice(_BYTES) + line[at:]


def _doubled(rng: Random, line: bytes) -> bytes:
    first, last = sorted(rng.randrange(len(line) + 1) for _ in range(2))
    return line[:last] + line[first:]


def _retyped(rng: Random, line: bytes) -> bytes:
    """Put some text in place of one of a message's values."""
    return _changed(rng, line, lambda node, name: node.__setitem__(name, HOLE), rng.choice(TEXTS))


def _robbed(rng: Random, line: bytes) -> bytes:
    return _changed(rng, line, lambda node, name: node.__delitem__(name))


def _repeated(rng: Random, line: bytes) -> bytes:
    """Name a value twice, with another one."""

    def repeat(node: Any, name: Any) -> None:
        if isinstance(node, dict):
            node[_TWICE] = name

    marked = _changed(rng, line, repeat)
    before, found, rest = marked.partition(b'"%b": ' % _TWICE.encode())
    if not found:
        return marked
    name, end, after = rest.partition(b'"')[2].partition(b'"')
    return before + b'"%b":' % name + rng.choice(TEXTS) + after if end else marked


_MUTATIONS: Sequence[Callable[[Random, bytes], bytes]] = (
    *(_truncated, _headless, _scratched, _stuffed, _doubled),
    *(_retyped, _retyped, _retyped, _retyped, _robbed, _robbed, _repeated),
)
_TWICE = "@@twice@@"


def _changed(rng: Random, line: bytes, change: Callable[[Any, Any], object], hole: bytes = b"") -> bytes:
    try:
        message = json.loads(line)
        places = _places(message)
    except (ValueError, RecursionError):
        return line
    if not places:
        return line
    change(*rng.choice(places))
    return json.dumps(message).encode().replace(json.dumps(HOLE).encode(), hole)


def _places(node: Any) -> Sequence[tuple[Any, Any]]:
    """Return every (container, name or index) in a JSON value."""
    names = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else []
    return [place for name in names for place in ((node, name), *_places(node[name]))]


def settings(*, secret: bool = False) -> Iterator[Json]:
    """Yield a config for every setting, or every secret one, of every choice too, in which that one is the hole."""

    def asked(node: Json) -> bool:
        return not secret or node.get("airbyte_secret") is True

    for name, node in specification()["connectionSpecification"]["properties"].items():
        if asked(node):
            yield {name: HOLE}
        for option in node.get("oneOf", ()):
            tags = {inner: field["const"] for inner, field in option["properties"].items() if "const" in field}
            needed = {inner: "127.0.0.1" if inner == "tunnel_host" else "x" for inner in option["required"]}
            for inner, field in option["properties"].items():
                if asked(field):
                    yield {name: {**needed, **tags, inner: HOLE}}
        for inner, field in node.get("items", {}).get("properties", {}).items():
            if asked(field):
                yield {name: [{"stream": "x", inner: HOLE}]}


def filled(value: Json, text: bytes) -> bytes:
    return json.dumps(value).encode().replace(json.dumps(HOLE).encode(), text)


def assert_honest(ran: Ran, *unsaid: str) -> None:
    """Assert that a command ended in time, with a sentence if it failed, and said nothing that it must not say."""
    told = f"{ran.code} after {ran.seconds:.0f} s\n{ran.out[-5000:]}\n{ran.err[-5000:]}"
    assert ran.code in (0, 1), told
    assert ran.err == "", told
    assert (ran.error is None) == (ran.code == 0), told
    statuses = [message["connectionStatus"].get("message") for message in ran.of("CONNECTION_STATUS")]
    for sentence in [ran.error["message"] if ran.error else None, *statuses]:
        if sentence is not None:
            assert 10 < len(sentence) < 2000, told
            for unclear in ("Traceback", "The connector failed", "Something went wrong", "Error("):
                assert unclear not in sentence, told
    said = "\n".join(line for line in ran.out.split("\n") if '"STATE"' not in line[:20])
    for secret in (MARK, *unsaid):
        assert secret not in said, told
