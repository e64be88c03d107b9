"""Every data type with a key for each record, in every sync mode it can have: what is there, and what is refused."""

import json
import uuid
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from redis import Redis

from destination_redis.caches import CACHES, RecordOptions, RedisRecord
from integration_tests.support.connector.library import check, config_of, full, full_dedup, refused, write, written
from integration_tests.support.connector.process import Connector
from integration_tests.support.data_types import KEYED, UPSERTING, Shape, cache
from integration_tests.support.docs.permissions import FOR_SETTING, LEAST, OF_HASHES, for_type
from integration_tests.support.messages import COMPLETE, Json, generation, record, state
from integration_tests.support.servers.server import Server, has_json, needs_json, running
from integration_tests.support.stored import ledger

HOLDING_MORE = [shape for shape in KEYED if shape[1] in CACHES[shape[0]].capabilities.metadata]
#: What most types keep as it is, as a source may write it.
DATA = (
    '{"id": 1, "at":5,"n": 123456789012345678901234567890 ,"d":0.1000000000000000055511151231257827,"e":1.10,'
    '"t":true,"f":false,"none":null,"s":"\\u0000\\u00e9\\"\\\\ \\ud83d\\ude00","empty":"","o":{"a":[1, 1.0, null]},'
    '"l":[],"twice":1,"twice":2,"_airbyte_x":"stays","_airbyte_ab_id":"not ours","":"no name","é:{}":1}'
)


@pytest.fixture(scope="module")
def _server(_server_with_json: Server) -> Server:
    return _server_with_json


@pytest.fixture(autouse=True)
def _possible(request: pytest.FixtureRequest, server: Server) -> None:
    if "shape" in request.fixturenames:
        needs_json(server, request.getfixturevalue("shape"))


def possible(server: Server, shapes: list[Shape]) -> list[Shape]:
    """Return those of `shapes` that the server takes."""
    return [shape for shape in shapes if shape[0] != "json" or has_json(server)]


def row(number: Any, at: int, **more: Any) -> Json:
    return record(0, data={"id": number, "at": at, **more})


def gone(number: Any, at: int) -> Json:
    return row(number, at, _ab_cdc_deleted_at="now")


def keys(client: Redis, pattern: str = "default:users:*") -> list[bytes]:
    return sorted(client.scan_iter(pattern))


def read(client: Redis, shape: Shape) -> list[RedisRecord]:
    """Return the live records in the order of their ids."""
    return sorted(cache(shape).get_all(client, keys(client)), key=lambda each: each.id)


def field(found: RedisRecord, name: str) -> Any:
    """Return a field of the data; in a hash's columns everything is text."""
    return str(json.loads(found.data)[name])


def keyed(**more: Any) -> Json:
    """Return a stream in append_dedup with all that the CDK's model asks for."""
    return full_dedup(schema={"properties": {"at": {"type": "integer"}, "_ab_cdc_deleted_at": {}}}, **more)


MODES = {"append": full(), "overwrite": full(mode="overwrite"), "append_dedup": keyed()}
CASES = [(shape, mode) for shape in KEYED for mode in MODES if mode != "append_dedup" or shape in UPSERTING]


@pytest.mark.parametrize(("shape", "mode"), CASES)
def test_a_record_holds_what_the_source_sent(server: Server, tmp_path: Path, shape: Shape, mode: str) -> None:
    line = f'{{"type":"RECORD","record":{{"stream":"users","emitted_at":1700000000001,"data":{DATA}}}}}'
    outcome = Connector(config_of(server, shape), tmp_path).write([MODES[mode]], [line, COMPLETE])
    assert outcome.code == 0, outcome.text

    (found,) = read(server.client, shape)
    assert found.emitted_at in (b"1700000000001", b"")
    match shape:
        case ("hash" | "string", "envelope") | ("string", "columns"):
            assert found.data == DATA.encode()
        case ("hash", "columns"):
            fields: dict[bytes, bytes] = server.client.hgetall(keys(server.client)[0])  # type: ignore[assignment]
            own = {b"_airbyte_ab_id", b"_airbyte_emitted_at", b"_airbyte_cursor"}
            assert {name.decode(): value.decode() for name, value in fields.items() if name not in own} == {
                "id": "1",
                "at": "5",
                "n": "123456789012345678901234567890",
                "d": "0.1000000000000000055511151231257827",
                "e": "1.10",
                "t": "true",
                "f": "false",
                "s": '\0é"\\ 😀',
                "empty": "",
                "o": '{"a":[1, 1.0, null]}',
                "l": "[]",
                "twice": "2",
                "_airbyte_x": "stays",
                "": "no name",
                "é:{}": "1",
            }
            assert found.id == int(fields[b"_airbyte_ab_id"])
        case ("json", _):
            expected = json.loads(DATA, parse_float=Decimal)
            expected |= {"n": str(expected["n"]), "d": str(expected["d"])}
            if shape[1] == "columns":
                del expected["none"], expected["_airbyte_ab_id"]
            assert json.loads(found.data, parse_float=Decimal) == expected
            assert found.meta is not None
            assert [change["field"] for change in json.loads(found.meta)["changes"]] == ["n", "d"]
        case _:
            pytest.fail(f"Say what {shape} holds")


@pytest.mark.parametrize("shape", KEYED)
def test_an_empty_record_and_a_wide_one_are_kept(server: Server, shape: Shape) -> None:
    wide = {f"column {number}": number for number in range(9000)}
    for ttl in (None, 60):
        modes = [full(), *([keyed(primary_key=[["column 1"]])] if shape in UPSERTING else [])]
        for configured in modes:
            server.client.flushall()
            messages = [record(1, data={}), record(2, data=wide), COMPLETE]
            written(server, shape, [configured], *messages, **({"ttl_seconds": ttl} if ttl else {}))
            empty, found = read(server.client, shape)
            assert json.loads(empty.data) == {}
            assert len(json.loads(found.data)) == 9000


@pytest.mark.parametrize("shape", KEYED)
def test_appends_overwrites_and_refreshes_go_by_ids(server: Server, shape: Shape) -> None:
    def ids() -> list[str]:
        return [field(found, "id") for found in read(server.client, shape)]

    written(server, shape, [full()], record(1), record(2), state(2), COMPLETE)
    written(server, shape, [full()], record(3), COMPLETE)
    assert ids() == ["1", "2", "3"]
    assert [found.id for found in read(server.client, shape)] == [1, 2, 3]
    with pytest.raises(Exception, match="Not complete"):
        written(server, shape, [full(**generation(2, 2, 2))], record(4), state(4), record(5))
    assert ids() == ["1", "2", "3"]
    written(server, shape, [full(**generation(3, 0, 3))], record(6), COMPLETE)  # which merges
    assert ids() == ["1", "2", "3", "4", "6"]
    written(server, shape, [full(mode="overwrite")], record(7), COMPLETE)
    assert ids() == ["7"]
    assert server.client.keys("airbyte:tmp:*") == []


@pytest.mark.parametrize("shape", UPSERTING)
def test_upserts_go_forward_replace_whole_and_delete(server: Server, shape: Shape) -> None:
    def rows() -> dict[str, str]:
        found = read(server.client, shape)
        return {field(each, "id"): field(each, "value") for each in found}

    first = [row(1, 5, value="a", extra="x"), row(2, 1, value="b"), row(3, 1, value="c"), row("x" * 300, 1, value="d")]
    written(server, shape, [keyed()], *first, COMPLETE)
    written(server, shape, [keyed()], row(1, 4, value="older"), row(2, 2, value="new"), gone(3, 2), COMPLETE)
    assert rows() == {"1": "a", "2": "new", "x" * 300: "d"}
    written(server, shape, [keyed()], row(1, 6, value="new"), row(3, 1, value="late"), COMPLETE)
    assert rows() == {"1": "new", "2": "new", "x" * 300: "d"}
    assert all("extra" not in json.loads(found.data) for found in read(server.client, shape))

    cancelled = [row(1, 5, value="older"), row(2, 3, value="merged"), gone("x" * 300, 2), state(1)]
    with pytest.raises(Exception, match="Not complete"):
        written(server, shape, [keyed(**generation(2, 2, 2))], *cancelled)
    written(server, shape, [keyed(**generation(3, 0, 3))], COMPLETE)
    assert rows() == {"1": "new", "2": "merged"}
    again = [row(1, 1, value="again"), row(2, 1, value="again"), gone(2, 2)]
    written(server, shape, [keyed(**generation(4, 4, 4))], *again, COMPLETE)
    assert rows() == {"1": "again"}
    assert server.client.keys("airbyte:tmp:*") == []


@pytest.mark.parametrize("shape", UPSERTING)
def test_a_wide_record_is_replaced_as_a_whole_by_one_with_other_columns(server: Server, shape: Shape) -> None:
    for names in (range(9000), range(8000, 16_500), range(16_499, 16_502), range(9000)):
        wide = {f"column {number}": number for number in names}
        written(server, shape, [keyed(primary_key=[["id"]])], record(1, data={"id": 1, **wide}), COMPLETE)
        (found,) = read(server.client, shape)
        assert json.loads(found.data).keys() == {"id", *wide}


@pytest.mark.parametrize("shape", UPSERTING)
def test_cursors_of_any_length_are_compared(server: Server, shape: Shape) -> None:
    configured = keyed()
    del configured["stream"]["json_schema"]["properties"]["at"]
    long = "x" * 1000
    for cursor, value in ((f"{long}b", "new"), (f"{long}a", "old")):
        written(server, shape, [configured], record(1, data={"id": 1, "at": cursor, "value": value}), COMPLETE)
    assert [field(found, "value") for found in read(server.client, shape)] == ["new"]


@pytest.mark.parametrize("shape", KEYED)
def test_a_key_that_is_an_applications_is_refused_and_stays(server: Server, shape: Shape) -> None:
    modes = [full(), *([keyed(**generation(1, 0, 1))] if shape in UPSERTING else [])]
    for configured in modes:
        for kind in ("list", "string", "hash"):
            server.client.flushall()
            match kind:
                case "list":
                    server.client.rpush("default:users:1", "mine")
                case "string":
                    server.client.set("default:users:1", "mine")
                case "hash":
                    server.client.hset("default:users:1", "mine", "1")
            appending = configured["destination_sync_mode"] == "append"
            if kind == shape[0] and appending:
                continue  # an id of ours, with nothing to tell it from what a former command wrote
            before = server.client.dump("default:users:1")
            said = refused(server, shape, [configured], record(1), COMPLETE)
            # A primary key is data, so there the stream alone is named.
            assert ("default:users:1)" if appending else "default:users)") in said
            assert server.client.dump("default:users:1") == before


@pytest.mark.parametrize("shape", KEYED)
def test_only_a_refresh_changes_the_type_or_the_format(server: Server, shape: Shape) -> None:
    others = [other for other in possible(server, KEYED) if other != shape]
    for other in others:
        server.client.flushall()
        written(server, shape, [full(**generation(1, 0, 1))], record(1), COMPLETE)
        said = refused(server, other, [full(**generation(1, 0, 2))], record(2), COMPLETE)
        assert "refresh" in said
        assert all(word in said for word in (*shape, *other, "users"))
        assert len(read(server.client, shape)) == 1
        # What a cancelled refresh staged in another type cannot be merged, and stays for its next try.
        with pytest.raises(Exception, match="Not complete"):
            written(server, other, [full(**generation(2, 2, 3))], record(3), state(3))
        for next_one in (shape, other):
            assert "refresh" in refused(server, next_one, [full(**generation(3, 0, 4))], COMPLETE)
        assert len(keys(server.client, "airbyte:tmp:*")) == 1
        written(server, other, [full(**generation(2, 2, 3))], record(4), COMPLETE)
        assert [field(found, "id") for found in read(server.client, other)] == ["3", "4"]
        assert (ledger(server.client)["cache_type"], ledger(server.client)["record_format"]) == other
        assert server.client.keys("airbyte:tmp:*") == []


@pytest.mark.parametrize("shape", KEYED)
@pytest.mark.parametrize("old_mode", ["append", "append_dedup"])
@pytest.mark.parametrize("new_mode", ["append", "append_dedup"])
def test_a_refresh_into_another_type_leaves_the_new_records_alone(
    server: Server, shape: Shape, old_mode: str, new_mode: str
) -> None:
    """A key may be in both generations: it changes its type at once, and is not taken for an old one afterwards."""
    if old_mode == "append_dedup" and shape not in UPSERTING:
        return
    modes = {"append": full, "append_dedup": keyed}
    shapes = possible(server, KEYED)
    for other in shapes if new_mode == "append" else possible(server, UPSERTING):
        server.client.flushall()
        old = [row(number, 1) for number in (1, 2, 3, "x")]
        written(server, shape, [modes[old_mode](**generation(1, 0, 1))], *old, COMPLETE)
        server.client.set("default:users:2:cart", "mine")
        server.client.set("default:users:777777", "mine")
        # Another try, of yet another shape, that this one drops.
        dropped = shapes[(shapes.index(other) + 1) % len(shapes)]
        droppable = modes[new_mode if dropped in UPSERTING else "append"]
        with pytest.raises(Exception, match="Not complete"):
            written(server, dropped, [droppable(**generation(2, 2, 2))], row(8, 1), row(9, 1), state(1))
        # Keys named as the old ids are: after an append they hold the new records.
        new = [row(number, 0, new=True) for number in (2, 3, "y")]
        written(server, other, [modes[new_mode](**generation(3, 3, 3))], *new, COMPLETE)
        assert sorted(field(found, "id") for found in read(server.client, other)) == ["2", "3", "y"], (shape, other)
        assert len(keys(server.client)) == 5, keys(server.client)
        assert server.client.keys("airbyte:tmp:*") == []
        assert server.client.get("default:users:2:cart") == b"mine"
        assert server.client.get("default:users:777777") == b"mine"


@pytest.mark.parametrize("shape", UPSERTING)
def test_without_its_ledger_a_stream_of_any_type_is_mended_by_a_refresh_into_any(server: Server, shape: Shape) -> None:
    for other in possible(server, UPSERTING):
        server.client.flushall()
        written(server, shape, [keyed(sync_id=1)], row(1, 1), row(2, 1), COMPLETE)
        server.client.delete("airbyte:{default:users}")
        assert "refresh" in refused(server, shape, [keyed(sync_id=2)], row(1, 2), COMPLETE)
        written(server, other, [keyed(**generation(2, 2, 3))], row(2, 0), COMPLETE)
        assert [field(found, "id") for found in read(server.client, other)] == ["2"]
        assert len(keys(server.client)) == 1


@pytest.mark.parametrize("shape", KEYED)
def test_after_a_server_came_back_empty_a_refresh_removes_stray_records(server: Server, shape: Shape) -> None:
    def messages() -> Iterator[Json]:
        yield from (record(1), state(1))
        server.client.flushall()
        yield from (record(2), state(2), COMPLETE)

    with pytest.raises(Exception, match="refresh"):
        list(write(config_of(server, shape), [full(sync_id=1)], messages()))
    server.client.set("default:users:1:cart", "mine")
    server.client.set("default:users:777777", "mine")
    written(server, shape, [full(**generation(2, 2, 3))], record(4), COMPLETE)
    assert [field(found, "id") for found in read(server.client, shape)] == ["4"]
    assert server.client.mget("default:users:1:cart", "default:users:777777") == [b"mine", b"mine"]
    assert len(keys(server.client)) == 3


@pytest.mark.parametrize("shape", KEYED)
def test_live_records_expire_and_staged_ones_do_when_they_are_promoted_or_merged(server: Server, shape: Shape) -> None:
    for stream in (full, keyed):
        if stream is keyed and shape not in UPSERTING:
            continue
        server.client.flushall()

        def expiries(pattern: str = "default:users:*") -> list[int]:
            return [server.client.ttl(key) for key in keys(server.client, pattern)]

        expiring = {"ttl_seconds": 1000}
        written(server, shape, [stream(**generation(1, 0, 1))], row(1, 1), row(2, 1), COMPLETE, **expiring)
        assert all(990 < left <= 1000 for left in expiries())
        for key in keys(server.client):
            server.client.expire(key, 5)
        with pytest.raises(Exception, match="Not complete"):
            written(server, shape, [stream(**generation(2, 2, 2))], row(1, 9), row(3, 1), state(1), **expiring)
        assert expiries("airbyte:tmp:*") == [-1, -1]
        written(server, shape, [stream(**generation(3, 0, 3))], COMPLETE, **expiring)
        assert sum(left > 990 for left in expiries()) == 2
        written(server, shape, [stream(**generation(4, 4, 4))], row(1, 1), row(4, 1), COMPLETE, **expiring)
        assert all(990 < left <= 1000 for left in expiries())
        assert len(expiries()) == 2
        written(server, shape, [stream(**generation(4, 0, 5))], row(1, 2), COMPLETE)
        assert -1 in expiries()  # written by a sync that lets nothing expire
        assert server.client.ttl("default:users") == server.client.ttl("airbyte:{default:users}") == -1


@pytest.mark.parametrize("shape", HOLDING_MORE)
def test_all_metadata_is_kept_where_that_is_asked_for(server: Server, shape: Shape) -> None:
    change = {"field": "x", "change": "NULLED", "reason": "SOURCE_RETRIEVAL_ERROR"}
    messages = [record(1), record(2, meta={"changes": [change]}), COMPLETE]
    names = ("_airbyte_raw_id", "_airbyte_extracted_at", "_airbyte_generation_id", "_airbyte_meta")
    for configured in (full, keyed):
        server.client.flushall()
        stream = configured(**generation(7, 0, 9))
        if configured is keyed and shape not in UPSERTING:
            continue
        written(server, shape, [stream], *messages, record_metadata="full")
        held = []
        for key in keys(server.client):
            match shape[0]:
                case "hash":
                    values = [value.decode() for value in server.client.hmget(key, names)]  # type: ignore[union-attr]
                case "string":
                    document = json.loads(server.client.get(key))  # type: ignore[arg-type]
                    values = [document[name] for name in names]
                case "json":
                    document = json.loads(server.client.execute_command("JSON.GET", key))
                    values = [document[name] for name in names]
                case _:
                    pytest.fail(f"Say where {shape} keeps metadata")
            held.append([value if isinstance(value, str) else json.dumps(value) for value in values])
        assert {uuid.UUID(raw_id).variant for raw_id, *_ in held} == {uuid.RFC_4122}
        assert len({raw_id for raw_id, *_ in held}) == 2
        assert [int(at) for _, at, _, _ in held] == [1700000000001, 1700000000002]
        assert {generation_id for _, _, generation_id, _ in held} == {"7"}
        metas = [json.loads(meta) for *_, meta in held]
        assert metas == [{"sync_id": 9, "changes": []}, {"sync_id": 9, "changes": [change]}]
        found = CACHES[shape[0]](RecordOptions(shape[1], full=True)).get_all(server.client, keys(server.client))
        assert [json.loads(each.data).keys() for each in found] == [{"id"}, {"id"}]


@pytest.mark.parametrize("shape", [shape for shape in KEYED if shape not in HOLDING_MORE])
def test_data_alone_has_no_room_for_upserts_and_metadata_and_that_is_said(server: Server, shape: Shape) -> None:
    said = refused(server, shape, [keyed()], COMPLETE)
    assert all(word in said for word in ("users", "append_dedup", *shape))
    said = refused(server, shape, [full()], COMPLETE, record_metadata="full")
    assert all(word in said for word in ("record_metadata", *shape))
    assert check(config_of(server, shape, record_metadata="full")) == said
    assert server.client.dbsize() == 0


@pytest.mark.parametrize("shape", KEYED)
def test_check_tries_the_type_and_leaves_nothing_behind(server: Server, shape: Shape) -> None:
    assert check(config_of(server, shape, ttl_seconds=5)) is None
    assert server.client.dbsize() == 0


def test_a_server_without_the_json_module_is_told_so_by_check_and_write() -> None:
    with running("redis-7.0") as server:
        shape: Shape = ("json", "envelope")
        assert "no JSON module" in str(check(config_of(server, shape)))
        assert "no JSON module" in refused(server, shape, [full()], record(1), COMPLETE)
        assert "module" in refused(server, shape, [keyed()], record(1), COMPLETE)


@pytest.mark.parametrize("shape", KEYED)
def test_a_stream_is_read_lazily_and_keys_of_others_are_left_out(server: Server, shape: Shape) -> None:
    written(server, shape, [full()], *map(record, range(1, 2001)), COMPLETE)
    server.client.rpush("default:users:list", "mine")
    server.client.set("default:users:text", "mine")
    server.client.hset("default:users:hash", "mine", "1")
    asked: list[bytes] = []

    def some() -> Iterator[bytes]:
        for key in keys(server.client):
            asked.append(key)
            yield key

    found = cache(shape).get_all(server.client, some())
    next(found)
    assert len(asked) < 1000
    assert len(list(found)) == 1999
    assert list(cache(shape).get_all(server.client, [b"default:users:none"])) == []


@pytest.mark.parametrize("shape", KEYED)
@pytest.mark.parametrize("ttl", [None, 100])
def test_the_permissions_for_a_types_own_commands_suffice_and_check_misses_each(
    server: Server, shape: Shape, ttl: int | None
) -> None:
    def allow(rules: str) -> None:
        server.client.execute_command("ACL", "SETUSER", "airbyte", "reset")
        server.client.execute_command(*rules.split())

    more, expiry = for_type(shape[0]), FOR_SETTING["ttl_seconds"] if ttl else "+persist"
    rules = LEAST.replace(OF_HASHES, more).replace("+persist", expiry)
    config = config_of(server, shape, username="airbyte", password="password", **({"ttl_seconds": ttl} if ttl else {}))
    allow(rules)
    try:
        assert check(config) is None
        first, second, third = [row(1, 1), row(2, 1)], [row(1, 2), row(2, 1, extra=1), gone(1, 3)], [row(3, 1)]
        for stream in [full, keyed] if shape in UPSERTING else [full]:
            for number, messages in enumerate((first, second, third), 1):
                streams = [stream(**generation(number, number if number == 3 else 0, number))]
                assert list(write(config, streams, [*messages, COMPLETE])) == []
            assert len(read(server.client, shape)) == 1
            server.client.flushall()
        for command in f"{more} {expiry}".split():
            allow(rules.replace(f" {command}", "", 1))
            answer = check(config)
            assert answer is not None
            assert command[1:].upper() in answer
    finally:
        server.client.execute_command("ACL", "DELUSER", "airbyte")


@pytest.mark.parametrize("shape", KEYED)
@pytest.mark.parametrize("ttl", [None, 100])
def test_the_permissions_for_expiries_of_their_own_suffice_and_check_misses_each(
    server: Server, shape: Shape, ttl: int | None
) -> None:
    def allow(rules: str) -> None:
        server.client.execute_command("ACL", "SETUSER", "airbyte", "reset")
        server.client.execute_command(*rules.split())

    more = f"{FOR_SETTING['expire_at']} +persist{' +expire' if ttl else ''}"
    rules = f"{LEAST.replace(OF_HASHES, for_type(shape[0]))} {more}"
    settings: Json = {"expire_at": "ends", **({"ttl_seconds": ttl} if ttl else {})}
    config = config_of(server, shape, username="airbyte", password="password", **settings)
    allow(rules)
    try:
        assert check(config) is None
        ends = [None, 4_102_444_799, "infinity", 1]
        for stream in [full, keyed] if shape in UPSERTING else [full]:
            for number, minimum in enumerate((0, 0, 3, 4), 1):
                messages = [row(key, number, ends=ends[(key + number) % 4]) for key in range(4)]
                last = [COMPLETE] if number != 3 else []
                written = write(config, [stream(**generation(number, minimum, number))], [*messages, state(1), *last])
                if last:
                    assert len(list(written)) == 1
                else:
                    with pytest.raises(AirbyteTracedException, match="Not complete"):
                        list(written)
            assert len(read(server.client, shape)) == 3
            server.client.flushall()
        for command in more.split():
            allow(rules.replace(f" {command}", "", 2))
            answer = check(config)
            assert answer is not None
            assert command[1:].upper() in answer
    finally:
        server.client.execute_command("ACL", "DELUSER", "airbyte")


@pytest.mark.parametrize("shape", UPSERTING)
@pytest.mark.parametrize("steps", range(5))
def test_a_promotion_into_another_type_cut_off_after_any_step_is_finished_by_the_next_run(
    server: Server, shape: Shape, steps: int
) -> None:
    """The state after so many steps of a promotion is built step by step; the next run is for anything."""
    shapes = possible(server, UPSERTING)
    other = shapes[(shapes.index(shape) + 1) % len(shapes)]
    written(server, shape, [keyed(**generation(1, 0, 1))], row(1, 1), row(2, 1), row(3, 1), COMPLETE)
    staged = [row(2, 0, new=1), row(4, 0, new=1), gone(3, 0), state(1)]
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        written(server, other, [keyed(**generation(2, 2, 2))], *staged)
    server.client.hset("airbyte:{default:users}", "task", "promote")
    for step in [
        ("RENAME", "airbyte:tmp:{default:users:2}", "default:users:2"),
        ("UNLINK", "airbyte:tmp:{default:users:3}", "default:users:3"),
        ("RENAME", "airbyte:tmp:{default:users:4}", "default:users:4"),
        ("UNLINK", "default:users:1"),
    ][:steps]:
        server.client.execute_command(*step)
    written(server, other, [keyed(**generation(3, 0, 3))], row(2, 1, new=2), COMPLETE)
    assert {field(found, "id"): field(found, "new") for found in read(server.client, other)} == {"2": "2", "4": "1"}
    assert len(keys(server.client)) == 2
    assert server.client.keys("airbyte:tmp:*") == []
