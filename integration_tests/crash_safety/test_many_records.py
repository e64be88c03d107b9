"""Scripts for many records: what keeps one record from being written is told for that one, and no other suffers."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.connection.many_keys import ONE_KEY
from integration_tests.support.connector.library import check, full, write
from integration_tests.support.data_types import UPSERTING, Shape
from integration_tests.support.faults.proxy import Exchange, proxy
from integration_tests.support.messages import COMPLETE, Json, dedup, generation, record, state, status
from integration_tests.support.servers.server import Server, free_port, needs_json, running
from integration_tests.support.stored import rows, values
from integration_tests.support.waiting import wait_until

RECORDS = 5
DELETING = {"properties": {"at": {"type": "integer"}, "_ab_cdc_deleted_at": {"type": "string"}}}
#: How another application writes a key.
ANOTHERS = {
    "list": ("RPUSH", "another's"),
    "hash": ("HSET", "name", "another's"),
    "string": ("SET", "another's"),
    "json": ("JSON.SET", "$", '{"name":"another\'s"}'),
}
#: Characters of a record that make scripts for many of them longer than the proxy's limit below.
LIMIT = 20_000


@pytest.fixture(scope="module")
def _server(_server_with_json: Server) -> Server:
    return _server_with_json


def row(number: int, size: int = 0, **more: str) -> Json:
    return record(number, data={"id": number, "at": number, "value": number, "pad": "x" * size, **more})


def deletion(number: int) -> Json:
    return row(number, _ab_cdc_deleted_at="2024-01-01")


def upserting(**more: Any) -> Json:
    configured = dedup(schema=DELETING, **more)
    configured["stream"]["supported_sync_modes"] = ["full_refresh"]
    return configured


def upserted(config: Json, *messages: Json, retry_seconds: float = 100) -> list[object]:
    return list(write(config, [upserting()], [*messages, state(1), COMPLETE], retry_seconds))


def refreshing(number: int) -> Json:
    return upserting(**generation(number, number, number))


def as_numbers(found: dict[str, Any]) -> dict[str, int]:
    """Return the same with numbers for values: columns of a hash are text."""
    return {name: int(value) for name, value in found.items()}


def everything(count: int) -> dict[str, int]:
    return {str(number): number for number in range(count)}


@pytest.mark.parametrize("shape", UPSERTING, ids="-".join)
@pytest.mark.parametrize("position", range(RECORDS))
@pytest.mark.parametrize("deletes", [False, True], ids=["upserts", "deletions"])
@pytest.mark.parametrize("alike", [False, True], ids=["of another type", "of the same type"])
def test_another_applications_key_at_any_position_ends_the_sync_and_all_other_records_are_written(
    server: Server, shape: Shape, position: int, *, deletes: bool, alike: bool
) -> None:
    needs_json(server, shape)
    config = {**server.config, "cache_type": shape[0], "record_format": shape[1]}
    if deletes:
        upserted(config, *map(row, range(RECORDS)))
        server.client.delete(f"default:users:{position}")
    command, *arguments = ANOTHERS[shape[0] if alike else "list"]
    server.client.execute_command(command, f"default:users:{position}", *arguments)
    before = server.client.dump(f"default:users:{position}")
    with pytest.raises(AirbyteTracedException) as caught:
        upserted(config, *map(deletion if deletes else row, range(RECORDS)))
    assert caught.value.failure_type is FailureType.config_error
    assert server.client.dump(f"default:users:{position}") == before
    others = {str(number) for number in range(RECORDS)} - {str(position)}
    there = {key.decode().rpartition(":")[2] for key in server.client.scan_iter("default:users:*")}
    assert there == {str(position)} | (set() if deletes else others)
    if not deletes:
        assert as_numbers(rows(server.client, only=others, shape=shape)) == {name: int(name) for name in others}


@pytest.mark.parametrize("shape", UPSERTING, ids="-".join)
@pytest.mark.parametrize("position", range(RECORDS))
def test_another_applications_key_in_the_way_of_a_promotion_ends_it_and_stays(
    server: Server, shape: Shape, position: int
) -> None:
    needs_json(server, shape)
    config = {**server.config, "cache_type": shape[0], "record_format": shape[1]}
    list(write(config, [refreshing(1)], [row(100), COMPLETE]))
    server.client.rpush(f"default:users:{position}", "another's")
    with pytest.raises(AirbyteTracedException) as caught:
        list(write(config, [refreshing(2)], [*map(row, range(RECORDS)), COMPLETE]))
    assert caught.value.failure_type is FailureType.config_error
    assert server.client.lrange(f"default:users:{position}", 0, -1) == [b"another's"]
    server.client.delete(f"default:users:{position}")
    list(write(config, [refreshing(2)], [COMPLETE]))  # it ends the promotion, with nothing to write
    assert as_numbers(rows(server.client, shape=shape)) == everything(RECORDS)


def test_what_a_script_exceeds_maxmemory_by_is_one_command(server: Server) -> None:
    upserted(server.config, row(0))  # the scripts take memory too
    server.client.config_set("maxmemory", server.client.info("memory")["used_memory"] + 10_000)
    try:
        with pytest.raises(AirbyteTracedException) as caught:
            upserted(server.config, *(row(number, 2000) for number in range(1, 300)), retry_seconds=0.5)
        assert caught.value.failure_type is FailureType.transient_error
        assert server.client.dbsize() < 3 + (10_000 + 64 * 1024) / 2000
    finally:
        server.client.config_set("maxmemory", 0)
    upserted(server.config, *(row(number, 2000) for number in range(300)))
    assert rows(server.client) == everything(300)


def scripts_of_many(seen: list[tuple[bytes, int]]) -> list[int]:
    """Return the numbers of keys of the scripts that write records."""
    return [keys for name, keys in seen if name.startswith((b"default:users:", b"airbyte:tmp:{default:users:"))]


def noting(seen: list[tuple[bytes, int]], exchange: Exchange) -> None:
    if exchange.words[0] == b"EVALSHA":
        seen.append((exchange.words[3], int(exchange.words[2])))


def test_many_records_share_a_script_on_a_single_server(server: Server) -> None:
    seen: list[tuple[bytes, int]] = []

    def act(exchange: Exchange) -> None:
        noting(seen, exchange)
        exchange.forward()

    with proxy(server.port, act) as opened:
        upserted({**server.config, "port": opened.port}, *map(row, range(200)))
    assert sum(scripts_of_many(seen)) == 2 * 200  # with the key of a tombstone each
    assert max(scripts_of_many(seen)) == 2 * 100
    assert rows(server.client) == everything(200)


@pytest.mark.parametrize("fault", ["a value missing", "an error", "CROSSSLOT"])
def test_a_proxy_that_shards_by_key_gets_a_script_for_each_record(
    server: Server, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    seen: list[tuple[bytes, int]] = []

    def act(exchange: Exchange) -> None:
        noting(seen, exchange)
        tried = b"airbyte:check:" in exchange.command
        if fault == "a value missing" and tried and exchange.words[0] == b"GET" and exchange.words[1][-1:] in b"13579":
            exchange.answer(b"$-1\r\n")
        elif fault != "a value missing" and tried and exchange.words[0] == b"EVAL":
            exchange.answer(b"-CROSSSLOT Keys\r\n" if fault == "CROSSSLOT" else b"-ERR not here\r\n")
        else:
            exchange.forward()

    with proxy(server.port, act) as opened, caplog.at_level(logging.INFO):
        upserted({**server.config, "port": opened.port}, *map(row, range(20)), *map(deletion, range(3)))
    assert ONE_KEY in caplog.text
    assert set(scripts_of_many(seen)) == {2}
    assert rows(server.client) == {str(number): number for number in range(3, 20)}
    assert not list(server.client.scan_iter("airbyte:check:*"))


@pytest.mark.parametrize("command", [b"EVAL", b"GET", b"UNLINK"])
def test_a_probe_that_is_cut_off_leaves_keys_that_expire_and_a_sync_that_goes_on_removes_them(
    server: Server, command: bytes
) -> None:
    left: list[int] = []

    def act(exchange: Exchange) -> None:
        if not left and exchange.words[0] == command and b"airbyte:check:" in exchange.command:
            if command != b"UNLINK":
                exchange.execute()
            left.extend(server.client.ttl(key) for key in server.client.scan_iter("airbyte:check:*"))
            exchange.reset()
        exchange.forward()

    with proxy(server.port, act) as opened:
        upserted({**server.config, "port": opened.port}, *map(row, range(30)))
    assert len(left) == 16
    assert all(0 < seconds <= 10 for seconds in left)
    assert not list(server.client.scan_iter("airbyte:check:*"))
    assert rows(server.client) == everything(30)


@pytest.fixture(scope="module")
def only_node() -> Iterator[Server]:
    """Yield a cluster of one node, which a user takes for a single server."""
    with running("redis-7.0", "--cluster-enabled", "yes", "--cluster-port", str(free_port())) as server:
        server.client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        wait_until(lambda: "cluster_state:ok" in str(server.client.execute_command("CLUSTER", "INFO")))
        yield server


def test_a_node_of_a_cluster_that_is_taken_for_a_single_server_gets_a_script_for_each_record(
    only_node: Server, caplog: pytest.LogCaptureFixture
) -> None:
    assert check(only_node.config) is None
    assert ONE_KEY in caplog.text
    caplog.clear()
    with caplog.at_level(logging.INFO):
        upserted(only_node.config, *map(row, range(150)), *map(deletion, range(10)))
    assert ONE_KEY in caplog.text
    assert rows(only_node.client) == {str(number): number for number in range(10, 150)}
    list(write(only_node.config, [refreshing(2)], [*map(row, range(50)), COMPLETE]))
    assert rows(only_node.client) == everything(50)
    ended = status("COMPLETE", "other")
    for number in (2, 3):
        replacing = full("other", mode="overwrite", **generation(number, number, number))
        list(write(only_node.config, [replacing], [*(record(each, "other") for each in range(150)), ended]))
    assert len(values(only_node.client, "default:other:")) == 150


def test_a_limit_that_many_records_exceed_and_no_single_one_blames_nobody(server: Server) -> None:
    refused: list[int] = []

    def act(exchange: Exchange) -> None:
        if len(exchange.command) > LIMIT:
            refused.append(len(exchange.command))
            exchange.answer(b"-ERR command too long\r\n")
        else:
            exchange.forward()

    with proxy(server.port, act) as opened:
        config = {**server.config, "port": opened.port}
        upserted(config, *(row(number, 1000) for number in range(150)))
        assert refused
        assert rows(server.client) == everything(150)
        with pytest.raises(AirbyteTracedException, match="A record of the stream users is too large"):
            upserted(config, *(row(number, LIMIT if number == 170 else 1000) for number in range(150, 300)))


@pytest.mark.parametrize("reply", [b"*1\r\n$1\r\nx\r\n", b"*2\r\n:0\r\n:99\r\n", b"*1\r\n*0\r\n"])
def test_a_reply_that_names_no_record_has_all_of_them_sent_again(server: Server, reply: bytes) -> None:
    odd: list[int] = []

    def act(exchange: Exchange) -> None:
        if (
            exchange.words[0] == b"EVALSHA"
            and int(exchange.words[2]) > 2
            and exchange.words[3].startswith(b"default:u")
        ):
            odd.append(exchange.number)
            exchange.answer(reply)  # it is not executed
        else:
            exchange.forward()

    with proxy(server.port, act) as opened:
        upserted({**server.config, "port": opened.port}, *map(row, range(30)))
    assert odd
    assert rows(server.client) == everything(30)


def test_a_script_whose_reply_is_lost_is_sent_again_and_nothing_comes_back(server: Server) -> None:
    cut: list[int] = []

    def act(exchange: Exchange) -> None:
        if exchange.words[0] == b"EVALSHA" and int(exchange.words[2]) > 2 and len(cut) < 3:
            cut.append(exchange.number)
            exchange.execute()
            exchange.reset()
        exchange.forward()

    with proxy(server.port, act) as opened:
        messages = [*map(row, range(30)), *map(deletion, range(0, 30, 2)), *(row(n, 5) for n in range(1, 30, 2))]
        upserted({**server.config, "port": opened.port}, *messages)
    assert len(cut) == 3
    assert rows(server.client) == {str(number): number for number in range(1, 30, 2)}
