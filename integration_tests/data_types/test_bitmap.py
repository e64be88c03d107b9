"""Bitmaps: positions as SETBIT sets them, a merge slice by slice, and what a server or the settings do not allow."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.caches.bitmap import MAX_POSITION
from destination_redis.destination import DestinationRedis
from integration_tests.support.connector.library import check, config_of, failure, full, refused, write, written
from integration_tests.support.connector.process import Connector, Running
from integration_tests.support.data_types import Shape
from integration_tests.support.faults.proxy import Exchange, proxy
from integration_tests.support.faults.runner import dump
from integration_tests.support.messages import COMPLETE, Json, generation, record, state, stream
from integration_tests.support.servers.cluster import cluster
from integration_tests.support.servers.server import Server
from integration_tests.support.stored import LEDGER, ledger, rejected

BITMAP: Shape = ("bitmap", "columns")
KEY, STAGED = "default:users", "airbyte:tmp:{default:users}"
SEAT = {"value": "seat"}
#: Bits in a slice of a merge.
SLICE = 8 * 1024 * 1024
#: Positions on both sides of every end of four slices, and in the midst of the last one.
STAGED_SEATS = [*range(9), *(edge + near for edge in range(SLICE, 4 * SLICE, SLICE) for near in (-1, 0)), 3 * SLICE + 9]
LIVE_SEATS = [0, 3, 1000, SLICE, SLICE + 7, 2 * SLICE + 5]


def row(seat: Any, **more: Any) -> Json:
    return record(0, data={"seat": seat, **more})


def positions(server: Server, key: str = KEY) -> set[int]:
    """Return the positions of all bits of a key, without the connector."""
    content = server.client.execute_command("GETRANGE", key, 0, -1)
    return {8 * at + bit for at, byte in enumerate(content) if byte for bit in range(8) if byte & 0x80 >> bit}


def read(server: Server) -> list[int]:
    return [int(each.data) for each in DestinationRedis().get_all(server.config, "users")]


def synced(server: Server, numbers: Json, *messages: Json, **more: Any) -> None:
    written(server, BITMAP, [full(**numbers)], *messages, **{**SEAT, **more})


@pytest.fixture
def cancelled(server: Server) -> Server:
    """Leave a bitmap, and what a refresh that was cancelled has staged of a longer one."""
    synced(server, generation(1, 0, 1), *map(row, LIVE_SEATS), COMPLETE)
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        synced(server, generation(2, 2, 2), *map(row, STAGED_SEATS), state(1), row(5))
    assert server.client.strlen(STAGED) > 3 * SLICE // 8
    return server


MERGED = sorted({*LIVE_SEATS, *STAGED_SEATS, 77})
PLAIN = generation(3, 0, 3)


def see_merged(server: Server) -> None:
    assert read(server) == MERGED
    assert server.client.bitcount(KEY) == len(MERGED)
    assert sorted(server.client.scan_iter()) == [LEDGER.encode(), KEY.encode()]
    assert ledger(server.client)["task"] == ""


def test_a_bitmap_holds_the_bits_that_setbit_would_set_and_is_read_back_in_ascending_order(server: Server) -> None:
    config = config_of(server, BITMAP, **SEAT)
    assert check(config) is None
    rows = [row(70_000), row(7), row("65535"), row(7.0), row(None), record(0, data={"id": 1}), row(0), row(8)]
    list(write(config, [full()], [*rows, COMPLETE]))
    for seat in (0, 7, 8, 65535, 70_000):
        assert server.client.getbit(KEY, seat) == 1
    assert server.client.bitcount(KEY) == 5
    assert server.client.strlen(KEY) == 70_000 // 8 + 1
    assert [(each.id, each.emitted_at, each.data) for each in DestinationRedis().get_all(config, "users")] == [
        (0, b"", text) for text in (b"0", b"7", b"8", b"65535", b"70000")
    ]


def test_a_bitmap_is_read_in_pages_and_never_whole(server: Server) -> None:
    synced(server, {}, row(1), row(MAX_POSITION), COMPLETE)
    server.client.config_resetstat()
    found = DestinationRedis().get_all(server.config, "users")
    assert next(found).data == b"1"
    calls = server.client.info("commandstats")
    assert calls["cmdstat_getrange"]["calls"] == 1
    assert "cmdstat_get" not in calls
    assert [each.data for each in found] == [b"%d" % MAX_POSITION]
    assert server.client.info("commandstats")["cmdstat_getrange"]["calls"] > 16


@pytest.mark.parametrize("most", [None, 99])
def test_a_position_above_the_highest_ends_the_sync_after_what_came_before_it(server: Server, most: int | None) -> None:
    config = config_of(server, BITMAP, **SEAT, **({"bitmap_max_position": most} if most else {}))
    most = most or MAX_POSITION
    messages = [row(most), state(1), row(most + 1), state(2), COMPLETE]
    states: list[Json] = []
    with pytest.raises(AirbyteTracedException) as caught:
        states.extend(write(config, [full()], messages))
    assert caught.value.failure_type is FailureType.config_error
    assert str(caught.value) == (
        "A record of the stream users cannot be stored: its field seat, which value names, is not an integer from 0 to "
        f"{most:,} (bitmap_max_position); acknowledged records are kept"
    )
    assert read(server) == [most]


def test_what_is_no_position_is_kept_beside_the_bitmap_where_that_is_asked_for(server: Server) -> None:
    wrong = [-1, 1.5, "x", True, {"a": 1}, 2**27]
    messages = [each for seat in wrong for each in (row(1), row(seat), row(None))]
    synced(server, {}, *messages, state(1), COMPLETE, rejected_records="keep")
    assert read(server) == [1]
    entries = [fields for _, fields in rejected(server.client)]
    assert len(entries) == len(wrong)
    assert {fields["_airbyte_reason"] for fields in entries} == {
        "its field seat, which value names, is not an integer from 0 to 134,217,727 (bitmap_max_position)"
    }


def test_the_highest_position_there_can_be_takes_512_megabytes_and_is_read_back(server: Server) -> None:
    synced(server, {}, row(5), row(2**32 - 1), COMPLETE, bitmap_max_position=2**32 - 1)
    assert server.client.strlen(KEY) == 512 * 1024 * 1024
    assert server.client.getbit(KEY, 2**32 - 1) == 1


def test_a_server_that_takes_no_position_so_high_is_named_with_its_limit(start_server: Callable[..., Server]) -> None:
    strict = start_server("--proto-max-bulk-len", "1mb")
    said = refused(strict, BITMAP, [full()], row(8 * 1024 * 1024), COMPLETE, **SEAT)
    assert "The server allows no position as high as one in the bitmap (proto-max-bulk-len)" in said
    synced(strict, {}, row(8 * 1024 * 1024 - 1), COMPLETE)
    assert read(strict) == [8 * 1024 * 1024 - 1]


def test_value_is_asked_for_and_upserts_are_refused(server: Server) -> None:
    for config in ({"cache_type": "bitmap"}, {"cache_type": "bitmap", "record_format": "columns"}):
        assert check({**server.config, **config}) == (
            "cache_type bitmap needs value: set it to the field that becomes the element"
        )
    assert server.client.dbsize() == 0


def test_another_value_needs_a_refresh_which_leaves_nothing_of_the_old_positions(server: Server) -> None:
    synced(server, generation(1, 0, 1), row(1, row=2), COMPLETE)
    said = refused(server, BITMAP, [full(**generation(1, 0, 2))], row(1, row=2), COMPLETE, value="row")
    assert "refresh the stream" in said
    assert "value seat" in said
    synced(server, generation(2, 2, 3), row(1, row=2), COMPLETE, value="row")
    assert read(server) == [2]
    # A lower maximum is for new records alone.
    synced(server, generation(2, 0, 4), row(1, row=0), COMPLETE, value="row", bitmap_max_position=1)
    assert read(server) == [0, 2]


def test_streams_have_bitmaps_and_highest_positions_of_their_own(server: Server) -> None:
    entries = [
        {"stream": "users", "cache_type": "bitmap", "value": "seat", "bitmap_max_position": 9},
        {"stream": "orders", "cache_type": "bitmap", "value": "id", "collection_key": "bits:{stream}"},
    ]
    orders = json_of(COMPLETE, "orders")
    messages = [row(9), record(0, "orders", data={"id": 10}), record(0, "things"), COMPLETE, orders]
    messages.append(json_of(COMPLETE, "things"))
    config = {**server.config, "streams": entries}
    assert check(config) is None
    list(write(config, [full(), full("orders"), full("things")], messages))
    assert server.client.bitcount(KEY) == server.client.bitcount("bits:orders") == 1
    assert server.client.getbit("bits:orders", 10) == 1
    assert server.client.type("default:things:1") == b"hash"
    assert "from 0 to 9 (" in str(failure(config, [full()], [row(10), COMPLETE]))


def json_of(message: Json, name: str) -> Json:
    """Return a status for another stream."""
    inner = message["trace"]["stream_status"]
    trace = {**message["trace"], "stream_status": {**inner, "stream_descriptor": {"name": name}}}
    return {**message, "trace": trace}


def merging(exchange: Exchange) -> bool:
    """Return whether a command is a script of the merge."""
    return exchange.words[0] == b"EVALSHA" and b"{default:users}:1" in exchange.command


def test_a_merge_of_several_slices_adds_every_position_once(cancelled: Server) -> None:
    merges: list[int] = []

    def act(exchange: Exchange) -> None:
        # Every script that merges comes twice.
        if merging(exchange):
            merges.append(exchange.number)
            exchange.execute()
        exchange.forward()

    with proxy(cancelled.port, act) as way:
        synced(cancelled, PLAIN, row(77), COMPLETE, port=way.port)
    assert len(merges) >= 4
    see_merged(cancelled)


def test_a_merge_in_a_cluster_has_all_its_keys_in_one_slot() -> None:
    with cluster() as servers, servers.client() as client:
        config = {**servers.config, "cache_type": "bitmap", **SEAT}
        list(write(config, [full(**generation(1, 0, 1))], [*map(row, LIVE_SEATS), COMPLETE]))
        failure(config, [full(**generation(2, 2, 2))], [*map(row, STAGED_SEATS), state(1), row(5)])
        list(write(config, [full(**PLAIN)], [row(77), COMPLETE]))
        assert [int(each.data) for each in DestinationRedis().get_all(config, "users")] == MERGED
        assert client.exists(STAGED) == 0


def test_a_merge_into_a_bitmap_that_is_gone_leaves_what_was_staged(cancelled: Server) -> None:
    cancelled.client.unlink(KEY)
    synced(cancelled, PLAIN, row(77), COMPLETE, ttl_seconds=900)
    assert read(cancelled) == sorted({*STAGED_SEATS, 77})
    assert 0 < cancelled.client.ttl(KEY) <= 900
    synced(cancelled, generation(3, 0, 4), row(78), COMPLETE)
    assert 78 in read(cancelled)


def test_a_merge_of_a_short_bitmap_into_a_long_one_keeps_the_rest(server: Server) -> None:
    synced(server, generation(1, 0, 1), *map(row, STAGED_SEATS), COMPLETE)
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        synced(server, generation(2, 2, 2), *map(row, [4, 77]), state(1), row(5))
    synced(server, PLAIN, COMPLETE)
    assert read(server) == sorted({*STAGED_SEATS, 77})


def put(server: Server, content: dict[bytes, bytes]) -> None:
    """Let there be these keys alone."""
    server.client.flushall()
    for key, text in content.items():
        server.client.restore(key, 0, text)


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_a_merge_that_is_killed_at_any_script_is_finished_by_the_next_sync(
    cancelled: Server, tmp_path: Path, *, late: bool
) -> None:
    content = dump(cancelled.client)
    for number in range(1, 6):
        put(cancelled, content)
        process: Future[Running] = Future()
        merges = count(1)

        def act(
            exchange: Exchange, at: int = number, dying: Future[Running] = process, merges: Iterator[int] = merges
        ) -> None:
            if merging(exchange) and next(merges) == at:
                if late:
                    exchange.execute()
                dying.result().process.kill()
                exchange.reset()
            exchange.forward()

        with proxy(cancelled.port, act) as way:
            connector = Connector(config_of(cancelled, BITMAP, port=way.port, **SEAT), tmp_path)
            running = connector.start([stream(**PLAIN)])
            process.set_result(running)
            running.feed([row(77), COMPLETE])
            assert running.finish().code == -9
        cancelled.wait_until_alone()
        # Nothing that was acknowledged is missing: it is live or still staged.
        assert {*positions(cancelled), *positions(cancelled, STAGED)} == set(MERGED) - {77}
        assert positions(cancelled) >= set(LIVE_SEATS)
        assert bool(cancelled.client.exists(STAGED)) == (number < 4 + (not late))
        synced(cancelled, generation(4, 0, 4), row(77), COMPLETE)
        see_merged(cancelled)


def test_a_merge_that_a_server_out_of_memory_refuses_again_and_again_loses_nothing(cancelled: Server) -> None:
    refusals = count()

    def act(exchange: Exchange) -> None:
        # The first time, a script for a slice finds no room.
        if merging(exchange) and next(refusals) % 2 == 0:
            cancelled.client.config_set("maxmemory", 1)
            reply = exchange.execute()
            cancelled.client.config_set("maxmemory", 0)
            refused_ones.append(b"OOM" in reply[:200])
            exchange.answer(reply)
        else:
            exchange.forward()

    refused_ones: list[bool] = []
    with proxy(cancelled.port, act) as way:
        synced(cancelled, PLAIN, row(77), COMPLETE, port=way.port)
    assert refused_ones[:4] == [True] * 4
    see_merged(cancelled)


def test_the_position_of_a_merge_counts_for_no_other_staged_bitmap(cancelled: Server) -> None:
    # As a merge leaves it whose staged bitmap was removed by hand in the midst of it.
    first = ledger(cancelled.client)["staged_first"]
    cancelled.client.hset(LEDGER, mapping={"task": "merge", "merge_first": first, "merge_position": 3 * 1024 * 1024})
    cancelled.client.unlink(STAGED)
    synced(cancelled, PLAIN, COMPLETE)
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        synced(cancelled, generation(4, 4, 4), *map(row, STAGED_SEATS), state(1), row(5))
    synced(cancelled, generation(5, 0, 5), row(77), COMPLETE)
    see_merged(cancelled)


def test_the_estimate_of_memory_counts_up_to_the_highest_position(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    synced(server, generation(1, 1, 1), row(1), row(MAX_POSITION), COMPLETE)
    server.client.config_set("maxmemory", server.client.info("memory")["used_memory"] + 8_000_000)
    with pytest.raises(AirbyteTracedException):
        list(write(config_of(server, BITMAP, **SEAT), [full(**generation(2, 2, 2))], [row(1), row(MAX_POSITION)], 0.1))
    (warning,) = [each.message for each in caplog.records if "The old data of users" in each.message]
    # An allocator may round 16.8 MB up by a fourth.
    assert re.search(r"this needs about (1[6-9]|2[01])\.\d MB more", warning)
