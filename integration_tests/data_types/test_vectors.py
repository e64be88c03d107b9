"""Vectors in a search index: which records are nearest, what is stored for them, and how an index with them changes."""

import json
import logging
import math
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from redis.exceptions import ResponseError

from destination_redis.destination import DestinationRedis
from integration_tests.support.connector import library
from integration_tests.support.connector.library import check, full, full_dedup, write
from integration_tests.support.connector.process import Connector
from integration_tests.support.data_types import Shape
from integration_tests.support.faults.proxy import Exchange, proxy
from integration_tests.support.messages import COMPLETE, Json, generation, record, state, status
from integration_tests.support.search import ask, found
from integration_tests.support.servers.server import SERVERS, WITH_SEARCH, Server, json_module, running, search_module
from integration_tests.support.stored import rejected
from integration_tests.support.waiting import wait_until

HASH: Shape = ("hash", "columns")
JSON: Shape = ("json", "columns")
SHAPES: list[Shape] = [HASH, JSON, ("json", "envelope")]
E: Json = {"field": "embedding", "dimensions": 3}
SCHEMA: Json = {
    "id": {"type": "integer"},
    "at": {"type": "integer"},
    "kind": {"type": "string", "enum": ["shoe", "hat"]},
    "embedding": {"type": ["null", "array"], "items": {"type": "number"}},
}
X, Y, Z = [1, 0, 0], [0, 1, 0], [0, 0, 1]
NEAR_X = [0.9, 0.1, 0]


@pytest.fixture(scope="module", params=[server for server in SERVERS if server in WITH_SEARCH])
def _server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("modules")
    with running(request.param, *json_module(folder), *search_module(folder)) as server:
        yield server


@pytest.fixture(autouse=True)
def _no_indexes(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """Begin without indexes: FLUSHALL leaves them."""
    caplog.set_level(logging.WARNING, "airbyte")
    for name in indexes(server):
        server.client.execute_command("FT.DROPINDEX", name)


def config_of(server: Server, shape: Shape, **more: Any) -> Json:
    return library.config_of(server, shape, **{"search_index": True, "vectors": [E], **more})


def users(mode: str = "append", schema: Json | None = None, **more: Any) -> Json:
    configured = full_dedup(**more) if mode == "append_dedup" else full(mode=mode, **more)
    configured["stream"]["json_schema"] = {"properties": SCHEMA if schema is None else schema}
    return configured


def row(number: int, embedding: object = None, kind: str = "shoe", at: int | None = None, **more: Any) -> Json:
    data = {"id": number, "at": number if at is None else at, "kind": kind, "embedding": embedding, **more}
    return record(number, data=data)


def synced(server: Server, shape: Shape, stream: Json, *messages: Json, **more: Any) -> None:
    assert list(write(config_of(server, shape, **more), [stream], [*messages, COMPLETE])) == []


def refused(server: Server, shape: Shape, stream: Json, *messages: Json, **more: Any) -> str:
    given = {"search_index": True, "vectors": [E], **more}
    return library.refused(server, shape, [stream], *messages, COMPLETE, **given)


def float32(numbers: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(numbers)}f", *numbers)


def nearest(
    server: Server, to: Sequence[float], filters: str = "*", count: int = 10, alias: str = "default:users"
) -> list[str]:
    """Return the keys of the nearest records, in the order of their distance."""
    query = f"{filters}=>[KNN {count} @embedding $to AS distance]"
    options = ("PARAMS", "2", "to", float32(to), "SORTBY", "distance", "NOCONTENT", "DIALECT", "2")
    reply = ask(server.client, "FT.SEARCH", alias, query, *options)
    return [key.decode() for key in reply[1:]]


def keys(*numbers: int) -> list[str]:
    return [f"default:users:{number}" for number in numbers]


def said(server: Server) -> dict[str, Any]:
    """Return what FT.INFO says."""
    reply = ask(server.client, "FT.INFO", "default:users")
    return {name.decode(): value for name, value in zip(reply[::2], reply[1::2], strict=True)}


def indexed(server: Server) -> list[Any]:
    """Return what FT.INFO says of the vector."""
    (attribute,) = [each for each in said(server)["attributes"] if each[5] == b"VECTOR"]
    return [each.decode() if isinstance(each, bytes) else each for each in attribute[6:14]]


def indexes(server: Server) -> list[str]:
    return sorted(name.decode() for name in ask(server.client, "FT._LIST"))


@pytest.mark.parametrize("mode", ["append", "overwrite", "append_dedup"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_nearest_records_that_match_a_filter_are_found_after_each_sync_mode(
    server: Server, shape: Shape, mode: str
) -> None:
    messages = [row(1, X), row(2, NEAR_X, "hat"), row(3, Y), row(4, Z, "hat")]
    synced(server, shape, users(mode), *messages)
    assert nearest(server, X, count=2) == keys(1, 2)
    assert nearest(server, NEAR_X, "(@kind:{hat})", 1) == keys(2)
    assert nearest(server, Y, "(@kind:{hat})", 1) == keys(2)
    assert nearest(server, Y, "(@id:[4 9])") == keys(4)


@pytest.mark.parametrize("algorithm", ["FLAT", "HNSW"])
@pytest.mark.parametrize("distance", ["COSINE", "L2", "IP"])
@pytest.mark.parametrize("shape", SHAPES)
def test_distances_are_those_of_the_setting_and_a_second_sync_leaves_the_index_as_it_is(
    server: Server, shape: Shape, distance: str, algorithm: str
) -> None:
    vectors = [{**E, "distance": distance, "algorithm": algorithm}]
    synced(server, shape, users(), row(1, X), row(2, [5, 5, 0]), row(3, [0, 0.5, 0]), vectors=vectors)
    # By their angle, by their distance, and by their product.
    order = {"COSINE": keys(1, 2, 3), "L2": keys(1, 3, 2), "IP": keys(2, 1, 3)}
    assert nearest(server, [1, 0.1, 0]) == order[distance]
    details = ["algorithm", algorithm, "data_type", "FLOAT32", "dim", 3, "distance_metric", distance]
    assert indexed(server) == details

    before = said(server)["attributes"]
    server.client.execute_command("CONFIG", "RESETSTAT")
    synced(server, shape, users(), row(4, Z), vectors=vectors)
    assert said(server)["attributes"] == before
    used = server.client.info("commandstats")
    assert not {"cmdstat_FT.CREATE", "cmdstat_FT.ALTER", "cmdstat_FT.ALIASUPDATE"} & set(used)
    assert nearest(server, Z, count=1) == keys(4)


@pytest.mark.parametrize("mode", ["append", "append_dedup"])
def test_a_hash_has_the_numbers_as_little_endian_float32_and_a_document_has_the_array(
    server: Server, mode: str
) -> None:
    vector = [0.1, -2, 1e-3]
    synced(server, HASH, users(mode), row(1, vector))
    assert server.client.hget("default:users:1", "embedding") == float32(vector)
    server.client.flushall()
    synced(server, JSON, users(mode), row(1, vector))
    assert json.loads(ask(server.client, "JSON.GET", "default:users:1", "$.embedding")) == [vector]


@pytest.mark.parametrize("shape", SHAPES)
def test_vectors_are_read_back_as_they_were_sent(server: Server, shape: Shape) -> None:
    synced(server, shape, users(), row(1, [0.1, 0.2, 0.3]), row(2, None), row(3, [1.5, 3.4e38, -0.001]))
    # The ledger says which columns are vectors.
    config = {**server.config, "cache_type": "string"}
    read = [json.loads(each.data).get("embedding") for each in sorted_records(config)]
    assert read == [[0.1, 0.2, 0.3], None, [1.5, 3.4e38, -0.001]]


def sorted_records(config: Json) -> list[Any]:
    return sorted(DestinationRedis().get_all(config, "users"), key=lambda each: each.id)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_record_without_a_vector_is_found_by_its_other_columns(server: Server, shape: Shape) -> None:
    absent = record(3, data={"id": 3, "kind": "shoe"})
    synced(server, shape, users(), row(1, X), row(2, None), absent)
    assert found(server.client, "@kind:{shoe}") == keys(1, 2, 3)
    assert nearest(server, X) == keys(1)
    assert said(server)["hash_indexing_failures"] == 0


@pytest.mark.parametrize("shape", SHAPES)
def test_an_upsert_replaces_a_vector_and_removes_it(server: Server, shape: Shape) -> None:
    synced(server, shape, users("append_dedup"), row(1, X), row(2, Y))
    synced(server, shape, users("append_dedup"), row(1, Z, at=9))
    assert nearest(server, Z, count=1) == keys(1)
    assert nearest(server, X, count=1) != keys(1)
    assert len(nearest(server, X)) == 2
    synced(server, shape, users("append_dedup"), row(1, None, at=10))
    assert nearest(server, Z) == keys(2)
    assert found(server.client) == keys(1, 2)


# What is not a vector.

WRONG: dict[str, tuple[Any, str]] = {
    "short": ([0.25, 0.5], "has 2 numbers instead of 3"),
    "long": ([0.25] * 4, "has 4 numbers instead of 3"),
    "empty": ([], "has 0 numbers instead of 3"),
    "text": ("0.25", "is not an array of numbers"),
    "texts": (["0.25", "0.5", "0.75"], "is not an array of numbers"),
    "null inside": ([0.25, None, 0.75], "is not an array of numbers"),
    "boolean inside": ([0.25, True, 0.75], "is not an array of numbers"),
    "too large": ([0.25, 1e39, 0.75], "has a number that is too large for FLOAT32"),
}


@pytest.mark.parametrize("mode", ["append", "overwrite", "append_dedup"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", ["short", "texts"])
def test_a_wrong_vector_ends_the_sync_after_everything_before_it(
    server: Server, shape: Shape, mode: str, case: str
) -> None:
    value, reason = WRONG[case]
    messages, states = [row(1, X), state(1), row(2, value), row(3, Y), COMPLETE], list[Json]()
    with pytest.raises(AirbyteTracedException) as caught:
        states.extend(write(config_of(server, shape), [users(mode)], messages))
    assert str(caught.value) == (
        f"A record of the stream users cannot be stored: its field embedding, which vectors names, {reason}; "
        "acknowledged records are kept"
    )
    assert [each["destinationStats"]["recordCount"] for each in states] == [1.0]


@pytest.mark.parametrize("mode", ["append", "overwrite", "append_dedup"])
@pytest.mark.parametrize("shape", SHAPES)
def test_wrong_vectors_are_kept_apart_and_all_other_records_are_found(
    server: Server, shape: Shape, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    bad = [row(100 + number, value) for number, (value, _) in enumerate(WRONG.values())]
    config = config_of(server, shape, rejected_records="keep")
    (answer,) = write(config, [users(mode)], [row(1, X), *bad, row(2, Y), state(1), COMPLETE])
    assert answer["destinationStats"]["recordCount"] == 2.0
    reasons = [entry["_airbyte_reason"] for _, entry in rejected(server.client)]
    assert reasons == [f"its field embedding, which vectors names, {reason}" for _, reason in WRONG.values()]
    assert nearest(server, X) == keys(1, 2)
    assert said(server)["hash_indexing_failures"] == 0
    assert "0.25" not in caplog.text


@pytest.mark.parametrize("shape", SHAPES)
def test_a_deleted_row_is_deleted_whatever_its_vector_is(server: Server, shape: Shape) -> None:
    stream = users("append_dedup", SCHEMA | {"_ab_cdc_deleted_at": {"type": "string"}})
    synced(server, shape, stream, row(1, X), row(2, Y))
    synced(server, shape, stream, row(1, [1, 2], at=9, _ab_cdc_deleted_at="now"))
    assert nearest(server, X) == keys(2)
    assert server.client.exists("default:users:1") == 0
    # A soft deletion is a record, so it is judged as one.
    deletion = row(2, [1, 2], at=9, _ab_cdc_deleted_at="now")
    assert "has 2 numbers instead of 3" in refused(server, shape, stream, deletion, deletion_mode="soft")
    synced(server, shape, stream, row(2, None, at=10, _ab_cdc_deleted_at="now"), deletion_mode="soft")
    assert found(server.client) == keys(2)


def test_a_record_may_have_several_vectors(server: Server) -> None:
    vectors = [E, {"field": "title", "dimensions": 2, "distance": "L2", "algorithm": "FLAT"}]
    for shape in SHAPES:
        server.client.flushall()
        synced(server, shape, users(**generation(1, 1, 1)), row(1, X, title=[1, 1]), row(2, None), vectors=vectors)
        assert nearest(server, X) == keys(1)
        query = ("*=>[KNN 5 @title $to]", "PARAMS", "2", "to", float32([1, 1]), "NOCONTENT", "DIALECT", "2")
        assert ask(server.client, "FT.SEARCH", "default:users", *query) == [1, b"default:users:1"]
        wrong = refused(server, shape, users(**generation(1, 1, 1)), row(3, X, title=X), vectors=vectors)
        assert "its field title, which vectors names, has 3 numbers instead of 2" in wrong


# How an index changes.


@pytest.mark.parametrize("mode", ["append", "append_dedup"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_refresh_with_other_dimensions_swaps_the_index_when_its_records_are_promoted(
    server: Server, shape: Shape, mode: str, tmp_path: Path
) -> None:
    synced(server, shape, users(mode, **generation(1, 0, 1)), row(1, X), row(2, Y))
    config = config_of(server, shape, vectors=[{"field": "embedding", "dimensions": 2}])
    sync = Connector(config, tmp_path).start([users(mode, **generation(2, 2, 2))])
    sync.send(row(1, [1, 0]), row(3, [0, 1]), state(1))
    sync.wait_for_states(1)
    assert nearest(server, X) == keys(1, 2)
    assert indexes(server) == ["airbyte:index:{default:users}:1"]
    sync.send(COMPLETE)
    outcome = sync.finish()
    assert outcome.code == 0, outcome.text
    assert indexes(server) == ["airbyte:index:{default:users}:2"]
    assert nearest(server, [1, 0]) == (keys(1, 3) if mode == "append_dedup" else keys(3, 4))
    assert found(server.client) == sorted(nearest(server, [1, 0]))


@pytest.mark.parametrize("shape", SHAPES)
def test_queries_are_answered_with_old_vectors_or_with_all_new_ones_while_an_index_is_swapped(
    server: Server, shape: Shape, tmp_path: Path
) -> None:
    count = 1000
    synced(server, shape, users("append_dedup"), *(row(number, [number, 1, 0]) for number in range(count)))
    config = config_of(server, shape, vectors=[{"field": "embedding", "dimensions": 2}])
    sync = Connector(config, tmp_path).start([users("append_dedup", **generation(2, 2, 2))])
    sync.send(*(row(number, [number, 1]) for number in range(count)), COMPLETE)
    assert sync.process.stdin
    sync.process.stdin.close()
    seen = []
    while sync.process.poll() is None:
        seen.append((old_or_new(server), len(found(server.client, "@kind:{shoe}"))))
    assert sync.ended().code == 0
    assert {number for which, number in seen if which == "new"} <= {100}  # as many as `found` asks for
    order = [which for which, _ in seen]
    assert order == sorted(order, reverse=True)
    assert order[0] == "old"
    assert old_or_new(server) == "new"


def old_or_new(server: Server) -> str:
    """Return whose vectors the index has: a query with those of another length is refused."""
    try:
        nearest(server, [5, 1, 0])
    except ResponseError as error:
        if "blob size" not in str(error):
            raise
        return "new"
    return "old"


@pytest.mark.parametrize("change", [{"distance": "L2"}, {"algorithm": "FLAT"}])
@pytest.mark.parametrize("shape", SHAPES)
def test_another_distance_or_algorithm_has_the_index_built_anew_with_the_records_that_are_there(
    server: Server, shape: Shape, change: Json
) -> None:
    synced(server, shape, users(), row(1, [0, 0.5, 0]), row(2, [5, 5, 0]))
    synced(server, shape, users(), row(3, [5, 0, 0]), vectors=[{**E, **change}])
    assert indexes(server) == ["airbyte:index:{default:users}:2"]
    assert set(change.values()) <= set(indexed(server))
    assert nearest(server, [0, 1, 0]) == (keys(1, 3, 2) if "distance" in change else keys(1, 2, 3))


@pytest.mark.parametrize("shape", SHAPES)
def test_other_dimensions_without_a_refresh_leave_the_old_records_out_and_the_log_says_so(
    server: Server, shape: Shape, caplog: pytest.LogCaptureFixture
) -> None:
    synced(server, shape, users(), row(1, X))
    synced(server, shape, users(), row(2, [1, 0]), vectors=[{**E, "dimensions": 2}])
    assert nearest(server, [1, 0]) == found(server.client) == keys(2)
    assert "Records of the stream users were left out of its search index" in caplog.text
    assert server.client.exists("default:users:1")


@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape[0] == "json"])
def test_documents_that_are_there_become_vectors_and_arrays_again_without_a_refresh(
    server: Server, shape: Shape
) -> None:
    synced(server, shape, users(), row(1, X), row(2, None), vectors=[])
    assert found(server.client, "@embedding:[1 1]") == keys(1)
    synced(server, shape, users(), row(3, Y))
    assert nearest(server, Y) == keys(3, 1)
    assert found(server.client) == keys(1, 2, 3)
    synced(server, shape, users(), row(4, [7]), vectors=[])
    assert found(server.client, "@embedding:[1 7]") == keys(1, 3, 4)


def test_hashes_that_are_there_need_a_refresh_for_their_vectors_and_one_to_lose_them(server: Server) -> None:
    synced(server, HASH, users(**generation(1, 0, 1)), row(1, X), vectors=[])
    assert server.client.hget("default:users:1", "embedding") == b"[1,0,0]"
    assert (
        "are stored as hash (columns) by sequential ids, but this sync would store them as hash (columns, vectors "
        "embedding) by sequential ids: refresh the stream"
    ) in refused(server, HASH, users(**generation(1, 0, 1)), row(2, X))
    synced(server, HASH, users(**generation(2, 2, 2)), row(2, X))
    assert nearest(server, X) == found(server.client) == keys(2)
    for on in (True, False):
        less: Json = {"vectors": [], "search_index": on}
        assert "refresh the stream" in refused(server, HASH, users(**generation(2, 0, 2)), row(3, X), **less)
    synced(server, HASH, users(**generation(3, 3, 3)), row(3, [7]), vectors=[])
    assert server.client.hget("default:users:3", "embedding") == b"[7]"
    assert found(server.client) == keys(3)


def test_the_order_of_vectors_is_of_no_account(server: Server) -> None:
    other = {"field": "another", "dimensions": 1}
    synced(server, HASH, users(), row(1, X), vectors=[E, other])
    synced(server, HASH, users(), row(2, X), vectors=[other, E])
    assert indexes(server) == ["airbyte:index:{default:users}:1"]


def test_a_refresh_that_is_cut_off_leaves_the_index_to_the_old_vectors(server: Server) -> None:
    synced(server, HASH, users(**generation(1, 0, 1)), row(1, X))
    two = {"vectors": [{**E, "dimensions": 2}]}
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        list(write(config_of(server, HASH, **two), [users(**generation(2, 2, 2))], [row(2, [1, 0]), state(2)]))
    assert nearest(server, X) == keys(1)
    assert indexes(server) == ["airbyte:index:{default:users}:1"]
    synced(server, HASH, users(**generation(2, 2, 2)), row(3, [0, 1]), **two)
    near = nearest(server, [1, 0])
    assert near[0] == "default:users:2"
    assert sorted(near) == found(server.client)
    assert len(near) == 2
    assert len(indexes(server)) == 1


def test_a_promotion_cut_off_is_finished_by_the_next_run_and_then_its_index(server: Server) -> None:
    synced(server, HASH, users(**generation(1, 0, 1)), row(1, X), vectors=[])
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        list(write(config_of(server, HASH), [users(**generation(2, 2, 2))], [row(2, X), state(2)]))
    server.client.hset("airbyte:{default:users}", "task", "promote")
    synced(server, HASH, users(**generation(2, 2, 2)), row(3, Y))
    near = nearest(server, X)
    assert near[0] == "default:users:2"
    assert sorted(near) == found(server.client)
    assert len(near) == 2
    assert len(indexes(server)) == 1


def test_a_server_that_does_not_show_how_a_vector_is_indexed_keeps_its_index(server: Server) -> None:
    """As search modules before 2.8 do."""

    def act(exchange: Exchange) -> None:
        if exchange.words[0] != b"FT.INFO":
            exchange.forward()
            return
        reply = exchange.execute()
        for name in (b"algorithm", b"data_type", b"dim", b"distance_metric"):
            reply = reply.replace(b"$%d\r\n%b\r\n" % (len(name), name), b"$%d\r\n%b\r\n" % (len(name), name[::-1]))
        exchange.answer(reply)

    with proxy(server.port, act) as between:
        config = {**config_of(server, HASH), "port": between.port}
        for number in (1, 2):
            assert list(write(config, [users()], [row(number, X), COMPLETE])) == []
    assert indexes(server) == ["airbyte:index:{default:users}:1"]
    assert sorted(nearest(server, X)) == keys(1, 2)


# Settings.


def test_an_entry_of_streams_has_vectors_of_its_own(server: Server) -> None:
    two = [users(), {**users(), "stream": {**users()["stream"], "name": "others"}}]
    config = {**config_of(server, JSON, vectors=[]), "streams": [{"stream": "users", "vectors": [E]}]}
    messages = [row(1, X), record(1, "others", data={"embedding": [7]}), COMPLETE, status("COMPLETE", "others")]
    assert list(write(config, two, messages)) == []
    assert nearest(server, X) == keys(1)
    assert found(server.client, "@embedding:[7 7]", "default:others") == ["default:others:1"]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_field_that_the_schema_lacks_is_warned_of_and_indexed_all_the_same(
    server: Server, shape: Shape, caplog: pytest.LogCaptureFixture
) -> None:
    warning = "The schema of the stream users has no field embedding, which vectors names"
    synced(server, shape, users(schema={}), row(1, X))
    assert warning not in caplog.text  # it lists no fields at all
    synced(server, shape, users(schema={"id": SCHEMA["id"]}), row(2, X))
    assert warning in caplog.text
    assert sorted(nearest(server, X)) == keys(1, 2)


@pytest.mark.parametrize("shape", SHAPES)
def test_check_tries_an_index_with_vectors_and_leaves_none_behind(server: Server, shape: Shape) -> None:
    server.client.execute_command("CONFIG", "RESETSTAT")
    assert check(config_of(server, shape, vectors=[{**E, "dimensions": 32_768}, {**E, "field": "a"}])) is None
    assert server.client.info("commandstats")["cmdstat_FT.CREATE"]["calls"] == 1
    assert indexes(server) == []
    assert server.client.dbsize() == 0


def test_a_search_module_without_vectors_is_told_so_by_check_and_write(server: Server) -> None:
    def act(exchange: Exchange) -> None:
        if b"\r\nVECTOR\r\n" in exchange.command:
            exchange.answer(b"-Invalid field type for field `v0`\r\n")
        else:
            exchange.forward()

    sentence = "The server's search module has no vector fields, which vectors needs"
    with proxy(server.port, act) as between:
        config = {**config_of(server, HASH), "port": between.port}
        assert check(config) == f"{sentence}."
        entry = {"stream": "carts", "search_index": True, "vectors": [E]}
        without = {**config, "search_index": False, "vectors": [], "streams": [entry]}
        assert check(without) == f"streams.0 (carts): {sentence}."
        assert check({**config, "vectors": []}) is None
        assert sentence in str(library.failure(config, [users()], [row(1, X), COMPLETE]))


@pytest.mark.parametrize("algorithm", ["FLAT", "HNSW"])
def test_embeddings_of_a_common_size_are_found_among_many(server: Server, algorithm: str) -> None:
    dimensions, count = 384, 500
    angle: Callable[[int], float] = lambda number: number * math.pi / count  # noqa: E731
    vectors = [[math.cos(angle(number)), math.sin(angle(number))] + [0.0] * (dimensions - 2) for number in range(count)]
    setting = [{"field": "embedding", "dimensions": dimensions, "algorithm": algorithm}]
    synced(server, HASH, users("append_dedup"), *(row(*each) for each in enumerate(vectors)), vectors=setting)
    wait_until(lambda: not int(said(server)["indexing"]))
    for number in (0, 77, 499):
        assert nearest(server, vectors[number], count=1) == keys(number)
