"""Records that only a refusal tells to be unstorable: each is tried alone, and kept among the rejected ones."""

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from integration_tests.support.connector.process import Connector, Outcome
from integration_tests.support.data_types import HASH, UPSERTING, WHOLE, Shape, columns, settings_for
from integration_tests.support.docs.permissions import FOR_SETTING, FOR_TYPE, LEAST, MORE
from integration_tests.support.faults.proxy import Act, Exchange, proxy
from integration_tests.support.messages import COMPLETE, Json, dedup, generation, record, state, stream
from integration_tests.support.servers.cluster import cluster
from integration_tests.support.servers.server import Server, running
from integration_tests.support.stored import ledger, rejected, rows, values

MEGABYTE = 1024 * 1024
KEY = "airbyte:rejected:{default:users}"
LIST: Shape = ("list", "envelope")
MODES = [
    *((shape, mode) for shape in WHOLE for mode in ("append", "refresh")),
    *((shape, mode) for shape in UPSERTING for mode in ("append_dedup", "refresh_dedup")),
]
BY_MODE = pytest.mark.parametrize(
    ("shape", "mode"), MODES, ids=lambda value: value if isinstance(value, str) else "-".join(value)
)
#: One of each placement, and a collection whose elements are counted.
PLACES: list[tuple[Shape, str]] = [(HASH, "append"), (HASH, "append_dedup"), (LIST, "append"), (LIST, "refresh")]
BY_PLACE = pytest.mark.parametrize(("shape", "mode"), PLACES, ids=lambda value: value if isinstance(value, str) else "")


def row(number: int, size: int = 0, **more: Any) -> Json:
    return record(
        number, data={"id": number, "at": number, "value": number, **columns(number), **more, "text": "x" * size}
    )


def configured(mode: str) -> Json:
    made = dedup() if mode.endswith("dedup") else stream()
    return made | (generation(2, 2, 2) if mode.startswith("refresh") else generation(2, 0, 2))


def keep(connector: Connector, shape: Shape, **more: Any) -> None:
    connector.config |= {**settings_for(shape), "rejected_records": "keep", **more}


def found(server: Server, shape: Shape, mode: str) -> list[int]:
    """Return the "id" of each record that is stored."""
    if mode.endswith("dedup"):
        return sorted(map(int, rows(server.client, shape=shape)))
    return values(server.client, shape=shape)


def ended_well(outcome: Outcome) -> Outcome:
    assert outcome.code == 0, outcome.text
    return outcome


def counts(outcome: Outcome) -> list[tuple[float, float | None]]:
    """Return (records, rejected records) of each state."""
    stats = [each["destinationStats"] for each in outcome.states]
    return [(each["recordCount"], each.get("rejectedRecordCount")) for each in stats]


def reasons(server: Server) -> list[str]:
    return [entry["_airbyte_reason"] for _, entry in rejected(server.client)]


def ids(server: Server) -> list[int]:
    """Return the "id" of each rejected record, in their order."""
    entries = [entry["_airbyte_data"] for _, entry in rejected(server.client)]
    return [int(entry.partition('"id": ')[2].partition(",")[0]) for entry in entries]


@pytest.fixture
def secretive(_strict: Server, connector: Connector) -> Iterator[Server]:
    """Yield a server that takes no value above one megabyte, with a user who may not ask for that limit."""
    _strict.client.flushall()
    rules = [*LEAST.split()[3:], *FOR_SETTING["rejected_records"].split()]
    for more in FOR_TYPE.values():
        rules += more.split()
    _strict.client.execute_command("ACL", "SETUSER", "airbyte", "reset", *rules)
    connector.config = {**_strict.config, "username": "airbyte", "password": "password"}
    yield _strict
    _strict.client.execute_command("ACL", "DELUSER", "airbyte")


# What only the server or a proxy tells


@BY_MODE
def test_a_size_that_the_server_does_not_tell_is_found_out_in_every_data_type(
    connector: Connector, secretive: Server, shape: Shape, mode: str
) -> None:
    keep(connector, shape)
    messages = [row(1), state(1), row(2), row(3, 1_500_000), state(3), row(4, 1_400_000), row(5, 1_600_000), state(5)]
    outcome = ended_well(connector.write([configured(mode)], [*messages, row(6), row(7), state(7), COMPLETE]))
    assert counts(outcome) == [(1.0, None), (1.0, 1.0), (0.0, 2.0), (2.0, None)]
    assert found(secretive, shape, mode) == [1, 2, 6, 7]
    assert ids(secretive) == [3, 4, 5]
    for number, (_, entry) in zip((3, 4, 5), rejected(secretive.client), strict=True):
        assert int(entry["_airbyte_data_bytes"]) > MEGABYTE
        assert len(entry["_airbyte_data"]) == 16 * 1024
        key = f'{{"id":{number}}}' if mode.endswith("dedup") else None
        assert entry.get("_airbyte_primary_key") == key
    assert "users: 3 records could not be stored and were rejected" in outcome.text
    again = ended_well(connector.write([configured(mode) | generation(2, 0, 3)], [row(8), state(8), COMPLETE]))
    assert counts(again) == [(1.0, None)]
    assert found(secretive, shape, mode) == [1, 2, 6, 7, 8]
    assert ids(secretive) == [3, 4, 5]


def refusing(limit: int, reply: bytes = b"", *, politely: bool = False) -> tuple[Act, list[int]]:
    """Return what refuses commands above a limit by a reply, a RST or a FIN, and a list with their sizes."""
    sizes: list[int] = []

    def act(exchange: Exchange) -> None:
        if len(exchange.command) <= limit:
            exchange.forward()
            return
        sizes.append(len(exchange.command))
        if reply:
            exchange.answer(b"-%b\r\n" % reply)
            return
        if politely:
            exchange._client.socket.shutdown(socket.SHUT_RDWR)
        exchange.reset()

    return act, sizes


@BY_PLACE
@pytest.mark.parametrize("how", ["RST", "FIN", "ERR max request size exceeded. Limit: 1000000 bytes"])
def test_a_size_that_a_proxy_refuses_is_found_out_and_then_known(
    connector: Connector, server: Server, shape: Shape, mode: str, how: str
) -> None:
    reply = how.encode() if how.startswith("ERR") else b""
    act, sizes = refusing(1_000_000, reply, politely=how == "FIN")
    messages = [row(1), row(2, 1_100_000), row(3), state(3), row(4, 1_200_000), row(5, 900_000), state(5)]
    more = [row(6, 1_300_000), row(7), row(8, 1_400_000), state(8), row(9), COMPLETE]
    with proxy(server.port, act) as way:
        keep(connector, shape, port=way.port)
        outcome = ended_well(connector.write([configured(mode)], [*messages, *more]))
    assert counts(outcome) == [(2.0, 1.0), (1.0, 1.0), (1.0, 2.0)]
    assert found(server, shape, mode) == [1, 3, 5, 7, 9]
    assert ids(server) == [2, 4, 6, 8]
    if reply:  # a reply is beyond doubt, a lost connection may be a coincidence
        assert len(sizes) == 1
        assert reasons(server)[0].startswith("the server refuses its 1,100,")
        assert reasons(server)[0].endswith("(ERR max request size exceeded. Limit: … bytes)")
    else:
        assert len(sizes) in range(8, 11)
        assert [each.startswith("the connection is closed whenever its 1,") for each in reasons(server)[:2]] == [
            True
        ] * 2
    assert "bytes are not fewer than those of a record that was refused" in reasons(server)[-1]


@BY_PLACE
def test_a_record_on_which_the_connection_is_closed_after_it_was_executed_is_stored(
    connector: Connector, server: Server, shape: Shape, mode: str
) -> None:
    closed: list[int] = []

    def act(exchange: Exchange) -> None:
        if len(exchange.command) > MEGABYTE:
            closed.append(exchange.number)
            exchange.execute()
            exchange.reset()
        exchange.forward()

    with proxy(server.port, act) as way:
        keep(connector, shape, port=way.port)
        messages = [row(1), row(2, 1_100_000), row(3), state(3), row(4), COMPLETE]
        outcome = ended_well(connector.write([configured(mode)], messages))
    assert len(closed) > 1
    assert counts(outcome) == [(3.0, None)]
    assert found(server, shape, mode) == [1, 2, 3, 4]
    assert not server.client.exists(KEY)


def test_what_is_refused_comes_too_late_into_a_list_to_change_it(connector: Connector, server: Server) -> None:
    rules = [*LEAST.split()[3:], *FOR_SETTING["rejected_records"].split(), *FOR_TYPE["list"].split()]
    server.client.execute_command("ACL", "SETUSER", "airbyte", "reset", *rules)  # it may not cut connections
    held: list[int] = []

    def act(exchange: Exchange) -> None:
        if len(exchange.command) <= MEGABYTE:
            exchange.forward()
        elif held:
            exchange.answer(b"-ERR request too large\r\n")
        else:
            held.append(exchange.number)
            exchange.hold()

    try:
        with proxy(server.port, act) as way:
            keep(connector, LIST, port=way.port, username="airbyte", password="password")
            running = connector.start([stream()])
            running.send(row(1), row(2, 1_100_000), row(3), state(3))
            running.wait_for_states(1)
            assert "EVALSHA airbyte:{default:users}" in way.release()[0]
            running.send(row(4), state(4), COMPLETE)
            ended_well(running.finish())
    finally:
        server.client.execute_command("ACL", "DELUSER", "airbyte")
    assert values(server.client, shape=LIST) == [1, 3, 4]
    assert ids(server) == [2]


@pytest.mark.parametrize("refusal", [b"", b"ERR request too large"])
def test_two_streams_and_states_of_both_count_what_is_refused(
    connector: Connector, server: Server, refusal: bytes
) -> None:
    def both(number: int) -> Json:
        shared = {"shared_state": {"n": number}, "stream_states": []}
        return {"type": "STATE", "state": {"type": "GLOBAL", "global": shared}}

    def of(name: str, *messages: Json) -> list[Json]:
        for each in messages:
            each["record"]["stream"] = name
        return list(messages)

    act, _ = refusing(1_000_000, refusal)
    one = of("users", row(1), row(2, 1_300_000), row(3))
    other = of("rows", row(1), row(2, 1_200_000), row(3), row(4, 1_100_000), row(5))
    messages = [one[0], other[0], both(1), other[1], one[1], other[2], both(2), both(3), one[2], other[3], other[4]]
    for shape in (HASH, LIST):
        server.client.flushall()
        with proxy(server.port, act) as way:
            keep(connector, shape, port=way.port)
            outcome = ended_well(connector.write([stream(), stream("rows")], [*messages, both(4)]))
        assert counts(outcome) == [(2.0, None), (1.0, 2.0), (0.0, None), (2.0, 1.0)]
        assert values(server.client, shape=shape) == [1, 3]
        assert values(server.client, "default:rows:", shape) == [1, 3, 5]
        assert (ids(server), len(rejected(server.client, "default:rows"))) == ([2], 2)


def test_a_small_record_that_is_refused_still_ends_the_sync_after_what_came_before(
    connector: Connector, server: Server
) -> None:
    act, _ = refusing(40_000, b"ERR request too large")
    with proxy(server.port, act) as way:
        keep(connector, HASH, port=way.port)
        running = connector.start([stream()])
        running.send(row(1), state(1))
        running.wait_for_states(1)
        running.send(row(2, 50_000), state(2), COMPLETE)
        outcome = running.finish()
    assert outcome.error["message"].startswith("A record of the stream users is too large for the server: that refuses")
    assert counts(outcome) == [(1.0, None)]
    assert not server.client.exists(KEY)


# Elements are counted by their ids


@pytest.mark.parametrize("acknowledged", [False, True])
def test_a_list_whose_sync_was_killed_after_refusals_keeps_what_a_state_covers(
    connector: Connector, secretive: Server, *, acknowledged: bool
) -> None:
    keep(connector, LIST)
    client: Any = secretive.client
    client.execute_command("ACL", "SETUSER", "airbyte", *MORE.split()[3:])  # to see at once that a sync was killed
    running = connector.start([stream()])
    running.send(row(1), row(2, 1_300_000), row(3), state(3))
    running.wait_for_states(1)
    running.send(
        row(4), row(5, 1_200_000), *map(row, range(6, 1500)), row(1500, 1_100_000), *map(row, range(1501, 3000))
    )
    if acknowledged:
        running.send(state(3000))
        running.wait_for_states(2)
    else:
        running.feed([row(3000)])
    while client.llen("default:users") < (2994 if acknowledged else 2995):
        pass
    running.kill()
    held = ledger(client)
    assert len(held["passed"].split()) == 3
    following = (
        [*map(row, range(3000, 3003))] if acknowledged else [*map(row, [4, *range(6, 1500), *range(1501, 3003)])]
    )
    ended_well(connector.write([stream()], [*following, state(1), COMPLETE]))
    stored = [number for number in range(1, 3003) if number not in (2, 5, 1500)]
    assert values(client, shape=LIST) == stored
    assert ids(secretive) == ([2, 5, 1500] if acknowledged else [2])
    assert ledger(client)["passed"] == ""


# Keys


LONG = ":" * 400_000


@pytest.mark.parametrize("mode", ["append_dedup", "refresh_dedup"])
@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("shape", UPSERTING, ids="-".join)
def test_a_primary_key_that_is_too_large_as_a_key_is_kept_with_its_beginning(
    connector: Connector, secretive: Server, shape: Shape, mode: str, *, told: bool
) -> None:
    keep(connector, shape)
    if told:
        del connector.config["username"], connector.config["password"]
    made = configured(mode)
    made["stream"]["json_schema"] = {"properties": {"_ab_cdc_deleted_at": {"type": "string"}}}
    # A deletion is stored as its key alone. The first has no cursor.
    deletions = [{"id": LONG, "_ab_cdc_deleted_at": "now"}, {"id": LONG, "at": 5, "_ab_cdc_deleted_at": "now"}]
    messages = [row(1), record(2, data={"id": LONG, "at": 2}), *(record(3, data=each) for each in deletions), row(4)]
    outcome = ended_well(connector.write([made], [*messages, state(4), COMPLETE]))
    assert counts(outcome) == [(2.0, 3.0)]
    assert found(secretive, shape, mode) == [1, 4]
    (_, first), *others = rejected(secretive.client)
    assert first["_airbyte_primary_key"] == json.dumps({"id": LONG}, separators=(",", ":"))[: 16 * 1024]
    assert first["_airbyte_data_bytes"] == str(len(json.dumps({"id": LONG, "at": 2})))
    if told:
        assert first["_airbyte_reason"].startswith("its key has 1,200,0")
        assert first["_airbyte_reason"].endswith(" bytes, and proto-max-bulk-len allows 1,048,576")
    else:
        assert first["_airbyte_reason"].startswith("the ")
        assert len(others) == 2


# Columns


def test_more_columns_than_a_command_may_have_are_kept(connector: Connector) -> None:
    wide = {f"c{number}": number for number in range(530_000)}
    with running("redis-6.2") as server:
        connector.config = server.config
        keep(connector, ("hash", "columns"))
        messages = [row(1), record(2, data={"id": 2, **wide}), row(3), state(3), COMPLETE]
        outcome = ended_well(connector.write([stream()], messages))
        assert counts(outcome) == [(2.0, 1.0)]
        assert ids(server) == [2]


# Depth


def deep(levels: int) -> Any:
    """Return arrays inside one another, and their number of levels."""
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


DOCUMENTS = [(shape, mode) for shape, mode in MODES if shape[0] == "json"]
BY_DOCUMENT = pytest.mark.parametrize(
    ("shape", "mode"), DOCUMENTS, ids=lambda value: value if isinstance(value, str) else "-".join(value)
)


@pytest.fixture
def documents(_strict: Server, connector: Connector) -> Server:
    """Return a server with the JSON module."""
    _strict.client.flushall()
    connector.config = {**_strict.config}
    return _strict


@BY_DOCUMENT
def test_json_that_is_too_deep_for_the_server_is_kept(
    connector: Connector, documents: Server, shape: Shape, mode: str
) -> None:
    keep(connector, shape)
    messages = [row(1), state(1), row(2), row(3, v=deep(140)), row(4, v=deep(60)), state(4), row(5, v=deep(200))]
    messages = [*messages, row(6, v=deep(135)), state(6), row(7, v=deep(120)), COMPLETE]
    outcome = ended_well(connector.write([configured(mode)], messages))
    assert counts(outcome) == [(1.0, None), (2.0, 1.0), (0.0, 2.0)]
    assert found(documents, shape, mode) == [1, 2, 4, 7]
    assert ids(documents) == [3, 5, 6]
    assert reasons(documents) == [
        "its JSON is nested too deeply for the server",
        "its JSON has 201 levels, and one with 141 was refused",
        "its JSON is nested too deeply for the server",
    ]


@BY_DOCUMENT
def test_by_default_json_that_is_too_deep_ends_the_sync_after_what_came_before(
    connector: Connector, documents: Server, shape: Shape, mode: str
) -> None:
    keep(connector, shape, rejected_records="fail")
    messages = [row(1), state(1), row(2), state(2), row(3, v=deep(140)), state(3), row(4), state(4), COMPLETE]
    outcome = connector.write([configured(mode)], messages)
    assert outcome.error["failure_type"] == "config_error"
    assert outcome.error["message"] == (
        "A record of the stream users cannot be stored: its JSON is nested too deeply for the server; acknowledged "
        "records are kept"
    )
    assert counts(outcome) == [(1.0, None), (1.0, None)]
    ended_well(connector.write([configured(mode)], [row(4), row(5), state(5), COMPLETE]))
    assert found(documents, shape, mode) == [1, 2, 4, 5]


# More than one server


@pytest.mark.parametrize("shape", [HASH, LIST], ids="-".join)
@pytest.mark.parametrize("mode", ["append", "append_dedup", "refresh"])
def test_in_a_cluster_the_nodes_go_on_together(connector: Connector, shape: Shape, mode: str) -> None:
    if mode.endswith("dedup") and shape not in UPSERTING:
        pytest.skip("It has no upserts")
    with cluster() as nodes:
        for node in nodes.primaries:
            node.client.config_set("proto-max-bulk-len", MEGABYTE)
            node.client.execute_command("ACL", "SETUSER", "airbyte", "on", ">password", "~*", "+@all", "-config")
        connector.config = {**nodes.config, "username": "airbyte", "password": "password"}
        keep(connector, shape)
        large = [row(1000 + number, 1_300_000 - 10_000 * number) for number in range(5)]
        small = [row(number) for number in range(1, 50)]
        messages = [each for at, bad in enumerate(large) for each in (*small[10 * at : 10 * at + 10], bad, state(at))]
        outcome = ended_well(connector.write([configured(mode)], [*messages, COMPLETE]))
        assert counts(outcome) == [*[(10.0, 1.0)] * 4, (9.0, 1.0)]
        with nodes.client() as client:
            look: Callable[..., Any] = rows if mode.endswith("dedup") else values
            stored: Any = look(client, shape=shape)
            assert sorted(map(int, stored)) == list(range(1, 50))
            entries: Any = client
            assert len(rejected(entries)) == 5


def test_replicas_or_a_disk_that_must_confirm_do_so(connector: Connector) -> None:
    with running("valkey-9.1", "--appendonly", "yes", "--proto-max-bulk-len", "1mb") as server:
        server.client.execute_command("ACL", "SETUSER", "airbyte", "on", ">password", "~*", "+@all", "-config")
        connector.config = {**server.config, "username": "airbyte", "password": "password"}
        keep(connector, LIST, durability={"fsync": True})
        messages = [row(1), row(2, 1_300_000), row(3), state(3), row(4, 1_200_000), state(4), COMPLETE]
        outcome = ended_well(connector.write([stream()], messages))
        assert counts(outcome) == [(2.0, 1.0), (0.0, 1.0)]
        assert values(server.client, shape=LIST) == [1, 3]
        assert ids(server) == [2, 4]
