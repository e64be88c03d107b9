"""Every kind of deployment with every sync mode: each cell is three syncs in a row, compared exactly.

The one in the middle is a process of its own, as users run it. Most of the time of such a one is its start, so the
others take place in this process.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from redis import Redis

from integration_tests.support.connector.library import check, full, full_dedup, write
from integration_tests.support.connector.process import Connector
from integration_tests.support.messages import COMPLETE, Json, generation, record, state
from integration_tests.support.servers.deployments import KINDS


@dataclass(frozen=True)
class Step:
    """A sync, and the keys that readers find after it, each with its data."""

    stream: Json
    messages: list[Json]
    after: dict[str, Any]

    @property
    def cursors(self) -> list[int]:
        return cursors([message["state"] for message in self.messages if message["type"] == "STATE"])


def numbered(*numbers: int) -> list[Json]:
    """Return records with these numbers, a state after each tenth and at the end, and that the stream is complete."""
    parts = ([record(number), state(number)] if number % 10 == 0 else [record(number)] for number in numbers)
    return [message for part in parts for message in part] + [state(numbers[-1]), COMPLETE]


def stored(first: int, last: int) -> dict[str, Any]:
    """Return what is there after records whose numbers are their ids, too."""
    return {"default:users": last, **{f"default:users:{id_}": {"id": id_} for id_ in range(first, last + 1)}}


def row(key: int, at: int, **more: Any) -> Json:
    return record(at, data={"id": key, "at": at, **more})


def kept(at_of: dict[int, int]) -> dict[str, Any]:
    """Return what is there of rows with these keys; the last id among primary keys is a time."""
    return {"default:users": ANY, **{f"default:users:{key}": {"id": key, "at": at} for key, at in at_of.items()}}


def keyed(number: int, minimum: int, sync_id: int) -> Json:
    schema = {"properties": {"at": {"type": "integer"}, "_ab_cdc_deleted_at": {"type": "string"}}}
    return full_dedup(schema=schema, **generation(number, minimum, sync_id))


APPEND = [
    Step(full(**generation(1, 0, 1)), numbered(*range(1, 31)), stored(1, 30)),
    Step(full(**generation(2, 2, 2)), numbered(*range(31, 96)), stored(31, 95)),
    Step(full(**generation(2, 0, 3)), numbered(*range(96, 101)), stored(31, 100)),
]
OVERWRITE = [
    Step(full(mode="overwrite"), numbered(*range(1, 31)), stored(1, 30)),
    Step(full(mode="overwrite"), numbered(*range(31, 96)), stored(31, 95)),
    Step(full(mode="overwrite"), numbered(*range(96, 101)), stored(96, 100)),
]
DELETED = {"_ab_cdc_deleted_at": "2024-01-01"}
APPEND_DEDUP = [
    Step(keyed(1, 0, 1), [row(1, 1), row(2, 2), row(2, 1), state(2), COMPLETE], kept({1: 1, 2: 2})),
    Step(
        keyed(2, 2, 2),
        [row(2, 1), row(3, 3), state(3), row(4, 4), row(4, 5, **DELETED), row(3, 2), state(5), COMPLETE],
        kept({2: 1, 3: 3}),
    ),
    Step(
        keyed(2, 0, 3),
        [row(2, 6), row(3, 2), state(6), row(4, 4), row(5, 7), state(7), COMPLETE],
        kept({2: 6, 3: 3, 5: 7}),
    ),
]
MODES = {"append": APPEND, "overwrite": OVERWRITE, "append_dedup": APPEND_DEDUP}


@pytest.fixture(scope="module", params=KINDS)
def deployed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Json, Redis]]:
    with KINDS[request.param](tmp_path_factory.mktemp("kind")) as there:
        yield there


@pytest.mark.parametrize("mode", MODES)
def test_a_sync_replaces_what_another_left_and_a_third_goes_on_from_it(
    deployed: tuple[Json, Redis], mode: str, tmp_path: Path
) -> None:
    config, client = deployed
    client.flushall()
    assert check(config) is None
    earlier, replacing, later = MODES[mode]
    assert cursors(write(config, [earlier.stream], earlier.messages)) == earlier.cursors
    assert readable(client) == earlier.after

    outcome = Connector(config, tmp_path).write([replacing.stream], replacing.messages)
    assert outcome.code == 0, outcome.text
    assert cursors(outcome.states) == replacing.cursors
    assert readable(client) == replacing.after

    assert cursors(write(config, [later.stream], later.messages)) == later.cursors
    assert readable(client) == later.after


def cursors(states: Any) -> list[int]:
    return [one["stream"]["stream_state"]["cursor"] for one in states]


def readable(client: Redis) -> dict[str, Any]:
    """Return what readers find: every key but the connector's own, of which none is left staged."""
    found: dict[str, Any] = {}
    for key in client.scan_iter(count=1000):
        name = key.decode()
        if name.startswith("airbyte:"):
            assert not name.startswith("airbyte:tmp:")
        elif client.type(key) == b"hash":
            found[name] = json.loads(client.hget(key, "_airbyte_data") or b"")
        else:
            found[name] = int(client.get(key) or b"")
    return found
