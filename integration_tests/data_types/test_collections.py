"""Data types that hold all records of a stream in one key: nothing lost, nothing doubled, whatever dies and when."""

import json
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from integration_tests.support.connector.library import check, config_of, full, full_dedup, refused, write, written
from integration_tests.support.connector.process import Connector
from integration_tests.support.data_types import COLLECTED, FOLDING, HASH, READABLE, WHOLE, Shape, cache, settings_for
from integration_tests.support.data_types import storable as record
from integration_tests.support.docs.permissions import FOR_SETTING, LEAST, OF_HASHES, for_type
from integration_tests.support.faults.proxy import Cut, Exchange, proxy
from integration_tests.support.faults.runner import dump
from integration_tests.support.messages import COMPLETE, Json, generation, lines, state, status, stream
from integration_tests.support.servers.cluster import cluster
from integration_tests.support.servers.server import SERVERS, Server, running
from integration_tests.support.stored import elements, ledger, values
from integration_tests.support.waiting import wait_until

INSTANT = {"type": "string", "format": "date-time"}
LIST: Shape = ("list", "envelope")
KEY, STAGED = "default:users", "airbyte:tmp:{default:users}"
#: Data types of Redis's type string, as a counter is.
STRINGS: list[Shape] = [shape for shape in COLLECTED if shape not in WHOLE]
#: Data types of whose elements any number can be read back.
LISTED = [shape for shape in COLLECTED if shape in READABLE]
#: Data types from which consumers take elements away while a sync runs.
CONSUMED = [shape for shape in COLLECTED if shape[0] in ("list", "stream")]


@pytest.fixture(scope="module", params=SERVERS)
def _server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.param) as server:
        yield server


def held(server: Server, shape: Shape) -> list[int]:
    return values(server.client, shape=shape)


def ids(server: Server) -> list[int]:
    """Return the "id" of every record that has a key of its own."""
    found = cache(HASH).get_all(server.client, server.client.scan_iter("default:users:*"))
    return sorted(json.loads(each.data)["id"] for each in found)


@contextmanager
def replacing(server: Server, before: dict[bytes, bytes] | None) -> Iterator[int]:
    """Lead to a server that goes back to what it held before a collection was put in place, or lacks the ledger then.

    That is noted in `before`.
    """
    placed: list[bool] = []

    def act(exchange: Exchange) -> None:
        if not placed and b"'RENAME', KEYS[3]" in exchange.command:
            if before is None:
                server.client.unlink("airbyte:{default:users}")
            else:
                before.update(dump(server.client))
            placed.append(True)
        elif before and len(placed) == 1:
            placed.append(True)
            server.client.flushall()
            for key, content in before.items():
                server.client.restore(key, 0, content)
            exchange.reset()
        exchange.forward()

    with proxy(server.port, act) as way:
        yield way.port


def contains(server: Server, shape: Shape, number: int) -> bool:
    return number in held(server, shape)


@pytest.mark.parametrize("shape", COLLECTED, ids="-".join)
def test_appends_overwrites_and_refreshes_fill_one_key(server: Server, shape: Shape) -> None:
    written(server, shape, [full()], record(1), record(2), state(2), COMPLETE)
    written(server, shape, [full()], record(3), COMPLETE)
    assert held(server, shape) == [1, 2, 3]
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        written(server, shape, [full(**generation(2, 2, 2))], record(4), state(4), record(99))
    assert held(server, shape) == [1, 2, 3]
    written(server, shape, [full(**generation(3, 0, 3))], record(5), COMPLETE)  # which merges
    left = {99} if shape[0] in FOLDING else set()  # what no state covered is sent again
    assert held(server, shape) == sorted({1, 2, 3, 4, 5} | left)
    written(server, shape, [full(mode="overwrite")], record(6), COMPLETE)
    assert held(server, shape) == [6]
    written(server, shape, [full(**generation(4, 4, 4))], COMPLETE)
    assert held(server, shape) == []
    written(server, shape, [full(**generation(4, 0, 5))], record(7), COMPLETE)
    assert held(server, shape) == [7]
    assert sorted(server.client.scan_iter()) == [b"airbyte:{default:users}", KEY.encode()]


@pytest.mark.parametrize("shape", COLLECTED, ids="-".join)
def test_a_retried_refresh_goes_on_where_its_states_ended_and_another_begins_anew(
    server: Server, tmp_path: Path, shape: Shape
) -> None:
    written(server, shape, [full(**generation(1, 0, 1))], record(-1), COMPLETE)
    dying = Connector(config_of(server, shape), tmp_path).start([stream(**generation(2, 2, 2))])
    dying.send(record(1), state(1))
    dying.wait_for_states(1)
    dying.send(record(2))
    wait_until(lambda: len(elements(server.client, STAGED, shape)) == 2)
    dying.kill()
    assert held(server, shape) == [-1]
    written(server, shape, [full(**generation(2, 2, 2))], record(2), record(3), COMPLETE)
    assert held(server, shape) == [1, 2, 3]
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        written(server, shape, [full(**generation(3, 3, 3))], record(8), state(8), record(9))
    written(server, shape, [full(**generation(4, 4, 4))], record(4), COMPLETE)
    assert held(server, shape) == [4]


@pytest.mark.parametrize("shape", COLLECTED, ids="-".join)
def test_upserts_are_refused_and_the_stream_and_the_setting_are_named(server: Server, shape: Shape) -> None:
    said = refused(server, shape, [full_dedup()], COMPLETE)
    assert all(word in said for word in ("users", "append_dedup", "cache_type", shape[0]))
    assert server.client.dbsize() == 0


@pytest.mark.parametrize("shape", COLLECTED, ids="-".join)
def test_a_refresh_alone_changes_the_type_and_nothing_of_the_old_one_stays(server: Server, shape: Shape) -> None:
    for other in [HASH, *(each for each in COLLECTED if each != shape)]:
        for first, second in ((shape, other), (other, shape)):
            server.client.flushall()
            written(server, first, [full(**generation(1, 0, 1))], record(1), record(2), COMPLETE)
            assert "refresh" in refused(server, second, [full(**generation(1, 0, 2))], record(3), COMPLETE)
            with pytest.raises(AirbyteTracedException, match="Not complete"):
                written(server, second, [full(**generation(2, 2, 2))], record(3), state(3))
            assert held(server, first) == [1, 2]
            written(server, second, [full(**generation(2, 2, 2))], record(4), COMPLETE)
            assert held(server, second) == [3, 4]
            written(server, second, [full(**generation(2, 0, 3))], record(5), COMPLETE)
            assert held(server, second) == [3, 4, 5]
            assert len(list(server.client.scan_iter("default:users*"))) == (4 if second == HASH else 1)
            assert server.client.keys("airbyte:tmp:*") == []
            # A stream that is empty may change its type in any sync.
            written(server, second, [full(**generation(3, 3, 4))], COMPLETE)
            written(server, first, [full(**generation(3, 0, 5))], record(6), COMPLETE)
            assert held(server, first) == [6]


@pytest.mark.parametrize("shape", COLLECTED, ids="-".join)
def test_a_collection_that_is_an_applications_is_refused_and_stays(server: Server, shape: Shape) -> None:
    server.client.rpush(KEY, "mine")
    for wanted in (shape, HASH):
        assert KEY in refused(server, wanted, [full()], record(1), COMPLETE)
        server.client.delete("airbyte:{default:users}")
    assert server.client.lrange(KEY, 0, -1) == [b"mine"]


@pytest.mark.parametrize("shape", COLLECTED, ids="-".join)
def test_what_no_state_covers_is_not_doubled_when_it_is_sent_again(
    server: Server, tmp_path: Path, shape: Shape
) -> None:
    connector = Connector(config_of(server, shape), tmp_path)
    for death in range(3):
        running = connector.start([stream(sync_id=1)])
        running.send(record(10 * death), state(death))
        running.wait_for_states(1)
        running.send(*(record(10 * death + number) for number in range(1, 6)))
        last = 10 * death + 5
        wait_until(partial(contains, server, shape, last))
        running.kill()
        written(server, shape, [full(sync_id=1)], record(10 * death + 1), state(1))
    expected = [number for death in range(3) for number in (10 * death, 10 * death + 1)]
    if shape[0] in FOLDING:
        assert set(expected) <= set(held(server, shape))
    else:
        assert held(server, shape) == expected


@pytest.mark.parametrize("shape", CONSUMED, ids="-".join)
def test_consumers_may_take_elements_away_while_syncs_die(server: Server, tmp_path: Path, shape: Shape) -> None:
    """From the left of a list, anywhere in a stream; what is taken before its state came may come again."""
    connector = Connector(config_of(server, shape), tmp_path)

    def take(count: int) -> None:
        if shape[0] == "list":
            server.client.lpop(KEY, count)
        else:
            found: list[tuple[bytes, Any]] = server.client.xrange(KEY, count=count)  # type: ignore[assignment]
            server.client.xdel(KEY, *(each for each, _ in found))

    for taken, left, after in ((2, [3, 4, 5, 6], [3, 4]), (5, [6], []), (6, [], [])):
        server.client.flushall()
        running = connector.start([stream(sync_id=1)])
        running.send(*map(record, range(1, 5)), state(4))
        running.wait_for_states(1)
        running.send(record(5), record(6))
        wait_until(lambda: 6 in held(server, shape))
        take(taken)
        assert held(server, shape) == left
        running.kill()
        written(server, shape, [full(sync_id=1)], record(5), record(6), state(6))
        assert held(server, shape) == [*after, 5, 6]


@pytest.mark.parametrize("shape", LISTED, ids="-".join)
def test_a_server_out_of_memory_now_and_then_takes_every_batch_once_and_in_order(
    server: Server, tmp_path: Path, shape: Shape
) -> None:
    connector = Connector(config_of(server, shape), tmp_path)
    running = connector.start([stream(**generation(2, 2, 2))])
    running.send(record(0), state(0))
    running.wait_for_states(1)
    messages = [*map(record, range(1, 20_001)), state(20_000), COMPLETE]
    content = lines(*messages)
    feeder = threading.Thread(target=running.feed_all, args=(content,))
    feeder.start()
    try:
        while running.process.poll() is None:
            server.client.config_set("maxmemory", 1)
            time.sleep(0.003)
            server.client.config_set("maxmemory", 0)
            time.sleep(0.01)
    finally:
        server.client.config_set("maxmemory", 0)
    feeder.join()
    assert running.ended().code == 0
    assert held(server, shape) == list(range(20_001))


# About 2,000 bytes: the move that says so, then the script that does it, and the ledger given back. Where the old
# records have keys of their own, about 2,000 more: these go, then the ledger moves on.
@pytest.mark.parametrize("shape", COLLECTED, ids="-".join)
@pytest.mark.parametrize(
    ("allowance", "old"),
    [
        *((0, "same"), (500, "same"), (1300, "same"), (2500, "same")),
        *((1300, "append"), (2500, "append"), (3900, "append"), (2500, "append_dedup"), (3900, "append_dedup")),
    ],
)
def test_a_promotion_that_dies_after_any_number_of_bytes_is_finished_by_the_next_run(
    server: Server, tmp_path: Path, shape: Shape, allowance: int, old: str
) -> None:
    configured = full_dedup if old == "append_dedup" else full
    first = [configured(**generation(1, 0, 1))]
    written(server, shape if old == "same" else HASH, first, record(-2), record(-1), COMPLETE)
    cut = Cut(b"promote", allowance)
    with proxy(server.port, cut) as way:
        through = Connector(config_of(server, shape, port=way.port), tmp_path)
        dying = through.start([stream(**generation(2, 2, 2))])
        dying.send(*map(record, range(1, 4)), state(3), COMPLETE)
        assert dying.process.stdin
        dying.process.stdin.close()
        assert cut.done.wait(60)
        if old == "same":
            assert held(server, shape) in ([-2, -1], [1, 2, 3])
        else:
            assert ids(server) == [-2, -1] or held(server, shape) == [1, 2, 3]
        dying.kill()

    # Before it was noted, it is a refresh to be tried again.
    following = generation(3, 0, 3) if ledger(server.client)["task"] else generation(2, 2, 2)
    written(server, shape, [full(**following)], record(4), COMPLETE)
    assert held(server, shape) == [1, 2, 3, 4]
    assert server.client.keys("airbyte:tmp:*") == []
    assert len(list(server.client.scan_iter("default:users*"))) == 1


@pytest.mark.parametrize("shape", [LIST, *STRINGS], ids="-".join)
@pytest.mark.parametrize("following", [generation(3, 0, 3), generation(3, 3, 3)], ids=["append", "refresh"])
def test_a_server_that_goes_back_behind_a_collection_put_in_place_is_no_hindrance(
    server: Server, following: Json, shape: Shape
) -> None:
    written(server, HASH, [full(**generation(1, 0, 1))], record(-2), record(-1), COMPLETE)
    before: dict[bytes, bytes] = {}
    messages = [record(1), record(2), state(2), COMPLETE]
    with replacing(server, before) as port, pytest.raises(AirbyteTracedException, match="run the sync again"):
        written(server, shape, [full(**generation(2, 2, 2))], *messages, port=port)
    assert (ledger(server.client)["task"], server.client.type(KEY)) == ("remove", b"string")
    written(server, shape, [full(**following)], record(3), COMPLETE)
    assert held(server, shape) == ([3] if following["minimum_generation_id"] else [1, 2, 3])
    assert sorted(server.client.scan_iter()) == [b"airbyte:{default:users}", KEY.encode()]


@pytest.mark.parametrize("shape", [LIST, *STRINGS], ids="-".join)
def test_a_ledger_lost_before_a_collection_is_put_in_place_asks_for_a_refresh(server: Server, shape: Shape) -> None:
    written(server, HASH, [full(**generation(1, 0, 1))], record(-2), record(-1), COMPLETE)
    with replacing(server, None) as port, pytest.raises(AirbyteTracedException, match="refresh"):
        written(server, shape, [full(**generation(2, 2, 2))], record(1), state(1), COMPLETE, port=port)
    assert "refresh" in refused(server, shape, [full(**generation(3, 0, 3))], record(2), COMPLETE)
    written(server, shape, [full(**generation(3, 3, 4))], record(2), COMPLETE)
    assert held(server, shape) == [2]
    assert sorted(server.client.scan_iter()) == [b"airbyte:{default:users}", KEY.encode()]


@pytest.mark.parametrize("shape", [HASH, LIST], ids="-".join)
def test_after_a_loss_a_ledger_and_a_key_of_different_times_are_no_hindrance_to_a_refresh(
    server: Server, shape: Shape
) -> None:
    written(server, LIST if shape == HASH else HASH, [full(**generation(1, 0, 1))], record(-1), COMPLETE)
    # As a writer leaves it that promoted records of another kind when a server took over that lacks all of that.
    placement = "collection" if shape == LIST else "sequence"
    server.client.hset("airbyte:{default:users}", mapping={"placement": placement, "cache_type": shape[0]})
    server.client.hset("airbyte:{default:users}", mapping={"first": 3, "committed": 5, "reserved": 5, "lost": 1})
    assert "refresh" in refused(server, shape, [full(**generation(3, 0, 3))], record(2), COMPLETE)
    written(server, shape, [full(**generation(3, 3, 4))], record(2), COMPLETE)
    assert (held(server, LIST) if shape == LIST else ids(server)) == [2]


def test_a_ledger_a_step_behind_a_collection_put_in_place_is_no_hindrance(server: Server) -> None:
    written(server, HASH, [full(**generation(1, 0, 1))], record(-2), record(-1), COMPLETE)
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        written(server, LIST, [full(**generation(2, 2, 2))], record(1), state(1))
    # As in a cluster of which another server lost something, when that step was not answered yet.
    server.client.hset("airbyte:{default:users}", "task", "promote")
    server.client.unlink(KEY)
    server.client.rename(STAGED, KEY)
    written(server, LIST, [full(**generation(3, 0, 3))], record(2), COMPLETE)
    assert held(server, LIST) == [1, 2]
    assert sorted(server.client.scan_iter()) == [b"airbyte:{default:users}", KEY.encode()]


def test_a_ledger_a_step_behind_records_that_took_a_collections_place_is_no_hindrance(server: Server) -> None:
    written(server, LIST, [full(**generation(1, 0, 1))], record(-2), record(-1), COMPLETE)
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        written(server, HASH, [full(**generation(2, 2, 2))], record(1), state(1))
    server.client.hset("airbyte:{default:users}", "task", "promote")
    server.client.rename("airbyte:tmp:{default:users:3}", "default:users:3")
    server.client.unlink(KEY)
    server.client.set(KEY, 3)
    written(server, HASH, [full(**generation(3, 0, 3))], record(2), COMPLETE)
    assert ids(server) == [1, 2]
    assert len(list(server.client.scan_iter())) == 4


@pytest.mark.parametrize("shape", LISTED, ids="-".join)
@pytest.mark.parametrize("allowance", [0, 300, 1500, 3000])
def test_a_merge_that_dies_after_any_number_of_bytes_is_finished_by_the_next_run(
    server: Server, tmp_path: Path, shape: Shape, allowance: int
) -> None:
    written(server, shape, [full(**generation(1, 0, 1))], record(-1), COMPLETE)
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        written(server, shape, [full(**generation(2, 2, 2))], *map(record, range(1, 3501)), state(3500))
    following = [stream(**generation(3, 0, 3))]
    cut = Cut(b"merge", allowance)
    with proxy(server.port, cut) as way:
        dying = Connector(config_of(server, shape, port=way.port), tmp_path).start(following)
        assert cut.done.wait(60)
        dying.kill()
    written(server, shape, [full(**generation(3, 0, 3))], record(4000), COMPLETE)
    assert held(server, shape) == [-1, *range(1, 3501), 4000]
    assert server.client.keys("airbyte:tmp:*") == []
    assert ledger(server.client)["task"] == ""


@pytest.mark.parametrize("shape", COLLECTED, ids="-".join)
def test_a_server_that_comes_back_empty_fails_the_sync_and_asks_for_a_refresh(server: Server, shape: Shape) -> None:
    def messages() -> Iterator[Json]:
        yield from (record(1), state(1))
        server.client.flushall()
        yield from (record(2), state(2), COMPLETE)

    with pytest.raises(AirbyteTracedException, match="refresh"):
        list(write(config_of(server, shape), [full(sync_id=1)], messages()))
    assert "refresh" in refused(server, shape, [full(sync_id=2)], record(3), COMPLETE)
    written(server, shape, [full(**generation(2, 2, 3))], record(4), COMPLETE)
    assert held(server, shape) == [4]


@pytest.mark.parametrize("shape", COLLECTED, ids="-".join)
def test_the_live_collection_expires_and_a_staged_one_does_once_it_is_promoted_or_merged(
    server: Server, shape: Shape
) -> None:
    expiring = {"ttl_seconds": 1000}
    written(server, shape, [full(**generation(1, 0, 1))], record(1), COMPLETE, **expiring)
    assert 990 < server.client.ttl(KEY) <= 1000
    server.client.expire(KEY, 5)
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        written(server, shape, [full(**generation(2, 2, 2))], record(2), state(2), **expiring)
    assert (server.client.ttl(STAGED), server.client.ttl(KEY)) == (-1, 5)
    written(server, shape, [full(**generation(3, 0, 3))], COMPLETE, **expiring)
    assert 990 < server.client.ttl(KEY) <= 1000
    written(server, shape, [full(**generation(4, 4, 4))], record(4), COMPLETE, **expiring)
    assert 990 < server.client.ttl(KEY) <= 1000
    written(server, shape, [full(**generation(4, 0, 5))], record(5), COMPLETE)
    assert server.client.ttl(KEY) == server.client.ttl("airbyte:{default:users}") == -1


@pytest.mark.parametrize("shape", COLLECTED, ids="-".join)
def test_a_first_refresh_that_was_cancelled_expires_once_it_is_merged(server: Server, shape: Shape) -> None:
    expiring = {"ttl_seconds": 1000}
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        written(server, shape, [full(**generation(2, 2, 2))], record(1), state(1), **expiring)
    written(server, shape, [full(**generation(3, 0, 3))], COMPLETE, **expiring)
    assert held(server, shape) == [1]
    assert 990 < server.client.ttl(KEY) <= 1000


@pytest.mark.parametrize("shape", COLLECTED, ids="-".join)
def test_check_tries_the_type_and_leaves_nothing_behind(server: Server, shape: Shape) -> None:
    assert check(config_of(server, shape, ttl_seconds=5)) is None
    assert server.client.dbsize() == 0


@pytest.mark.parametrize("shape", [shape for shape in COLLECTED if shape in WHOLE], ids="-".join)
def test_a_collection_is_read_lazily_and_one_of_another_type_is_empty(server: Server, shape: Shape) -> None:
    written(server, shape, [full()], *map(record, range(1, 3001)), COMPLETE)
    before = server.client.info("commandstats")
    found = cache(shape).get_all(server.client, [b"none", KEY.encode()])
    next(found)
    after = server.client.info("commandstats")
    calls = {name: each["calls"] - before.get(name, {"calls": 0})["calls"] for name, each in after.items()}
    assert sum(count for name, count in calls.items() if name != "cmdstat_info") == 2
    assert len(list(found)) == 2999
    server.client.set("text", "mine")
    assert list(cache(shape).get_all(server.client, [b"text"])) == []


def test_an_entry_of_a_stream_has_the_records_id_and_the_fields_of_a_hash(server: Server) -> None:
    data = {"id": 1, "text": "é", "none": None, "object": {"a": [1.10]}}
    written(server, ("stream", "columns"), [full()], record(1, data=data), record(2, data={}), COMPLETE)
    assert server.client.xrange(KEY) == [
        (
            b"1-0",
            {
                b"_airbyte_ab_id": b"1",
                b"_airbyte_emitted_at": b"1700000000001",
                b"id": b"1",
                b"text": "é".encode(),
                b"object": b'{"a":[1.1]}',
            },
        ),
        (b"2-0", {b"_airbyte_ab_id": b"2", b"_airbyte_emitted_at": b"1700000000002"}),
    ]
    wide = {f"column {number}": number for number in range(9000)}
    assert "9,000 columns" in refused(server, ("stream", "columns"), [full()], record(3, data=wide), COMPLETE)
    written(server, ("stream", "envelope"), [full(mode="overwrite")], record(3, data=wide), COMPLETE)
    assert server.client.xlen(KEY) == 1


def test_a_stream_keeps_the_newest_entries_only_where_that_is_asked_for(server: Server) -> None:
    shape: Shape = ("stream", "envelope")
    written(server, shape, [full()], *map(record, range(1, 2001)), COMPLETE, stream_max_length=100)
    assert held(server, shape) == list(range(1901, 2001))
    written(server, shape, [full(mode="overwrite")], *map(record, range(50)), COMPLETE, stream_max_length=10)
    assert held(server, shape) == list(range(40, 50))
    said = refused(server, ("list", "envelope"), [full()], COMPLETE, stream_max_length=10)
    assert all(word in said for word in ("stream_max_length", "list"))
    assert check(config_of(server, ("list", "envelope"), stream_max_length=10)) == said


def test_a_stream_into_which_others_write_higher_ids_is_refused_with_the_reason(server: Server) -> None:
    shape: Shape = ("stream", "envelope")
    written(server, shape, [full()], record(1), COMPLETE)
    server.client.xadd(KEY, {"mine": "1"})
    assert "entries of other clients" in refused(server, shape, [full()], record(2), COMPLETE)
    assert held(server, shape) == [1]


@pytest.mark.parametrize("cache_type", [name for name in FOLDING if (name, "columns") in WHOLE])
def test_sets_hold_data_alone_byte_for_byte_and_equal_records_are_one(server: Server, cache_type: str) -> None:
    data = '{"n": 123456789012345678901234567890 ,"d":0.1000000000000000055511151231257827,"s":"\\u00e9"'
    data = f'{data},"lon":2.10,"lat":4e1}}'
    line = f'{{"type":"RECORD","record":{{"stream":"users","emitted_at":1700000000001,"data":{data}}}}}'
    shape: Shape = (cache_type, "columns")
    with tempfile.TemporaryDirectory() as folder:
        outcome = Connector(config_of(server, shape), Path(folder)).write([full()], [line, line, COMPLETE])
    assert outcome.code == 0, outcome.text
    assert [each.data for each in cache(shape).get_all(server.client, [KEY.encode()])] == [data.encode()]
    said = refused(server, (cache_type, "envelope"), [full()], COMPLETE)
    assert all(word in said for word in (cache_type, "record_format", "envelope"))
    assert check(config_of(server, (cache_type, "envelope"))) == said


@pytest.mark.parametrize(
    ("column", "cursors", "scores"),
    [
        ({"type": "integer"}, [7, 1.5, None, "x"], [1.5, 7, 1700000000002, 1700000000003]),
        ({"type": "number"}, ["2.5", -1, "NaN", True], [-1, 2.5, 1700000000002, 1700000000003]),
        ({"type": "number"}, ["Infinity", 0, "-Infinity"], [float("-inf"), 0, float("inf")]),
        (INSTANT, ["infinity", -5, "-Infinity"], [float("-inf"), -5, float("inf")]),
        (
            {"type": "string", "format": "date-time"},
            ["0000-00-00 00:00:00", "Thu, 01 Jan 1970 00:00:01 GMT", {"$date": 1}, "2024-02-30", "19700101T000002Z"],
            [1, 2, 1700000000.0, 1700000000.002, 1700000000.003],
        ),
        (
            {"type": "string", "format": "date-time"},
            ["1970-01-01T00:00:01.25Z", "2024-02-29T12:00:00+02:00", None],
            [1.25, 1700000000.002, 1709200800],
        ),
        ({"type": "string"}, ["1", "2"], [1700000000000, 1700000000001]),
        (None, [5], [1700000000000]),
    ],
)
def test_a_sorted_set_is_ordered_by_a_cursor_that_is_a_number_or_a_time_and_else_by_the_records_time(
    server: Server, column: Json | None, cursors: list[Any], scores: list[float]
) -> None:
    configured = full(cursor_field=["at"] if column else [])
    configured["stream"]["json_schema"] = {"properties": {"at": column}} if column else {}
    messages = [record(number, data={"id": number, "at": at}) for number, at in enumerate(cursors)]
    written(server, ("sorted_set", "columns"), [configured], *messages, COMPLETE)
    found: list[tuple[bytes, float]] = server.client.zrange(KEY, 0, -1, withscores=True)  # type: ignore[assignment]
    assert [score for _, score in found] == scores


@pytest.mark.parametrize(
    ("column", "cursors", "warnings"),
    [
        (INSTANT, ["0000-00-00", "2024-02-30", ""], 1),
        ({"type": "integer"}, ["NaN", True], 1),
        (INSTANT, [None, "infinity", 5], 0),
        ({"type": "string"}, ["0000-00-00", True], 0),
    ],
)
def test_a_score_that_cannot_be_taken_from_the_cursor_is_said_once_without_the_value(
    server: Server, tmp_path: Path, column: Json, cursors: list[Any], warnings: int
) -> None:
    configured = full(cursor_field=["at"], namespace="shop")
    configured["stream"]["json_schema"] = {"properties": {"at": column}}
    messages = [record(number, namespace="shop", data={"id": number, "at": at}) for number, at in enumerate(cursors)]
    end = status("COMPLETE")
    end["trace"]["stream_status"]["stream_descriptor"]["namespace"] = "shop"
    connector = Connector(config_of(server, ("sorted_set", "columns")), tmp_path)
    outcome = connector.write([configured], [*messages, end])
    assert outcome.code == 0, outcome.text
    assert server.client.zcard("shop:users") == len(cursors)
    assert outcome.text.count("the stream shop.users has a value in its cursor field (at)") == warnings
    assert not [value for value in cursors if isinstance(value, str) and value and value in outcome.text]


@pytest.mark.parametrize("cache_type", ["list", "set", "sorted_set", "stream"])
def test_a_collection_of_a_million_is_replaced_without_holding_the_server_up(
    server: Server, tmp_path: Path, cache_type: str
) -> None:
    connector = Connector(config_of(server, (cache_type, "columns")), tmp_path)
    line = '{"type":"RECORD","record":{"stream":"users","emitted_at":1700000000001,"data":{"id":%d}}}\n'

    def source(first: int, count: int) -> bytes:
        return ("".join(line % number for number in range(first, first + count)) + json.dumps(COMPLETE) + "\n").encode()

    count = {"list": "LLEN", "set": "SCARD", "sorted_set": "ZCARD", "stream": "XLEN"}[cache_type]
    assert connector.write_bytes([stream()], source(0, 1_000_000)).code == 0
    assert server.client.execute_command(count, KEY) == 1_000_000
    pauses: list[float] = []
    done = threading.Event()

    def ping() -> None:
        with redis.Redis(port=server.port) as client:
            while not done.is_set():
                began = time.monotonic()
                client.ping()
                pauses.append(time.monotonic() - began)
                time.sleep(0.001)

    pinging = threading.Thread(target=ping)
    pinging.start()
    try:
        outcome = connector.write_bytes([stream(mode="overwrite")], source(-50_000, 100_000))
    finally:
        done.set()
        pinging.join()
    assert outcome.code == 0, outcome.text
    assert server.client.execute_command(count, KEY) == 100_000
    print(f"{cache_type}: {len(pauses)} PINGs, the slowest took {max(pauses) * 1000:.1f} ms")
    assert max(pauses) < 0.5


@pytest.mark.parametrize("shape", COLLECTED, ids="-".join)
@pytest.mark.parametrize("ttl", [None, 100])
def test_the_permissions_for_a_types_own_commands_suffice_and_check_misses_each(
    server: Server, shape: Shape, ttl: int | None
) -> None:
    more, expiry = for_type(shape[0]), FOR_SETTING["ttl_seconds"] if ttl else "+persist"
    settings: Json = {"ttl_seconds": ttl} if ttl else {}
    if shape[0] == "stream" and ttl:
        more, settings = f"{more} {FOR_SETTING['stream_max_length']}", {**settings, "stream_max_length": 10}
    rules = LEAST.replace(OF_HASHES, more).replace("+persist", expiry).replace(" +scan", "")
    config = config_of(server, shape, username="airbyte", password="password", **settings)

    def allow(rules: str) -> None:
        server.client.execute_command("ACL", "SETUSER", "airbyte", "reset")
        server.client.execute_command(*rules.split())

    def sync(number: int, minimum: int, *messages: Json) -> None:
        list(write(config, [full(**generation(number, minimum, number))], messages))

    allow(rules)
    try:
        assert check(config) is None
        sync(1, 0, record(1), COMPLETE)
        with pytest.raises(AirbyteTracedException, match="Not complete"):
            sync(2, 2, record(2), state(2), record(3))
        sync(3, 0, record(3), COMPLETE)  # sweeps and merges
        assert held(server, shape) == [1, 2, 3]
        sync(4, 4, record(4), COMPLETE)
        assert held(server, shape) == [4]
        for command in f"{more} {expiry}".split():
            allow(rules.replace(f" {command}", "", 1))
            answer = check(config)
            assert answer is not None
            assert command[1:].upper() in answer
    finally:
        server.client.execute_command("ACL", "DELUSER", "airbyte")


@pytest.mark.parametrize("shape", LISTED, ids="-".join)
def test_a_sync_into_a_cluster_leaves_the_collection_whole(tmp_path: Path, shape: Shape) -> None:
    with cluster() as servers:
        config = {**servers.config, **settings_for(shape)}
        connector = Connector(config, tmp_path)
        messages = [record(number, name) for number in range(1, 3001) for name in ("users", "orders", "things")]
        ends = [json.loads(json.dumps(COMPLETE).replace("users", name)) for name in ("users", "orders", "things")]
        for minimum in (0, 2):
            streams = [stream(name, **generation(2, minimum, 1 + minimum)) for name in ("users", "orders", "things")]
            outcome = connector.write(streams, [*messages, *ends])
            assert outcome.code == 0, outcome.text
            with servers.client() as client:
                for name in ("users", "orders", "things"):
                    expected = list(range(1, 3001))
                    assert sorted(elements(client, f"default:{name}", shape)) == expected  # type: ignore[arg-type]
