"""Deletions without a cursor, as CDC sources send them: what came before is void, what comes after counts."""

import itertools
import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from msgspec import Raw

from destination_redis.caches import StorageFormat
from destination_redis.placements.expiry import Expiry
from destination_redis.placements.record_scripts import Scripts
from destination_redis.placements.upserts import Floors, FlushRequired
from destination_redis.protocol.cursor import Order, encode
from destination_redis.resp import pack_arguments
from integration_tests.support.connector.process import Connector
from integration_tests.support.data_types import HASH, UPSERTING, Shape
from integration_tests.support.data_types import cache as cache_of
from integration_tests.support.fuzzing.histories import (
    SCHEMA,
    Change,
    all_histories,
    all_kinds,
    numbered,
    outcome,
    written,
)
from integration_tests.support.messages import COMPLETE, Json, dedup, generation, state
from integration_tests.support.project import FIELD_CASES
from integration_tests.support.servers.server import Server, needs_json

#: In soft mode the value of a row whose deletion is kept as the record.
KEPT = "deleted"


@pytest.fixture(scope="module")
def _server(_server_with_json: Server) -> Server:
    return _server_with_json


def after(changes: Sequence[Change], *, soft: bool) -> int | str | None:
    """Return the value that a row has to have after these changes, None where there has to be no row."""
    value = outcome(changes)
    return KEPT if soft and value is None else value


def found(server: Server, prefix: str, shape: Shape) -> dict[int, int | str]:
    """Return the value of each row that is there; staged markers of deletions are none."""
    values: dict[int, int | str] = {}
    for key in server.client.scan_iter(f"{prefix}*", count=1000):
        for each in cache_of(shape).get_all(server.client, [key]):
            data = json.loads(each.data)
            number = int(key.decode().removeprefix(prefix).rstrip("}"))
            values[number] = KEPT if "_ab_cdc_deleted_at" in data else int(data["value"])
    return values


@pytest.mark.parametrize("shape", UPSERTING, ids="-".join)
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("staged", [False, True], ids=["live", "staged"])
def test_every_short_history_in_every_order_and_with_repetitions_ends_as_the_rule_says(
    server: Server, shape: Shape, *, staged: bool, soft: bool
) -> None:
    needs_json(server, shape)
    chance = random.Random(3)
    long = [tuple(chance.choices(all_kinds(), k=chance.randint(4, 7))) for _ in range(400)]
    orders = [
        (history, order)
        for history in (*all_histories(3), *long)
        for order in (
            itertools.permutations(range(len(history)))
            if len(history) < 4
            else (chance.sample(range(len(history)), len(history)) for _ in range(4))
        )
    ]
    histories = [numbered(history, key) for key, (history, _) in enumerate(orders)]
    changes = [change for history in histories for change in history]
    with written(server, dedup(schema=SCHEMA), changes, staged=staged, shape=shape, soft=soft) as (pipeline, commands):
        start = 0
        for history, order in orders:
            some = commands[start : start + len(history)]
            start += len(history)
            # Each in this order, and once more at any later time.
            sent = [some[position] for position in order]
            for position in order:
                sent.insert(chance.randint(sent.index(some[position]) + 1, len(sent)), some[position])
            pipeline.send(sent)

    expected = {key: value for key, each in enumerate(histories) if (value := after(each, soft=soft)) is not None}
    prefix = "airbyte:tmp:{default:users:" if staged else "default:users:"
    there = found(server, prefix, shape)
    wrong = [key for key in range(len(histories)) if there.get(key) != expected.get(key)]
    assert not wrong, (histories[wrong[0]], orders[wrong[0]][1], there.get(wrong[0]), expected.get(wrong[0]))
    assert len(expected) > 300
    assert soft or len(expected) < len(histories)


@pytest.mark.parametrize("shape", UPSERTING, ids="-".join)
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("staged", [False, True], ids=["live", "staged"])
def test_every_short_history_ends_as_the_rule_says_whichever_records_share_a_script(
    server: Server, shape: Shape, *, staged: bool, soft: bool
) -> None:
    needs_json(server, shape)
    chance = random.Random(7)
    histories = [numbered(history, key) for key, history in enumerate(all_histories(3))]
    left = [each for history in histories for each in [iter(history)] * len(history)]
    chance.shuffle(left)
    changes = [next(history) for history in left]  # those of one row in the order of its history
    configured = dedup(schema=SCHEMA)
    with written(server, configured, changes, staged=staged, shape=shape, soft=soft, together=40) as (
        pipeline,
        commands,
    ):
        assert len(commands) < len(changes) / 10
        for _ in range(2):
            pipeline.send(chance.sample(commands, len(commands)))
    expected = {key: value for key, each in enumerate(histories) if (value := after(each, soft=soft)) is not None}
    prefix = "airbyte:tmp:{default:users:" if staged else "default:users:"
    assert found(server, prefix, shape) == expected


@pytest.mark.parametrize("shape", UPSERTING, ids="-".join)
@pytest.mark.parametrize("soft", [False, True], ids=["hard", "soft"])
@pytest.mark.parametrize("complete", [True, False], ids=["promoted", "merged"])
def test_every_split_of_a_history_over_live_staged_and_later_records_ends_as_the_rule_says(
    connector: Connector, server: Server, shape: Shape, *, soft: bool, complete: bool
) -> None:
    needs_json(server, shape)
    connector.config |= {"cache_type": shape[0], "record_format": shape[1], "deletion_mode": "soft" if soft else "hard"}
    splits = [
        (numbered(history, 0), first, second)
        for history in all_histories(3)
        for first in range(len(history) + 1)
        for second in range(first, len(history) + 1)
    ]
    live: list[Change] = []
    refreshed: list[Change] = []
    later: list[Change] = []
    for key, (history, first, second) in enumerate(splits):
        for number, change in enumerate(history):
            part = live if number < first else refreshed if number < second else later
            part.append(Change(key, change.cursor, change.value))
    plain, refresh = generation(1, 0, 1), generation(2, 2, 2)
    plan = [(plain, live, True), (refresh, refreshed, complete), (generation(2, 0, 3), later, True)]
    for numbers, changes, ends in plan:
        messages: list[Json] = [change.message for change in changes]
        configured = dedup(schema=SCHEMA, **numbers)
        result = connector.write([configured], [*messages, state(1), *([COMPLETE] if ends else [])])
        assert (result.code == 0) == ends, result.text

    # A refresh that is complete leaves nothing of what was live before.
    counting = [history[first:] if complete else history for history, first, _ in splits]
    values = {key: after(each, soft=soft) for key, each in enumerate(counting) if each}
    expected = {key: value for key, value in values.items() if value is not None}
    there = found(server, "default:users:", shape)
    wrong = [key for key in range(len(splits)) if there.get(key) != expected.get(key)]
    assert not wrong, (splits[wrong[0]], there.get(wrong[0]), expected.get(wrong[0]))
    assert len(expected) > 300
    assert server.client.keys("airbyte:tmp:*") == []


@pytest.mark.parametrize("between", [[], [Change(0, 1, 3)]], ids=["deleted", "there-again"])
def test_what_is_below_a_floor_stays_void_after_a_merge_put_a_record_without_one_in_its_place(
    server: Server, between: list[Change]
) -> None:
    changes = [Change(0, 9, 1), Change(0, None, None), *between]
    staged, live, deletion = (
        key.encode()
        for key in ("airbyte:tmp:{default:users:0}", "default:users:0", "airbyte:tombstone:{default:users:0}")
    )
    with written(server, dedup(schema=SCHEMA), changes, staged=False) as (pipeline, commands):
        pipeline.send(commands)
        pipeline.flush()
        cursor = f"0000{encode(Raw(b'2'), Order.NUMBER)}"
        newer: Any = {
            "_airbyte_ab_id": 10,
            "_airbyte_emitted_at": 1,
            "_airbyte_cursor": cursor,
        }
        newer["_airbyte_data"] = '{"id":0,"value":10}'
        server.client.hset(staged, mapping=newer)
        promotions = Scripts(pipeline).promotions(StorageFormat(), 3, 10, 1, expiry=Expiry())
        promotions.add(pack_arguments(staged, live, deletion), 1, pack_arguments(b"0"))
        pipeline.send(promotions.take())
        pipeline.send(commands)
    assert found(server, "default:users:", HASH) == {0: 10}
    assert server.client.ttl(deletion) > 0


def test_a_cdc_deletion_with_the_key_alone_removes_the_row_until_it_comes_again(
    connector: Connector, server: Server
) -> None:
    case = FIELD_CASES / "deletion-without-cursor"
    catalog = json.loads((case / "catalog.json").read_text())["streams"]
    messages = (case / "messages.jsonl").read_text().splitlines()
    assert connector.write(catalog, messages).code == 0
    assert server.client.exists("default:t:1") == 0

    back = {"id": 1, "updated_at": "2023-01-01T00:00:00Z", "v": "again"}  # below the cursor that was deleted
    again = {"type": "RECORD", "record": {"stream": "t", "emitted_at": 1700000000000, "data": back}}
    assert connector.write(catalog, [again, state(3, "t")]).code == 0
    data: Any = server.client.hget("default:t:1", "_airbyte_data")
    assert json.loads(data)["v"] == "again"


@pytest.mark.parametrize("deletion", [None, "not a time", True, "0000-00-00"])
def test_a_deletion_whose_cursor_is_null_or_cannot_be_read_goes_by_arrival(
    connector: Connector, server: Server, deletion: str | bool | None
) -> None:
    times = {"properties": {**SCHEMA["properties"], "at": {"type": "string", "format": "date-time"}}}
    upsert, delete = Change(1, None, 1).message, Change(1, None, None).message
    upsert["record"]["data"]["at"] = "2024-01-01T00:00:00Z"
    delete["record"]["data"]["at"] = deletion
    assert connector.write([dedup(schema=times)], [upsert, delete, COMPLETE]).code == 0
    assert server.client.exists("default:users:1") == 0


def test_many_deletions_without_a_cursor_are_not_all_remembered_at_once() -> None:
    floors = Floors()
    asked = 0
    for number in range(40_000):
        try:
            floors.add(b"%d" % number, number)
        except FlushRequired:  # once what was sent is in Redis, it is asked for again
            asked += 1
            floors.add(b"%d" % number, number)
    assert asked == 2
    assert floors.carried(b"39999", b"0") == b"0 39999"
    assert floors.carried(b"1", b"0") == b"0"
