"""Configurations and catalogs that mean harm: every setting and every field with everything that it is not."""

import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from integration_tests.support.connector.cli import CommandLine
from integration_tests.support.faults.seed import FULL, report, rng
from integration_tests.support.fuzzing.malformed import HOLE, MARK, TEXTS, assert_honest, filled, settings
from integration_tests.support.messages import COMPLETE, Json, dedup, lines, record, state, stream
from integration_tests.support.servers.foreign import Foreign
from integration_tests.support.servers.server import Server, free_port

pytestmark = pytest.mark.stress

#: What a setting is not, as JSON text; with a mark, since no wrong value may be printed.
WRONG: Sequence[bytes] = (
    *TEXTS,
    *(b'"%b"' % MARK.encode(), b'["%b"]' % MARK.encode(), b'{"%b":"%b"}' % (MARK.encode(), MARK.encode())),
    *(b'"%b\\n%b"' % (MARK.encode(), MARK.encode()), b'" "', b'"0"', b'"-1"', b"65536", b"-9223372036854775809"),
)
NO_CONFIGS: Sequence[bytes] = (
    *(b"", b"{", b"[]", b"null", b"5", b'"x"', b'{"host":"h"', b'{"host":"h"} x', b'\xef\xbb\xbf{"host":""}'),
    *('{"host":""}'.encode("utf-16"), b'{"host":"\xff"}', b'{"host":NaN}', b'{"host":"h","host":5}', b"\x00"),
    *(b"[" * 100_000, b'{"host":' * 100_000, b'{"":1}', b'{"\\ud800":"' + MARK.encode() + b'"}'),
    *(b'{"host":"redis://me:%b@127.0.0.1"}' % MARK.encode(), b'{"pasword":"%b"}' % MARK.encode()),
    *(b'{"config":{"host":"h","password":"%b"}}' % MARK.encode(), b'[{"password":"%b"}]' % MARK.encode()),
    b'{"host":"","password":"%b"' % MARK.encode(),
    b"{" + b",".join(b'"unknown%d":"%b"' % (number, MARK.encode()) for number in range(1000)) + b"}",
)


def test_no_setting_makes_check_or_write_fail_without_a_sentence_or_print_its_value(
    cli: CommandLine, fuzzed_server: Server
) -> None:
    random = rng("settings")
    foreign = Foreign(fuzzed_server)
    tls = {"ssl": True, "port": free_port()}  # where nobody listens: a plain server would be waited for
    configs = [
        filled({**fuzzed_server.config, **(tls if "ssl_mode" in each else {}), **each}, text)
        for each in settings()
        for text in WRONG
    ]
    tried = [*NO_CONFIGS, *(random.sample(configs, 1200 if FULL else 140))]
    refused = 0
    for config in tried:
        ran = cli.check(config)
        assert_honest(ran)
        (answer,) = ran.of("CONNECTION_STATUS")
        failed = answer["connectionStatus"]["status"] == "FAILED"
        assert not failed or answer["connectionStatus"]["message"], config[:500]
        refused += failed
        if "not valid" in answer["connectionStatus"].get("message", ""):
            ran = cli.write(config, {"streams": [stream()]}, lines(record(1)))
            assert_honest(ran)
            assert ran.error, config[:500]
            assert ran.error["failure_type"] == "config_error", config[:500]
        assert foreign.others() == [], config[:500]
        foreign.assert_untouched()
    report("malformed settings", inputs=len(tried), refused=refused)


def catalogs() -> Iterator[Json | bytes]:
    """Yield catalogs with a hole in the place of every field, without every field, and some that are odd as a whole."""
    full = {
        "streams": [
            {**dedup("a1", {"properties": {"id": {"type": "integer"}, "at": {"type": ["null", "string"]}}}), **PAIR},
            {**stream("a2", "append", namespace="other"), **PAIR},
        ]
    }
    full["streams"][0]["stream"]["source_defined_primary_key"] = [["id"]]
    for path in _paths(full):
        for make in (_hole, _gone):
            catalog = copy.deepcopy(full)
            node: Any = catalog
            for part in path[:-1]:
                node = node[part]
            make(node, path[-1])
            yield catalog
    one = full["streams"][0]
    yield {"streams": [one, one]}
    yield {"streams": [one, {**one, "stream": {**one["stream"], "namespace": "default"}}]}
    yield {"streams": [{**one, "primary_key": [["id"] * 200]}]}
    yield {"streams": [{**one, "primary_key": [[f"key{number}"] for number in range(2000)]}]}
    yield {"streams": [{**one, "primary_key": [["id"], ["id"]]}]}
    yield {"streams": [{**one, "primary_key": [["\u0000", '"', "\n"], ["*"]]}]}
    for generations in ((-5, -5, 1), (2**63, 2**63, 1), (1, 2, 3), (10**30, 10**30, -1), (0, 0, 0), (2, 2, None)):
        yield {"streams": [{**one, **dict(zip(PAIR, generations, strict=True))}]}


PAIR = {"generation_id": 1, "minimum_generation_id": 0, "sync_id": 1}


def _paths(node: Any) -> list[tuple[Any, ...]]:
    names = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else []
    return [path for name in names for path in ((name,), *((name, *rest) for rest in _paths(node[name])))]


def _hole(node: Any, name: Any) -> None:
    node[name] = HOLE


def _gone(node: Any, name: Any) -> None:
    del node[name]


def test_no_catalog_makes_write_fail_without_a_sentence_or_lose_a_record(
    cli: CommandLine, fuzzed_server: Server
) -> None:
    random = rng("catalogs")
    foreign = Foreign(fuzzed_server)
    tried: list[bytes] = [*NO_CONFIGS]
    for catalog in catalogs():
        assert isinstance(catalog, dict)
        holed = json.dumps(HOLE) in json.dumps(catalog)
        tried += [filled(catalog, text) for text in TEXTS] if holed else [json.dumps(catalog).encode()]
    tried = random.sample(tried, 1000 if FULL else 110)
    of_other = {"namespace": "other"}
    records = [record(1, "a1"), record(2, "a2", **of_other)]
    records[0]["record"]["data"] |= {"at": "2024-01-01T00:00:00Z", "token": "first-token"}
    records[1]["record"]["data"] |= {"token": "second-token"}
    done = copy.deepcopy(COMPLETE)
    messages = [*records, state(1, "a1")]
    for name, more in (("a1", {}), ("a2", of_other)):
        done["trace"]["stream_status"]["stream_descriptor"] = {"name": name, **more}
        messages.append(copy.deepcopy(done))
    content = lines(*messages)
    counts = {"inputs": len(tried), "refused": 0, "records_compared": 0}
    for catalog in tried:
        config = {**fuzzed_server.config, "cache_type": random.choice(["hash", "string", "json"])}
        ran = cli.write(config, catalog, content)
        assert_honest(ran)
        counts["refused"] += ran.code
        held = b"".join(_held(fuzzed_server, key) for key in foreign.others())
        if ran.code == 0:
            assert [held.count(token) for token in (b"first-token", b"second-token")] == [1, 1], catalog[:1000]
            counts["records_compared"] += 2
        foreign.assert_untouched()
        foreign.remove_others()
    report("malformed catalogs", **counts)


def _held(server: Server, key: bytes) -> bytes:
    client: Any = server.client
    match client.type(key):
        case b"string":
            found: bytes = client.get(key)
        case b"hash":
            found = b"".join(client.hvals(key))
        case _:
            found = client.execute_command("JSON.GET", key)
    return found


def test_a_port_that_refuses_the_connection_is_a_failed_check_for_every_deployment(cli: CommandLine) -> None:
    for deployment in (
        {"deployment": "standalone"},
        {"deployment": "cluster", "nodes": [f"127.0.0.1:{free_port()}"]},
        {"deployment": "sentinel", "service_name": MARK.lower(), "nodes": ["127.0.0.1:99999"]},
    ):
        ran = cli.check({"host": "127.0.0.1", "port": free_port(), "password": MARK, "deployment": deployment})
        assert_honest(ran)
        (answer,) = ran.of("CONNECTION_STATUS")
        assert answer["connectionStatus"]["status"] == "FAILED"
