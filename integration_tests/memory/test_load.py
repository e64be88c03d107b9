"""Much of everything: records, large ones, states, and other people's keys; rates are told, never asked for."""

import hashlib
import json
import time
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path

import pytest

from integration_tests.support.connector.library import full, full_dedup, write
from integration_tests.support.connector.measured import MEGABYTE, run_measured
from integration_tests.support.connector.process import Connector
from integration_tests.support.data_types import WHOLE, Shape, cache, columns, settings_for
from integration_tests.support.faults.seed import FULL, report
from integration_tests.support.messages import COMPLETE, generation, record, status, stream
from integration_tests.support.servers.server import Server, needs_json

SMALL = 10_000_000 if FULL else 300_000
STATED = 1_000_000 if FULL else 30_000
#: Bytes of a large record's text.
LARGE = 50_000_000
FOREIGN = 1_000_000 if FULL else 100_000
#: Megabytes, whatever is synced but large records.
MOST = 256
_SHAPES = WHOLE if FULL else [("json", "columns"), ("list", "columns")]


@pytest.fixture(scope="module")
def _server(_server_with_json: Server) -> Server:
    return _server_with_json


@pytest.fixture(autouse=True)
def _emptied(server: Server) -> Iterator[None]:
    yield
    server.client.flushall(asynchronous=True)


def lines(messages: Iterable[bytes]) -> Iterator[bytes]:
    """Yield messages many at a time."""
    rest = iter(messages)
    while some := list(islice(rest, 5000)):
        yield b"".join(some)


def small(number: int) -> bytes:
    return b'{"type":"RECORD","record":{"stream":"users","data":{"id":%d},"emitted_at":1700000000000}}\n' % number


def stated(number: int) -> bytes:
    return (
        b'{"type":"STATE","state":{"type":"STREAM","stream":{"stream_descriptor":{"name":"users"},'
        b'"stream_state":{"cursor":%d}}}}\n' % number
    )


def cursors(states: Iterable[bytes]) -> list[int]:
    return [json.loads(state)["state"]["stream"]["stream_state"]["cursor"] for state in states]


@pytest.mark.stress
def test_millions_of_small_records_take_no_more_memory_than_a_few(
    connector: Connector, server: Server, tmp_path: Path
) -> None:
    def content() -> Iterator[bytes]:
        for number in range(1, SMALL + 1):
            yield small(number)
            if number % 10_000 == 0:
                yield stated(number)
        yield json.dumps(COMPLETE).encode() + b"\n"

    done = run_measured(connector.command([stream()]), lines(content()), tmp_path)
    report(
        "small records",
        records=SMALL,
        records_per_second=int(SMALL / done.seconds),
        megabytes=int(done.megabytes),
    )
    assert server.client.dbsize() == SMALL + 2  # with a ledger and a counter
    assert server.client.get("default:users") == b"%d" % SMALL
    looked = range(1, SMALL + 1, SMALL // 1000)
    reading = server.client.pipeline(transaction=False)
    for number in looked:
        reading.hget(f"default:users:{number}", "_airbyte_data")
    assert reading.execute() == [b'{"id":%d}' % number for number in looked]
    assert cursors(done.states) == list(range(10_000, SMALL + 1, 10_000))
    assert done.megabytes < MOST


@pytest.mark.stress
def test_a_state_after_every_record_comes_back_in_order(connector: Connector, server: Server, tmp_path: Path) -> None:
    def content() -> Iterator[bytes]:
        for number in range(1, STATED + 1):
            yield small(number) + stated(number)
        yield json.dumps(COMPLETE).encode() + b"\n"

    done = run_measured(connector.command([stream()]), lines(content()), tmp_path)
    report(
        "a state after every record",
        records=STATED,
        records_per_second=int(STATED / done.seconds),
        megabytes=int(done.megabytes),
    )
    assert cursors(done.states) == list(range(1, STATED + 1))
    assert server.client.get("default:users") == b"%d" % STATED
    assert server.client.dbsize() == STATED + 2
    assert done.megabytes < MOST


@pytest.mark.stress
@pytest.mark.parametrize("shape", _SHAPES, ids="-".join)
def test_records_of_fifty_megabytes_arrive_whole(server: Server, tmp_path: Path, shape: Shape) -> None:
    needs_json(server, shape)
    count = 4 if FULL else 1
    config = {**server.config, **settings_for(shape)}
    connector = Connector(config, tmp_path)

    def content() -> Iterator[bytes]:
        for number in range(1, count + 1):
            start = json.dumps({"id": number, **columns(number)}).encode().removesuffix(b"}")
            data = b'%b,"text":"%b"}' % (start, text(number))
            yield b'{"type":"RECORD","record":{"stream":"users","data":%b,"emitted_at":1700000000000}}\n' % data
        yield stated(count) + json.dumps(COMPLETE).encode() + b"\n"

    done = run_measured(connector.command([stream()]), content(), tmp_path)
    report(
        f"records of 50 MB, {'-'.join(shape)}",
        records=count,
        megabytes_per_second=int(count * LARGE / MEGABYTE / done.seconds),
        megabytes=int(done.megabytes),
    )
    assert cursors(done.states) == [count]
    keys = [b"default:users"] if server.client.type("default:users") != b"string" else []
    keys = keys or [b"default:users:%d" % number for number in range(1, count + 1)]
    found = [json.loads(each.data) for each in cache(shape).get_all(server.client, keys)]
    digests = {int(each["id"]): hashlib.sha1(each["text"].encode()).digest() for each in found}
    assert done.megabytes < MOST + 4 * LARGE / MEGABYTE
    assert digests == {number: hashlib.sha1(text(number)).digest() for number in range(1, count + 1)}


def text(number: int) -> bytes:
    """Return what a large record holds: not one byte again and again, and all of it printable."""
    some = b"".join(b"%d." % each for each in range(number * 1000, number * 1000 + 2000))
    return (some * (LARGE // len(some) + 1))[:LARGE]


# ARGV: first and last number.
_POPULATE = "for i = ARGV[1], ARGV[2] do redis.call('SET', 'public:users:' .. i, i) end"
REFRESH = "refresh of append_dedup"


class Sync:
    """A sync of so many streams with a record each, into what one before it left, and what the server was asked."""

    def __init__(self, server: Server, mode: str, count: int) -> None:
        self._server = server
        self._replaces = mode in ("overwrite", REFRESH)
        self._mode = mode
        self._names = [f"table_{each}" for each in range(count)]
        self._run(1)
        server.client.config_resetstat()
        began = time.monotonic()
        self._run(2)
        self.seconds = time.monotonic() - began
        stats = server.client.info("commandstats")
        calls = {name.removeprefix("cmdstat_"): int(each["calls"]) for name, each in stats.items()}
        self.scans = calls.pop("scan", 0)
        self.calls = {name: each for name, each in calls.items() if not name.startswith(("config", "info"))}

    def _run(self, number: int) -> None:
        numbers = generation(number, number if self._replaces else 0, number)
        by_key = self._mode in ("append_dedup", REFRESH)
        configured = full_dedup if by_key else partial(full, mode=self._mode)
        streams = [configured(name, **numbers) for name in self._names]
        records = [record(number, name) for name in self._names]
        list(write(self._server.config, streams, [*records, *(status("COMPLETE", name) for name in self._names)]))


@pytest.mark.stress
@pytest.mark.parametrize("mode", ["append", "overwrite", "append_dedup", REFRESH])
def test_nothing_grows_with_foreign_keys_but_a_refresh_by_primary_key_which_reads_their_names_for_all_streams_at_once(
    server: Server, mode: str
) -> None:
    alone = {count: Sync(server, mode, count) for count in (1, 50)}
    server.client.flushall()
    for first in range(1, FOREIGN + 1, 50_000):
        server.client.eval(_POPULATE, 0, str(first), str(first + 49_999))
    among = {count: Sync(server, mode, count) for count in (1, 50)}
    report(
        f"foreign keys, {mode}",
        foreign_keys=FOREIGN,
        scans_for_one_stream=among[1].scans,
        scans_for_fifty=among[50].scans,
        milliseconds_for_one_stream=int(among[1].seconds * 1000),
        milliseconds_for_fifty=int(among[50].seconds * 1000),
    )
    if mode != REFRESH:
        assert {count: each.calls for count, each in among.items()} == {c: each.calls for c, each in alone.items()}
        assert among[1].scans == among[50].scans == 0
    else:
        # The names are read twice, 2,000 or a few more at a time.
        assert among[50].scans == pytest.approx(among[1].scans, abs=4)
        assert among[1].scans == pytest.approx(2 * FOREIGN / 2000, rel=0.1)
