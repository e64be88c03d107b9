"""The data type geo: applications find each record at its place, whatever replaces, merges or dies."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.destination import DestinationRedis
from integration_tests.support.connector.cli import CommandLine
from integration_tests.support.connector.library import check, config_of, failure, full, full_dedup, refused, write
from integration_tests.support.connector.process import Connector
from integration_tests.support.data_types import Shape
from integration_tests.support.faults.proxy import Cut, proxy
from integration_tests.support.messages import COMPLETE, Json, generation, lines, record, state, status
from integration_tests.support.servers.server import Server
from integration_tests.support.stored import ledger, rejected

GEO: Shape = ("geo", "columns")
KEY, STAGED = "default:users", "airbyte:tmp:{default:users}"
#: In the order of their distance to Rome.
PLACES = {"rome": (12.4964, 41.9028), "palermo": (13.361389, 38.115556), "catania": (15.087269, 37.502669)}
#: A geohash of 52 bits, in degrees.
PRECISION = 5e-6
SCHEMA = {"properties": {"lat": {"type": "number"}, "lon": {"type": "number"}, "lng": {"type": "number"}}}


def row(name: Any, place: tuple[Any, Any] | None = (1, 2), **more: Any) -> Json:
    longitude, latitude = place or (None, None)
    return record(0, data={"id": name, "lng": longitude, "lat": latitude, **more})


def keyed(**more: Any) -> Json:
    """Return a stream whose catalog has a primary key, and the usual names in the schema."""
    configured = full(**{"primary_key": [["id"]], **more})
    configured["stream"]["json_schema"] = SCHEMA
    return configured


def config(server: Server, **more: Any) -> Json:
    return {**server.config, "cache_type": "geo", "record_format": "columns", **more}


def sync(server: Server, streams: list[Json], *messages: Json, **more: Any) -> int:
    return len(list(write(config(server, **more), streams, messages)))


def places(server: Server, key: str = KEY) -> dict[str, tuple[float, float]]:
    """Return every element with its place."""
    names = [name.decode() for name in scores(server, key)]
    found: list[Any] = server.client.geopos(key, *names) if names else []
    return dict(zip(names, found, strict=True))


def scores(server: Server, key: str = KEY) -> dict[bytes, float]:
    return dict(server.client.zrange(key, 0, -1, withscores=True))  # type: ignore[arg-type]


def near(**expected: tuple[float, float]) -> Any:
    return {name: pytest.approx(place, abs=PRECISION) for name, place in expected.items()}


def test_applications_find_records_by_their_primary_key_at_their_places(server: Server) -> None:
    messages = [row(name, place, lon="not this one") for name, place in PLACES.items()]
    assert sync(server, [keyed()], *messages, state(1), COMPLETE) == 1
    found = server.client.geosearch(KEY, longitude=12.5, latitude=41.9, radius=1000, unit="km", sort="ASC")
    assert found == [b"rome", b"palermo", b"catania"]
    assert server.client.geosearch(KEY, longitude=15, latitude=37, radius=100, unit="km") == [b"catania"]
    assert server.client.geodist(KEY, "palermo", "catania", unit="km") == pytest.approx(166.27, abs=0.01)
    assert places(server) == near(**PLACES)
    assert {each.data.decode() for each in DestinationRedis().get_all(server.config, "users")} == set(PLACES)
    assert server.client.type(KEY) == b"zset"


@pytest.mark.parametrize(
    ("more", "settings", "member"),
    [
        ({"primary_key": [["id"], ["of", "shop"]]}, {}, "a%3Ab:7"),
        ({"primary_key": []}, {}, '{"id":"a:b","lng":1,"lat":2,"of":{"shop":7}}'),
        ({}, {"value": "of"}, '{"shop":7}'),
        ({}, {"value": "id"}, "a:b"),
    ],
    ids=["composite key", "data", "value", "value beside a key"],
)
@pytest.mark.parametrize("mode", ["append", "overwrite"])
def test_an_element_is_the_value_else_the_primary_key_else_the_data(
    server: Server, more: Json, settings: Json, member: str, mode: str
) -> None:
    sync(server, [keyed(mode=mode, **more)], row("a:b", of={"shop": 7}), COMPLETE, **settings)
    assert places(server) == {member: pytest.approx((1, 2), abs=PRECISION)}


def test_a_primary_key_that_the_source_defines_is_the_element_too(server: Server) -> None:
    configured = keyed(primary_key=None)
    configured["stream"]["source_defined_primary_key"] = [["id"]]
    sync(server, [configured], row(5), COMPLETE)
    assert places(server) == near(**{"5": (1, 2)})


def test_places_are_numbers_or_their_text_up_to_the_limits_of_redis(server: Server) -> None:
    given: dict[str, tuple[Any, Any]] = {
        "text": ("13.361389000", " 38.115556 "),
        "corner": (180, 85.05112878),
        "other corner": ("-180", "-85.05112878"),
        "long": (0.1000000000000000055511151231257827, 1e-400),
        "none": (0, 0),
    }
    sync(server, [keyed()], *(row(name, place) for name, place in given.items()), COMPLETE)
    assert places(server) == near(**{name: (float(east), float(north)) for name, (east, north) in given.items()})


def test_a_batch_of_more_places_than_one_command_can_have_arrives_whole(cli: CommandLine, server: Server) -> None:
    line = b'{"type":"RECORD","record":{"stream":"users","data":{"id":%d,"lng":1,"lat":2},"emitted_at":1}}\n'
    content = b"".join(line % number for number in range(20_000)) + lines(COMPLETE)
    ran = cli.write(config(server), {"streams": [keyed()]}, content)
    assert ran.code == 0, ran.out
    assert set(map(int, scores(server))) == set(range(20_000))
    assert len(set(scores(server).values())) == 1


def test_the_last_record_of_an_element_sets_its_place_and_a_deletion_removes_none(server: Server) -> None:
    first = [row("a", (1, 1), at=9), row("b", (2, 2)), row("a", (3, 3), at=1)]
    sync(server, [keyed(sync_id=1)], *first, COMPLETE)
    assert places(server) == near(a=(3, 3), b=(2, 2))
    gone = {"_ab_cdc_deleted_at": "2024-01-01T00:00:00Z"}
    sync(server, [keyed(sync_id=2)], row("b", None, **gone), row("a", (4, 4)), COMPLETE)
    assert places(server) == near(a=(4, 4), b=(2, 2))


def test_a_record_without_a_place_is_no_element_and_never_one_at_0_0(cli: CommandLine, server: Server) -> None:
    absent = record(0, data={"id": "absent", "lng": 1})
    messages = [row("null", None), absent, row("half", (None, 91)), row("here"), row(None), state(5), COMPLETE]
    ran = cli.write(config(server), {"streams": [keyed()]}, lines(*messages))
    assert ran.code == 0, ran.out
    assert [each["destinationStats"]["recordCount"] for each in ran.states] == [5]
    assert places(server) == near(here=(1, 2), **{"%null": (1, 2)})
    told = [each for each in ran.logged if "have no element" in each]
    assert told == [
        "users: 3 records have no element, because a field that the element is taken from is null or absent in them"
    ]
    assert ledger(server.client)["committed"] == "2"


IMPOSSIBLE = {
    "far": ((180.5, 0), "its field lng, the longitude, is not a number from -180 to 180"),
    "pole": ((0, "-90"), "its field lat, the latitude, is not a number from -85.05112878 to 85.05112878"),
    "text": (("S3cret", 0), "its field lng, the longitude, is not a number from -180 to 180"),
    "object": ((0, {"S3cret": 1}), "its field lat, the latitude, is not a number from -85.05112878 to 85.05112878"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
@pytest.mark.parametrize("numbers", [generation(0, 0, 1), generation(2, 2, 2)], ids=["append", "refresh"])
def test_an_impossible_place_ends_the_sync_after_what_came_before_or_is_kept(
    cli: CommandLine, server: Server, case: str, numbers: Json
) -> None:
    place, reason = IMPOSSIBLE[case]
    streams = {"streams": [keyed(**numbers)]}
    messages = lines(row("a"), state(1), row("S3cret name", place), row("b"), state(2), COMPLETE)
    failed = cli.write(config(server), streams, messages)
    assert failed.code == 1
    assert failed.error is not None
    assert failed.error["failure_type"] == "config_error"
    assert failed.error["message"] == (
        f"A record of the stream users cannot be stored: {reason}; acknowledged records are kept"
    )
    assert [each["stream"]["stream_state"]["cursor"] for each in failed.states] == [1]
    assert "S3cret" not in failed.out + failed.err

    kept = cli.write(config(server, rejected_records="keep"), streams, messages)
    assert kept.code == 0, kept.out
    assert [each["destinationStats"].get("rejectedRecordCount") for each in kept.states] == [None, 1]
    assert "S3cret" not in kept.out + kept.err
    assert places(server) == near(a=(1, 2), b=(1, 2))
    ((_, entry),) = rejected(server.client)
    assert entry["_airbyte_reason"] == reason
    assert json.loads(entry["_airbyte_data"])["id"] == "S3cret name"


@pytest.mark.parametrize("refresh", [False, True], ids=["overwrite", "refresh"])
def test_a_replacement_leaves_the_old_index_until_it_is_complete_and_nothing_of_it_then(
    server: Server, *, refresh: bool
) -> None:
    sync(server, [keyed(**generation(1, 0, 1))], row("a", (1, 1)), row("b", (2, 2)), COMPLETE)
    replacing = keyed(mode="append" if refresh else "overwrite", **generation(2, 2, 2))
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        sync(server, [replacing], row("b", (3, 3)), state(1), row("x", (4, 4)), status("INCOMPLETE"))
    assert places(server) == near(a=(1, 1), b=(2, 2))
    sync(server, [replacing], row("c", (5, 5)), COMPLETE)
    expected = near(b=(3, 3), c=(5, 5))
    assert {name: place for name, place in places(server).items() if name != "x"} == expected
    assert server.client.keys("airbyte:tmp:*") == []


def test_a_merge_moves_every_element_to_exactly_its_place_and_the_staged_one_wins(server: Server) -> None:
    """More than one script moves, at places that only a double of 53 bits tells apart."""
    far = [(-180 + number * 0.0719, 85.05112878 - number * 0.034) for number in range(5000)]
    corners = [(180, 85.05112878), (-180, -85.05112878), (0, 0), (179.9999999, -85.0511287)]
    staged = {f"s{number}": place for number, place in enumerate([*corners, *far])}
    sync(server, [keyed(mode="overwrite")], *(row(name, place) for name, place in staged.items()), COMPLETE)
    expected = scores(server)

    old = [row("old", (1, 1)), row("s0", (9, 9)), COMPLETE]
    sync(server, [keyed(mode="overwrite", **generation(1, 1, 2))], *old)
    cancelled = [row(name, place) for name, place in staged.items()]
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        sync(server, [keyed(**generation(2, 2, 3))], *cancelled, state(1), status("INCOMPLETE"))
    sync(server, [keyed(**generation(3, 0, 4))], row("new", (5, 5)), COMPLETE)
    found = scores(server)
    assert {name for name in found if name not in expected} == {b"old", b"new"}
    assert {name: found[name] for name in expected} == expected
    assert server.client.exists(STAGED) == 0


@pytest.mark.parametrize("allowance", [0, 300, 1500, 3000])
def test_a_merge_that_dies_after_any_number_of_bytes_leaves_each_element_at_its_place(
    server: Server, tmp_path: Path, allowance: int
) -> None:
    staged = [row(f"s{number}", (number / 20, -number / 50)) for number in range(3500)]
    sync(server, [keyed(mode="overwrite")], *staged, COMPLETE)
    expected = scores(server)
    sync(server, [keyed(mode="overwrite", **generation(1, 1, 2))], row("s7", (9, 9)), COMPLETE)
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        sync(server, [keyed(**generation(2, 2, 3))], *staged, state(1), status("INCOMPLETE"))
    following = [keyed(**generation(3, 0, 4))]
    cut = Cut(b"merge", allowance)
    with proxy(server.port, cut) as way:
        dying = Connector(config(server, port=way.port), tmp_path).start(following)
        assert cut.done.wait(60)
        dying.kill()
    sync(server, following, COMPLETE)
    assert scores(server) == expected


def test_a_sync_that_is_killed_and_run_again_leaves_the_places_of_a_calm_one(server: Server, tmp_path: Path) -> None:
    def messages(first: int) -> list[Json]:
        """Return records that move one element after the other, and a state after every tenth."""
        some = [row(f"e{number % 30}", (number / 10, number / 20)) for number in range(first, 300)]
        return [each for number, one in enumerate(some, first + 1) for each in [one, *stated(number)]]

    def stated(number: int) -> list[Json]:
        return [state(number)] if number % 10 == 0 else []

    sync(server, [keyed()], *messages(0), COMPLETE)
    expected = scores(server)
    server.client.flushall()
    cursor = 0
    for death in range(1, 5):
        running = Connector(config(server), tmp_path).start([keyed(sync_id=1)])
        running.send(*messages(cursor)[: 30 * death + 7])
        running.wait_for_states(1)
        cursor = running.kill().states[-1]["stream"]["stream_state"]["cursor"]
    assert 0 < cursor < 300
    assert sync(server, [keyed(sync_id=1)], *messages(cursor), COMPLETE) == (300 - cursor) // 10
    assert scores(server) == expected


def other_key(configured: Json) -> None:
    configured["primary_key"] = [["code"]]


def no_key(configured: Json) -> None:
    configured["primary_key"] = []


def better_name(configured: Json) -> None:
    configured["stream"]["json_schema"] = {"properties": {**SCHEMA["properties"], "longitude": {}}}


@pytest.mark.parametrize(
    ("settings", "change", "says"),
    [
        ({"longitude": "lon"}, None, "longitude lon, latitude lat, primary_key"),
        ({"latitude": "lon"}, None, "longitude lng, latitude lon, primary_key"),
        ({"value": "id"}, None, "(columns, value id, longitude lng, latitude lat)"),
        ({}, other_key, 'primary_key [["code"]]'),
        ({}, no_key, "(columns, longitude lng, latitude lat)"),
        ({}, better_name, "longitude longitude, latitude lat"),
        ({"cache_type": "sorted_set", "value": "id"}, None, "as sorted_set (columns, value id)"),
    ],
)
def test_what_would_make_other_elements_asks_for_a_refresh_which_leaves_none_of_the_old_ones(
    server: Server, settings: Json, change: Callable[[Json], None] | None, says: str
) -> None:
    def configured(*numbers: int) -> Json:
        made = keyed(**generation(*numbers))
        if change:
            change(made)
        return made

    sync(server, [keyed(**generation(1, 0, 1))], row("a", lon=3, code="x", longitude=4), COMPLETE)
    said = refused(server, GEO, [configured(1, 0, 2)], COMPLETE, **{"longitude": None, "latitude": None, **settings})
    stored = 'as geo (columns, longitude lng, latitude lat, primary_key [["id"]]) in one key'
    assert stored in said
    assert says in said.partition("would store them")[2]
    assert "refresh the stream" in said
    sync(server, [keyed(**generation(1, 0, 3))], row("b", lon=3, code="x", longitude=4), COMPLETE)
    assert set(places(server)) == {"a", "b"}
    sync(server, [configured(2, 2, 4)], row("c", lon=3, code="y", longitude=4), COMPLETE, **settings)
    assert server.client.zcard(KEY) == 1


def test_a_field_that_is_named_by_its_usual_name_is_the_same_as_one_that_is_found(server: Server) -> None:
    sync(server, [keyed(sync_id=1)], row("a"), COMPLETE)
    sync(server, [keyed(sync_id=2)], row("b"), COMPLETE, longitude="lng")
    without = full(primary_key=[["id"]], sync_id=3)
    sync(server, [without], row("c"), COMPLETE, longitude="lng", latitude="lat")
    assert set(places(server)) == {"a", "b", "c"}
    assert json.loads(ledger(server.client)["fields"]) == [
        ["longitude", "lng"],
        ["latitude", "lat"],
        ["primary_key", '[["id"]]'],
    ]


@pytest.mark.parametrize("schema", [{}, {"properties": {"Longitude": {}, "lat": {}}}])
def test_a_schema_without_a_usual_name_is_an_error_before_anything_is_written(server: Server, schema: Json) -> None:
    configured = full(namespace="shop")
    configured["stream"]["json_schema"] = schema
    said = refused(server, GEO, [full("others"), configured], row("a"), COMPLETE, longitude=None, latitude="north")
    assert said.startswith("The schema of the stream others has no field named longitude, lng or lon: set longitude ")
    entry = {"stream": "others", "cache_type": "hash"}
    error = failure(config(server, streams=[entry]), [full("others"), configured], [COMPLETE])
    assert str(error).startswith("The schema of the stream shop.users has no field named longitude, lng or lon")
    assert server.client.dbsize() == 0


def test_append_dedup_is_refused_whatever_the_schema(server: Server) -> None:
    for settings in ({}, {"longitude": None, "latitude": None}):
        said = refused(server, GEO, [full_dedup()], COMPLETE, **settings)
        assert "users has the sync mode append_dedup, which cache_type geo" in said


def test_single_streams_have_fields_and_keys_of_their_own(server: Server) -> None:
    entries = [
        {"stream": "shops", "cache_type": "geo", "record_format": "columns", "collection_key": "places:{stream}"},
        {"stream": "cars", "cache_type": "geo", "value": "plate", "longitude": "x", "latitude": "y"},
    ]
    settings = {**server.config, "streams": entries}
    assert check(settings) is None
    assert server.client.dbsize() == 0
    shops = keyed()
    shops["stream"]["name"] = "shops"
    messages = [
        record(1, "shops", data={"id": "a", "lng": 1, "lat": 2}),
        record(2, "cars", data={"id": 5, "plate": "B-52", "x": 3, "y": "4"}),
        record(3, "users", data={"id": 7}),
        *(status("COMPLETE", name) for name in ("shops", "cars", "users")),
    ]
    assert list(write(settings, [shops, full("cars"), full()], messages)) == []
    assert places(server, "places:shops") == near(a=(1, 2))
    assert places(server, "default:cars") == near(**{"B-52": (3, 4)})
    assert server.client.hget("default:users:1", "_airbyte_data") == b'{"id":7}'
    assert server.client.exists("default:shops") == 0


def test_check_says_which_command_a_server_lacks(start_server: Callable[..., Server]) -> None:
    for command in ("GEOADD", "ZPOPMIN"):
        lacking = start_server("--rename-command", command, "")
        assert check(config_of(lacking, GEO)) == f"The server does not know the command {command}."


def test_another_data_type_has_no_place_for_a_place(server: Server) -> None:
    wrong = check({**server.config, "cache_type": "sorted_set", "record_format": "columns", "longitude": "lng"})
    assert wrong == "longitude needs cache_type geo, not sorted_set"
    assert "record_format envelope, only columns" in str(check({**server.config, "cache_type": "geo"}))
