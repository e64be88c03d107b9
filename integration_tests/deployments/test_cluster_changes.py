"""A Redis Cluster that is changed by hand: planned failovers, nodes that join, syncs that begin in between."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from destination_redis.config.parse import parse_config
from destination_redis.connection.clients import connect
from destination_redis.connection.slots import SLOTS
from destination_redis.transport.pipeline import Pipeline
from integration_tests.support.connector.library import check
from integration_tests.support.connector.process import Connector
from integration_tests.support.messages import COMPLETE, Json, dedup, generation, record, state, stream
from integration_tests.support.servers.cluster import ClusterServers, cluster, slot
from integration_tests.support.servers.server import Server
from integration_tests.support.stored import LEDGER, ledger, rows, values
from integration_tests.support.waiting import wait_until


@pytest.fixture
def replicated() -> Iterator[ClusterServers]:
    """Three primaries with a replica each."""
    with cluster(replicas=True) as servers:
        yield servers


def test_a_sync_that_begins_while_a_primary_is_being_replaced_waits_for_its_successor(
    replicated: ClusterServers, tmp_path: Path
) -> None:
    replicated.wait_until_in_step()
    replicated.kill(replicated.primaries[1])
    outcome = Connector(replicated.config, tmp_path).write([stream()], [*map(record, range(1, 301)), COMPLETE])
    assert outcome.code == 0, outcome.text
    with replicated.client() as client:
        assert values(client) == list(range(1, 301))  # type: ignore[arg-type]


def exchange(servers: ClusterServers, primary: Server) -> None:
    """Have a primary and its replica change places, as one does before an upgrade: no connection is lost."""
    replica = servers.replica_of(primary)
    replica.client.execute_command("CLUSTER", "FAILOVER")
    wait_until(lambda: servers.takes_over(replica) and not servers.takes_over(primary))


@pytest.mark.parametrize("durability", [{}, {"replicas": 1}], ids=["default", "durable"])
def test_primaries_that_change_places_with_their_replicas_end_no_sync(
    replicated: ClusterServers, tmp_path: Path, durability: Json
) -> None:
    connector = Connector({**replicated.config, "durability": durability}, tmp_path)
    run = connector.start([stream()])
    sent = 0
    for primary in replicated.primaries:
        run.feed([*map(record, range(sent + 1, sent + 101)), state(sent + 100)])
        sent += 100
        run.wait_for_states(sent // 100)
        exchange(replicated, primary)
    run.feed([*map(record, range(sent + 1, sent + 101)), state(sent + 100), COMPLETE])
    outcome = run.finish()
    assert outcome.code == 0, outcome.text
    assert len(outcome.states) == 4
    replicated.wait_until_whole()  # some have yet to hear of the last change
    with replicated.client() as client:
        assert values(client) == list(range(1, sent + 101))  # type: ignore[arg-type]


def test_a_merged_refresh_of_which_a_new_primary_lacks_something_counts_as_lost(
    replicated: ClusterServers, tmp_path: Path
) -> None:
    connector = Connector(replicated.config, tmp_path)
    cancelled = connector.start([stream(**generation(2, 2, 2))])
    cancelled.send(*map(record, range(1, 301)), state(300))
    cancelled.wait_for_states(1)
    cancelled.kill()
    of_ledger = replicated.owner(slot(LEDGER))
    lost = next(node for node in replicated.primaries if node is not of_ledger)
    with replicated.parted(lost):
        run = connector.start([stream(**generation(2, 0, 3))])
        wait_until(lambda: b"staged_first" in of_ledger.client.hgetall(LEDGER))
        wait_until(lambda: of_ledger.client.hget(LEDGER, "committed") == b"300")
        replicated.kill(lost)
    run.feed([*map(record, range(301, 401)), state(400), COMPLETE])
    outcome = run.finish()
    assert outcome.error["failure_type"] == "config_error", outcome.text
    assert "lost acknowledged data of the stream users: refresh it" in outcome.error["message"]


@pytest.fixture
def with_spare() -> Iterator[ClusterServers]:
    """Three primaries, of which the last one serves no slots yet."""
    with cluster() as servers:
        first, *_, spare = servers.primaries
        slots = SLOTS * 2 // 3, SLOTS - 1
        for node in servers.primaries:
            node.client.execute_command("CLUSTER", "DELSLOTSRANGE", *slots)
        first.client.execute_command("CLUSTER", "ADDSLOTSRANGE", *slots)
        wait_until(lambda: all(len(node.client.execute_command("CLUSTER", "SLOTS")) == 3 for node in servers.primaries))
        wait_until(lambda: check(servers.config) is None)
        assert servers.owner(SLOTS - 1) is first
        assert spare.client.dbsize() == 0
        yield servers


def test_a_promotion_finds_what_moved_to_a_primary_that_joined_meanwhile(
    with_spare: ClusterServers, tmp_path: Path
) -> None:
    connector = Connector(with_spare.config, tmp_path)
    run = connector.start([dedup(**generation(2, 2, 2))])
    run.send(*(record(number, data={"id": number, "at": 1, "value": number}) for number in range(100)), state(100))
    run.wait_for_states(1)
    spare = with_spare.primaries[-1]
    for number in range(0, 100, 10):
        moved = slot(f"default:users:{number}")
        with_spare.move_slot(moved, with_spare.owner(moved), spare)
    run.feed([COMPLETE])
    outcome = run.finish()
    assert outcome.code == 0, outcome.text
    with with_spare.client() as client:
        assert rows(client) == {str(number): number for number in range(100)}  # type: ignore[arg-type]


def test_commands_are_packed_while_the_first_primary_is_gone(replicated: ClusterServers) -> None:
    with connect(parse_config(replicated.config)) as servers:
        pipeline = Pipeline(servers)
        pipeline.open()
        replicated.fail_over(replicated.primaries[0])
        for number in range(3):  # a command with a key would find a lost primary, and leave it, at once
            pipeline.load(f"return {number}")
        pipeline.flush()
        pipeline.close()


def test_a_batch_of_which_a_part_has_moved_is_covered_by_watermarks_all_the_same(
    with_spare: ClusterServers, tmp_path: Path
) -> None:
    connector = Connector(with_spare.config, tmp_path)
    moved = slot("default:users:5")
    owner = with_spare.owner(moved)
    run = connector.start([stream()])
    with with_spare.client() as client:
        wait_until(lambda: ledger(client).get("reserved") == "256")  # type: ignore[arg-type]
    with_spare.move_slot(moved, owner, with_spare.primaries[-1])
    run.send(*map(record, range(1, 11)), state(10))
    run.wait_for_states(1)
    # As on a replica that lacks the batch and takes over.
    (watermark,) = owner.client.keys("airbyte:watermark:*")
    owner.client.delete(watermark)
    run.feed([COMPLETE])
    outcome = run.finish()
    assert "lost acknowledged data of the stream users: refresh it" in outcome.error["message"]
    assert with_spare.own_keys() == []


def test_a_sync_may_be_idle_for_a_week_before_its_watermarks_expire(with_spare: ClusterServers, tmp_path: Path) -> None:
    run = Connector(with_spare.config, tmp_path).start([stream()])
    run.send(*map(record, range(1, 11)), state(10))
    run.wait_for_states(1)
    seconds = [node.client.ttl(key) for node in with_spare.primaries for key in node.client.keys("airbyte:watermark:*")]
    run.feed([COMPLETE])
    assert run.finish().code == 0
    assert len(seconds) == 2
    assert min(seconds) > 7 * 86_400
