"""Records that expire at a time of their own (expire_at): in every sync mode, live, staged and replaced."""

import json
import time
from typing import Any

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from integration_tests.support.connector.library import check, config_of, full, full_dedup, refused, written
from integration_tests.support.data_types import COLLECTED, HASH, KEYED, UPSERTING, Shape
from integration_tests.support.expiries import (
    BY_TTL,
    END,
    FOREVER,
    NOTHING,
    OWN,
    PAST,
    SCHEMA,
    SOON,
    TEXT,
    TTL,
    expiry,
    live,
    row,
    soon,
)
from integration_tests.support.faults.proxy import Exchange, proxy
from integration_tests.support.messages import COMPLETE, Json, generation, state, status
from integration_tests.support.servers.server import Server, needs_json
from integration_tests.support.stored import ledger


@pytest.fixture(scope="module")
def _server(_server_with_json: Server) -> Server:
    return _server_with_json


ALL = [row(1), row(2, ends=None), row(3, ends=TEXT), row(4, ends="infinity"), row(5, ends=PAST), row(6, ends="never")]
ALL = [*ALL, row(7, ends=END / 1000), row(8, ends="10000-01-01"), row(9, ends="-infinity"), row(10, ends=0)]


def expected(default: str) -> dict[int, str | None]:
    """Return the expiries of `ALL`, by what holds where a record has none of its own."""
    return {1: default, 2: default, 3: OWN, 4: FOREVER, 6: default, 7: OWN, 8: default}


@pytest.mark.parametrize("shape", KEYED, ids="-".join)
@pytest.mark.parametrize("ttl", [None, TTL])
@pytest.mark.parametrize("mode", ["append", "overwrite", "refresh", "append_dedup", "refresh_dedup", "merge"])
def test_every_record_has_the_expiry_of_its_field_in_every_sync_mode(
    server: Server, shape: Shape, mode: str, ttl: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    needs_json(server, shape)
    if mode.endswith("dedup") and shape not in UPSERTING:
        pytest.skip("It has no upserts")
    settings: Json = {"expire_at": "ends", **({"ttl_seconds": ttl} if ttl else {})}
    numbers = generation(2, 2 if mode.startswith(("refresh", "merge")) else 0, 2) if mode != "overwrite" else {}
    make = full_dedup if mode.endswith("dedup") else full
    stream = make(**numbers, **({"mode": "overwrite"} if mode == "overwrite" else {}))
    stream["stream"]["json_schema"] = SCHEMA
    if mode == "merge":
        with pytest.raises(AirbyteTracedException, match="Not complete"):
            written(server, shape, [stream], *ALL, state(1), **settings)
        stream = {**stream, **generation(2, 0, 3)}
        written(server, shape, [stream], COMPLETE, **settings)
    else:
        assert written(server, shape, [stream], *ALL, state(1), COMPLETE, **settings) == 1
    assert live(server.client, shape) == expected(BY_TTL if ttl else FOREVER)
    warnings = [each.message for each in caplog.records if "(expire_at)" in each.message]
    assert len(warnings) == 1
    assert "users has a value in the field ends (expire_at)" in warnings[0]
    assert "never" not in warnings[0]
    assert server.client.keys("airbyte:tmp:*") == []


@pytest.mark.parametrize("shape", KEYED, ids="-".join)
def test_the_id_of_a_record_whose_time_is_past_passes(server: Server, shape: Shape) -> None:
    needs_json(server, shape)
    streams = [full(**generation(1, 0, 1))]
    written(server, shape, streams, row(1), row(2, ends=0), row(3), row(4, ends=0), COMPLETE, expire_at="ends")
    written(server, shape, streams, row(5), COMPLETE, expire_at="ends")
    keys = sorted(server.client.scan_iter("default:users:*"))
    assert keys == [b"default:users:1", b"default:users:3", b"default:users:5"]
    assert ledger(server.client)["committed"] == "5"
    assert server.client.get("default:users") == b"5"


def past(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what the log says of records whose time was past."""
    return [each.getMessage() for each in caplog.records if "were not stored" in each.getMessage()]


@pytest.mark.parametrize("shape", KEYED, ids="-".join)
@pytest.mark.parametrize("ttl", [None, TTL])
@pytest.mark.parametrize("minimum", [0, 2], ids=["append", "refresh"])
def test_the_log_says_how_many_records_were_not_stored_because_their_time_was_past(
    server: Server, shape: Shape, ttl: int | None, minimum: int, caplog: pytest.LogCaptureFixture
) -> None:
    needs_json(server, shape)
    settings: Json = {"expire_at": "ends", **({"ttl_seconds": ttl} if ttl else {})}
    streams = [full(**generation(2, minimum, 2)), full("rows", **generation(2, minimum, 2))]
    for each in streams:
        each["stream"]["json_schema"] = SCHEMA
    ends: list[Any] = [NOTHING, TEXT, PAST, "infinity", "never", 0]
    many = [row(number, ends=ends[number % len(ends)]) for number in range(3000)]
    one = row(1, ends=TEXT)
    one["record"]["stream"] = "rows"
    written(server, shape, streams, *many, one, state(1), COMPLETE, status("COMPLETE", "rows"), **settings)
    said = "users: 1000 records were not stored, because the time in the field that expire_at names was past"
    assert past(caplog) == [said]


def test_those_records_are_counted_once_whatever_is_sent_again(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    lost = iter(range(3))

    def act(exchange: Exchange) -> None:
        if exchange.words[0] == b"EVALSHA" and b"HSET" in exchange.command and b"id" in exchange.command:
            reply = exchange.execute()
            if b'"at":7' in exchange.command and next(lost, None) is not None:
                exchange.reset()
            exchange.answer(reply)
        else:
            exchange.forward()

    with proxy(server.port, act) as way:
        messages = [row(number, at=number % 10, ends=0 if number % 2 else END / 1000) for number in range(1000)]
        config = {"expire_at": "ends", "port": way.port}
        assert written(server, HASH, [full(**generation(1, 0, 1))], *messages, state(1), COMPLETE, **config) == 1
    assert next(lost, None) is None
    assert [each.partition(" were")[0] for each in past(caplog)] == ["users: 500 records"]


def test_in_append_dedup_such_a_record_is_a_deletion_and_not_counted(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    stream = full_dedup(schema=SCHEMA)
    written(server, HASH, [stream], row(1, ends=PAST), row(2, ends=TEXT), COMPLETE, expire_at="ends")
    assert past(caplog) == []


@pytest.mark.parametrize("shape", UPSERTING, ids="-".join)
@pytest.mark.parametrize("ttl", [None, TTL])
def test_an_upsert_replaces_the_expiry_with_the_record(server: Server, shape: Shape, ttl: int | None) -> None:
    needs_json(server, shape)
    values: list[Any] = [NOTHING, TEXT, "infinity", PAST]
    pairs = [(first, second) for first in values for second in values]
    settings: Json = {"expire_at": "ends", **({"ttl_seconds": ttl} if ttl else {})}
    stream = full_dedup(schema=SCHEMA)
    written(server, shape, [stream], *(row(key, 1, first) for key, (first, _) in enumerate(pairs)), **settings)
    written(server, shape, [stream], *(row(key, 2, second) for key, (_, second) in enumerate(pairs)), **settings)
    written(server, shape, [stream], *(row(key, 1, TEXT) for key in range(len(pairs))), **settings)  # older: nothing
    default = BY_TTL if ttl else FOREVER
    by_value = {0: default, 1: OWN, 2: FOREVER, 3: None}
    assert {key: expiry(server.client, f"default:users:{key}") for key in range(len(pairs))} == {
        key: by_value[key % len(values)] for key in range(len(pairs))
    }


@pytest.mark.parametrize("shape", UPSERTING, ids="-".join)
@pytest.mark.parametrize("mode", ["hard", "soft"])
def test_a_record_whose_time_is_past_is_a_deletion_in_the_order_of_cursors(
    server: Server, shape: Shape, mode: str
) -> None:
    needs_json(server, shape)
    settings: Json = {"expire_at": "ends", "deletion_mode": mode}
    # The schema announces no deletions.
    stream = full_dedup(schema={"properties": {name: SCHEMA["properties"][name] for name in ("at", "ends")}})
    first = [row(1, 5), row(2, 5), row(3, 5, PAST), row(4, 5, 0), row(5, 5)]
    written(server, shape, [stream], *first, COMPLETE, **settings)
    second = [row(1, 6, 0), row(2, 4, 0), row(3, 4), row(4, 6), row(6, 1, PAST), row(6, 0, TEXT)]
    written(server, shape, [stream], *second, COMPLETE, **settings)
    written(server, shape, [stream], row(1, 5), row(6, 0), COMPLETE)  # without the setting tombstones hold, too
    assert list(live(server.client, shape)) == [2, 4, 5]
    tombstones = {key.decode()[-2]: server.client.ttl(key) for key in server.client.scan_iter("airbyte:tombstone:*")}
    assert sorted(tombstones) == ["1", "3", "6"]
    assert all(86_000 < int(left) <= 86_400 for left in tombstones.values())


def test_a_record_that_expires_by_itself_leaves_nothing(server: Server) -> None:
    stream = full_dedup(schema={"properties": {"at": {"type": "integer"}}})
    ends = soon(server.client)
    written(server, HASH, [stream], row(1, 5, ends), COMPLETE, expire_at="ends")
    assert server.client.exists("default:users:1")
    time.sleep(SOON + 0.2)
    assert [key for key in server.client.scan_iter() if b"users:" in key] == []
    written(server, HASH, [stream], row(1, 4), COMPLETE, expire_at="ends")
    assert live(server.client) == {1: FOREVER}


@pytest.mark.parametrize("shape", KEYED, ids="-".join)
@pytest.mark.parametrize("upserts", [False, True], ids=["append", "append_dedup"])
@pytest.mark.parametrize("then", ["promoted", "merged", "dropped"])
def test_what_expires_while_it_is_staged_is_deleted(server: Server, shape: Shape, then: str, *, upserts: bool) -> None:
    needs_json(server, shape)
    if upserts and shape not in UPSERTING:
        pytest.skip("It has no upserts")
    make = full_dedup if upserts else full
    written(server, shape, [make(**generation(1, 0, 1))], row(1, 1), row(2, 9), row(3, 1), COMPLETE)
    staged = [
        row(1, 2, soon(server.client)),
        row(2, 2, soon(server.client)),
        row(4, 2, soon(server.client)),
        row(5, 2, END / 1000),
    ]
    refresh = [make(**generation(2, 2, 2))]
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        written(server, shape, refresh, *staged, state(1), expire_at="ends", ttl_seconds=TTL)
    time.sleep(SOON + 0.2)
    assert list(live(server.client, shape)) == [1, 2, 3]  # readers see the old ones
    following = {"promoted": refresh, "merged": [make(**generation(2, 0, 3))], "dropped": [make(**generation(3, 3, 3))]}
    # The next sync need not have the setting any more: the ledger knows.
    written(server, shape, following[then], row(6, 1), COMPLETE)
    new: dict[int, str | None] = {} if then == "dropped" else {5: OWN}
    old = {} if then != "merged" else {2: FOREVER, 3: FOREVER} if upserts else {1: FOREVER, 2: FOREVER, 3: FOREVER}
    assert live(server.client, shape) == {**old, **new, 6: FOREVER}
    assert server.client.keys("airbyte:tmp:*") == []
    if then == "merged" and upserts:
        written(server, shape, following[then], row(1, 1), row(4, 1), COMPLETE)  # an older record does not come back
        assert list(live(server.client, shape)) == [2, 3, 5, 6]


@pytest.mark.parametrize("upserts", [False, True], ids=["append", "append_dedup"])
@pytest.mark.parametrize("ttl", [None, TTL])
def test_expiries_of_staged_records_outlive_the_setting(server: Server, ttl: int | None, *, upserts: bool) -> None:
    make = full_dedup if upserts else full
    staged = [row(1), row(2, ends=END / 1000), row(3, ends="infinity"), state(1)]
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        written(server, HASH, [make(**generation(2, 2, 2))], *staged, expire_at="ends")
    settings = {"ttl_seconds": ttl} if ttl else {}
    written(server, HASH, [make(**generation(2, 0, 3))], COMPLETE, **settings)
    assert live(server.client) == {1: BY_TTL if ttl else FOREVER, 2: OWN, 3: FOREVER}


@pytest.mark.parametrize("shape", COLLECTED, ids="-".join)
def test_a_collection_has_no_expiry_for_each_record(server: Server, shape: Shape) -> None:
    said = refused(server, shape, [full()], COMPLETE, expire_at="ends")
    assert said == check(config_of(server, shape, expire_at="ends"))
    assert "expire_at needs a key for each record" in said


@pytest.mark.parametrize("upserts", [False, True], ids=["append", "append_dedup"])
def test_a_record_that_is_sent_again_once_its_time_is_past_is_still_gone(server: Server, *, upserts: bool) -> None:
    make = full_dedup if upserts else full
    ends = soon(server.client)
    shape: Shape = ("hash", "columns")
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        written(server, shape, [make(**generation(1, 0, 1))], row(1, 1), row(1, 5, ends), expire_at="ends")
    time.sleep(SOON + 0.2)
    written(server, shape, [make(**generation(1, 0, 1))], row(1, 1), row(1, 5, ends), COMPLETE, expire_at="ends")
    found = [json.loads(server.client.hget(key, "at") or "0") for key in server.client.scan_iter("default:users:*")]
    assert found == ([] if upserts else [1])
