"""Addresses that sentinels and nodes of a cluster announce: which nobody can reach, and which are none."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from integration_tests.support.connector.library import check, failure, full, write
from integration_tests.support.faults.proxy import proxy
from integration_tests.support.messages import COMPLETE, Json, record, state
from integration_tests.support.servers.cluster import ClusterServers, cluster, slot
from integration_tests.support.servers.other_servers import changing
from integration_tests.support.servers.sentinel import SERVICE, Sentinel
from integration_tests.support.servers.server import Server, free_port
from integration_tests.support.waiting import wait_until

#: An address of this machine at which no server listens: all of them listen at 127.0.0.1 alone.
ELSEWHERE = "127.0.0.9"
REFUSED = "The connection was refused: no server listens there"
SAMPLE = [record(1), state(1), COMPLETE]


def assert_told(config: Json, says: str, caplog: pytest.LogCaptureFixture) -> None:
    """See that check, a sync that still tries, and its end all say this."""
    assert check(config) == f"{says}."
    error = failure(config, [full()], SAMPLE, 2)
    assert error.failure_type is FailureType.transient_error
    assert str(error).startswith(f"{says}; tried again for ")
    told = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    assert f"{says}; trying again for 2 seconds" in told


@contextmanager
def one_node(start_server: Callable[..., Server], *options: str) -> Iterator[Json]:
    """Yield the config for a cluster of one node."""
    node = start_server("--cluster-enabled", "yes", "--cluster-port", str(free_port()), *options)
    node.client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    wait_until(lambda: b"cluster_state:ok" in node.client.execute_command("CLUSTER", "INFO"))
    yield {**node.config, "deployment": {"deployment": "cluster"}}


def test_a_node_that_announces_an_address_out_of_reach_is_named_with_it(
    start_server: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    with one_node(start_server, "--cluster-announce-ip", ELSEWHERE) as config:
        where = f"{ELSEWHERE}:{config['port']}"
        says = f"The address {where}, announced by the node 127.0.0.1:{config['port']}, cannot be reached ({REFUSED})"
        assert_told(config, says, caplog)


def test_a_node_of_an_unknown_name_is_named_too(start_server: Callable[..., Server]) -> None:
    named = ("--cluster-announce-hostname", "node.invalid", "--cluster-preferred-endpoint-type", "hostname")
    with one_node(start_server, *named) as config:
        answer = str(check(config))
    where = f"The address node.invalid:{config['port']}, announced by the node 127.0.0.1:{config['port']}, "
    assert answer.startswith(where)
    assert answer.endswith("cannot be reached (The host was not found).")


@pytest.fixture
def watched(start_server: Callable[..., Server], tmp_path: Path) -> Iterator[Json]:
    """Yield the config by a sentinel of a server."""
    one = Sentinel(tmp_path, start_server().port, 1)
    config = {"host": "127.0.0.1", "port": one.port, "deployment": {"deployment": "sentinel", "service_name": SERVICE}}
    try:
        wait_until(lambda: check(config) is None)
        yield config
    finally:
        one.close()


def renamed(**changes: bytes) -> Callable[[Any], Any]:
    """Return what changes these fields of each service in the reply to SENTINEL MASTERS."""

    def change(services: Any) -> Any:
        for service in services:
            for name, value in changes.items():
                service[service.index(name.encode()) + 1] = value
        return services

    return change


def test_a_sentinel_that_announces_an_address_out_of_reach_is_named_with_it(
    watched: Json, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    with proxy(watched["port"], changing(renamed(ip=b"127.0.0.9", port=b"%d" % port), "SENTINEL")) as opened:
        config = {**watched, "port": opened.port}
        where = f"the sentinel 127.0.0.1:{opened.port}"
        says = f"The address {ELSEWHERE}:{port}, announced by {where}, cannot be reached ({REFUSED})"
        assert_told(config, says, caplog)


@pytest.mark.parametrize("odd", [b"", b"?", b"a..b", b"x" * 70, b"\xff", b"a b"])
def test_what_a_sentinel_announces_that_is_no_address_is_said_to_be_none(watched: Json, odd: bytes) -> None:
    with proxy(watched["port"], changing(renamed(ip=odd), "SENTINEL")) as opened:
        config = {**watched, "port": opened.port}
        answer = str(check(config))
        assert failure(config, [full()], SAMPLE, 0.3).failure_type is FailureType.transient_error
    known = ("It is not a valid address", "The host was not found", "currently report no live primary")
    assert any(says in answer for says in known), answer


def test_a_sentinel_that_fails_is_left_for_one_that_answers(watched: Json) -> None:
    for broken in (lambda _: Exception("ERR unknown command 'SENTINEL'"), lambda _: b"nonsense", lambda _: [[b"name"]]):
        with proxy(watched["port"], changing(broken, "SENTINEL")) as opened:
            deployment = {**watched["deployment"], "nodes": [f"127.0.0.1:{watched['port']}"]}
            assert check({**watched, "port": opened.port, "deployment": deployment}) is None


@pytest.fixture(scope="module")
def three() -> Iterator[ClusterServers]:
    with cluster() as servers:
        yield servers


@pytest.mark.parametrize("endpoint", ["ip", "hostname", "unknown-endpoint"])
def test_where_a_node_announces_no_host_the_one_that_was_asked_is_used(three: ClusterServers, endpoint: str) -> None:
    """A hostname that is not set is announced as "?", an unknown endpoint as null, and as nothing where keys moved."""
    three.flush()
    for node in three.nodes:
        node.client.config_set("cluster-preferred-endpoint-type", endpoint)
    announced = three.primaries[0].client.execute_command("CLUSTER", "SLOTS")[0][2][0]
    assert announced == {"ip": b"127.0.0.1", "hostname": b"?", "unknown-endpoint": None}[endpoint]

    def messages() -> Iterator[Json]:
        yield from (record(1), state(1))
        moved = slot("default:users:2")
        source = three.owner(moved)
        target = next(node for node in three.primaries if node is not source)
        three.move_slot(moved, source, target)
        yield from (record(2), state(2), record(3), COMPLETE)

    assert check(three.config) is None
    before = three.errors("MOVED")
    assert len(list(write(three.config, [full()], messages(), 10))) == 2
    assert three.errors("MOVED") > before
    keys = [key for node in three.primaries for key in node.client.scan_iter("default:users:*")]
    assert sorted(keys) == [b"default:users:%d" % number for number in (1, 2, 3)]


@pytest.mark.parametrize(
    "odd",
    [
        *([], None, b"nonsense", 5, [[]], [None], [[0]], [[0, 16383]], [[0, 16383, []]], [[0, 16383, None]]),
        *([[0, 16383, [b"127.0.0.1"]]], [[0, 16383, [b"127.0.0.1", b"port"]]], [[0, 16383, [b"127.0.0.1", 0]]]),
        *([[0, 16383, [b"127.0.0.1", 99999]]], [[b"0", b"16383", [b"127.0.0.1", 6379]]], [[5, 1, [b"h", 1]]]),
        *([[-1, 16383, [b"127.0.0.1", 6379]]], [[0, 16384, [b"127.0.0.1", 6379]]], [[0, 16383, [7, 6379]]]),
    ],
)
def test_what_cannot_be_read_of_cluster_slots_is_not_served(three: ClusterServers, odd: object) -> None:
    first = three.primaries[0]
    with proxy(first.port, changing(lambda _: odd, "CLUSTER SLOTS")) as opened:
        config = {**three.config, "port": opened.port, "deployment": {"deployment": "cluster"}}
        assert check(config) == "The cluster serves no slots."
        with_others = {**config, "deployment": {"deployment": "cluster", "nodes": [f"127.0.0.1:{first.port}"]}}
        assert check(with_others) is None


@pytest.mark.parametrize(
    "odd", [None, b"", b"nonsense\n", b"a b myself,master\n", b"a b myself,master - 0 0 x up 1-2\n"]
)
def test_cluster_nodes_that_does_not_tell_its_slots_is_an_error_that_says_so(
    start_server: Callable[..., Server], odd: object
) -> None:
    slots: Sequence[Any] = [[0, 16383, [b"?", 0]]]
    with one_node(start_server) as node, proxy(node["port"]) as opened:
        slots[0][2][1] = opened.port
        through = changing(lambda _: slots, "CLUSTER SLOTS")
        nodes = changing(lambda _: odd, "CLUSTER NODES")
        opened.act = lambda each: (nodes if each.name == "CLUSTER NODES" else through)(each)
        config = {**node, "port": opened.port}
        says = "The server's reply to CLUSTER NODES does not say which slots it serves"
        assert check(config) == f"127.0.0.1:{opened.port}: {says}."
        with pytest.raises(AirbyteTracedException, match="CLUSTER NODES") as caught:
            list(write(config, [full(mode="overwrite")], [record(1), COMPLETE], 2))
        assert caught.value.failure_type is FailureType.config_error
