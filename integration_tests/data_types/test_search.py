"""Search indexes: what queries find after every sync mode, and how an index changes with its stream."""

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from redis import Redis
from redis.exceptions import ResponseError

from integration_tests.support.connector import library
from integration_tests.support.connector.library import check, full, full_dedup, write
from integration_tests.support.connector.process import Connector
from integration_tests.support.data_types import Shape
from integration_tests.support.docs.permissions import FOR_SETTING, LEAST
from integration_tests.support.messages import COMPLETE, Json, generation, record, state, status
from integration_tests.support.search import ask, found
from integration_tests.support.servers.server import SERVERS, WITH_SEARCH, Server, json_module, running, search_module
from integration_tests.support.waiting import wait_until

SHAPES: list[Shape] = [("hash", "columns"), ("json", "columns"), ("json", "envelope")]

SCHEMA: Json = {
    "id": {"type": "integer"},
    "at": {"type": "integer"},
    "value": {"type": ["null", "string"]},
    "active": {"type": "boolean"},
    "price": {"type": "number"},
    "day": {"type": "string", "format": "date"},
    "place": {"type": "string", "format": "geo"},
    "weight": {"type": "number"},
    "na me": {"type": "string"},
}
DATA: Json = {
    "value": "a red bicycle",
    "active": True,
    "price": 9.5,
    "day": "2024-02-29",
    "place": "2.35,48.85",
    "weight": 12,
    "na me": "odd",
}
#: Each finds DATA alone.
QUERIES = [
    "@value:bicycles",
    "@active:{true}",
    "@price:[9 10]",
    r"@day:{2024\-02\-29}",
    "@place:[2.3 48.8 50 km]",
    "@weight:[12 12]",
    r"@na\ me:odd",
    "@_airbyte_emitted_at:[1700000000001 1700000000001]",
]


LEFT_OUT = "Records of the stream users were left out of its search index"


@pytest.fixture(scope="module", params=[server for server in SERVERS if server in WITH_SEARCH])
def _server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("modules")
    with running(request.param, *json_module(folder), *search_module(folder)) as server:
        yield server


def config_of(server: Server, shape: Shape, **more: Any) -> Json:
    return library.config_of(server, shape, **{"search_index": True, **more})


def users(mode: str = "append", schema: Json | None = None, **more: Any) -> Json:
    configured = full_dedup(**more) if mode == "append_dedup" else full(mode=mode, **more)
    configured["stream"]["json_schema"] = {"properties": SCHEMA if schema is None else schema}
    return configured


def row(number: int, **more: Any) -> Json:
    return record(number, data={"id": number, "at": number, **more})


def synced(server: Server, shape: Shape, stream: Json, *messages: Json, **more: Any) -> int:
    """Return the number of states that come back."""
    return len(list(write(config_of(server, shape, **more), [stream], messages)))


def refused(server: Server, shape: Shape, **more: Any) -> str:
    return library.refused(server, shape, [users()], row(1), COMPLETE, **{"search_index": True, **more})


def said(client: Redis, alias: str = "default:users") -> dict[str, Any]:
    """Return what FT.INFO says."""
    reply = ask(client, "FT.INFO", alias)
    return {name.decode(): value for name, value in zip(reply[::2], reply[1::2], strict=True)}


def index_name(client: Redis) -> str:
    name: bytes = said(client)["index_name"]
    return name.decode()


def types(client: Redis) -> dict[str, str]:
    return {each[3].decode(): each[5].decode() for each in said(client)["attributes"]}


def indexes(client: Redis) -> list[str]:
    return sorted(name.decode() for name in ask(client, "FT._LIST"))


@pytest.mark.parametrize("mode", ["append", "overwrite", "append_dedup"])
@pytest.mark.parametrize("shape", SHAPES)
def test_each_type_of_column_is_found_by_after_each_sync_mode(server: Server, shape: Shape, mode: str) -> None:
    other = row(2, value="a blue car", active=False, price=1, day="2023-01-01", place="-70,40", weight=1)
    assert synced(server, shape, users(mode), row(1, **DATA), other, row(3, value=None), COMPLETE) == 0
    for query in QUERIES:
        assert found(server.client, query) == ["default:users:1"], query
    assert len(found(server.client)) == 3
    assert index_name(server.client) == "airbyte:index:{default:users}:1"
    changed = {**DATA, "value": "a green bicycle", "price": 20}
    assert synced(server, shape, users(mode), record(5, data={"id": 1, "at": 5, **changed}), COMPLETE) == 0
    last = {"append": "4", "overwrite": "4", "append_dedup": "1"}[mode]
    assert found(server.client, "@value:green") == [f"default:users:{last}"]
    assert found(server.client, "@price:[9 10]") == (["default:users:1"] if mode == "append" else [])
    assert found(server.client, "@price:[20 20]") == [f"default:users:{last}"]


def test_arrays_of_a_document_are_found_by_each_value(server: Server) -> None:
    schema = {
        "tags": {"type": "array", "items": {"type": "string"}},
        "n": {"type": "array", "items": {"type": "number"}},
    }
    messages = [row(1, tags=["red, or blue", None, "b"], n=[1, 5]), row(2, tags=[], n=[7]), row(3, tags=None), COMPLETE]
    assert synced(server, ("json", "columns"), users(schema=schema), *messages) == 0
    assert found(server.client, r"@tags:{red\,\ or\ blue}") == ["default:users:1"]
    assert found(server.client, "@n:[5 7]") == ["default:users:1", "default:users:2"]
    assert len(found(server.client)) == 3


@pytest.mark.parametrize("shape", SHAPES)
def test_a_deleted_row_is_not_found_and_a_replaced_one_by_its_new_values(server: Server, shape: Shape) -> None:
    schema = SCHEMA | {"_ab_cdc_deleted_at": {"type": "string"}}
    synced(server, shape, users("append_dedup", schema), row(1, value="red"), row(2, value="red"), COMPLETE)
    gone = record(3, data={"id": 1, "at": 3, "_ab_cdc_deleted_at": "now"})
    new = record(3, data={"id": 2, "at": 3, "value": "blue"})
    synced(server, shape, users("append_dedup", schema), gone, new, COMPLETE)
    assert found(server.client, "@value:red") == []
    assert found(server.client, "@value:blue") == found(server.client) == ["default:users:2"]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_second_sync_leaves_the_index_as_it_is(server: Server, shape: Shape) -> None:
    synced(server, shape, users(), row(1, **DATA), COMPLETE)
    before = said(server.client)
    server.client.execute_command("CONFIG", "RESETSTAT")
    synced(server, shape, users(), COMPLETE)
    synced(server, shape, users(schema={"id": SCHEMA["id"]}), COMPLETE)  # more is indexed than there is: no harm
    after = said(server.client)
    assert [after[name] for name in ("index_name", "attributes")] == [
        before[name] for name in ("index_name", "attributes")
    ]
    used = server.client.info("commandstats")
    assert not {"cmdstat_FT.CREATE", "cmdstat_FT.ALTER", "cmdstat_FT.ALIASUPDATE"} & set(used)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_column_that_is_new_in_the_schema_is_added_to_the_index(server: Server, shape: Shape) -> None:
    synced(server, shape, users(schema={"id": SCHEMA["id"]}), row(1, value="old"), COMPLETE)
    name = index_name(server.client)
    more = {name: SCHEMA[name] for name in ("id", "value", "weight")}
    synced(server, shape, users(schema=more), row(2, value="new", weight=3), COMPLETE)
    assert index_name(server.client) == name
    wait_until(lambda: found(server.client, "@value:(old|new)") == ["default:users:1", "default:users:2"])
    assert found(server.client, "@weight:[3 3]") == ["default:users:2"]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_column_of_another_type_has_the_index_built_anew_and_swapped(server: Server, shape: Shape) -> None:
    number = {"value": {"type": "integer"}}
    synced(server, shape, users(schema=number), row(1, value=5), COMPLETE)
    assert found(server.client, "@value:[5 5]") == ["default:users:1"]
    synced(server, shape, users(), row(2, value="five"), COMPLETE)
    assert indexes(server.client) == ["airbyte:index:{default:users}:2"]
    assert types(server.client)["value"] == "TEXT"
    assert found(server.client, "@value:five") == ["default:users:2"]
    synced(server, shape, users(schema=number), row(3, value=6), COMPLETE)
    assert indexes(server.client) == ["airbyte:index:{default:users}:1"]
    assert found(server.client, "@value:[5 6]") == ["default:users:1", "default:users:3"]


@pytest.mark.parametrize("mode", ["append", "append_dedup"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_refresh_changes_the_index_when_its_records_are_promoted_and_stages_out_of_its_sight(
    server: Server, shape: Shape, mode: str, tmp_path: Path
) -> None:
    number = {"id": SCHEMA["id"], "value": {"type": "integer"}}
    synced(server, shape, users(mode, number, **generation(1, 0, 1)), row(1, value=5), row(2, value=6), COMPLETE)
    refresh = users(mode, **generation(2, 2, 2))
    running_sync = Connector(config_of(server, shape), tmp_path).start([refresh])
    running_sync.send(row(1, value="five"), row(3, value="seven"), state(1))
    running_sync.wait_for_states(1)
    staged = server.client.keys("airbyte:tmp:{default:users:*")
    assert len(staged) == 2
    assert found(server.client) == found(server.client, "@value:[5 6]") == ["default:users:1", "default:users:2"]
    assert indexes(server.client) == ["airbyte:index:{default:users}:1"]
    running_sync.send(COMPLETE)
    assert running_sync.finish().code == 0
    assert indexes(server.client) == ["airbyte:index:{default:users}:2"]
    both = found(server.client, "@value:(five|seven)")
    assert both == found(server.client)
    assert len(both) == 2


def test_a_refresh_that_is_cut_off_leaves_the_index_to_the_old_data(server: Server) -> None:
    shape: Shape = ("hash", "columns")
    synced(server, shape, users(schema={"value": {"type": "integer"}}), row(1, value=5), COMPLETE)
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        synced(server, shape, users(**generation(2, 2, 2)), row(2, value="new"), state(2))
    assert found(server.client, "@value:[5 5]") == ["default:users:1"]
    assert indexes(server.client) == ["airbyte:index:{default:users}:1"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("mode", ["append", "append_dedup"])
@pytest.mark.parametrize("beside", [False, True])
def test_a_promotion_cut_off_is_finished_by_the_next_run_and_then_its_index(
    server: Server, shape: Shape, mode: str, beside: bool
) -> None:
    number = {"id": SCHEMA["id"], "value": {"type": "integer"}}
    synced(server, shape, users(mode, number, **generation(1, 0, 1)), row(1, value=5), COMPLETE)
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        synced(server, shape, users(mode, **generation(2, 2, 2)), row(2, value="five"), state(2))
    server.client.hset("airbyte:{default:users}", "task", "promote")
    if beside:
        name = "airbyte:index:{default:users}:2"
        server.client.execute_command("FT.CREATE", name, "PREFIX", "1", "default:users:", "SCHEMA", "value", "TEXT")
    synced(server, shape, users(mode, **generation(2, 2, 2)), row(3, value="six"), COMPLETE)
    assert len(found(server.client, "@value:(five|six)")) == 2
    assert len(found(server.client)) == 2
    assert indexes(server.client) == ["airbyte:index:{default:users}:2"]


def test_a_server_that_is_restarted_in_the_middle_has_the_right_index_in_the_end(
    server: Server, tmp_path: Path
) -> None:
    shape: Shape = ("hash", "columns")
    number = {"id": SCHEMA["id"], "value": {"type": "integer"}}
    synced(server, shape, users(schema=number), row(1, value=5), COMPLETE)
    sync = Connector(config_of(server, shape), tmp_path).start([users()])
    sync.send(row(2, value="five"), state(2))
    sync.wait_for_states(1)
    server.stop()
    server.start()
    sync.send(row(3, value="six"), COMPLETE)
    outcome = sync.finish()
    assert outcome.code == 0, outcome.text
    assert found(server.client, "@value:(five|six)") == ["default:users:2", "default:users:3"]
    assert indexes(server.client) == ["airbyte:index:{default:users}:2"]


def test_an_index_is_swapped_only_when_it_has_read_what_was_there(server: Server, tmp_path: Path) -> None:
    shape: Shape = ("hash", "columns")
    number = {"value": {"type": "integer"}}
    with server.client.pipeline(transaction=False) as pipeline:
        for other in range(200_000):
            pipeline.set(f"other:{other}", "x")
        pipeline.execute()
    synced(server, shape, users(schema=number), *(row(at, value=at) for at in range(1000)), COMPLETE)
    sync = Connector(config_of(server, shape), tmp_path).start([users()])
    sync.send(row(2000, value="five"), COMPLETE)
    assert sync.process.stdin
    sync.process.stdin.close()
    seen = {1000}
    while sync.process.poll() is None:
        (count,) = ask(server.client, "FT.SEARCH", "default:users", "*", "LIMIT", "0", "0")
        seen.add(count)
    assert sync.ended().code == 0
    # What the old index has, which the new row does not fit, then at once what the new one has.
    assert seen <= {1000, 1001}
    assert ask(server.client, "FT.SEARCH", "default:users", "*", "LIMIT", "0", "0") == [1001]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_refresh_into_another_data_type_brings_its_index_along(server: Server, shape: Shape) -> None:
    other = SHAPES[(SHAPES.index(shape) + 1) % len(SHAPES)]
    synced(server, shape, users(), row(1, **DATA), COMPLETE)
    synced(server, other, users(**generation(2, 2, 2)), row(1, **DATA), COMPLETE)
    for query in QUERIES:
        assert found(server.client, query) == ["default:users:2"], query
    assert len(indexes(server.client)) == 1


@pytest.mark.parametrize("left", [1, 2])
def test_what_a_sync_that_died_left_of_an_index_is_begun_anew(server: Server, left: int) -> None:
    shape: Shape = ("hash", "columns")
    name = f"airbyte:index:{{default:users}}:{left}"
    server.client.execute_command("FT.CREATE", name, "PREFIX", "1", "default:users:", "SCHEMA", "value", "NUMERIC")
    synced(server, shape, users(), row(1, **DATA), COMPLETE)
    assert indexes(server.client) == ["airbyte:index:{default:users}:1"]
    server.client.execute_command(
        "FT.CREATE", name.replace(":1", ":2"), "PREFIX", "1", "default:users:", "SCHEMA", "value", "NUMERIC"
    )
    synced(server, shape, users(), row(2, **DATA), COMPLETE)
    assert indexes(server.client) == ["airbyte:index:{default:users}:1"]
    assert len(found(server.client, "@value:red")) == 2


def test_data_that_was_there_before_its_index_is_found(server: Server) -> None:
    shape: Shape = ("hash", "columns")
    synced(server, shape, users(), *(row(number, value="red") for number in range(50)), COMPLETE, search_index=False)
    assert indexes(server.client) == []
    synced(server, shape, users(), COMPLETE)
    wait_until(lambda: len(found(server.client, "@value:red")) == 50)


def test_keys_of_the_connectors_own_are_not_indexed_and_an_applications_do_no_harm(server: Server) -> None:
    shape: Shape = ("hash", "columns")
    server.client.hset("default:users:1:cart", mapping={"value": "red", "price": "none"})
    server.client.hset("default:users:2:cart", mapping={"value": "red"})
    server.client.rpush("default:users:list", "red")
    gone = users("append_dedup", SCHEMA | {"_ab_cdc_deleted_at": {"type": "string"}})
    deleted = record(3, data={"id": 2, "at": 3, "_ab_cdc_deleted_at": "now"})
    synced(server, shape, gone, row(1, value="red"), row(2, value="red"), deleted, state(1), COMPLETE)
    assert server.client.type("default:users") == b"string"
    assert server.client.exists("airbyte:tombstone:{default:users:2}", "airbyte:{default:users}") == 2
    wait_until(lambda: found(server.client) == ["default:users:1", "default:users:2:cart"])
    assert server.client.hgetall("default:users:1:cart") == {b"value": b"red", b"price": b"none"}


def test_an_index_covers_the_keys_of_the_template_and_moves_with_a_refresh_to_another(server: Server) -> None:
    shape = SHAPES[0]
    first = users("append_dedup", **generation(1, 0, 1))
    assert synced(server, shape, first, row(1, **DATA), COMPLETE, record_key="user:{key}") == 0
    assert found(server.client, QUERIES[0]) == ["user:1"]
    again = users("append_dedup", **generation(2, 2, 2))
    assert synced(server, shape, again, row(2, **DATA), COMPLETE, record_key="u-{key}") == 0
    assert found(server.client, QUERIES[0]) == ["u-2"]


def test_an_index_that_would_cover_another_streams_keys_is_refused(server: Server) -> None:
    streams = [users("append_dedup"), full_dedup("people")]
    config = config_of(server, SHAPES[0], record_key="{stream}-{key}")
    without = {**config, "search_index": False}
    assert list(write(without, streams, [row(1), COMPLETE, status("COMPLETE", "people")])) == []
    # No key has both forms, but an index over all keys that begin with "u" would have those of both streams.
    error = library.failure({**config, "record_key": "u{key}:x"}, [full_dedup("others")], [record(1, "others")])
    assert "Keys of the stream default:users (users-{key}) could begin with u, and the search index of the" in str(
        error
    )


class TestIndexesOfOtherConnections:
    """A stream `shop.orders` has default keys, which could begin like those of a template."""

    TEMPLATES = pytest.mark.parametrize("template", ["shop:{key}:a:b", "sho{key}:a:b:c", "shop:ord{key}:a:b"])

    def synced(self, server: Server, number: int) -> list[Json]:
        return list(write(server.config, *self.orders(number)))

    def orders(self, number: int) -> tuple[list[Json], list[Json]]:
        orders, ended = full("orders", namespace="shop"), status("COMPLETE", "orders")
        ended["trace"]["stream_status"]["stream_descriptor"]["namespace"] = "shop"
        return [orders], [record(number, "orders", namespace="shop"), ended]

    @TEMPLATES
    def test_an_index_that_would_cover_keys_without_a_template_is_refused_and_claims_nothing(
        self, server: Server, template: str
    ) -> None:
        self.synced(server, 1)
        config = config_of(server, SHAPES[0], record_key=template)
        error = library.failure(config, [users("append_dedup")], [row(1), COMPLETE])
        assert "Keys of the stream shop:orders (shop:orders" in str(error)
        assert f"could begin with {template.partition('{')[0]}, and the search index of the stream users" in str(error)
        assert indexes(server.client) == []
        assert server.client.hgetall("airbyte:templates").keys() == {b"version"}
        self.synced(server, 2)

    @TEMPLATES
    def test_a_stream_whose_keys_an_index_would_cover_is_refused_until_the_index_is_given_up(
        self, server: Server, template: str
    ) -> None:
        shape, stream = SHAPES[0], users("append_dedup")
        synced(server, shape, stream, row(1, **DATA), COMPLETE, record_key=template)
        sentence = str(library.failure(server.config, *self.orders(1)))
        assert "Keys of the stream shop.orders (shop:orders" in sentence
        assert f"could begin with {template.partition('{')[0]}, and the search index of the stream default:" in sentence
        assert server.client.exists("shop:orders:1") == 0
        synced(server, shape, stream, row(2, **DATA), COMPLETE, record_key=template, search_index=False)
        self.synced(server, 1)
        assert server.client.exists("shop:orders:1")
        error = library.failure(config_of(server, shape, record_key=template), [stream], [row(3), COMPLETE])
        assert "Keys of the stream shop:orders (shop:orders" in str(error)

    def test_an_index_keeps_its_claim_after_a_refresh_to_another_template(self, server: Server) -> None:
        shape = SHAPES[0]
        for number, template in ((1, "user:{key}"), (2, "shop:{key}")):
            stream = users("append_dedup", **generation(number, number, number))
            synced(server, shape, stream, row(number, **DATA), COMPLETE, record_key=template)
        claims = server.client.hget("airbyte:templates", "default:users")
        assert claims == b'["shop:{*}", "shop:{key}"]'
        assert "could begin with shop:" in str(library.failure(server.config, *self.orders(1)))

    def test_an_index_over_keys_without_a_template_claims_nothing_and_needs_no_scan(self, server: Server) -> None:
        server.client.config_resetstat()
        synced(server, SHAPES[0], users("append_dedup"), row(1, **DATA), COMPLETE)
        self.synced(server, 1)
        assert "cmdstat_scan" not in server.client.info("commandstats")
        assert server.client.exists("airbyte:templates") == 0


def test_prefix_and_escaped_names_are_part_of_the_index(server: Server) -> None:
    shape: Shape = ("hash", "columns")
    stream = users(namespace="a:*")
    stream["stream"]["name"] = "{u}[s]?"
    message = record(1, "{u}[s]?", namespace="a:*", data={"id": 1, "value": "red"})
    server.client.hset("p-a%3Ax:%7Bu%7Ds?:1", "value", "red")
    synced(server, shape, stream, message, key_prefix="p-")
    alias = "p-a%3A*:%7Bu%7D[s]?"
    assert found(server.client, "@value:red", alias) == [f"{alias}:1"]
    assert indexes(server.client) == [f"p-airbyte:index:{{{alias}}}:1"]


def test_a_column_named_as_an_option_of_the_module_is_indexed_all_the_same(server: Server) -> None:
    options = ("weight", "sortable", "noindex", "nostem", "phonetic", "separator", "casesensitive", "unf")
    words = [*options, "as", "schema", "text", "tag"]
    schema = {word: {"type": "string"} for word in words}
    synced(server, ("hash", "columns"), users(schema=schema), row(1, **dict.fromkeys(words, "red")), COMPLETE)
    assert set(types(server.client)) >= set(words)
    for word in words:
        assert found(server.client, f"@{word}:red") == ["default:users:1"]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_wide_schema_is_indexed_as_far_as_an_index_goes_and_grows_to_that(
    server: Server, shape: Shape, caplog: pytest.LogCaptureFixture
) -> None:
    wide = {f"c{number}": {"type": "string" if number < 129 else "integer"} for number in range(1100)}
    synced(server, shape, users(schema=dict(list(wide.items())[:5])), row(1, c127="red", c128="red"), COMPLETE)
    assert "no room" not in caplog.text
    synced(server, shape, users(schema=wide), row(2, c127="red", c128="red", c900=5), COMPLETE)
    assert re.search(
        r"The search index of the stream users is full: it leaves out the columns c128, c1023, ", caplog.text
    )
    assert "default:users:2" in found(server.client, "@c127:red")
    assert found(server.client, "@c900:[5 5]") == ["default:users:2"]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_record_whose_value_does_not_fit_is_kept_and_warned_of(
    server: Server, shape: Shape, caplog: pytest.LogCaptureFixture
) -> None:
    synced(server, shape, users(), row(1, price=5), row(2, price="secret"), row(3, price="secret"), COMPLETE)
    assert LEFT_OUT in caplog.text
    assert "secret" not in caplog.text
    assert found(server.client) == ["default:users:1"]
    assert server.client.exists("default:users:2", "default:users:3") == 2
    # What the new index still reads by itself would be counted again.
    wait_until(lambda: not int(said(server.client)["indexing"]))
    caplog.clear()
    synced(server, shape, users(), row(4, price=5), COMPLETE)
    assert "search index" not in caplog.text


def test_a_number_that_a_document_keeps_as_a_string_is_not_in_the_index_unless_the_schema_says_that_it_is_big(
    server: Server, tmp_path: Path
) -> None:
    connector = Connector(config_of(server, ("json", "columns")), tmp_path)
    message = row(1, value="red", price=2**70 + 1)
    outcome = connector.write([users()], [message, COMPLETE])
    assert LEFT_OUT in outcome.text
    server.client.execute_command("FT.DROPINDEX", index_name(server.client))
    big = {"price": {"type": "number", "airbyte_type": "big_number"}}
    assert connector.write([users(schema=SCHEMA | big)], [message, COMPLETE]).code == 0
    assert found(server.client, "@value:red") == ["default:users:1", "default:users:2"]


def test_an_index_of_somebody_elses_is_left_alone(server: Server) -> None:
    server.client.execute_command("FT.CREATE", "default:users", "PREFIX", "1", "mine:", "SCHEMA", "value", "TEXT")
    assert "search index default:users was not created by the connector" in refused(server, ("hash", "columns"))
    assert indexes(server.client) == ["default:users"]
    server.client.execute_command("FT.DROPINDEX", "default:users")
    assert synced(server, ("hash", "columns"), users(), row(1), COMPLETE) == 0


def test_without_the_setting_an_index_is_neither_made_nor_changed(server: Server) -> None:
    shape: Shape = ("hash", "columns")
    synced(server, shape, users(schema={"id": SCHEMA["id"]}), row(1), COMPLETE)
    before = types(server.client)
    synced(server, shape, users(), row(2), COMPLETE, search_index=False)
    assert types(server.client) == before
    assert len(found(server.client)) == 2


@pytest.mark.parametrize("shape", SHAPES)
def test_check_tries_an_index_and_leaves_none_behind(server: Server, shape: Shape) -> None:
    assert check(config_of(server, shape)) is None
    assert indexes(server.client) == []
    assert server.client.dbsize() == 0


@pytest.mark.parametrize(
    ("shape", "more", "sentence"),
    [
        (("hash", "envelope"), {}, "search_index needs cache_type json, or cache_type hash with"),
        (
            ("string", "columns"),
            {},
            "search_index needs cache_type json, or cache_type hash with",
        ),
        (("hash", "columns"), {"deployment": {"deployment": "cluster"}}, "search_index is not possible in a cluster"),
        (
            ("hash", "columns"),
            {"deployment": {"deployment": "standalone", "database": 3}},
            "search_index needs database 0",
        ),
    ],
)
def test_what_has_no_index_is_refused_by_check_and_write(
    server: Server, shape: Shape, more: Json, sentence: str
) -> None:
    assert sentence in str(check(config_of(server, shape, **more)))
    assert sentence in refused(server, shape, **more)
    assert server.client.dbsize() == 0


def test_an_entry_of_streams_turns_the_index_on_or_off_for_its_streams(server: Server) -> None:
    two = [users(), {**users(), "stream": {**users()["stream"], "name": "others"}}]
    messages = [row(1, **DATA), record(1, "others", data=DATA), COMPLETE, status("COMPLETE", "others")]
    for own, indexed in ((True, "users"), (False, "others")):
        config = config_of(server, ("hash", "columns"), search_index=not own)
        list(write({**config, "streams": [{"stream": "users", "search_index": own}]}, two, messages))
        assert indexes(server.client) == [f"airbyte:index:{{default:{indexed}}}:1"]
        assert found(server.client, "@value:bicycle", f"default:{indexed}") != []
        server.client.execute_command("FT.DROPINDEX", *indexes(server.client))


def test_check_names_the_entry_of_streams_whose_index_the_server_lacks() -> None:
    streams = [{"stream": "carts", "cache_type": "hash", "record_format": "columns", "search_index": True}]
    with running("redis-7.0") as server:
        sentence = "streams.0 (carts): The server has no search module (RediSearch), which search_index needs."
        assert check({**server.config, "streams": streams}) == sentence


def test_a_server_without_the_search_module_is_told_so_by_check_and_write() -> None:
    with running("redis-7.0") as server:
        sentence = "The server has no search module (RediSearch), which search_index needs"
        assert sentence in str(check(config_of(server, ("hash", "columns"))))
        assert sentence in refused(server, ("hash", "columns"))


RIGHTS = FOR_SETTING["search_index"]


def test_the_permissions_that_the_page_names_suffice_and_check_misses_each(server: Server) -> None:
    def allow(rules: str) -> None:
        server.client.execute_command("ACL", "SETUSER", "airbyte", "reset")
        server.client.execute_command(*rules.split())

    config: Json = {"username": "airbyte", "password": "password"}
    shape: Shape = ("hash", "columns")
    rules = f"{LEAST} {RIGHTS}"
    allow(rules)
    try:
        assert check(config_of(server, shape, **config)) is None
        number = SCHEMA | {"value": {"type": "integer"}}
        synced(server, shape, users(schema={}), row(1, value="red"), COMPLETE, **config)
        synced(server, shape, users(), row(2, value="red"), COMPLETE, **config)
        synced(server, shape, users(schema=number, **generation(2, 2, 2)), row(3, value=3), COMPLETE, **config)
        assert found(server.client, "@value:[3 3]") == ["default:users:3"]
        for command in RIGHTS.split():
            allow(rules.replace(f" {command}", "", 1))
            assert f"no permission for the command {command[1:].upper()}" in str(
                check(config_of(server, shape, **config))
            )
        assert len(indexes(server.client)) == 1
    finally:
        server.client.execute_command("ACL", "DELUSER", "airbyte")


def test_a_user_who_reads_a_streams_keys_alone_may_search_it(server: Server) -> None:
    synced(server, ("hash", "columns"), users(), row(1, **DATA), COMPLETE)
    server.client.execute_command("ACL", "SETUSER", "app", "on", ">p", "~default:users*", "+ft.search")
    try:
        with Redis(port=server.port, username="app", password="p") as app:
            assert found(app, "@value:red") == ["default:users:1"]
            with pytest.raises(ResponseError):
                found(app, "*", "airbyte:index:{default:users}:1")
    finally:
        server.client.execute_command("ACL", "DELUSER", "app")


@pytest.fixture(autouse=True)
def _no_indexes(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Begin without indexes: FLUSHALL leaves them."""
    caplog.set_level(logging.WARNING, "airbyte")
    for name in indexes(server.client):
        server.client.execute_command("FT.DROPINDEX", name)
