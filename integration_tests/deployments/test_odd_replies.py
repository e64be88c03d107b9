"""Replies of other servers to what a connector asks about them: empty, cut off, of other types. Never a traceback."""

import json
import random
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.config.parse import parse_config
from destination_redis.connection.clients import connect
from destination_redis.connection.memory import Memory, memory_of
from integration_tests.support.connector.library import check, full, full_dedup, write
from integration_tests.support.connector.process import Connector
from integration_tests.support.faults.proxy import Act, Exchange, proxy
from integration_tests.support.faults.seed import FULL, report, rng
from integration_tests.support.messages import COMPLETE, Json, generation, record, state, status, stream
from integration_tests.support.servers.cluster import cluster
from integration_tests.support.servers.other_servers import changing, is_one_of, resp, value
from integration_tests.support.servers.sentinel import SERVICE, Sentinel
from integration_tests.support.servers.server import Server, running
from integration_tests.support.stored import values as stored_values

#: What tells of a server, and not of data.
TELLING = dict.fromkeys(("INFO", "CLIENT", "WAIT", "MEMORY"), 0.7)
#: What stands in place of a reply or of a part of one.
ODD: Sequence[Any] = (
    *(None, b"", b"x", b"\xff\xfe", b"0", b"-1", b"1.5", b"unlimited", 0, -1, 1 << 62, [], [[]], [None], [b"a", b"b"]),
    *(
        b" ",
        b"\r\n",
        b"=",
        b":",
        b"# x\r\n",
        b"9" * 5000,
        b"id=1 addr=",
        b"id= addr=a:1",
        b"used_memory:\r\nmaxmemory:x",
    ),
    *(Exception("ERR unknown command"), Exception("NOPERM no"), Exception("ERR")),
)


def mutated(random: random.Random, told: Any) -> Any:
    """Return a reply that is not quite the one it was."""
    if random.random() < 0.15:
        return random.choice(ODD)
    if isinstance(told, list) and told:
        changed = list(told)
        at = random.randrange(len(changed))
        match random.randrange(4):
            case 0:
                del changed[at]
            case 1:
                changed.insert(at, random.choice(ODD[:-3]))
            case _:
                changed[at] = random.choice(ODD[:-3]) if random.random() < 0.3 else mutated_part(random, changed[at])
        return changed
    return mutated_text(random, told) if isinstance(told, bytes) else random.choice(ODD)


def mutated_part(random: random.Random, told: Any) -> Any:
    found = mutated(random, told)
    return b"" if isinstance(found, Exception) else found


def mutated_text(random: random.Random, text: bytes) -> bytes:
    """Change the lines of a text, and what they assign."""
    end = b"\r\n" if b"\r\n" in text else b"\n"
    lines = text.split(end)
    for _ in range(random.choice((1, 3, 20))):
        at = random.randrange(len(lines))
        line = lines[at]
        parts = line.split(b" ")
        part = random.randrange(len(parts))
        name, separator, _ = parts[part].partition(b"=" if b"=" in line else b":")
        match random.randrange(6):
            case 0:
                parts[part] = name + separator
            case 1:
                parts[part] = name + separator + random.choice([each for each in ODD if isinstance(each, bytes)])
            case 2:
                del parts[part]
            case 3:
                parts = parts[:part]
            case 4:
                parts[part] = parts[part][: random.randrange(len(parts[part]) + 1)]
            case _:
                parts.insert(part, b"odd")
        lines[at] = b" ".join(parts)
    return end.join(lines)


def mutating(random: random.Random, chances: Mapping[str, float]) -> Act:
    """Change replies at random, with a chance for each command's name."""

    def act(exchange: Exchange) -> None:
        reply = exchange.execute()
        chance = max(
            chance for name, chance in {"": 0.0, **chances}.items() if not name or is_one_of(exchange, (name,))
        )
        if random.random() < chance:
            reply = resp(mutated(random, value(reply)[0]))
        exchange.answer(reply)

    return act


def tried(config: Json, streams: Sequence[Json], messages: Sequence[Json]) -> bool:
    """See that check and a sync end in sentences; return whether the sync ended well."""
    answer = check(config) or ""
    assert not any(odd in answer for odd in ("cannot be set up", "connector failed")), answer
    failure = None
    try:
        list(write(config, streams, messages, 0.2))
    except AirbyteTracedException as error:
        failure = error
    assert failure is None or failure.failure_type is not FailureType.system_error, str(failure)
    return failure is None


def synced(number: int) -> tuple[Sequence[Json], Sequence[Json]]:
    """Return streams to be replaced, beside data that are there, and messages."""
    refreshed = generation(number, number, number)
    streams = [full(**refreshed), full_dedup("rows", **refreshed)]
    rows = [record(each, "rows", data={"id": each, "at": number}) for each in range(20)]
    return streams, [record(1), *rows, COMPLETE, status("COMPLETE", "rows")]


ROUNDS = 600 if FULL else 20


@pytest.mark.stress
def test_no_reply_that_tells_of_a_server_ends_in_a_traceback_or_loses_a_record(
    start_server: Callable[..., Server],
) -> None:
    server = start_server("--maxmemory", "100mb")
    random = rng("odd replies")
    well = 0
    for number in range(1, ROUNDS + 1):
        with proxy(server.port, mutating(random, TELLING)) as opened:
            if random.random() < 0.3:  # a writer that died, to be looked for in CLIENT LIST
                seconds = int(server.client.time()[0])
                held: dict[Any, Any] = {
                    "writer": "another",
                    "writer_connection": "7 127.0.0.1:9",
                    "writer_until": seconds * 1000,
                }
                server.client.hset("airbyte:{default:users}", mapping=held)
            ended = tried({"host": "127.0.0.1", "port": opened.port}, *synced(number))
        if ended:
            assert stored_values(server.client) == [1]
            assert len(list(server.client.scan_iter("default:rows:*"))) == 20
        well += ended
    report("odd replies of a server", inputs=ROUNDS, synced=well)
    assert well > ROUNDS / 2


@pytest.mark.stress
def test_no_reply_of_a_cluster_ends_in_a_traceback() -> None:
    random = rng("odd replies of a cluster")
    well = 0
    with cluster(primaries=1) as servers:
        for number in range(1, ROUNDS + 1):
            with proxy(servers.primaries[0].port) as opened:
                slots = [[0, 16383, [b"?", opened.port]]]
                around = mutating(random, {"CLUSTER NODES": 0.05, **TELLING})

                def act(exchange: Exchange, slots: Any = slots, around: Act = around) -> None:
                    if is_one_of(exchange, ("CLUSTER SLOTS",)):
                        told = mutated(random, slots) if random.random() < 0.05 else slots
                        exchange.answer(resp(told))
                    else:
                        around(exchange)

                opened.act = act
                config = {"host": "127.0.0.1", "port": opened.port, "deployment": {"deployment": "cluster"}}
                well += tried(config, *synced(number))
    report("odd replies of a cluster", inputs=ROUNDS, synced=well)
    assert well


@pytest.mark.stress
def test_no_reply_of_a_sentinel_ends_in_a_traceback(start_server: Callable[..., Server], tmp_path: Path) -> None:
    random = rng("odd replies of a sentinel")
    server = start_server()
    one = Sentinel(tmp_path, server.port, 1)
    well = 0
    try:
        for number in range(1, ROUNDS + 1):
            with proxy(one.port, mutating(random, {"SENTINEL": 0.4})) as opened:
                deployment = {"deployment": "sentinel", "service_name": SERVICE}
                well += tried({"host": "127.0.0.1", "port": opened.port, "deployment": deployment}, *synced(number))
    finally:
        one.close()
    report("odd replies of a sentinel", inputs=ROUNDS, synced=well)
    assert well


@pytest.mark.parametrize("odd", [None, b"0", [], [b"0"], [b"0", None], [0, []], [b"0", [None]], [b"0", [], []]])
def test_a_reply_to_scan_that_cannot_be_read_ends_a_refresh_and_removes_nothing(server: Server, odd: object) -> None:
    assert tried(server.config, *synced(1))
    with proxy(server.port, changing(lambda _: odd, "SCAN")) as opened:
        config = {"host": "127.0.0.1", "port": opened.port}
        with pytest.raises(AirbyteTracedException, match="reply to SCAN") as caught:
            list(write(config, *synced(2)))
    assert caught.value.failure_type is FailureType.config_error
    assert len(list(server.client.scan_iter("default:rows:*"))) == 20
    assert tried(server.config, *synced(2))


@pytest.mark.parametrize(
    ("told", "memory"),
    [
        (b"used_memory:\r\nmaxmemory:1000\r\n", Memory(limit=1000)),
        (b"used_memory:10\r\nmaxmemory:unlimited\r\n", Memory(used=10)),
        (b"used_memory:10\r\nmem_not_counted_for_evict:-3\r\nmaxmemory:-1\r\n", Memory(used=10)),
        (b"used_memory:5\r\nmem_not_counted_for_evict:9\r\nmaxmemory_policy:allkeys-lru\r\n", Memory("allkeys-lru")),
        (b"", Memory()),
        (None, Memory()),
        ([b"used_memory", b"1"], Memory()),
        (b"used_memory:1_0\r\nmaxmemory:\xb2\r\n", Memory()),
    ],
)
def test_what_cannot_be_read_of_the_memory_counts_as_not_told(server: Server, told: object, memory: Memory) -> None:
    with (
        proxy(server.port, changing(lambda _: told, "INFO")) as opened,
        connect(parse_config({"host": "127.0.0.1", "port": opened.port})) as servers,
    ):
        assert memory_of(servers.client(("", 0))) == memory


@pytest.mark.parametrize("name", ["redis.sock", "a b.sock", "a,b.sock", "id=1 addr=x.sock"])
def test_a_living_writer_is_found_whatever_its_socket_is_called(name: str, tmp_path: Path) -> None:
    """CLIENT LIST has blanks between the values and in them."""
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/{name}"
        with running("redis-7.0", "--unixsocket", path) as server:
            connector = Connector({"host": path}, tmp_path)
            writing = connector.start([stream()])
            writing.send(record(1), state(1))
            writing.wait_for_states(1)
            seconds = int(server.client.time()[0])
            server.client.hset("airbyte:{default:users}", "writer_until", (seconds + 5) * 1000)
            other = connector.start([stream()])
            try:
                writing.send(*_steps())
                outcome = other.finish()
            finally:
                other.kill()
            assert "Another sync is writing the stream users" in json.dumps(outcome.error)
            assert writing.finish().code == 0


def _steps() -> Iterator[Json]:
    for number in range(2, 200):
        yield from (record(number), state(number))
    yield COMPLETE
