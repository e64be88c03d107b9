"""Settings for single streams: which entry holds for which stream, what it inherits, and what is said of wrong ones."""

import json
from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from hypothesis import given
from hypothesis import strategies as st

from destination_redis.caches import CACHES
from destination_redis.config.parse import parse_config, unknown_settings
from destination_redis.config.records import RecordSettings
from destination_redis.config.settings import RedisConfig
from destination_redis.config.spec import specification
from destination_redis.config.stream_configs import StreamConfigs
from destination_redis.protocol.catalog import Stream

Json = dict[str, Any]

FORM: Json = specification()["connectionSpecification"]["properties"]
ENTRY: Json = FORM["streams"]["items"]
#: A value of each setting of a stream that is not the default.
OTHERS: Json = {
    "cache_type": "json",
    "record_format": "columns",
    "record_metadata": "full",
    "ttl_seconds": 60,
    "deletion_mode": "soft",
    "search_index": True,
    "stream_max_length": 7,
    "record_key": "own:{key}",
    "collection_key": "own:{stream}",
    "value": "id",
    "score": "points",
    "expire_at": "ends",
    "vectors": [{"field": "e", "dimensions": 3, "distance": "L2", "algorithm": "FLAT"}],
    "longitude": "lng",
    "latitude": "north",
    "bitmap_max_position": 7,
}


def configs(*entries: Json, **settings: Any) -> StreamConfigs:
    return StreamConfigs(parse_config({"host": "h", **settings, "streams": list(entries)}))


def complaint(*entries: Json, **settings: Any) -> str:
    with pytest.raises(AirbyteTracedException) as caught:
        configs(*entries, **settings)
    assert caught.value.failure_type is FailureType.config_error
    return str(caught.value)


def plain(config: RecordSettings, name: str) -> Any:
    """Return a setting as it is given in JSON."""
    return config.model_dump(mode="json", include={name})[name]


def holds(entry: Json, name: str, namespace: str | None = None) -> bool:
    """Return whether an entry holds for a stream."""
    return configs({**entry, "ttl_seconds": 60}).of(name, namespace).ttl_seconds == 60


def stream(name: str, namespace: str | None = None) -> Stream:
    return Stream(name, namespace, "append")


def globbed(pattern: str, text: str) -> bool:
    """Return whether a pattern stands for a text, by trying every text that a * can stand for."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(globbed(pattern[1:], text[at:]) for at in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and globbed(pattern[1:], text[1:])


@given(st.text("aA*?[]!-\\.\n", min_size=1, max_size=7), st.text("aA*[]!-\\.\n", max_size=7))
def test_in_a_pattern_a_star_stands_for_any_text_a_question_mark_for_any_character_and_all_else_for_itself(
    pattern: str, name: str
) -> None:
    assert holds({"stream": pattern}, name) == globbed(pattern, name)


@given(st.text("aA*?[]", min_size=1, max_size=5), st.none() | st.text("aA[]", min_size=1, max_size=5))
def test_a_namespace_is_matched_like_a_name_and_a_missing_one_is_empty(pattern: str, namespace: str | None) -> None:
    assert holds({"stream": "s", "namespace": pattern}, "s", namespace) == globbed(pattern, namespace or "")


def test_a_pattern_with_many_stars_is_matched_at_once() -> None:
    assert not holds({"stream": "*a" * 60 + "b"}, "a" * 5000)


@pytest.mark.parametrize("namespace", [None, "", "shop"])
def test_an_entry_without_a_namespace_holds_in_every_namespace(namespace: str | None) -> None:
    assert holds({"stream": "s"}, "s", namespace)
    assert holds({"stream": "s", "namespace": None}, "s", namespace)
    assert holds({"stream": "s", "namespace": ""}, "s", namespace)  # as a form sends it


def test_the_first_entry_that_matches_holds_for_a_stream() -> None:
    found = configs(
        {"stream": "a1", "namespace": "shop", "ttl_seconds": 1},
        {"stream": "a*", "ttl_seconds": 2},
        {"stream": "a1", "ttl_seconds": 3, "deletion_mode": "soft"},
    )
    assert (found.of("a1", "shop").ttl_seconds, found.of("a1", None).ttl_seconds) == (1, 2)
    assert found.of("a1", None).deletion_mode == "hard"
    assert found.of("A1", None) is found.default


@pytest.mark.parametrize("name", RecordSettings.model_fields)
def test_an_entry_sets_every_setting_of_records_and_inherits_what_it_leaves_out(name: str) -> None:
    types = {"search_index": "json", "stream_max_length": "stream", "collection_key": "list", "value": "list"}
    needed: Json = {"cache_type": types[name]} if name in types else {}
    if name in ("score", "longitude", "latitude"):
        needed = {"cache_type": "sorted_set" if name == "score" else "geo", "record_format": "columns"}
    if name == "vectors":
        needed = {"cache_type": "json", "search_index": True}
    if name == "bitmap_max_position":
        needed = {"cache_type": "bitmap", "value": "id"}
    own = configs({"stream": "s", name: OTHERS[name]}, **needed).of("s", None)
    assert plain(own, name) == OTHERS[name]
    default = parse_config({"host": "h", **needed})
    assert own.model_copy(update={name: getattr(default, name)}) == default
    assert configs({"stream": "s"}, **{**needed, name: OTHERS[name]}).of("s", None) == parse_config(
        {"host": "h", **needed, name: OTHERS[name]}
    )


@pytest.mark.parametrize("empty", [None, ""])
def test_a_setting_that_is_empty_in_an_entry_is_inherited(empty: str | None) -> None:
    entry = {"stream": "s", "ttl_seconds": empty, "cache_type": empty, "search_index": empty}
    found = configs(entry, ttl_seconds=60, cache_type="json", search_index=True).of("s", None)
    assert (found.ttl_seconds, found.cache_type, found.search_index) == (60, "json", True)


@pytest.mark.parametrize(
    ("name", "none", "settings"),
    [
        ("ttl_seconds", 0, {}),
        ("stream_max_length", 0, {"cache_type": "stream"}),
        ("expire_at", "", {}),
        ("value", "", {"cache_type": "list"}),
        ("score", "", {"cache_type": "sorted_set", "record_format": "columns"}),
    ],
)
def test_an_entry_takes_back_a_global_setting_of_a_field_by_empty_text_and_of_a_number_by_zero(
    name: str, none: object, settings: Json
) -> None:
    settings = {**settings, name: OTHERS[name]}
    found = configs({"stream": "s", name: none}, {"stream": "t", name: None}, **settings)
    assert getattr(found.of("s", None), name) is None
    without = {key: value for key, value in settings.items() if key != name}
    assert found.of("s", None) == parse_config({"host": "h", **without})
    assert getattr(found.of("t", None), name) == OTHERS[name]
    assert parse_config({"host": "h", **settings, name: none}) == parse_config({"host": "h", **without})


def test_what_an_entry_takes_back_it_may_have_whatever_its_data_type_is() -> None:
    entry = {"stream": "s", "cache_type": "set", "expire_at": "", "ttl_seconds": 0, "stream_max_length": 0, "score": ""}
    found = configs(entry, ttl_seconds=60, expire_at="ends", record_format="columns")
    own = found.of("s", None)
    assert (own.expiry, own.expire_at, own.limits, own.fields) == (0, None, {}, {})
    assert found.left_out == []


def test_a_number_below_zero_is_refused() -> None:
    for name in ("ttl_seconds", "stream_max_length"):
        assert f"{name}: Input should be greater than or equal to 0" in complaint({"stream": "s", name: -1})
        assert FORM[name]["minimum"] == ENTRY["properties"][name]["minimum"] == 0
    assert FORM["ttl_seconds"]["maximum"] == 10**11


def test_an_entry_may_set_the_default_against_the_global_setting() -> None:
    entry = {"stream": "s", "record_format": "envelope", "search_index": False, "record_metadata": "minimal"}
    found = configs(entry, cache_type="json", record_format="columns", search_index=True, record_metadata="full")
    own = found.of("s", None)
    assert (own.record_format, own.search_index, own.record_metadata) == ("envelope", False, "minimal")


@pytest.mark.parametrize(
    ("entry", "settings", "name", "left"),
    [
        ({"cache_type": "set"}, {}, "record_format", "columns"),
        ({"cache_type": "set"}, {"record_metadata": "full"}, "record_metadata", "minimal"),
        ({"cache_type": "set"}, {"cache_type": "stream", "stream_max_length": 5}, "stream_max_length", None),
        ({"cache_type": "hash"}, {"cache_type": "json", "search_index": True}, "search_index", False),
        (
            {"record_format": "columns"},
            {"cache_type": "list", "record_metadata": "full"},
            "record_metadata",
            "minimal",
        ),
    ],
)
def test_a_global_setting_that_the_data_type_of_an_entry_cannot_have_is_left_out_and_said_to_be(
    entry: Json, settings: Json, name: str, left: object
) -> None:
    found = configs({"stream": "x"}, {"stream": "orders_*", **entry}, **settings)
    assert getattr(found.of("orders_1", None), name) == left
    assert [each for each in found.left_out if each.startswith(f"streams.1 (orders_*) leaves out the global {name}: ")]
    assert {each.partition(" leaves ")[0] for each in found.left_out} == {"streams.1 (orders_*)"}


@given(st.fixed_dictionaries({}, optional={name: st.just(value) for name, value in OTHERS.items()}), st.data())
def test_whatever_is_global_and_in_an_entry_the_result_is_possible_or_the_entry_is_to_blame(
    settings: Json, data: st.DataObject
) -> None:
    types = st.sampled_from(list(CACHES))
    entry = data.draw(st.fixed_dictionaries({}, optional={name: st.just(value) for name, value in OTHERS.items()}))
    settings["cache_type"] = data.draw(types)
    if data.draw(st.booleans()):
        entry["cache_type"] = data.draw(types)
    try:
        parse_config({"host": "h", **settings})
    except AirbyteTracedException:
        return
    wrong, found = "", None
    try:
        found = configs({"stream": "s", **entry}, **settings)
    except AirbyteTracedException as error:
        wrong = str(error)
    if found is None:
        assert wrong.startswith("streams.0 (s): ")
        # A data type alone is to blame only if it needs a setting.
        needs = CACHES[entry["cache_type"]].capabilities.required if "cache_type" in entry else ()
        assert set(entry) - {"cache_type"} or needs
        return
    own = found.of("s", None)
    assert {name: plain(own, name) for name in entry} == entry
    combined = {name: getattr(own, name) for name in RecordSettings.model_fields}
    assert parse_config({"host": "h", **combined}) == own
    changed = {name for name in {*settings} - {*entry} if plain(own, name) != settings[name]}
    assert changed <= {each.partition(" global ")[2].partition(":")[0] for each in found.left_out}


@pytest.mark.parametrize(
    ("entry", "settings", "says"),
    [
        (
            {"cache_type": "set", "record_format": "envelope"},
            {},
            "cache_type set has no record_format envelope, only columns",
        ),
        ({"record_format": "envelope"}, {"cache_type": "set", "record_format": "columns"}, "cache_type set has"),
        ({"record_metadata": "full", "cache_type": "set"}, {}, "record_metadata full is not supported by cache_type"),
        ({"stream_max_length": 5}, {}, "stream_max_length needs cache_type stream, not hash"),
        ({"search_index": True}, {}, "search_index needs cache_type json"),
        (
            {"search_index": True, "cache_type": "json"},
            {"deployment": {"deployment": "cluster"}},
            "search_index is not possible in a cluster",
        ),
        (
            {"search_index": True, "cache_type": "json"},
            {"deployment": {"deployment": "standalone", "database": 3}},
            "search_index needs database 0",
        ),
    ],
)
def test_what_an_entry_sets_itself_and_its_data_type_cannot_have_is_a_config_error_that_names_the_entry(
    entry: Json, settings: Json, says: str
) -> None:
    wrong = complaint({"stream": "x"}, {"stream": "orders_*", "namespace": "shop", **entry}, **settings)
    assert wrong.startswith(f"streams.1 (shop.orders_*): {says}")


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"stream": "orders_*", "ttl_seconds": -1}, "streams.1 (orders_*): ttl_seconds: Input should be greater"),
        ({"stream": "orders_*", "cache_type": "S3cret"}, "streams.1 (orders_*): cache_type: Input should be hash or"),
        ({"stream": 5}, "streams.1: stream: Input should be a valid string"),
        ({"stream": ""}, "streams.1: stream: String should have"),
        ({"ttl_seconds": 5}, "streams.1: stream: Field required"),
        ("S3cret", "streams.1: Input should be"),
    ],
)
def test_a_wrong_setting_in_an_entry_is_a_config_error_that_names_both_and_not_its_value(entry: Any, says: str) -> None:
    wrong = complaint({"stream": "x"}, entry)
    assert wrong.startswith(f"The configuration is not valid: {says}")
    assert "S3cret" not in wrong


@pytest.mark.parametrize("streams", ["users", 5, {"stream": "users"}, [[]]])
def test_streams_are_a_list_of_objects(streams: Any) -> None:
    config = {"host": "h", "streams": streams}
    with pytest.raises(AirbyteTracedException, match=r"^The configuration is not valid: streams"):
        parse_config(config)
    assert unknown_settings(config) == []


def test_an_unknown_setting_in_an_entry_is_named_with_the_entry() -> None:
    entries = [{"stream": "x"}, {"stream": "orders_*", "tll_seconds": 5, "host": "h"}, {"Stream": "x"}]
    assert unknown_settings({"hots": "h", "streams": entries}) == [
        "hots",
        "host of streams.1 (orders_*)",
        "tll_seconds of streams.1 (orders_*)",
        "Stream of streams.2",
    ]


def test_an_entry_that_holds_for_no_stream_of_the_catalog_is_named() -> None:
    found = configs({"stream": "a*"}, {"stream": "b", "namespace": "shop"}, {"stream": "a1"}, {"stream": "c"})
    assert found.without_effect([stream("a1"), stream("b"), stream("c", "shop")]) == [
        "streams.1 (shop.b) has no effect: it matches no stream of the catalog",
        "streams.2 (a1) has no effect: an earlier entry matches each of its streams",
    ]
    assert found.without_effect([stream("a1"), stream("b", "shop"), stream("c")]) == [
        "streams.2 (a1) has no effect: an earlier entry matches each of its streams"
    ]


def test_thousands_of_streams_share_the_settings_that_were_computed_once_for_each_entry() -> None:
    found = configs(*({"stream": f"s{number}_*", "ttl_seconds": 1 + number} for number in range(20)))
    own = [found.of(f"s{number % 21}_{number}", None) for number in range(3000)]
    assert len({id(each) for each in own}) == 21
    assert {id(each) for each in own} == {id(each) for each in found.all}


def test_the_settings_of_a_stream_have_no_entries_of_their_own() -> None:
    assert configs({"stream": "s"}).of("s", None).streams == ()


def test_an_entry_in_the_form_has_the_settings_of_records_in_the_words_of_the_global_ones() -> None:
    assert set(ENTRY["properties"]) == {"stream", "namespace", *RecordSettings.model_fields}
    for name in RecordSettings.model_fields:
        field, own = FORM[name], ENTRY["properties"][name]
        differ = {"default", "group", "order"}
        assert {key: value for key, value in own.items() if key != "order"} == {
            key: value for key, value in field.items() if key not in differ
        }


def test_an_entry_in_the_form_has_no_defaults_for_a_form_would_send_them_and_nothing_would_be_inherited() -> None:
    assert [name for name, field in ENTRY["properties"].items() if "default" in field or "group" in field] == []
    assert "null" not in json.dumps(ENTRY)


def test_an_entry_in_the_form_begins_with_the_stream_which_alone_is_required() -> None:
    assert ENTRY["required"] == ["stream"]
    order = sorted(ENTRY["properties"], key=lambda name: int(ENTRY["properties"][name]["order"]))
    assert order[:3] == ["stream", "namespace", "cache_type"]
    assert all(ENTRY["properties"][name]["examples"] for name in order[:2])


def test_every_setting_of_records_can_be_set_for_all_streams() -> None:
    assert set(RecordSettings.model_fields) < set(RedisConfig.model_fields)
    assert set(OTHERS) == set(RecordSettings.model_fields)


@pytest.mark.parametrize(
    ("entry", "instead"),
    [
        ({"cache_type": "list", "record_key": "own:{key}"}, "collection_key"),
        ({"cache_type": "hash", "collection_key": "own"}, "record_key"),
    ],
)
def test_a_template_that_the_data_type_of_an_entry_has_no_use_for_is_an_error(
    entry: dict[str, Any], instead: str
) -> None:
    with pytest.raises(AirbyteTracedException, match=rf"^streams\.0 \(s\): .*: set {instead}$"):
        configs({"stream": "s", **entry})


def test_global_templates_hold_for_the_entries_that_have_a_use_for_them() -> None:
    found = configs(
        {"stream": "queue", "cache_type": "list"}, {"stream": "*"}, record_key="r:{key}", collection_key="c:{stream}"
    )
    assert found.left_out == []
    assert found.of("queue", None).has_collection_key
    assert not found.of("users", None).has_collection_key


def test_an_entry_needs_what_its_data_type_needs_unless_it_inherits_it() -> None:
    said = complaint({"stream": "seats", "cache_type": "bitmap"})
    assert said == "streams.0 (seats): cache_type bitmap needs value: set it to the field that becomes the element"
    own = configs({"stream": "seats", "cache_type": "bitmap", "value": "seat", "bitmap_max_position": 99})
    assert own.of("seats", None).storage_format == ("bitmap", "columns")
    assert own.of("seats", None).limits == {"bitmap_max_position": 99}
    assert own.of("users", None).limits == {}
    inherited = configs({"stream": "seats", "cache_type": "bitmap"}, cache_type="set", value="id")
    assert inherited.of("seats", None).fields == {"value": "id"}


def test_an_entry_of_another_type_leaves_out_the_highest_position() -> None:
    found = configs({"stream": "u", "cache_type": "set"}, cache_type="bitmap", value="id", bitmap_max_position=99)
    assert found.left_out == [
        "streams.0 (u) leaves out the global bitmap_max_position: bitmap_max_position needs cache_type bitmap, not set"
    ]
    assert found.of("u", None).fields == {"value": "id"}
