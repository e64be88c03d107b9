"""Fields as elements (`value` and `score`): what lists, sets and sorted sets hold, and records without an element."""

import json
from itertools import product
from typing import Any

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.destination import DestinationRedis
from integration_tests.support.connector.cli import CommandLine
from integration_tests.support.connector.library import check, config_of, full, full_dedup, refused, write
from integration_tests.support.data_types import WHOLE, Shape, cache, columns
from integration_tests.support.faults.proxy import Exchange, proxy
from integration_tests.support.faults.scenarios import VALUED
from integration_tests.support.messages import COMPLETE, Json, generation, lines, record, state, status, stream
from integration_tests.support.servers.server import Server
from integration_tests.support.stored import LEDGER, ledger

KEY, STAGED = "default:users", "airbyte:tmp:{default:users}"
LIST: Shape = ("list", "columns")
SET: Shape = ("set", "columns")
SORTED: Shape = ("sorted_set", "columns")
BY_TYPE = pytest.mark.parametrize("shape", [shape for shape in VALUED if shape in WHOLE], ids=lambda shape: shape[0])
NO_ELEMENT = "records have no element, because a field that the element is taken from is null or absent in them"


def row(name: Any, points: Any = 1, stream: str = "users", **more: Any) -> Json:
    return record(0, stream, data={"name": name, "points": points, **columns(1), **more})


def written(server: Server, shape: Shape, streams: list[Json], *messages: Json, **more: Any) -> None:
    list(write(config_of(server, shape, **{"value": "name", **more}), streams, messages))


def held(server: Server, shape: Shape, key: str = KEY) -> list[str]:
    """Return the elements, in the order of a list, else sorted."""
    found = [each.data.decode() for each in cache(shape).get_all(server.client, [key.encode()])]
    return found if shape == LIST else sorted(found)


def scores(server: Server) -> dict[str, float]:
    found: list[tuple[bytes, float]] = server.client.zrange(KEY, 0, -1, withscores=True)  # type: ignore[assignment]
    return {member.decode(): score for member, score in found}


@BY_TYPE
@pytest.mark.parametrize("record_format", ["envelope", "columns", None])
def test_the_field_alone_is_the_element_whatever_the_format(
    server: Server, shape: Shape, record_format: str | None
) -> None:
    config = config_of(server, shape, record_format=record_format, value="name")
    assert check(config) is None
    names = ["plain", 'a "quote"', "é", "", 7, 1.5, True, {"a": [1]}, ["x"]]
    list(write(config, [full()], [*map(row, names), state(1), COMPLETE]))
    texts = [name if isinstance(name, str) else json.dumps(name, separators=(",", ":")) for name in names]
    assert held(server, shape) == (texts if shape == LIST else sorted(texts))
    assert sorted(each.data.decode() for each in DestinationRedis().get_all(config, "users")) == sorted(texts)


def test_a_set_holds_what_sadd_a_list_what_rpush_and_a_sorted_set_what_zadd_would_add(server: Server) -> None:
    messages = [row("ann", 5), row("bob", 3), row("ann", 4), state(3), COMPLETE]
    for shape in (LIST, SET, SORTED):
        written(server, shape, [full(mode="overwrite")], *messages, **({"score": "points"} if shape == SORTED else {}))
        if shape == LIST:
            assert server.client.lrange(KEY, 0, -1) == [b"ann", b"bob", b"ann"]
        elif shape == SORTED:
            assert scores(server) == {"ann": 4, "bob": 3}
        else:
            assert server.client.smembers(KEY) == {b"ann", b"bob"}


@BY_TYPE
def test_a_deletion_removes_no_element(server: Server, shape: Shape) -> None:
    written(server, shape, [full(sync_id=1)], row("ann"), row("bob"), COMPLETE)
    written(server, shape, [full(sync_id=2)], row(None, id=1, _ab_cdc_deleted_at="2024-01-01T00:00:00Z"), COMPLETE)
    assert held(server, shape) == ["ann", "bob"]


@BY_TYPE
def test_upserts_are_refused(server: Server, shape: Shape) -> None:
    assert "append_dedup" in refused(server, shape, [full_dedup()], COMPLETE, value="name")


@BY_TYPE
def test_records_without_an_element_are_counted_as_received_and_told_once_for_each_stream(
    cli: CommandLine, server: Server, shape: Shape
) -> None:
    config = config_of(server, shape, value="name")
    messages = [
        *(row("a"), row(None), record(0, data={"id": 1}), state(1)),
        *(row(None, stream="orders"), state(2, "orders"), row(None), state(3), row("b"), state(4)),
        *(row(None, stream="things") for _ in range(2)),
        *(row("x", stream="others"), state(5, "others")),
    ]
    names = ("users", "orders", "things", "others")
    ran = cli.write(
        config,
        {"streams": [stream(name) for name in names]},
        lines(*messages, *(status("COMPLETE", name) for name in names)),
    )
    assert ran.code == 0, ran.out
    counts = [
        (each["stream"]["stream_descriptor"]["name"], each["destinationStats"]["recordCount"]) for each in ran.states
    ]
    assert counts == [("users", 3), ("orders", 1), ("users", 1), ("users", 1), ("others", 1)]
    told = sorted(line for line in ran.logged if NO_ELEMENT in line)
    assert told == [f"{name}: {count} {NO_ELEMENT}" for name, count in (("orders", 1), ("things", 2), ("users", 3))]
    assert "users: 5 records received, 5 confirmed" in " ".join(ran.logged)
    assert held(server, shape) == ["a", "b"]
    assert server.client.exists("default:orders", "default:things") == 0
    assert [ledger(server.client, f"default:{name}")["committed"] for name in names] == ["2", "0", "0", "1"]


def test_a_global_state_counts_records_without_an_element_too(server: Server) -> None:
    whole = {"type": "STATE", "state": {"type": "GLOBAL", "global": {"stream_states": []}}}
    streams = [full(), full("orders")]
    messages = [row(None), row("a"), whole, row(None, stream="orders"), whole, COMPLETE, status("COMPLETE", "orders")]
    states = list(write(config_of(server, LIST, value="name"), streams, messages))
    assert [each["destinationStats"]["recordCount"] for each in states] == [2, 1]


@BY_TYPE
def test_a_stream_of_which_no_record_has_an_element_is_complete_and_empty(server: Server, shape: Shape) -> None:
    written(server, shape, [full(**generation(1, 0, 1))], row("old"), COMPLETE)
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        written(server, shape, [full(**generation(2, 2, 2))], row(None), state(1), row(None))
    assert held(server, shape) == ["old"]
    written(server, shape, [full(**generation(2, 2, 2))], row(None), COMPLETE)
    assert sorted(server.client.scan_iter()) == [LEDGER.encode()]
    written(server, shape, [full(**generation(2, 0, 3))], row(None), row("new"), COMPLETE)
    assert held(server, shape) == ["new"]


@BY_TYPE
def test_records_without_an_element_anywhere_in_a_batch_leave_the_others_exact_over_deaths_and_refreshes(
    cli: CommandLine, server: Server, shape: Shape
) -> None:
    """Each stream has another order of records with and without an element: all that five records can have."""
    patterns = {"".join(pattern): pattern for pattern in product("x-", repeat=5)}
    config = {"streams": [stream(f"of {name}", **generation(1, 0, 1)) for name in patterns]}
    settings = config_of(server, shape, value="name")

    def batch(after: str, *, ends: bool = False) -> list[Json]:
        """Return the records of every stream; their elements end with `after`."""
        return [
            each
            for name, pattern in patterns.items()
            for each in (
                *(row(f"{at}{after}" if one == "x" else None, stream=f"of {name}") for at, one in enumerate(pattern)),
                *([state(1, f"of {name}"), status("COMPLETE", f"of {name}")] if ends else []),
            )
        ]

    def expected(pattern: tuple[str, ...], *after: str) -> list[str]:
        found = [f"{at}{each}" for each in after for at, one in enumerate(pattern) if one == "x"]
        return found if shape == LIST else sorted(found)

    def check_all(*after: str, staged: bool = False) -> None:
        for name, pattern in patterns.items():
            key = f"airbyte:tmp:{{default:of {name}}}" if staged else f"default:of {name}"
            assert held(server, shape, key) == expected(pattern, *after), name

    states = [state(1, f"of {name}") for name in patterns]
    # Acknowledged, and then the same again in one batch that no state covers.
    died = cli.write(settings, config, lines(*batch(" one"), *states, *batch(" two")))
    assert died.code == 1
    assert len(died.states) == len(patterns)
    check_all(" one", " two")
    again = cli.write(settings, config, lines(*batch(" two", ends=True)))
    assert again.code == 0, again.out
    check_all(" one", " two")
    for name, pattern in patterns.items():
        found = ledger(server.client, f"default:of {name}")
        assert found["committed"] == found["reserved"] == found["sent"]
        # The sync that died had reserved 256 ids; after these only elements have one.
        assert int(found["committed"]) == 256 + pattern.count("x")

    refresh = {"streams": [stream(f"of {name}", **generation(2, 2, 2)) for name in patterns]}
    died = cli.write(settings, refresh, lines(*batch(" three"), *states, *batch(" four")))
    assert died.code == 1
    check_all(" one", " two")
    check_all(" three", " four", staged=True)
    # What is acknowledged of a refresh that was cancelled is merged; of a set, the rest stays as well.
    added = {"streams": [stream(f"of {name}", **generation(3, 0, 3)) for name in patterns]}
    merged = cli.write(settings, added, lines(*batch(" four", ends=True)))
    assert merged.code == 0, merged.out
    check_all(" one", " two", " three", " four")


@BY_TYPE
def test_a_batch_that_is_split_keeps_every_element_once_and_in_order(server: Server, shape: Shape) -> None:
    """A proxy takes no request above 600 bytes, so that large batches are sent in halves."""
    limited: list[int] = []

    def limit(exchange: Exchange) -> None:
        if exchange.words[0] == b"EVALSHA" and KEY.encode() in exchange.command and len(exchange.command) > 600:
            limited.append(len(exchange.command))
            exchange.answer(b"-ERR max request size exceeded. Limit: 600 bytes\r\n")
        else:
            exchange.forward()

    names = [None if number % 7 in (0, 3, 4) else f"{number:05}" for number in range(500)]
    with proxy(server.port, limit) as way:
        config = config_of(server, shape, value="name", port=way.port)
        list(write(config, [full()], [*map(row, names), state(1), COMPLETE]))
    assert len(limited) > 3
    assert held(server, shape) == [name for name in names if name is not None]


@pytest.mark.parametrize(
    ("column", "points", "expected"),
    [
        (None, [5, "2.5", -1.25, "Infinity", "-inf", 1e16], [5, 2.5, -1.25, float("inf"), float("-inf"), 1e16]),
        ({"type": "string"}, ["10", 9], [10, 9]),
        ({"type": "string", "format": "date-time"}, ["1970-01-01T00:00:02.5Z", 7], [2.5, 7]),
    ],
)
def test_a_score_is_the_number_in_its_field_or_by_the_schema_its_time_in_seconds(
    server: Server, column: Json | None, points: list[Any], expected: list[float]
) -> None:
    configured = full(cursor_field=["name"])
    configured["stream"]["json_schema"] = {"properties": {"points": column}} if column else {}
    messages = [row(f"p{number}", each) for number, each in enumerate(points)]
    written(server, SORTED, [configured], *messages, row("none", None), COMPLETE, score="points")
    assert scores(server) == {f"p{number}": score for number, score in enumerate(expected)}


def test_a_score_without_a_value_scores_the_whole_record(server: Server) -> None:
    config = config_of(server, SORTED, score="points")
    list(write(config, [full()], [row("ann", 5), row("bob", None), row("ann", 5), COMPLETE]))
    assert scores(server) == {json.dumps(row("ann", 5)["record"]["data"], separators=(",", ":")): 5}


def test_without_a_score_the_cursor_scores_the_value(server: Server) -> None:
    configured = full(cursor_field=["points"])
    configured["stream"]["json_schema"] = {"properties": {"points": {"type": "integer"}}}
    written(server, SORTED, [configured], row("ann", 5), row("bob", None), COMPLETE)
    assert scores(server) == {"ann": 5, "bob": 1700000000000}


def test_the_last_record_of_an_element_has_the_score_whatever_its_cursor_and_after_a_merge_as_well(
    server: Server,
) -> None:
    def sync(*messages: Json, **numbers: Any) -> None:
        written(server, SORTED, [full(cursor_field=["at"], **numbers)], *messages, score="points")

    sync(row("ann", 1, at=9), row("ann", 2, at=1), row("bob", 1, at=1), COMPLETE, **generation(1, 0, 1))
    assert scores(server) == {"ann": 2, "bob": 1}
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        sync(row("ann", 7, at=0), state(1), **generation(2, 2, 2))
    sync(row("bob", 3, at=0), COMPLETE, **generation(3, 0, 3))
    assert scores(server) == {"ann": 7, "bob": 3}


@pytest.mark.parametrize("points", ["S3cret", "NaN", True, [1], {"a": 1}, "2024-01-01T00:00:00Z"])
@pytest.mark.parametrize("numbers", [generation(0, 0, 1), generation(2, 2, 2)], ids=["append", "refresh"])
def test_what_came_before_an_unusable_score_is_out_and_the_error_names_stream_setting_and_field_alone(
    cli: CommandLine, server: Server, points: Any, numbers: Json
) -> None:
    config = config_of(server, SORTED, value="name", score="points")
    catalog = {"streams": [stream(**numbers)]}
    before = [row("ann", 1), row(None, 2), state(1), row("bob", None), state(2), row("cid", 3)]
    ran = cli.write(config, catalog, lines(*before, row("S3cret name", points), row("dan", 4), state(3), COMPLETE))
    assert ran.code == 1
    assert [each["stream"]["stream_state"]["cursor"] for each in ran.states] == [1, 2], ran.out
    assert ran.error is not None
    assert ran.error["failure_type"] == "config_error"
    assert ran.error["message"] == (
        "A record of the stream users cannot be stored: its field points, which score names, is not a number; "
        "acknowledged records are kept"
    )
    assert "S3cret" not in ran.out + ran.err
    assert f"users: 2 {NO_ELEMENT}" in ran.logged
    again = cli.write(config, catalog, lines(row("cid", 3), row("dan", 4), state(3), COMPLETE))
    assert again.code == 0, again.out
    assert scores(server) == {"ann": 1, "cid": 3, "dan": 4}


@BY_TYPE
def test_a_value_that_is_no_valid_text_ends_the_sync_like_an_unusable_score(
    cli: CommandLine, server: Server, shape: Shape
) -> None:
    content = lines(row("ann"), state(1), row("S3cret \n ?"), COMPLETE).replace(b"?", b"\xff")
    ran = cli.write(config_of(server, shape, value="name"), {"streams": [stream()]}, content)
    assert len(ran.states) == 1, ran.out
    assert ran.error is not None
    assert ran.error["failure_type"] == "config_error"
    assert "stream users cannot be stored: its field name, which value names, is not valid text" in ran.error["message"]
    assert "S3cret" not in ran.out + ran.err
    assert held(server, shape) == ["ann"]


@BY_TYPE
def test_another_value_needs_a_refresh_which_leaves_nothing_of_the_old_elements(server: Server, shape: Shape) -> None:
    messages = [row("ann", 5, id=1), row("bob", 3, id=2), COMPLETE]
    written(server, shape, [full(**generation(1, 0, 1))], *messages)
    for other in ({"value": "id"}, {"value": None}):
        said = refused(server, shape, [full(**generation(1, 0, 2))], *messages, **other)
        assert "refresh the stream" in said
        assert "value name" in said
    assert held(server, shape) == ["ann", "bob"]
    written(server, shape, [full(**generation(1, 0, 2))], row("cid"), COMPLETE)
    written(server, shape, [full(**generation(2, 2, 3))], *messages, value="id")
    assert held(server, shape) == ["1", "2"]
    assert ["value", "id"] in json.loads(ledger(server.client)["fields"])


def test_another_score_needs_a_refresh(server: Server) -> None:
    written(server, SORTED, [full(**generation(1, 0, 1))], row("ann", 5, at=1), COMPLETE, score="points")
    for other in ("at", None):
        said = refused(server, SORTED, [full(**generation(1, 0, 2))], COMPLETE, value="name", score=other)
        assert all(words in said for words in ("refresh the stream", "score points"))
    written(server, SORTED, [full(**generation(2, 2, 2))], row("ann", 5, at=1), COMPLETE, score="at")
    assert scores(server) == {"ann": 1}


@pytest.mark.parametrize("shape", [LIST, SET, SORTED], ids=lambda shape: shape[0])
def test_a_ledger_from_before_the_setting_goes_on_without_it_and_asks_for_a_refresh_with_it(
    server: Server, shape: Shape
) -> None:
    written(server, shape, [full(**generation(1, 0, 1))], row("ann"), COMPLETE, value=None)
    server.client.hdel(LEDGER, "fields", "staged_fields")
    written(server, shape, [full(**generation(1, 0, 2))], row("bob"), COMPLETE, value=None)
    assert len(held(server, shape)) == 2
    server.client.hdel(LEDGER, "fields", "staged_fields")
    assert "refresh" in refused(server, shape, [full(**generation(1, 0, 3))], COMPLETE, value="name")
    written(server, shape, [full(**generation(2, 2, 3))], row("ann"), COMPLETE)
    assert held(server, shape) == ["ann"]


@BY_TYPE
def test_check_says_which_types_have_a_place_for_a_field(server: Server, shape: Shape) -> None:
    assert check(config_of(server, shape, value="name")) is None
    for cache_type in ("hash", "stream", "string"):
        wrong = check({**server.config, "cache_type": cache_type, "value": "name"})
        assert wrong == f"value needs cache_type list, set, sorted_set, geo, bitmap or hyperloglog, not {cache_type}"
    assert server.client.dbsize() == 0


@BY_TYPE
def test_what_a_first_sync_left_that_no_state_covers_is_gone_when_the_value_changes(
    server: Server, shape: Shape
) -> None:
    added = [full(**generation(1, 0, 1))]
    with pytest.raises(AirbyteTracedException):
        written(server, shape, added, row("a", 7), status("INCOMPLETE"), value="points")
    written(server, shape, added, row("a", 7), COMPLETE)
    assert held(server, shape) == ["a"]
