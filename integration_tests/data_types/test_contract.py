"""The contract of every data type under every kind of template: records come back, are replaced, merged and moved."""

import json
from dataclasses import dataclass, replace
from itertools import product

import pytest

from destination_redis.destination import DestinationRedis
from integration_tests.support.connector.library import failure, full, full_dedup, refused, write
from integration_tests.support.data_types import COLLECTED, NEEDS, SHAPES, UPSERTING, Shape, columns, settings_for
from integration_tests.support.messages import COMPLETE, Json, generation, record, state
from integration_tests.support.servers.server import Server, needs_json

RECORD_KEYS = ("", "user:{key}", "{key}", "{stream}.{namespace}:{key}:x")
COLLECTION_KEYS = ("", "queue", "{namespace}.{stream}:all")


@dataclass(frozen=True)
class Case:
    """A data type and format, and the template of its keys, "" for the default."""

    shape: Shape
    template: str

    def __str__(self) -> str:
        return f"{'-'.join(self.shape)} {self.template or 'default'}"

    @property
    def collected(self) -> bool:
        return self.shape in COLLECTED

    @property
    def another(self) -> "Case":
        """The same data type under another template."""
        some = COLLECTION_KEYS if self.collected else RECORD_KEYS
        return replace(self, template=some[(some.index(self.template) + 1) % len(some)])

    def config(self, server: Server) -> Json:
        setting = {"collection_key" if self.collected else "record_key": self.template or None}
        return {**server.config, **settings_for(self.shape), **setting}

    def stream(self, number: int, minimum: int = 0) -> list[Json]:
        made = full_dedup if self.shape in UPSERTING else full
        return [made(**generation(number, minimum, number))]

    def keys(self, numbers: list[int]) -> set[str]:
        """Return all keys that a stream with these records has, but for the registry of templates."""
        own = {"airbyte:{default:users}"}
        if self.collected:
            return {*own, self.key}
        own |= set() if self.template else {"default:users"}
        return {*own, *(self.key.replace("{key}", str(number)) for number in numbers)}

    @property
    def key(self) -> str:
        """The key of the collection, or that of a record with its primary key left open."""
        names = self.template.replace("{namespace}", "default").replace("{stream}", "users")
        return names or ("default:users" if self.collected else "default:users:{key}")


def row(number: int) -> Json:
    return record(number, data={"id": number, "at": number, "name": f"n{number}", **columns(number)})


def written(server: Server, case: Case, streams: list[Json], *numbers: int) -> None:
    assert list(write(case.config(server), streams, [*map(row, numbers), COMPLETE])) == []


def seen(server: Server, case: Case) -> list[int]:
    """Return the numbers of all records, once they are whole and under the keys of the stream, which has no others."""
    needs = NEEDS.get(case.shape[0])
    if needs and needs.read:
        numbers = sorted(needs.read(server.client, case.key))
    else:
        found = [json.loads(each.data) for each in DestinationRedis().get_all(case.config(server), "users")]
        numbers = sorted(int(data["id"]) for data in found)
        # Columns of a hash are text.
        assert {str(data["id"]): data["name"] for data in found} == {str(number): f"n{number}" for number in numbers}
    keys = {key.decode() for key in server.client.scan_iter()} - {"airbyte:templates"}
    if case.collected or case.shape in UPSERTING:
        assert keys == case.keys(numbers)
    else:
        assert len(keys) == len(case.keys(numbers))
    return numbers


def claimed(server: Server) -> bool:
    return bool(server.client.hexists("airbyte:templates", "default:users"))


@pytest.fixture(scope="module")
def _server(_server_with_json: Server) -> Server:
    return _server_with_json


CASES = [
    *(Case(*both) for both in product(COLLECTED, COLLECTION_KEYS)),
    *(Case(*both) for both in product(UPSERTING, RECORD_KEYS)),
    *(Case(shape, "") for shape in SHAPES if shape not in (*COLLECTED, *UPSERTING)),
]


@pytest.fixture(params=CASES, ids=str)
def case(request: pytest.FixtureRequest, server: Server) -> Case:
    chosen: Case = request.param
    needs_json(server, chosen.shape)
    return chosen


def test_records_come_back_as_they_were_sent_and_those_of_a_later_sync_beside_them(server: Server, case: Case) -> None:
    written(server, case, case.stream(1), 1, 2)
    assert seen(server, case) == [1, 2]
    written(server, case, case.stream(1), 3)
    assert seen(server, case) == [1, 2, 3]
    assert claimed(server) == bool(case.template)


def test_a_refresh_replaces_all_records_and_leaves_no_other_key(server: Server, case: Case) -> None:
    written(server, case, case.stream(1), 1, 2)
    written(server, case, case.stream(2, 2), 2, 3)
    assert seen(server, case) == [2, 3]


def test_what_a_cancelled_refresh_had_acknowledged_is_merged(server: Server, case: Case) -> None:
    written(server, case, case.stream(1), 1)
    failure(case.config(server), case.stream(2, 2), [row(2), state(2), row(3)])
    assert server.client.keys("airbyte:tmp:*")
    written(server, case, case.stream(3), 3, 4)
    assert seen(server, case) == [1, 2, 3, 4]


def test_another_template_is_refused_until_a_refresh_moves_the_stream_to_its_keys(server: Server, case: Case) -> None:
    other = case.another
    written(server, case, case.stream(1), 1, 2)
    if case.collected or case.shape in UPSERTING:
        wrong = refused(server, other.shape, other.stream(1), row(3), COMPLETE, **other.config(server))
        assert "refresh the stream" in wrong
        assert seen(server, case) == [1, 2]
        written(server, other, other.stream(2, 2), 2, 3)
        assert seen(server, other) == [2, 3]
        assert claimed(server) == bool(other.template)
    else:  # sequential ids keep the default keys
        written(server, other, other.stream(1), 3)
        assert seen(server, case) == [1, 2, 3]
