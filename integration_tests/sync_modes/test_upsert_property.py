"""Random inserts, updates, deletions and replays over several syncs with kills in between, beside a model in Python."""

import json
import random
import time
from collections import defaultdict
from dataclasses import dataclass, field

import pytest
from redis.exceptions import ResponseError

from integration_tests.support.connector.process import Connector
from integration_tests.support.data_types import UPSERTING, Shape
from integration_tests.support.data_types import cache as cache_of
from integration_tests.support.fuzzing.histories import SCHEMA, Change, outcome, written
from integration_tests.support.messages import COMPLETE, Json, dedup, generation, state
from integration_tests.support.servers.server import Server, needs_json
from integration_tests.support.stored import rows

KEYS = 12
CURSORS = (None, 0, 1, 2, 3, 10, 11)
STATE_EVERY = 6
#: Kinds of syncs; a refresh that is cancelled is followed by one that adds, or by another refresh.
BLOCKS = [["add"], ["refresh"], ["cancel", "add"], ["cancel", "refresh"]]


@dataclass
class Model:
    """The history of each row."""

    rows: dict[int, list[Change]] = field(default_factory=lambda: defaultdict(list))

    def take(self, change: Change) -> None:
        self.rows[change.key].append(change)

    def merge(self, staged: "Model") -> None:
        for key, changes in staged.rows.items():
            self.rows[key] += changes

    @property
    def readable(self) -> dict[str, int]:
        return {str(key): value for key, changes in self.rows.items() if (value := outcome(changes)) is not None}


class Source:
    """Sends changes with a state now and then, dies with the sync, and goes on from its last acknowledged state."""

    def __init__(self, chance: random.Random, connector: Connector) -> None:
        self._chance = chance
        self._connector = connector
        self._value = 0
        self.kills = 0

    def changes(self) -> list[Change]:
        made: list[Change] = []
        for _ in range(self._chance.randint(0, 120)):
            if made and self._chance.random() < 0.1:
                made += made[-self._chance.randint(1, 8) :]  # sent once more
            self._value += 1
            value = None if self._chance.random() < 0.25 else self._value
            made.append(Change(self._chance.randrange(KEYS), self._chance.choice(CURSORS), value))
        return made

    def sync(self, configured: Json, changes: list[Change], *, complete: bool, kills: int) -> None:
        at = 0
        while True:
            running = self._connector.start([configured])
            cut = self._chance.randint(at, len(changes))
            if kills:
                part = self._messages(changes[:cut], at)
                running.send(*part)
                whole = sum(message["type"] == "STATE" for message in part)
                running.wait_for_states(self._chance.randint(0, whole))
                time.sleep(self._chance.uniform(0, 0.05))
                kills -= 1
                self.kills += 1
                states = running.kill().states
                at = states[-1]["stream"]["stream_state"]["cursor"] if states else at
                continue
            running.send(*self._messages(changes, at), state(len(changes)), *([COMPLETE] if complete else []))
            outcome = running.finish()
            assert (outcome.code == 0) == complete, outcome.text
            return

    @staticmethod
    def _messages(changes: list[Change], at: int) -> list[Json]:
        messages = []
        for number, change in enumerate(changes[at:], at + 1):
            messages.append(change.message)
            if number % STATE_EVERY == 0:
                messages.append(state(number))
        return messages


@pytest.fixture(scope="module")
def _server(_server_with_json: Server) -> Server:
    return _server_with_json


@pytest.mark.parametrize("shape", UPSERTING, ids="-".join)
def test_syncs_of_random_changes_killed_now_and_then_end_as_the_model_does(
    connector: Connector, server: Server, shape: Shape
) -> None:
    needs_json(server, shape)
    connector.config |= {"cache_type": shape[0], "record_format": shape[1]}
    seed = UPSERTING.index(shape)
    chance = random.Random(seed)
    source = Source(chance, connector)
    live = Model()
    staged: Model | None = None
    compared = 0
    number = 1
    blocks = chance.sample(BLOCKS, len(BLOCKS))
    for sync_id, kind in enumerate(["add", *(kind for block in blocks for kind in block)], 1):
        changes = source.changes()
        minimum = 0 if kind == "add" else (number := number + 1)
        configured = dedup(schema=SCHEMA, **generation(number, minimum, sync_id))
        target = live if kind == "add" else Model()
        if kind == "add" and staged:
            live.merge(staged)
        for change in changes:
            target.take(change)
        source.sync(configured, changes, complete=kind != "cancel", kills=chance.randint(0, 2))
        if kind == "refresh":
            live = target
        staged = target if kind == "cancel" else None

        there = {key: int(value) for key, value in rows(server.client, shape=shape).items()}
        assert there == live.readable, json.dumps([seed, sync_id, kind])
        compared += len(live.readable)
    print(f"seed {seed}: {source.kills} kills, {compared} rows compared")
    assert source.kills > 0
    assert compared > 0


def test_an_upsert_and_a_deletion_that_are_both_sent_again_leave_the_row_deleted(server: Server) -> None:
    # The schema does not announce deletions, so the upsert does not look for one.
    silent = dedup(schema={"properties": {"id": {"type": "integer"}}})
    with written(server, silent, [Change(1, 1, 10), Change(1, 2, None)], staged=False) as (pipeline, commands):
        pipeline.send(commands)
        pipeline.send(commands)
    assert server.client.exists("default:users:1") == 0
    assert server.client.exists("airbyte:tombstone:{default:users:1}") == 1


@pytest.mark.parametrize("shape", UPSERTING, ids="-".join)
@pytest.mark.parametrize("staged", [False, True])
def test_commands_sent_twice_late_and_in_any_order_leave_the_newest(
    connector: Connector, server: Server, shape: Shape, *, staged: bool
) -> None:
    needs_json(server, shape)
    chance = random.Random(7)
    changes = Source(chance, connector).changes()
    model = Model()
    for change in changes:
        model.take(change)
    with written(server, dedup(schema=SCHEMA), changes, staged=staged, shape=shape) as (pipeline, commands):
        sent = commands + chance.sample(commands, len(commands) // 2)
        chance.shuffle(sent)
        pipeline.send(sent)

    prefix = "airbyte:tmp:{default:users:" if staged else "default:users:"
    found = {}
    for key in server.client.scan_iter(f"{prefix}*"):
        for each in cache_of(shape).get_all(server.client, [key]):  # but for staged deletions
            found[key.decode().removeprefix(prefix).rstrip("}")] = int(json.loads(each.data)["value"])
    assert found == model.readable
    assert len(changes) > 50


@pytest.mark.parametrize("shape", UPSERTING, ids="-".join)
@pytest.mark.parametrize("staged", [False, True])
def test_a_server_out_of_memory_refuses_an_upsert_whole(server: Server, shape: Shape, *, staged: bool) -> None:
    needs_json(server, shape)
    changes = [Change(1, 1, 10), Change(1, 2, 20), Change(2, 1, 30)]
    with written(server, dedup(schema=SCHEMA), changes, staged=staged, shape=shape) as (pipeline, commands):
        pipeline.send(commands[:1])
        pipeline.flush()
        before = {key: server.client.dump(key) for key in server.client.scan_iter("*users:[12]*")}
        connection = server.client.connection_pool.get_connection()
        server.client.config_set("maxmemory", 1)
        try:
            for command in commands[1:]:
                connection.send_packed_command([command])
                with pytest.raises(ResponseError, match="used memory"):
                    connection.read_response()
        finally:
            server.client.config_set("maxmemory", 0)
            server.client.connection_pool.release(connection)
        assert {key: server.client.dump(key) for key in server.client.scan_iter("*users:[12]*")} == before
        assert len(before) == 1
