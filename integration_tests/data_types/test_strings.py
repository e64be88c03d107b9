"""The key that may hold a counter or a collection of type string: which of them it is, and whose, is never guessed."""

from typing import Any

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.destination import DestinationRedis
from integration_tests.support.connector.library import config_of, full, full_dedup, refused, write, written
from integration_tests.support.data_types import HASH, Shape
from integration_tests.support.messages import COMPLETE, Json, generation, record, state
from integration_tests.support.servers.server import Server
from integration_tests.support.stored import LEDGER, elements, ledger, values

BITMAP: Shape = ("bitmap", "columns")
LIST: Shape = ("list", "columns")
STRINGS = pytest.mark.parametrize("shape", [BITMAP, ("hyperloglog", "columns")], ids=lambda shape: shape[0])
KEY = "default:users"
#: Bits that are the text of a number: "1", and "23".
ONE, TWENTY_THREE = [2, 3, 7], [2, 3, 6, 10, 11, 14, 15]


def row(seat: int) -> Json:
    return record(seat, data={"id": seat, "seat": seat})


def bits(server: Server, numbers: Json, *seats: int, **more: Any) -> None:
    """Sync seats into a bitmap, as it is."""
    written(server, BITMAP, [full(**numbers)], *map(row, seats), COMPLETE, **{"value": "seat", **more})


def refuse_bits(server: Server, numbers: Json, *seats: int) -> str:
    return refused(server, BITMAP, [full(**numbers)], *map(row, seats), COMPLETE, value="seat")


def read(server: Server) -> list[int]:
    return [int(each.data) for each in DestinationRedis().get_all(server.config, "users")]


def note(server: Server) -> str | None:
    return ledger(server.client).get("own_key")


@pytest.mark.parametrize("seats", [ONE, TWENTY_THREE], ids=["1", "23"])
class TestABitmapThatIsANumberByChance:
    def test_is_appended_to_and_read_back(self, server: Server, seats: list[int]) -> None:
        bits(server, generation(1, 0, 1), *seats)
        assert server.client.get(KEY).isdigit()  # type: ignore[union-attr]
        assert note(server) == "collection"
        bits(server, generation(1, 0, 2), 100)
        assert read(server) == [*seats, 100]

    def test_is_replaced_by_records_with_keys_of_their_own_and_these_by_it(
        self, server: Server, seats: list[int]
    ) -> None:
        bits(server, generation(1, 0, 1), *seats)
        assert "refresh" in refused(server, HASH, [full(**generation(1, 0, 2))], record(1), COMPLETE)
        assert read(server) == seats
        written(server, HASH, [full(**generation(2, 2, 2))], record(1), record(2), COMPLETE)
        assert values(server.client) == [1, 2]
        assert (note(server), server.client.get(KEY)) == ("counter", ledger(server.client)["committed"].encode())
        assert "refresh" in refuse_bits(server, generation(2, 0, 3), 5)
        bits(server, generation(3, 3, 3), *seats)
        assert read(server) == seats
        assert sorted(server.client.scan_iter()) == [LEDGER.encode(), KEY.encode()]

    def test_stays_while_a_refresh_is_under_way_that_will_replace_it(self, server: Server, seats: list[int]) -> None:
        bits(server, generation(1, 0, 1), *seats)
        for number, shape in ((2, HASH), (3, LIST)):
            numbers = generation(number, number, number)
            with pytest.raises(AirbyteTracedException, match="Not complete"):
                written(server, shape, [full(**numbers)], record(1), state(1))
            assert read(server) == seats
        bits(server, generation(4, 4, 4), *seats, 9)
        assert read(server) == sorted([*seats, 9])

    def test_is_a_counter_of_the_java_connector_where_there_is_no_ledger(
        self, server: Server, seats: list[int]
    ) -> None:
        bits(server, generation(1, 0, 1), *seats)
        server.client.delete(LEDGER)
        assert "refresh" in refuse_bits(server, generation(1, 0, 2), 5)
        bits(server, generation(2, 2, 3), 5)
        assert read(server) == [5]

    def test_is_what_a_lost_ledger_left_and_is_replaced(self, server: Server, seats: list[int]) -> None:
        def messages() -> Any:
            yield from (*map(row, seats), state(1))
            server.client.delete(LEDGER)
            yield from (row(9), state(2), COMPLETE)

        with pytest.raises(AirbyteTracedException, match="refresh"):
            list(write(config_of(server, BITMAP, value="seat"), [full(**generation(1, 0, 1))], messages()))
        assert (ledger(server.client)["lost"], note(server)) == ("1", None)
        assert "lost acknowledged data" in refuse_bits(server, generation(1, 0, 2), 5)
        bits(server, generation(2, 2, 3), 5)
        assert read(server) == [5]
        assert (ledger(server.client)["lost"], note(server)) == ("0", "collection")


@STRINGS
@pytest.mark.parametrize("mode", ["append", "append_dedup"])
def test_a_lost_ledger_of_a_string_asks_for_a_refresh_which_may_be_of_any_kind(
    server: Server, shape: Shape, mode: str
) -> None:
    def messages() -> Any:
        yield from (*map(record, range(50)), state(1))
        server.client.delete(LEDGER)
        yield from (record(60), state(2), COMPLETE)

    with pytest.raises(AirbyteTracedException, match="refresh"):
        list(write(config_of(server, shape, value="id"), [full(**generation(1, 0, 1))], messages()))
    assert server.client.type(KEY) == b"string"
    for refresh_of in (shape, HASH):
        assert "refresh" in refused(server, refresh_of, [full(**generation(1, 0, 2))], COMPLETE, **id_of(refresh_of))
    made = full_dedup if mode == "append_dedup" else full
    written(server, HASH, [made(**generation(2, 2, 3))], record(7), COMPLETE)
    held = ledger(server.client)
    assert (held["lost"], held["own_key"], server.client.get(KEY)) == ("0", "counter", held["committed"].encode())
    assert len(list(server.client.scan_iter())) == 3


def id_of(shape: Shape) -> Json:
    return {} if shape == HASH else {"value": "id"}


@STRINGS
def test_a_lost_ledger_of_records_with_keys_of_their_own_is_replaced_by_a_string(server: Server, shape: Shape) -> None:
    def messages() -> Any:
        yield from (record(1), state(1))
        server.client.delete(LEDGER)
        yield from (record(2), state(2), COMPLETE)

    with pytest.raises(AirbyteTracedException, match="refresh"):
        list(write(server.config, [full(**generation(1, 0, 1))], messages()))
    more = id_of(shape)
    assert "lost acknowledged data" in refused(server, shape, [full(**generation(1, 0, 2))], COMPLETE, **more)
    written(server, shape, [full(**generation(2, 2, 3))], record(7), COMPLETE, **more)
    assert sorted(server.client.scan_iter()) == [LEDGER.encode(), KEY.encode()]
    assert (ledger(server.client)["lost"], note(server)) == ("0", "collection")


@STRINGS
@pytest.mark.parametrize("text", ["mine", "007", "-1", "1.5", "9999999999999999", "\x80" * 30, ""])
def test_a_string_of_an_application_is_refused_without_a_ledger_and_stays(
    server: Server, shape: Shape, text: str
) -> None:
    server.client.set(KEY, text)
    for wanted in (shape, HASH, LIST):
        for numbers in (generation(1, 0, 1), generation(1, 1, 1)):
            said = refused(server, wanted, [full(**numbers)], record(1), COMPLETE, **id_of(wanted))
            assert said.startswith(f"The key {KEY} was not written by this connector: move it away")
            server.client.delete(LEDGER)
    assert server.client.get(KEY) == text.encode()


@STRINGS
def test_without_its_ledger_a_string_is_somebody_elses(server: Server, shape: Shape) -> None:
    written(server, shape, [full()], *map(record, range(40)), COMPLETE, **id_of(shape))
    content = server.client.dump(KEY)
    server.client.delete(LEDGER)
    for wanted in (shape, HASH):
        assert "was not written by this connector" in refused(server, wanted, [full()], COMPLETE, **id_of(wanted))
        server.client.delete(LEDGER)
    assert server.client.dump(KEY) == content


@STRINGS
def test_a_string_that_an_application_puts_where_none_was_written_yet_is_refused(server: Server, shape: Shape) -> None:
    more = id_of(shape)
    written(server, shape, [full(sync_id=1)], COMPLETE, **more)
    assert note(server) is None
    for text in ("mine", "12"):
        server.client.set(KEY, text)
        said = refused(server, shape, [full(sync_id=2)], record(1), COMPLETE, **more)
        assert "was not written by this connector" in said
        assert server.client.get(KEY) == text.encode()


@STRINGS
def test_the_counter_of_the_java_connector_is_replaced_by_a_refresh_alone(server: Server, shape: Shape) -> None:
    fields = {"_airbyte_ab_id": 1, "_airbyte_emitted_at": 1, "_airbyte_data": '{"id":1}'}
    server.client.hset(f"{KEY}:1", mapping=fields)  # type: ignore[arg-type]
    server.client.set(KEY, 1)
    more = id_of(shape)
    assert "refresh" in refused(server, shape, [full(**generation(1, 0, 1))], record(7), COMPLETE, **more)
    assert server.client.get(KEY) == b"1"
    written(server, shape, [full(**generation(2, 2, 2))], record(7), COMPLETE, **more)
    assert sorted(server.client.scan_iter()) == [LEDGER.encode(), KEY.encode()]
    assert note(server) == "collection"


@STRINGS
def test_an_emptied_stream_turns_from_a_counter_to_a_string_and_back_in_any_sync(server: Server, shape: Shape) -> None:
    more = id_of(shape)
    written(server, HASH, [full(**generation(1, 0, 1))], record(1), COMPLETE)
    written(server, HASH, [full(**generation(2, 2, 2))], COMPLETE)
    assert server.client.type(KEY) == b"string"
    written(server, shape, [full(**generation(2, 0, 3))], record(7), COMPLETE, **more)
    assert (note(server), server.client.strlen(KEY) > 0) == ("collection", True)
    written(server, shape, [full(**generation(4, 4, 4))], COMPLETE, **more)
    assert (note(server), server.client.exists(KEY)) == (None, 0)
    written(server, HASH, [full(**generation(4, 0, 5))], record(8), COMPLETE)
    assert values(server.client) == [8]
    assert (note(server), server.client.get(KEY)) == ("counter", ledger(server.client)["committed"].encode())


@STRINGS
@pytest.mark.parametrize("first", [True, False], ids=["first", "later"])
def test_what_is_merged_into_nothing_is_known_for_a_string_from_then_on(
    server: Server, shape: Shape, *, first: bool
) -> None:
    more = id_of(shape)
    if not first:
        written(server, shape, [full(**generation(1, 0, 1))], COMPLETE, **more)
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        written(server, shape, [full(**generation(2, 2, 2))], record(2), record(3), record(7), state(1), **more)
    assert note(server) is None
    written(server, shape, [full(**generation(3, 0, 3))], COMPLETE, **more)
    assert note(server) == "collection"
    written(server, shape, [full(**generation(3, 0, 4))], record(8), COMPLETE, **more)
    assert sorted(server.client.scan_iter()) == [LEDGER.encode(), KEY.encode()]


@STRINGS
@pytest.mark.parametrize("mode", ["append", "append_dedup"])
def test_a_stream_that_leaves_its_own_key_for_a_template_leaves_nothing_there(
    server: Server, shape: Shape, mode: str
) -> None:
    more, made = id_of(shape), full_dedup if mode == "append_dedup" else full
    written(server, shape, [full(**generation(1, 0, 1))], record(1), record(2), COMPLETE, **more)
    if mode == "append":
        written(server, shape, [full(**generation(2, 2, 2))], record(1), COMPLETE, collection_key="bits", **more)
    else:
        written(server, HASH, [made(**generation(2, 2, 2))], record(1), COMPLETE, record_key="user:{key}")
    assert (note(server), server.client.exists(KEY)) == (None, 0)
    # From now on it may be an application's, which a refresh back to the default does not take for its own.
    server.client.set(KEY, "mine")
    again = generation(3, 3, 3)
    assert "was not written by this connector" in refused(server, shape, [full(**again)], record(5), COMPLETE, **more)
    assert server.client.get(KEY) == b"mine"


def test_a_string_of_many_megabytes_is_never_read(server: Server) -> None:
    server.client.setbit(KEY, 100_000_000, 1)
    server.client.config_resetstat()
    assert "was not written by this connector" in refused(server, HASH, [full()], COMPLETE)
    calls = server.client.info("commandstats")
    assert "cmdstat_get" not in calls
    assert calls["cmdstat_strlen"]["calls"] == 1


def test_a_ledger_that_is_ahead_of_the_key_of_another_server_is_not_taken_at_its_word(server: Server) -> None:
    """As a writer leaves it that promoted an empty generation, when a server took over that lacks that step."""
    bits(server, generation(1, 0, 1), *ONE)
    key, noted = server.client.dump(KEY), note(server)
    written(server, HASH, [full(**generation(2, 2, 2))], COMPLETE)
    server.client.restore(KEY, 0, key, replace=True)  # type: ignore[arg-type]
    server.client.hset(LEDGER, "own_key", str(noted))
    written(server, HASH, [full(**generation(2, 0, 3))], record(1), COMPLETE)
    assert (note(server), server.client.get(KEY)) == ("counter", ledger(server.client)["committed"].encode())

    counter = server.client.dump(KEY)
    bits(server, generation(4, 4, 4))
    server.client.restore(KEY, 0, counter, replace=True)  # type: ignore[arg-type]
    server.client.hset(LEDGER, "own_key", "counter")
    assert read(server) == []
    bits(server, generation(4, 0, 5), 77)
    assert read(server) == [77]
    assert (note(server), server.client.bitcount(KEY)) == ("collection", 1)


def test_while_a_promotion_is_behind_the_counter_is_not_read_as_a_bitmap(server: Server) -> None:
    written(server, HASH, [full(**generation(1, 0, 1))], record(1), COMPLETE)
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        written(server, BITMAP, [full(**generation(2, 2, 2))], row(5), state(1), value="seat")
    # The writer had put it in place, and written the ledger again on a server that lacks that.
    server.client.hset(LEDGER, "task", "remove")
    assert server.client.type(KEY) == b"string"
    found = [each.data for each in DestinationRedis().get_all(server.config, "users")]
    assert found == [b'{"id":1}']
    bits(server, generation(3, 0, 3), 6)
    assert read(server) == [5, 6]


def test_a_bitmap_under_a_template_leaves_the_streams_own_key_alone(server: Server) -> None:
    for text in ("mine", "12"):
        server.client.flushall()
        bits(server, generation(1, 0, 1), *ONE, collection_key="bits")
        server.client.set(KEY, text)
        bits(server, generation(1, 0, 2), 9, collection_key="bits")
        bits(server, generation(3, 3, 3), *ONE, collection_key="bits")
        assert elements(server.client, "bits", BITMAP) == [each - 1000 for each in ONE]
        assert server.client.get(KEY) == text.encode()
        assert note(server) is None
