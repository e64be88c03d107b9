"""Keys under a template of the settings: written, replaced, merged and removed, and nobody else's keys with them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from destination_redis.destination import DestinationRedis
from integration_tests.support.connector.library import (
    check,
    config_of,
    failure,
    full,
    full_dedup,
    refused,
    write,
    written,
)
from integration_tests.support.connector.process import Connector
from integration_tests.support.data_types import COLLECTED, HASH, READABLE, UPSERTING, Shape
from integration_tests.support.data_types import storable as record
from integration_tests.support.faults.proxy import Exchange, proxy
from integration_tests.support.messages import COMPLETE, Json, generation, state, status
from integration_tests.support.servers.server import Server, needs_json
from integration_tests.support.stored import elements, ledger, rows
from integration_tests.support.waiting import wait_until

USER = {"record_key": "user:{key}"}
#: An application's own keys, which look much like records: one has the form of a record's key, without an id of ours.
APPLICATIONS: dict[str, Any] = {
    "user:42:cart": {"items": 3},
    "user:app": {"name": "Ann"},
    "users:1": {"_airbyte_ab_id": 1, "_airbyte_data": "{}"},
    "default:users": {"of": "the application"},
    "airbyte:tmp:{user:1:cart}": {"_airbyte_ab_id": 1, "_airbyte_data": "{}"},
}


@pytest.fixture(scope="module")
def _server(_server_with_json: Server) -> Server:
    return _server_with_json


@pytest.fixture
def applications(server: Server) -> Iterator[None]:
    """Have an application's keys beside those of the sync, and see that they stay what they are."""
    for key, fields in APPLICATIONS.items():
        server.client.hset(key, mapping=fields)
    server.client.set("user:note", "hello")
    before = {key: server.client.dump(key) for key in (*APPLICATIONS, "user:note")}
    yield
    assert {key: server.client.dump(key) for key in before} == before


def row(key: str | int | None, value: int, name: str = "users", **more: Any) -> Json:
    return record(0, name, data={"id": key, "at": value, "value": value, **more})


def gone(key: str | int, at: int) -> Json:
    return row(key, at, _ab_cdc_deleted_at="2024-01-01")


def users(client: Redis, head: str = "user:", shape: Shape = HASH) -> dict[str, Any]:
    """Return what the records under a template hold, without an application's keys."""
    others = {*APPLICATIONS, "user:note"}
    names = {key.decode() for key in client.scan_iter(f"{head}*") if key.decode() not in others}
    return rows(client, head, {name.removeprefix(head) for name in names}, shape)


@pytest.mark.parametrize("shape", [shape for shape in UPSERTING if shape[1] == "envelope"], ids="-".join)
@pytest.mark.usefixtures("applications")
def test_upserts_deletions_and_a_refresh_have_the_keys_of_the_template(server: Server, shape: Shape) -> None:
    needs_json(server, shape)
    client = server.client
    first = [row(1, 1), row(2, 5), row("a:b", 1), row(1, 2), gone(2, 6), state(6), COMPLETE]
    assert written(server, shape, [full_dedup(**generation(1, 0, 1))], *first, **USER) == 1
    assert users(client, shape=shape) == {"1": 2, "a%3Ab": 1}
    assert client.keys("airbyte:tombstone:*") == [b"airbyte:tombstone:{user:2}"]
    # The ledger says under which template they are, whatever the settings are now.
    assert len(list(DestinationRedis().get_all(server.config, "users"))) == 2

    assert written(server, shape, [full_dedup(**generation(2, 2, 2))], row(3, 1), gone(1, 9), COMPLETE, **USER) == 0
    assert users(client, shape=shape) == {"3": 1}
    assert [key for key in client.scan_iter("airbyte:tmp:*") if key.decode() not in APPLICATIONS] == []
    assert ledger(client)["template"] == "user:{key}"


@pytest.mark.usefixtures("applications")
def test_a_cancelled_refresh_is_merged_under_the_template(server: Server) -> None:
    config = config_of(server, HASH, **USER)
    list(write(config, [full_dedup(**generation(1, 0, 1))], [row(1, 9), row(2, 1), row(3, 1), COMPLETE]))
    failure(config, [full_dedup(**generation(2, 2, 2))], [row(1, 5), row(2, 2), gone(3, 4), row(4, 4), state(4)])
    assert users(server.client) == {"1": 9, "2": 1, "3": 1}
    assert b"airbyte:tmp:{user:4}" in server.client.keys("airbyte:tmp:*")
    list(write(config, [full_dedup(**generation(3, 0, 3))], [row(5, 5), COMPLETE]))
    assert users(server.client) == {"1": 9, "2": 2, "4": 4, "5": 5}


@pytest.mark.usefixtures("applications")
def test_staged_records_of_a_cancelled_refresh_are_dropped_by_the_next_one(server: Server) -> None:
    config = config_of(server, HASH, **USER)
    list(write(config, [full_dedup(**generation(1, 0, 1))], [row(1, 9), COMPLETE]))
    failure(config, [full_dedup(**generation(2, 2, 2))], [row(2, 5), state(1)])
    list(write(config, [full_dedup(**generation(3, 3, 3))], [row(3, 3), COMPLETE]))
    assert users(server.client) == {"3": 3}
    assert [key for key in server.client.scan_iter("airbyte:tmp:*") if key.decode() not in APPLICATIONS] == []


def test_a_sync_that_was_killed_goes_on_under_the_template(server: Server, tmp_path: Path) -> None:
    connector = Connector({**server.config, **USER}, tmp_path)
    running = connector.start([full_dedup(**generation(1, 0, 1))])
    running.send(row(1, 1), row(2, 2), state(2), row(3, 3))
    running.wait_for_states(1)
    running.kill()
    assert connector.write([full_dedup(**generation(1, 0, 1))], [row(3, 4), COMPLETE]).code == 0
    assert rows(server.client, "user:") == {"1": 1, "2": 2, "3": 4}
    assert server.client.exists("default:users") == 0


def test_a_key_of_an_application_that_a_record_would_take_is_refused(server: Server) -> None:
    server.client.hset("user:ann", mapping={"name": "Ann"})
    wrong = refused(server, HASH, [full_dedup()], row("ann", 1), COMPLETE, **USER)
    assert "The key holds another data type, or a value that the connector did not write" in wrong
    assert "a script for default:users" in wrong
    assert "ann" not in wrong  # a primary key is data
    assert server.client.hgetall("user:ann") == {b"name": b"Ann"}


@pytest.mark.parametrize(
    ("old", "new"),
    [("user:{key}", ""), ("", "user:{key}"), ("user:{key}", "{stream}:{key}"), ("user:{key}", "{key}")],
)
def test_another_template_is_refused_until_a_refresh_which_takes_the_old_keys_away(
    server: Server, old: str, new: str
) -> None:
    before, after = ({"record_key": text} if text else {} for text in (old, new))
    heads = {"user:{key}": "user:", "": "default:users:", "{stream}:{key}": "users:", "{key}": ""}
    assert written(server, HASH, [full_dedup(**generation(1, 0, 1))], row(1, 1), row(2, 2), COMPLETE, **before) == 0
    server.client.hset(f"{heads[old]}7", mapping={"of": "the application"})
    wrong = refused(server, HASH, [full_dedup(**generation(1, 0, 2))], row(1, 3), COMPLETE, **after)
    assert "refresh the stream, so that all records are sent again" in wrong
    assert rows(server.client, heads[old], {"1", "2"}) == {"1": 1, "2": 2}

    assert written(server, HASH, [full_dedup(**generation(2, 2, 3))], row(1, 4), row(8, 8), COMPLETE, **after) == 0
    assert rows(server.client, heads[new], {"1", "8"}) == {"1": 4, "8": 8}
    assert server.client.hgetall(f"{heads[old]}7") == {b"of": b"the application"}
    left = {b"airbyte:{default:users}", b"airbyte:templates", f"{heads[old]}7".encode()}
    left |= {f"{heads[new]}{name}".encode() for name in (1, 8)} | (set() if new else {b"default:users"})
    assert set(server.client.scan_iter()) == left
    # Once the ledger says it, adding is possible again.
    assert written(server, HASH, [full_dedup(**generation(2, 0, 4))], row(9, 9), COMPLETE, **after) == 0


@pytest.mark.parametrize("was", ["append", "list"])
def test_a_stream_without_primary_key_changes_to_a_template_and_back_by_refreshes(server: Server, was: str) -> None:
    client, old = server.client, {"cache_type": "list"} if was == "list" else {}
    shape: Shape = (old.get("cache_type", "hash"), "envelope")
    assert written(server, shape, [full(**generation(1, 0, 1))], record(1), record(2), COMPLETE) == 0
    assert client.exists("default:users") == 1
    assert written(server, HASH, [full_dedup(**generation(2, 2, 2))], row("x", 1), COMPLETE, **USER) == 0
    assert sorted(client.keys("*user*")) == [b"airbyte:{default:users}", b"user:x"]
    assert written(server, shape, [full(**generation(3, 3, 3))], record(5), COMPLETE, **USER) == 0
    assert client.exists("default:users") == 1
    assert client.exists("user:x") == 0


def test_a_composite_key_has_its_parts_between_the_texts_of_the_template(server: Server) -> None:
    stream = full_dedup(primary_key=[["id"], ["value"]])
    template = {"record_key": "{stream}/{key}:x"}
    assert written(server, HASH, [stream], row("a", 1), row(None, 2), COMPLETE, **template) == 0
    assert set(server.client.scan_iter("users/*")) == {b"users/a:1:x", b"users/%null:2:x"}


def test_streams_with_sequential_ids_keep_the_default_and_the_log_says_so(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "airbyte"):
        assert written(server, HASH, [full()], record(1), COMPLETE, **USER) == 0
    assert server.client.exists("default:users:1", "default:users") == 2
    assert "record_key is for streams in append_dedup: the keys of users are the default ones" in caplog.text


def test_two_streams_of_a_catalog_whose_keys_could_be_the_same_are_refused_with_both_names(server: Server) -> None:
    streams = [full_dedup("users"), full_dedup("orders")]
    wrong = refused(server, HASH, streams, row(1, 1), COMPLETE, **USER)
    assert "users (user:{key}) and orders (user:{key}) could be the same" in wrong
    assert server.client.exists("airbyte:templates") == 0
    assert (
        written(server, HASH, streams, row(1, 1), COMPLETE, status("COMPLETE", "orders"), record_key="{stream}-{key}")
        == 0
    )
    assert server.client.exists("users-1") == 1


@pytest.mark.parametrize("template", ["airbyte:{key}", "a{key}:x", "{key}:x"])
def test_a_template_that_reaches_the_connectors_own_keys_is_refused(server: Server, template: str) -> None:
    wrong = refused(server, HASH, [full_dedup()], row(1, 1), COMPLETE, record_key=template)
    assert "could begin with airbyte:, as the connector's own do" in wrong


QUEUE = {"collection_key": "queue:{stream}"}


class TestCollections:
    @pytest.mark.parametrize("shape", COLLECTED, ids="-".join)
    def test_a_collection_is_appended_to_replaced_and_merged_under_its_template(
        self, server: Server, shape: Shape
    ) -> None:
        client, key = server.client, "queue:users"
        client.set("default:users", "of the application")
        assert written(server, shape, [full(**generation(1, 0, 1))], record(1), state(1), COMPLETE, **QUEUE) == 1
        assert written(server, shape, [full(**generation(1, 0, 2))], record(2), COMPLETE, **QUEUE) == 0
        assert sorted(elements(client, key, shape)) == [1, 2]
        if shape in READABLE:
            assert len(list(DestinationRedis().get_all(server.config, "users"))) == 2
        config = config_of(server, shape, **QUEUE)

        failure(config, [full(**generation(2, 2, 3))], [record(3), state(3)])
        assert sorted(elements(client, key, shape)) == [1, 2]
        assert client.exists("airbyte:tmp:{queue:users}") == 1
        assert written(server, shape, [full(**generation(3, 0, 4))], record(4), COMPLETE, **QUEUE) == 0
        assert sorted(elements(client, key, shape)) == [1, 2, 3, 4]

        assert written(server, shape, [full(**generation(5, 5, 5))], record(5), COMPLETE, ttl_seconds=900, **QUEUE) == 0
        assert elements(client, key, shape) == [5]
        assert 0 < client.ttl(key) <= 900
        assert client.get("default:users") == b"of the application"
        assert sorted(client.scan_iter()) == [
            b"airbyte:templates",
            b"airbyte:{default:users}",
            b"default:users",
            key.encode(),
        ]

    @pytest.mark.parametrize(("old", "new"), [({}, QUEUE), (QUEUE, {}), (QUEUE, {"collection_key": "{stream}"})])
    def test_another_template_is_refused_until_a_refresh_which_takes_the_old_key_away(
        self, server: Server, old: Json, new: Json
    ) -> None:
        shape: Shape = ("list", "envelope")
        assert written(server, shape, [full(**generation(1, 0, 1))], record(1), COMPLETE, **old) == 0
        wrong = refused(server, shape, [full(**generation(1, 0, 2))], record(2), COMPLETE, **new)
        assert "refresh the stream" in wrong
        assert written(server, shape, [full(**generation(2, 2, 3))], record(3), COMPLETE, **new) == 0
        key = new.get("collection_key", "default:{stream}").replace("{stream}", "users")
        assert elements(server.client, key, shape) == [3]
        own = {b"airbyte:templates", b"airbyte:{default:users}"}
        assert set(server.client.scan_iter()) - own == {key.encode()}

    def test_a_key_of_an_application_is_not_taken_for_the_collection(self, server: Server) -> None:
        shape: Shape = ("list", "envelope")
        server.client.rpush("queue:users", "a job of the application")
        for streams in ([full()], [full(mode="overwrite")]):
            wrong = refused(server, shape, streams, record(1), COMPLETE, **QUEUE)
            assert "The key queue:users was not written by this connector" in wrong
        assert server.client.lrange("queue:users", 0, -1) == [b"a job of the application"]

    def test_elements_of_a_sync_that_died_are_removed(self, server: Server, tmp_path: Path) -> None:
        connector = Connector({**server.config, "cache_type": "list", **QUEUE}, tmp_path)
        running = connector.start([full(**generation(1, 0, 1))])
        running.send(record(1), state(1), record(2))
        running.wait_for_states(1)
        wait_until(lambda: server.client.llen("queue:users") == 2)
        running.kill()
        assert connector.write([full(**generation(1, 0, 1))], [record(2), COMPLETE]).code == 0
        assert elements(server.client, "queue:users", ("list", "envelope")) == [1, 2]

    def test_two_streams_of_one_key_are_refused(self, server: Server) -> None:
        wrong = refused(server, ("list", "envelope"), [full(), full("jobs")], record(1), collection_key="queue")
        assert "users (queue) and jobs (queue) could be the same" in wrong

    def test_a_cluster_has_no_collection_key(self) -> None:
        config = {"host": "localhost", "cache_type": "list", "deployment": {"deployment": "cluster"}, **QUEUE}
        assert "collection_key is not possible in a cluster" in str(check(config))

    def test_a_server_without_scripts_of_several_slots_is_told_so_by_check_and_write(
        self, server: Server, tmp_path: Path
    ) -> None:
        def refuse(exchange: Exchange) -> None:
            if exchange.words[0] == b"EVAL" and b"ipairs(KEYS)" in exchange.command:
                exchange.answer(b"-CROSSSLOT Keys in request don't hash to the same slot\r\n")
            else:
                exchange.forward()

        with proxy(server.port, refuse) as way:
            config = {**server.config, "port": way.port, "cache_type": "list", **QUEUE}
            assert "as collection_key needs" in str(check(config))
            outcome = Connector(config, tmp_path).write([full()], [record(1), COMPLETE])
        assert "as collection_key needs" in outcome.error["message"]
        assert server.client.exists("queue:users") == 0


class TestClaims:
    def test_a_template_that_another_connection_uses_is_refused_with_both_names(self, server: Server) -> None:
        assert written(server, HASH, [full_dedup()], row(1, 1), COMPLETE, **USER) == 0
        people = [full_dedup("people")]
        wrong = refused(server, HASH, people, row(1, 5, "people"), **USER)
        assert "default:users (user:{key})" in wrong
        assert "people (user:{key})" in wrong
        assert rows(server.client, "user:") == {"1": 1}
        assert server.client.hgetall("airbyte:templates") == {b"default:users": b'["user:{key}"]', b"version": b"1"}

    def test_a_stream_without_a_template_is_refused_if_its_keys_could_be_claimed_ones(self, server: Server) -> None:
        assert written(server, HASH, [full_dedup()], row(1, 1), COMPLETE, record_key="default:{key}:7") == 0
        wrong = refused(server, HASH, [full_dedup("orders")], row(1, 1, "orders"))
        assert "default:users (default:{key}:7)" in wrong
        assert "orders (default:orders:{key})" in wrong

    def test_a_template_whose_keys_could_be_those_of_a_stream_without_one_is_refused(self, server: Server) -> None:
        assert written(server, HASH, [full_dedup("orders")], row(1, 1, "orders"), status("COMPLETE", "orders")) == 0
        wrong = refused(server, HASH, [full_dedup()], row(1, 1), record_key="default:orders:{key}")
        assert "users (default:orders:{key}) and default:orders (default:orders:{key}) could be the same" in wrong
        claims = server.client.hgetall("airbyte:templates")
        assert b"default:users" not in claims
        assert rows(server.client, "default:orders:") == {"1": 1}

    def test_a_claim_without_a_ledger_is_void(self, server: Server) -> None:
        assert written(server, HASH, [full_dedup()], row(1, 1), COMPLETE, **USER) == 0
        server.client.delete("airbyte:{default:users}", "user:1")
        people = [full_dedup("people")]
        assert written(server, HASH, people, row(2, 2, "people"), status("COMPLETE", "people"), **USER) == 0
        assert rows(server.client, "user:") == {"2": 2}
        assert b"default:users" not in server.client.hgetall("airbyte:templates")

    def test_a_refresh_to_another_template_keeps_the_old_claim_until_the_old_keys_are_gone(
        self, server: Server
    ) -> None:
        other = {"record_key": "person:{key}"}
        assert written(server, HASH, [full_dedup(**generation(1, 0, 1))], row(1, 1), COMPLETE, **USER) == 0
        failure(config_of(server, HASH, **other), [full_dedup(**generation(2, 2, 2))], [row(2, 2), state(2)])
        people = [full_dedup("people")]
        for taken in (USER, other):
            assert "could be the same" in refused(server, HASH, people, row(1, 1, "people"), **taken)
        assert written(server, HASH, [full_dedup(**generation(2, 2, 2))], row(3, 3), COMPLETE, **other) == 0
        assert rows(server.client, "person:") == {"2": 2, "3": 3}
        assert server.client.hget("airbyte:templates", "default:users") == b'["person:{key}"]'
        assert written(server, HASH, people, row(1, 1, "people"), status("COMPLETE", "people"), **USER) == 0


def test_a_template_whose_keys_could_be_those_of_a_stream_of_another_connection_is_refused(server: Server) -> None:
    orders, order, ended = full("orders"), record(1, "orders", namespace="shop"), status("COMPLETE", "orders")
    orders["stream"]["namespace"] = "shop"
    ended["trace"]["stream_status"]["stream_descriptor"]["namespace"] = "shop"
    assert list(write(server.config, [orders], [order, ended])) == []
    items = full_dedup("items", primary_key=[["a"], ["b"]])
    message = str(failure({**server.config, "record_key": "shop:{key}"}, [items], []))
    assert "shop:{key}:{key}" in message
    assert "shop:orders" in message
    assert server.client.exists("shop:orders:1")
    assert server.client.hgetall("airbyte:templates").keys() == {b"version"}
