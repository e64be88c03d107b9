"""Records that a server, or what stands before it, does not take for their size: what came before them is kept."""

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from integration_tests.support.connector.cli import CommandLine, Ran
from integration_tests.support.connector.library import full, write
from integration_tests.support.data_types import COLLECTED, HASH, UPSERTING, WHOLE, Shape, columns, settings_for
from integration_tests.support.faults.proxy import Exchange, proxy
from integration_tests.support.messages import COMPLETE, Json, dedup, generation, lines, record, state, stream
from integration_tests.support.servers.cluster import ClusterServers, cluster
from integration_tests.support.servers.server import Server, running
from integration_tests.support.stored import ledger, rows, values

MEGABYTE = 1024 * 1024
_COLLECTED = [shape for shape in COLLECTED if shape in WHOLE]
#: Seconds that a refused sync may take, on a busy machine: "at once" is well below what a lost server is waited for.
AT_ONCE = 20


@pytest.fixture
def strict(_strict: Server) -> Server:
    _strict.client.flushall()
    return _strict


def row(number: int, size: int = 0, name: str = "users") -> Json:
    data = {"id": number, "at": number, "value": number, "text": "x" * size, **columns(number)}
    return record(number, name, data=data)


def mixed(size: int = 1_500_000) -> list[Json]:
    """Return small records and one large one, each followed by a state."""
    return [each for number in range(1, 7) for each in (row(number, size if number == 4 else 0), state(number))]


def cursors(ran: Ran) -> list[int]:
    return [each["stream"]["stream_state"]["cursor"] for each in ran.states]


def configured(mode: str) -> Json:
    match mode:
        case "append":
            return stream(**generation(0, 0, 1))
        case "staged":
            return stream(mode="overwrite", **generation(2, 2, 5))
        case "upserts":
            return dedup(**generation(0, 0, 1))
        case _:
            return dedup(**generation(2, 2, 5))


def assert_refused(ran: Ran, *said: str) -> None:
    """Assert that what came before the fourth record is out, and that the error blames that record."""
    assert ran.code == 1
    assert cursors(ran) == [1, 2, 3], ran.out
    assert ran.error is not None
    assert ran.error["failure_type"] == "config_error", ran.out
    for words in ("A record of the stream users is too large", *said):
        assert words in ran.error["message"], ran.error["message"]
    assert ran.seconds < AT_ONCE


@pytest.mark.parametrize(
    ("shape", "mode"),
    [
        *((shape, mode) for shape in WHOLE for mode in ("append", "staged")),
        *((shape, mode) for shape in UPSERTING for mode in ("upserts", "staged upserts")),
    ],
)
def test_what_came_before_is_out_and_a_run_without_the_record_goes_on(
    cli: CommandLine, strict: Server, shape: Shape, mode: str
) -> None:
    config = {**strict.config, **settings_for(shape)}
    catalog = {"streams": [configured(mode)]}
    ran = cli.write(config, catalog, lines(*mixed()))
    assert_refused(ran, "1,500,", "proto-max-bulk-len allows 1,048,576")
    again = cli.write(config, catalog, lines(row(5), state(5), row(6), state(6), COMPLETE))
    assert again.code == 0, again.out
    if mode.endswith("upserts"):
        found = {name: int(value) for name, value in rows(strict.client, shape=shape).items()}
        assert found == {str(number): number for number in (1, 2, 3, 5, 6)}
    else:
        assert values(strict.client, shape=shape) == [1, 2, 3, 5, 6]


@pytest.mark.parametrize("shape", [HASH, ("hash", "columns"), ("list", "envelope")])
def test_a_record_of_many_small_columns_is_not_too_large(cli: CommandLine, strict: Server, shape: Shape) -> None:
    wide = record(1, data={"id": 1, **{f"c{number}": "x" * 100_000 for number in range(12)}})
    config = {**strict.config, **settings_for(shape)}
    ran = cli.write(config, {"streams": [stream()]}, lines(wide, state(1)))
    assert ran.code == (0 if shape == ("hash", "columns") else 1), ran.out
    assert cursors(ran) == ([1] if ran.code == 0 else [])


def test_the_size_that_a_client_may_send_is_named_as_well(cli: CommandLine) -> None:
    with running("redis-7.0", "--client-query-buffer-limit", "1mb") as server:
        ran = cli.write(server.config, {"streams": [stream()]}, lines(*mixed()))
        assert_refused(ran, "client-query-buffer-limit allows 1,048,576")
        assert values(server.client) == [1, 2, 3]


def test_many_records_before_and_after_are_sorted_out(cli: CommandLine, strict: Server) -> None:
    messages = [row(number, 100) for number in range(1, 20_001)]
    messages.insert(12_000, row(0, 1_500_000))
    content = [each for at, one in enumerate(messages) for each in ([one, state(at)] if at % 1000 == 999 else [one])]
    ran = cli.write(strict.config, {"streams": [stream()]}, lines(*content))
    assert ran.code == 1
    assert cursors(ran) == list(range(999, 12_000, 1000))
    assert ledger(strict.client)["committed"] == "12000"
    again = cli.write(strict.config, {"streams": [stream()]}, lines(*messages[12_001:], state(2)))
    assert again.code == 0, again.out
    assert values(strict.client) == list(range(1, 20_001))


def test_of_several_records_that_are_too_large_the_first_is_blamed(cli: CommandLine, strict: Server) -> None:
    messages = [row(1), state(1), row(2, 1_200_000), row(3, 0, "rows"), state(3, "rows"), row(4, 1_300_000, "rows")]
    ran = cli.write(strict.config, {"streams": [stream(), stream("rows")]}, lines(*messages))
    assert ran.error is not None
    assert "stream users" in ran.error["message"]
    assert "1,200,0" in ran.error["message"]
    assert cursors(ran) == [1]


@pytest.fixture(scope="module")
def nodes() -> Iterator[ClusterServers]:
    with cluster() as nodes:
        for node in nodes.primaries:
            node.client.config_set("proto-max-bulk-len", MEGABYTE)
        yield nodes


@pytest.mark.parametrize(
    ("shape", "mode"),
    [
        (HASH, "append"),
        (HASH, "staged upserts"),
        (("list", "envelope"), "staged"),
        (("stream", "envelope"), "append"),
    ],
)
def test_in_a_cluster_the_other_nodes_go_on(cli: CommandLine, nodes: ClusterServers, shape: Shape, mode: str) -> None:
    nodes.flush()
    config = {**nodes.config, "cache_type": shape[0]}
    catalog = {"streams": [configured(mode)]}
    ran = cli.write(config, catalog, lines(*mixed()))
    assert_refused(ran, "proto-max-bulk-len allows 1,048,576")
    again = cli.write(config, catalog, lines(row(5), state(5), row(6), state(6), COMPLETE))
    assert again.code == 0, again.out
    with nodes.client() as client:
        cluster_client: Any = client
        look = rows if mode.endswith("upserts") else values
        assert sorted(map(int, look(cluster_client, shape=shape))) == [1, 2, 3, 5, 6]


def closing(limit: int, *, politely: bool = False) -> Any:
    """Return what closes the connection on a command above a limit, with a FIN or a RST."""

    def act(exchange: Exchange) -> None:
        if len(exchange.command) <= limit:
            exchange.forward()
        elif politely:
            exchange._client.socket.shutdown(socket.SHUT_RDWR)
            exchange.reset()
        else:
            exchange.reset()

    return act


@pytest.mark.parametrize("politely", [True, False], ids=["FIN", "RST"])
@pytest.mark.parametrize("shape", [HASH, ("string", "envelope"), *_COLLECTED])
def test_what_closes_the_connection_on_a_large_request_is_found_out(
    cli: CommandLine, server: Server, shape: Shape, politely: bool
) -> None:
    with proxy(server.port, closing(MEGABYTE, politely=politely)) as between:
        config = {"host": "127.0.0.1", "port": between.port, **settings_for(shape)}
        ran = cli.write(config, {"streams": [stream()]}, lines(*mixed()))
        assert_refused(ran, "1,500,", "the connection is closed")
        again = cli.write(config, {"streams": [stream()]}, lines(row(5), row(6), state(6)))
    assert again.code == 0, again.out
    assert values(server.client, shape=shape) == [1, 2, 3, 5, 6]


@pytest.mark.parametrize("shape", _COLLECTED)
@pytest.mark.parametrize("refusal", ["", "ERR max request size exceeded. Limit: 70000 bytes"])
def test_a_batch_is_divided_before_any_of_its_records_is_blamed(
    cli: CommandLine, server: Server, shape: Shape, refusal: str
) -> None:
    def act(exchange: Exchange) -> None:
        if len(exchange.command) <= 70_000:
            exchange.forward()
        elif refusal:
            exchange.answer(b"-%b\r\n" % refusal.encode())
        else:
            exchange.reset()

    many = [row(number, 500) for number in range(1, 1001)]
    messages = [*many[:500], state(500), *many[500:], state(1000)]
    with proxy(server.port, act) as between:
        config = {"host": "127.0.0.1", "port": between.port, **settings_for(shape)}
        ran = cli.write(config, {"streams": [stream()]}, lines(*messages))
    assert ran.code == 0, ran.out
    assert cursors(ran) == [500, 1000]
    assert values(server.client, shape=shape) == list(range(1, 1001))


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (
            "ERR max request size exceeded. Limit: 1048576 bytes, Actual: 1500123 bytes",
            ("allows 1,048,576", "exceeded"),
        ),
        ("ERR request is too large", ("request is too large",)),
        ("ERR string exceeds maximum allowed size (proto-max-bulk-len)", ("exceeds maximum allowed size",)),
        ("ERR Protocol error: invalid bulk length", ("1,500,",)),
        ("ERR value too big: 'xxxxxxxxxxxxxxxx'", ("too",)),
    ],
)
@pytest.mark.parametrize("shape", [HASH, ("list", "envelope"), ("stream", "columns")])
def test_a_reply_that_refuses_a_record_for_its_size_blames_it(
    cli: CommandLine, server: Server, shape: Shape, reply: str, said: tuple[str, ...]
) -> None:
    def act(exchange: Exchange) -> None:
        if len(exchange.command) > MEGABYTE:
            exchange.answer(b"-%b\r\n" % reply.encode())
        else:
            exchange.forward()

    with proxy(server.port, act) as between:
        config = {"host": "127.0.0.1", "port": between.port, **settings_for(shape)}
        ran = cli.write(config, {"streams": [stream()]}, lines(*mixed()))
        assert_refused(ran, *said)
        assert "xxxx" not in ran.out
        again = cli.write(config, {"streams": [stream()]}, lines(row(5), row(6), state(6)))
    assert again.code == 0, again.out
    assert values(server.client, shape=shape) == [1, 2, 3, 5, 6]


def test_a_connection_that_is_lost_twice_on_a_large_record_blames_nothing(server: Server) -> None:
    lost = iter(range(2))

    def act(exchange: Exchange) -> None:
        if len(exchange.command) > MEGABYTE and next(lost, None) is not None:
            exchange.reset()
        exchange.forward()

    with proxy(server.port, act) as between:
        config = {"host": "127.0.0.1", "port": between.port}
        assert len(list(write(config, [full()], mixed()))) == 6
    assert next(lost, None) is None
    assert values(server.client) == [1, 2, 3, 4, 5, 6]


def test_a_server_that_is_gone_after_a_large_record_blames_nothing(server: Server) -> None:
    gone = False

    def act(exchange: Exchange) -> None:
        nonlocal gone
        gone = gone or len(exchange.command) > MEGABYTE
        if gone:
            exchange.reset()
        exchange.forward()

    with proxy(server.port, act) as between:
        states = write({"host": "127.0.0.1", "port": between.port}, [full()], mixed(), retry_seconds=2)
        with pytest.raises(Exception, match="closed the connection") as raised:
            list(states)
    assert raised.value.failure_type.value == "transient_error"  # type: ignore[attr-defined] # a traced one


def test_small_commands_on_which_the_connection_is_closed_blame_no_record(server: Server) -> None:
    def act(exchange: Exchange) -> None:
        if b"HSET" in exchange.command[:20]:
            exchange.reset()
        exchange.forward()

    with proxy(server.port, act) as between:
        states = write({"host": "127.0.0.1", "port": between.port}, [full()], [row(1), state(1)], retry_seconds=2)
        with pytest.raises(Exception, match="closed the connection") as raised:
            list(states)
    assert raised.value.failure_type.value == "transient_error"  # type: ignore[attr-defined] # a traced one


def test_a_generation_with_a_record_that_is_too_large_is_not_promoted(cli: CommandLine, strict: Server) -> None:
    first = {"streams": [stream(mode="overwrite", **generation(1, 1, 1))]}
    assert cli.write(strict.config, first, lines(row(9), state(9), COMPLETE)).code == 0
    second = {"streams": [stream(mode="overwrite", **generation(2, 2, 2))]}
    assert_refused(cli.write(strict.config, second, lines(*mixed(), COMPLETE)))
    assert values(strict.client) == [9]


def test_what_the_disk_has_to_confirm_is_out_as_well(cli: CommandLine) -> None:
    with running("valkey-9.1", "--appendonly", "yes", "--proto-max-bulk-len", "1mb") as server:
        config = {**server.config, "durability": {"fsync": True}}
        assert_refused(cli.write(config, {"streams": [stream()]}, lines(*mixed())), "proto-max-bulk-len")
        assert values(server.client) == [1, 2, 3]


def test_of_a_batch_the_record_that_a_reply_refuses_is_blamed_not_the_largest(cli: CommandLine, server: Server) -> None:
    def act(exchange: Exchange) -> None:
        if b"Mark42" in exchange.command:
            exchange.answer(b"-ERR key is too long\r\n")
        else:
            exchange.forward()

    marked = record(2, data={"id": 2, "text": "Mark42"})
    with proxy(server.port, act) as between:
        config = {"host": "127.0.0.1", "port": between.port}
        ran = cli.write(config, {"streams": [stream()]}, lines(row(1, 2000), marked, row(3, 30_000), state(3)))
    assert ran.code == 1
    assert ran.error is not None
    assert "users is too large for the server: that refuses its 1" in ran.error["message"]
    assert "(ERR key is too long)" in ran.error["message"]
    assert cursors(ran) == []


def test_states_for_all_streams_that_came_before_are_out(cli: CommandLine, strict: Server) -> None:
    def all_streams(number: int) -> Json:
        shared = {"shared_state": {"n": number}, "stream_states": []}
        return {"type": "STATE", "state": {"type": "GLOBAL", "global": shared}}

    names = [f"s{number}" for number in range(5)]
    messages = []
    for number in range(1, 300):
        messages += [row(number, 0, names[number % 5]), all_streams(number)]
    messages.insert(400, row(0, 1_500_000, "s3"))
    for cache_type in ("hash", "list"):
        strict.client.flushall()
        config = {**strict.config, "cache_type": cache_type}
        ran = cli.write(config, {"streams": [stream(name) for name in names]}, lines(*messages))
        assert ran.error is not None
        assert "the stream s3 is too large" in ran.error["message"]
        assert [each["global"]["shared_state"]["n"] for each in ran.states] == list(range(1, 201))
        committed = [int(ledger(strict.client, f"default:{name}")["committed"]) for name in names]
        assert committed == [40] * 5
