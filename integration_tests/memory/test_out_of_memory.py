"""Memory that ends in the middle of a sync, in every data type and sync mode: waited for, or an honest failure."""

import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from redis import Redis

from destination_redis.transport.retry import WARN_AFTER
from integration_tests.support.connector.library import full, full_dedup, write
from integration_tests.support.data_types import READABLE, UPSERTING, Shape, columns, settings_for
from integration_tests.support.faults.seed import FULL, report, rng
from integration_tests.support.messages import COMPLETE, Json, generation, record, state
from integration_tests.support.servers.cluster import cluster
from integration_tests.support.servers.server import Server, needs_json
from integration_tests.support.stored import ledger, rows, values

RECORDS, STATE_EVERY = 300, 20
PAD = "x" * 1000
INSTANTS = 3 if FULL else 1
#: Seconds until a sync gives up.
RETRY_SECONDS = 0.2
#: What is no record has `write` send at once what came before it.
NOTE: Json = {"type": "LOG", "log": {"level": "INFO", "message": "a note"}}
KEYED_MODES = ("append_dedup", "refresh of append_dedup")
CASES = [(shape, mode) for shape in READABLE for mode in ("append", "overwrite", "refresh", *KEYED_MODES)]
CASES = [(shape, mode) for shape, mode in CASES if mode not in KEYED_MODES or shape in UPSERTING]


@pytest.fixture(scope="module")
def _server(_server_with_json: Server) -> Server:
    return _server_with_json


@pytest.fixture
def server(_server: Server) -> Iterator[Server]:
    _server.client.flushall()
    yield _server
    lift([_server])


def ended(states: Iterator[Json]) -> tuple[list[Json], AirbyteTracedException | None]:
    """Return the states that come back, and the error."""
    there: list[Json] = []
    try:
        there.extend(states)
    except AirbyteTracedException as error:
        return there, error
    return there, None


class Work:
    """A sync of one mode into the records of an earlier one, and what it must leave."""

    def __init__(self, config: Json, client: Redis, shape: Shape, mode: str) -> None:
        """Take a client that sees all keys."""
        self.config = {**config, **settings_for(shape)}
        self._client = client
        self._shape = shape
        self._by_key = mode in KEYED_MODES
        self._replaces = mode not in ("append", "append_dedup")
        self._mode = "overwrite" if mode == "overwrite" else "append"
        self.messages: list[Json] = []
        for number in range(1, RECORDS + 1):
            self.messages.append(self._message(number))
            if number % STATE_EVERY == 0:
                self.messages.append(state(number))
        self._before = [self._message(number) for number in range(-10, 0)]

    def begin(self) -> None:
        """Have the earlier sync's records there."""
        self._client.flushall()
        list(write(self.config, [self._configured(generation(1, 0, 1))], [*self._before, COMPLETE]))

    def sync(
        self, messages: Iterable[Json], retry_seconds: float = 30
    ) -> tuple[list[int], AirbyteTracedException | None]:
        """Return the cursors of the states that come back, and the error."""
        numbers = generation(2, 2, 2) if self._replaces else generation(1, 0, 2)
        states, error = ended(
            write(self.config, [self._configured(numbers)], chain(messages, [COMPLETE]), retry_seconds)
        )
        return [each["stream"]["stream_state"]["cursor"] for each in states], error

    def after(self, cursor: int) -> list[Json]:
        """Return what a source sends that was told of the state with this cursor."""
        if not cursor:
            return self.messages
        return self.messages[self.messages.index(state(cursor)) + 1 :]

    def see_all_of_it(self) -> int:
        """See that every record is there, and nothing else; return how many."""
        records = [each["record"]["data"] for each in self.messages if each["type"] == "RECORD"]
        if not self._replaces:
            records = [each["record"]["data"] for each in self._before] + records
        if not self._by_key:
            assert values(self._client, shape=self._shape) == [each["id"] for each in records]
            return len(records)
        table: dict[str, int] = {}
        for each in records:
            table.pop(str(each["id"]), None)
            if "_ab_cdc_deleted_at" not in each:
                table[str(each["id"])] = each["value"]
        assert {key: int(value) for key, value in rows(self._client, shape=self._shape).items()} == table
        return len(table)

    def _configured(self, numbers: Json) -> Json:
        return full_dedup(**numbers) if self._by_key else full(mode=self._mode, **numbers)

    def _message(self, number: int) -> Json:
        data: Json = {"id": number, "pad": f"{number}{PAD}", **columns(number)}
        if self._by_key:
            data |= {"id": number % 200, "at": number + 100, "value": number}
            if number % 11 == 0:
                data["_ab_cdc_deleted_at"] = "now"
        return record(number, data=data)


def refusals(servers: Sequence[Server]) -> int:
    """Return how many commands were refused for lack of memory."""
    stats = [each.client.info("errorstats").get("errorstat_OOM", {"count": 0}) for each in servers]
    return sum(int(each["count"]) for each in stats)


def fill(servers: Sequence[Server]) -> None:
    """Leave the servers no room at all."""
    for each in servers:
        each.client.config_set("maxmemory", 1)


def lift(servers: Sequence[Server]) -> None:
    """Take the limits away."""
    for each in servers:
        each.client.config_set("maxmemory", 0)


@contextmanager
def room_made_after_a_refusal(servers: Sequence[Server]) -> Iterator[None]:
    """Lift the limits as soon as a command was refused, and see that one was."""
    before = refusals(servers)
    over = threading.Event()

    def watch() -> None:
        # More than once: the first refusal may come before all servers are full.
        while not over.wait(0.005):
            if refusals(servers) > before:
                lift(servers)

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield
    finally:
        over.set()
        watching.join()
    assert refusals(servers) > before


def attack(work: Work, servers: Sequence[Server], name: str) -> None:
    """Let memory end somewhere, with room made and without."""
    random = rng(name)

    def until_full() -> Iterator[Json]:
        at = random.randrange(len(work.messages) - 2)  # a record comes after it
        yield from work.messages[:at]
        fill(servers)
        yield from work.messages[at:]

    refused = compared = acknowledged = 0
    for _ in range(INSTANTS):
        work.begin()
        with room_made_after_a_refusal(servers):
            cursors, error = work.sync(until_full())
        assert error is None, error
        assert cursors == list(range(STATE_EVERY, RECORDS + 1, STATE_EVERY))
        compared += work.see_all_of_it()

        work.begin()
        before = refusals(servers)
        cursors, error = work.sync(until_full(), RETRY_SECONDS)
        assert error is not None
        assert error.failure_type is FailureType.transient_error
        assert "raise maxmemory" in str(error)
        refused += refusals(servers) - before
        lift(servers)
        # The source sends again only what no state covered, so whatever a state was ahead of would be missing.
        last = cursors[-1] if cursors else 0
        acknowledged += last
        again, error = work.sync(work.after(last))
        assert error is None, error
        assert [*cursors, *again] == list(range(STATE_EVERY, RECORDS + 1, STATE_EVERY))
        compared += work.see_all_of_it()
    report(
        f"memory pressure, {name}",
        instants_tried=2 * INSTANTS,
        commands_refused=refused,
        records_acknowledged=acknowledged,
        records_compared=compared,
    )


@pytest.mark.stress
@pytest.mark.parametrize(("shape", "mode"), CASES, ids=lambda each: each if isinstance(each, str) else "-".join(each))
def test_memory_that_ends_in_the_middle_is_waited_for_or_fails_with_advice_and_no_state_is_ahead(
    server: Server, shape: Shape, mode: str
) -> None:
    needs_json(server, shape)
    attack(Work(server.config, server.client, shape, mode), [server], f"{'-'.join(shape)}, {mode}")


@pytest.mark.stress
def test_the_same_holds_for_the_primaries_of_a_cluster() -> None:
    with cluster() as servers, servers.client() as client:
        for shape, mode in rng("cluster").sample(CASES, 12 if FULL else 6):
            if shape[0] != "json":
                work = Work(servers.config, client, shape, mode)  # type: ignore[arg-type]
                attack(work, servers.primaries, f"a cluster, {'-'.join(shape)}, {mode}")


@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_a_state_whose_commit_was_answered_comes_out_where_all_that_follows_is_refused(
    server: Server, mode: str
) -> None:
    numbers = generation(2, 2, 2) if mode == "overwrite" else {}
    for after in range(2, 30):  # records on their way while the commit is
        lift([server])
        server.client.flushall()

        def messages(last: int = after) -> Iterator[Json]:
            yield from (record(1), state(1))
            fill([server])
            for number in range(2, last + 1):
                yield from (record(number), NOTE)

        states, error = ended(write(server.config, [full(mode=mode, **numbers)], messages(), 0.05))
        assert "raise maxmemory" in str(error)
        said = ledger(server.client)["staged_committed" if mode == "overwrite" else "committed"]
        assert [each["stream"]["stream_state"]["cursor"] for each in states] == [1] * int(said)
    assert states, "No commit was ever on its way"


def test_a_sync_that_waits_for_room_says_so_while_it_waits(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    def messages() -> Iterator[Json]:
        fill([server])
        yield from (record(1), NOTE)
        lift([server])
        yield from (record(2), COMPLETE)

    with room_made_after_a_refusal([server]):
        list(write(server.config, [full()], messages()))
    assert "maxmemory" not in caplog.text

    fill([server])
    _, error = ended(write(server.config, [full()], [record(1), COMPLETE], WARN_AFTER + 1))
    assert "tried again for" in str(error)
    told = [each.message for each in caplog.records if "raise maxmemory" in each.message and "trying" in each.message]
    assert len(told) == 1
