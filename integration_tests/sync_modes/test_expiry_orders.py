"""Expiries and deletions of one row: in every order, with repetitions and late, the result is that of the rule."""

import itertools
import json
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
from redis import Redis

from destination_redis.caches import StorageFormat
from destination_redis.placements.expiry import Expiry
from destination_redis.placements.record_scripts import Scripts
from destination_redis.resp import pack_arguments
from destination_redis.transport.many_records import divided
from destination_redis.transport.pipeline import Pipeline
from integration_tests.support.data_types import UPSERTING, Shape
from integration_tests.support.data_types import cache as cache_of
from integration_tests.support.expiries import BY_TTL, END, FOREVER, OWN, TTL, expiry, now
from integration_tests.support.fuzzing.histories import SCHEMA, Change, written
from integration_tests.support.messages import Json, dedup
from integration_tests.support.servers.server import Server, needs_json

LIVE, STAGED = "default:users:", "airbyte:tmp:{default:users:"
#: Seconds within which all commands are sent once.
SOON = 4.0


@pytest.fixture(scope="module")
def _server(_server_with_json: Server) -> Server:
    return _server_with_json


@dataclass(frozen=True)
class Expiring(Change):
    """A change with an expiry: none, "far", "never", "past" or a time in seconds."""

    ends: str | float | None = None

    @property
    def message(self) -> Json:
        message = super().message
        assert self.value is not None or self.ends is None
        far = (END + (self.value or 0) * 10**6) / 1000
        times: dict[object, object] = {"far": far, "never": "infinity", "past": 1}
        message["record"]["data"]["ends"] = times.get(self.ends, self.ends)
        return message

    @property
    def gone(self) -> bool:
        """Whether it deletes the row, or is past, as the end of a test sees it."""
        return self.value is None or self.ends == "past" or isinstance(self.ends, float)


def kinds(soon: float | None = None) -> list[Expiring]:
    upserts: list[tuple[int | None, Any]] = [(None, None), (1, None), (2, None), (1, "far"), (2, "far"), (2, "never")]
    upserts += [(None, "past"), (1, "past"), (2, "past"), *([(1, soon), (2, soon)] if soon else [])]
    deletions = [Expiring(0, cursor, None) for cursor in (None, 1)]
    return [*deletions, *(Expiring(0, cursor, 0, ends) for cursor, ends in upserts)]


def outcome(changes: Sequence[Expiring]) -> Expiring | None:
    """Return the change that a row has to have after these, in the order of arrival; None where there is no row.

    It is the newest by (cursor, arrival) above the last deletion without a cursor. One that is past is a deletion.
    """
    last_floor = max((arrival for arrival, change in enumerate(changes) if change.floor), default=-1)
    counting = list(enumerate(changes))[last_floor + 1 :]
    orders = [(-1 if change.cursor is None else change.cursor, arrival) for arrival, change in counting]
    if not orders or (newest := changes[max(orders)[1]]).gone:
        return None
    return newest


Order = tuple[int, ...]


def all_orders(some: Sequence[Expiring], chance: random.Random) -> Iterator[tuple[list[Expiring], Order]]:
    """Yield histories of up to seven changes, each with the order in which they arrive at the server."""
    short = [each for length in (1, 2) for each in itertools.product(some, repeat=length)]
    longer = [tuple(chance.choices(some, k=3)) for _ in range(300)]
    long = [tuple(chance.choices(some, k=chance.randint(4, 7))) for _ in range(200)]
    key = 0
    for history in (*short, *longer, *long):
        orders = list(itertools.permutations(range(len(history))))
        for order in orders if len(orders) < 7 else chance.sample(orders, 3):
            numbered = enumerate(history, 1)
            yield [replace(each, key=key, value=None if each.value is None else n) for n, each in numbered], order
            key += 1


def with_repetitions(order: Order, chance: random.Random) -> list[int]:
    """Return an order in which each change comes once more, at any later time."""
    sent = list(order)
    for position in order:
        sent.insert(chance.randint(sent.index(position) + 1, len(sent)), position)
    return sent


def found(client: Redis, shape: Shape) -> dict[int, tuple[int, str | None]]:
    """Return the value and the expiry of each row."""
    rows = {}
    for key in client.scan_iter(f"{LIVE}*", count=1000):
        (each,) = cache_of(shape).get_all(client, [key])
        value = int(json.loads(each.data)["value"])
        rows[int(key.decode().removeprefix(LIVE))] = value, expiry(client, key, END + value * 10**6)
    return rows


def promote(pipeline: Pipeline, client: Redis, shape: Shape, ttl: int) -> None:
    """Give every staged row its live key, twice."""
    for _ in range(2):
        many = Scripts(pipeline).promotions(StorageFormat(*shape), 3, 1, 1, expiry=Expiry(ttl, own=True))
        for key in client.scan_iter(f"{STAGED}*", count=1000):
            assert client.pttl(key) == -1
            part = key.decode().removeprefix(STAGED).rstrip("}")
            names = (key, f"{LIVE}{part}".encode(), f"airbyte:tombstone:{{{LIVE}{part}}}".encode())
            many.add(pack_arguments(*names), 1, pack_arguments(b"0"))
        pipeline.send(many.take())
        pipeline.flush()


@pytest.mark.parametrize("shape", UPSERTING, ids="-".join)
@pytest.mark.parametrize("staged", [False, True], ids=["live", "staged"])
@pytest.mark.parametrize("soon", [False, True], ids=["past-or-far", "soon-past"])
@pytest.mark.parametrize("ttl", [0, TTL])
def test_every_history_in_every_order_and_with_repetitions_ends_as_the_rule_says(
    server: Server, shape: Shape, *, staged: bool, soon: bool, ttl: int
) -> None:
    needs_json(server, shape)
    client, chance = server.client, random.Random(5)
    end = round(now(client) + SOON, 3)
    orders = list(all_orders(kinds(end if soon else None), chance))
    changes = [change for history, _ in orders for change in history]
    with written(server, dedup(schema=SCHEMA), changes, staged=staged, shape=shape, expire_at="ends", ttl=ttl) as (
        pipeline,
        commands,
    ):
        for _ in range(1 + soon):  # once while it is live, and once more when it is past
            start = 0
            for history, order in orders:
                some = commands[start : start + len(history)]
                start += len(history)
                pipeline.send([some[position] for position in with_repetitions(order, chance)])
            pipeline.flush()
            if soon:
                time.sleep(max(0, end + 0.01 - now(client)))
        if staged:
            assert found(client, shape) == {}
            promote(pipeline, client, shape, ttl)
            assert client.keys(f"{STAGED}*") == []

    by_end = {None: BY_TTL if ttl else FOREVER, "far": OWN, "never": FOREVER}
    expected = {key: one for key, (history, _) in enumerate(orders) if (one := outcome(history))}
    there = found(client, shape)
    wanted = {key: (one.value, by_end[one.ends]) for key, one in expected.items()}  # type: ignore[index]
    wrong = [key for key in range(len(orders)) if there.get(key) != wanted.get(key)]
    assert not wrong, (len(wrong), orders[wrong[0]], there.get(wrong[0]), wanted.get(wrong[0]))
    assert 300 < len(wanted) < len(orders) - 300


@pytest.mark.parametrize("shape", UPSERTING, ids="-".join)
@pytest.mark.parametrize("staged", [False, True], ids=["live", "staged"])
def test_every_history_ends_as_the_rule_says_whichever_records_share_a_script(
    server: Server, shape: Shape, *, staged: bool
) -> None:
    needs_json(server, shape)
    client, chance = server.client, random.Random(6)
    histories = [history for history, _ in all_orders(kinds(), chance)]
    left = [each for history in histories for each in [iter(history)] * len(history)]
    chance.shuffle(left)
    changes = [next(history) for history in left]  # those of one row in the order of its history
    with written(server, dedup(schema=SCHEMA), changes, staged=staged, shape=shape, expire_at="ends", together=40) as (
        pipeline,
        commands,
    ):
        assert len(commands) < len(changes) / 10
        for _ in range(2):
            pipeline.send(chance.sample(commands, len(commands)))
        pipeline.flush()
        if staged:
            promote(pipeline, client, shape, 0)
    by_end = {None: FOREVER, "far": OWN, "never": FOREVER}
    expected = {key: one for key, history in enumerate(histories) if (one := outcome(history))}
    assert found(client, shape) == {
        key: (one.value, by_end[one.ends])  # type: ignore[index]
        for key, one in expected.items()
    }


@pytest.mark.parametrize("shape", UPSERTING, ids="-".join)
def test_a_record_that_is_past_lets_no_other_slip_past_maxmemory(server: Server, shape: Shape) -> None:
    needs_json(server, shape)
    client = server.client
    changes = [Expiring(0, 1, 1), Expiring(0, 2, 2, "past"), Expiring(1, 1, 3), Expiring(2, 1, 4, "far")]
    with written(server, dedup(schema=SCHEMA), changes, staged=False, shape=shape, expire_at="ends", together=4) as (
        pipeline,
        commands,
    ):
        (all_of_them,) = commands
        pipeline.send(divided(all_of_them)[:1])
        pipeline.flush()
        client.config_set("maxmemory", 1)
        try:
            connection = client.connection_pool.get_connection()
            connection.send_packed_command([all_of_them])  # what is there already is no write
            assert connection.read_response() == [1, 2, 3]
            client.connection_pool.release(connection)
        finally:
            client.config_set("maxmemory", 0)
        assert found(client, shape) == {0: (1, FOREVER)}
