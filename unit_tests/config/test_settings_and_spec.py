"""The settings: which are valid, what is said of wrong ones, and the form that Airbyte makes of them."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from hypothesis import given
from hypothesis import strategies as st

from destination_redis.caches import CACHES
from destination_redis.config.parse import parse_config, unknown_settings
from destination_redis.config.records import FIELDS
from destination_redis.config.spec import specification
from destination_redis.config.tls import SslDisable, SslVerifyFull
from destination_redis.config.tunnel import NoTunnel, SshKeyTunnel, SshPasswordTunnel

Json = dict[str, Any]

JAVA: Json = {
    "host": "redis.example.com",
    "port": 6380,
    "username": "loader",
    "password": "S3cret",
    "ssl": True,
    "ssl_mode": {"mode": "disable"},
    "cache_type": "hash",
    "tunnel_method": {"tunnel_method": "NO_TUNNEL"},
}
SSH_SERVER = {"tunnel_host": "ssh.example.com", "tunnel_port": 2222, "tunnel_user": "me"}
FORM: Json = specification()["connectionSpecification"]


def walk(node: Any) -> Iterator[Json]:
    """Yield every JSON object of the specification."""
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    if isinstance(node, list):
        for item in node:
            yield from walk(item)


def forms() -> list[dict[str, Json]]:
    """Return the properties of every object a user fills in."""
    return [node["properties"] for node in walk(FORM) if isinstance(node.get("properties"), dict)]


def options() -> list[Json]:
    return [option for node in walk(FORM) for option in node.get("oneOf", [])]


def complaint(config: Json) -> AirbyteTracedException:
    with pytest.raises(AirbyteTracedException) as caught:
        parse_config(config)
    return caught.value


def everything_said(error: AirbyteTracedException) -> str:
    chain = [error.__cause__, error.__context__ if not error.__suppress_context__ else None]
    return f"{error} {error!r} {error.internal_message} {error.as_airbyte_message()} {chain}"


def test_a_saved_config_of_the_java_connector_keeps_its_meaning() -> None:
    config = parse_config(JAVA)
    assert (config.host, config.port, config.username) == ("redis.example.com", 6380, "loader")
    assert config.password is not None
    assert config.password.get_secret_value() == "S3cret"
    assert config.ssl
    assert isinstance(config.ssl_mode, SslDisable)
    assert config.cache_type == "hash"
    assert isinstance(config.tunnel_method, NoTunnel)
    assert unknown_settings(JAVA) == []


@pytest.mark.parametrize(
    ("setting", "text"),
    [
        ("record_key", "user"),
        ("record_key", "{key}:{key}"),
        ("record_key", "{id}:{key}"),
        ("collection_key", "{key}"),
        ("collection_key", "queue}"),
    ],
)
def test_a_template_that_is_not_one_is_refused_with_the_reason(setting: str, text: str) -> None:
    assert f"{setting}: Input should " in str(complaint({"host": "localhost", setting: text}))


def test_an_empty_template_is_the_default() -> None:
    config = parse_config({"host": "localhost", "record_key": "", "collection_key": None})
    assert (config.record_key, config.collection_key) == ("{namespace}:{stream}:{key}", "{namespace}:{stream}")


def test_a_search_index_needs_a_record_key_that_begins_with_text_of_its_own() -> None:
    indexed = {"host": "localhost", "search_index": True, "cache_type": "json"}
    assert "search_index needs a record_key that begins with" in str(complaint({**indexed, "record_key": "{key}:a"}))
    assert parse_config({**indexed, "record_key": "user:{key}"}).search_index


def test_the_java_connectors_verify_full_keeps_its_certificates() -> None:
    certificates = {"ca_certificate": "CA", "client_certificate": "CERT", "client_key": "KEY"}
    mode = parse_config({**JAVA, "ssl_mode": {"mode": "verify-full", **certificates}}).ssl_mode
    assert isinstance(mode, SslVerifyFull)
    assert (mode.ca_certificate, mode.client_certificate) == ("CA", "CERT")
    assert mode.client_key is not None
    assert mode.client_key.get_secret_value() == "KEY"


def test_the_java_connectors_ssh_key_tunnel_is_understood() -> None:
    tunnel = parse_config({**JAVA, "tunnel_method": {"tunnel_method": "SSH_KEY_AUTH", **SSH_SERVER, "ssh_key": "K"}})
    method = tunnel.tunnel_method
    assert isinstance(method, SshKeyTunnel)
    assert (method.tunnel_host, method.tunnel_port, method.tunnel_user) == ("ssh.example.com", 2222, "me")
    assert method.ssh_key.get_secret_value() == "K"


def test_the_java_connectors_ssh_password_tunnel_is_understood() -> None:
    saved = {"tunnel_method": "SSH_PASSWORD_AUTH", **SSH_SERVER, "tunnel_user_password": "P"}
    method = parse_config({**JAVA, "tunnel_method": saved}).tunnel_method
    assert isinstance(method, SshPasswordTunnel)
    assert (method.tunnel_host, method.tunnel_port, method.tunnel_user) == ("ssh.example.com", 2222, "me")
    assert method.tunnel_user_password.get_secret_value() == "P"


def test_only_the_host_has_to_be_given() -> None:
    config = parse_config({"host": "h"})
    assert (config.port, config.database, config.ssl, config.cache_type) == (6379, 0, False, "hash")
    assert (config.password, config.default_namespace, config.key_prefix) == (None, None, "")


def test_certificates_of_verify_full_are_optional() -> None:
    assert isinstance(parse_config({"host": "h", "ssl_mode": {"mode": "verify-full"}}).ssl_mode, SslVerifyFull)


@pytest.mark.parametrize("host", ["a" * 64, "a..b", "a\0b", "\0"])
def test_a_host_that_cannot_be_looked_up_is_a_config_error_that_does_not_quote_it(host: str) -> None:
    tunnel = {"tunnel_method": "SSH_KEY_AUTH", **SSH_SERVER, "ssh_key": "K", "tunnel_host": host}
    for wrong in (
        {"host": host},
        {"host": "h", "tunnel_method": tunnel},
        {"host": "h", "deployment": {"deployment": "cluster", "nodes": [f"{host}:1"]}},
    ):
        says = str(complaint(wrong))
        assert says.endswith("Input should be a host name or an address")
        assert host not in says


def test_a_database_is_chosen_in_the_deployment() -> None:
    assert parse_config({"host": "h", "deployment": {"deployment": "standalone", "database": 3}}).database == 3


def test_sentinels_take_a_database_too() -> None:
    deployment = {"deployment": "sentinel", "service_name": "s", "database": 3}
    assert parse_config({"host": "h", "deployment": deployment}).database == 3


def test_an_empty_default_namespace_is_not_the_same_as_none() -> None:
    assert parse_config({"host": "h", "default_namespace": ""}).default_namespace == ""
    assert parse_config({"host": "h", "default_namespace": None}).default_namespace is None


#: A value of each type.
FIRST = {"string": "x", "integer": 1}
#: Settings without which others cannot be set.
FIRST_SET: Json = {"vectors": {"cache_type": "json", "search_index": True}}


def places() -> Iterator[tuple[str, Json, Json]]:
    """Yield every object that a user fills in: its place in the settings, its form, and what it must have."""
    yield "", FORM, {"host": "h"}
    for name, node in FORM["properties"].items():
        for form in node.get("oneOf", [node] if "properties" in node else []):
            tags = {field: tag["const"] for field, tag in form["properties"].items() if "const" in tag}
            needed = dict.fromkeys(form.get("required", ()), "x") | tags
            yield ".".join([name, *tags.values()]), form, needed
        if "properties" in (form := node.get("items", {})):
            yield f"{name}.0", form, {field: FIRST[form["properties"][field]["type"]] for field in form["required"]}


def settings(place: str, content: Json) -> Json:
    """Return settings in which the object at `place` is `content`."""
    name, _, inner = place.partition(".")
    first_set = FIRST_SET.get(name, {})
    return {"host": "h", **first_set, name: [content] if inner == "0" else content} if place else content


OPTIONAL = {
    f"{place}.{name}".strip("."): (place, name, needed)
    for place, form, needed in places()
    for name in form["properties"]
    if name not in needed
}


#: In an entry of `streams`, an empty name of a field takes back the global one.
EMPTY_IS_A_VALUE = {"default_namespace", "streams.0.namespace"}
EMPTY_IS_A_VALUE |= {f"streams.0.{name}" for name in ("expire_at", *FIELDS)}


def test_settings_of_every_kind_are_optional() -> None:
    assert {"search_index", "ssl_mode", "durability.fsync", "deployment.sentinel.nodes"} <= set(OPTIONAL)
    assert {"ssl_mode.verify-ca.client_key", "tunnel_method.SSH_KEY_AUTH.tunnel_port"} <= set(OPTIONAL)
    assert {"streams", "streams.0.namespace", "streams.0.ttl_seconds", "vectors.0.distance"} <= set(OPTIONAL)
    assert len(OPTIONAL) > 35


@pytest.mark.parametrize("empty", [None, ""])
@pytest.mark.parametrize("place", sorted({*OPTIONAL} - EMPTY_IS_A_VALUE))
def test_every_optional_setting_may_be_null_or_empty_text_as_forms_send_what_was_left_empty(
    place: str, empty: str | None
) -> None:
    around, name, needed = OPTIONAL[place]
    assert parse_config(settings(around, {**needed, name: empty})) == parse_config(settings(around, needed))


def test_a_form_sent_with_everything_optional_empty_is_the_one_with_the_host_alone() -> None:
    names = {place for place in OPTIONAL if "." not in place} - {"default_namespace"}
    for empty in (None, ""):
        assert parse_config({"host": "h", **dict.fromkeys(names, empty)}) == parse_config({"host": "h"})


def test_what_is_required_may_not_be_empty() -> None:
    for empty in (None, ""):
        sentinel = {"deployment": "sentinel", "service_name": empty}
        assert "service_name: " in str(complaint({"host": "h", "deployment": sentinel}))
        tunnel = {"tunnel_method": "SSH_KEY_AUTH", **SSH_SERVER, "ssh_key": "K", "tunnel_host": empty}
        assert "tunnel_host: " in str(complaint({"host": "h", "tunnel_method": tunnel}))


def test_empty_text_in_a_list_is_no_setting_that_was_left_empty() -> None:
    for empty in (None, ""):
        assert "nodes.0: " in str(complaint({"host": "h", "deployment": {"deployment": "cluster", "nodes": [empty]}}))


def test_only_what_ends_an_overwrite_is_a_value_of_that_setting() -> None:
    assert parse_config({"host": "h"}).overwrite_without_status == "end_mark"
    assert FORM["properties"]["overwrite_without_status"]["enum"] == ["end_mark", "trailing_state"]
    assert "overwrite_without_status: " in str(complaint({"host": "h", "overwrite_without_status": "never"}))


def test_a_setting_nobody_knows_is_named_and_does_no_harm() -> None:
    config = {"host": "h", "hots": "x", "a_new_one": None}
    assert parse_config(config).host == "h"
    assert unknown_settings(config) == ["a_new_one", "hots"]


@pytest.mark.parametrize(
    ("wrong", "setting"),
    [
        ({"host": None}, "host"),
        ({"host": ""}, "host"),
        ({"port": 0}, "port"),
        ({"port": 65536}, "port"),
        ({"ssl": "perhaps"}, "ssl"),
        ({"cache_type": "bag"}, "cache_type"),
        ({"ssl_mode": {"mode": "verify-some"}}, "ssl_mode"),
        ({"ssl_mode": {}}, "ssl_mode"),
        ({"deployment": {"deployment": "standalone", "database": -1}}, "deployment.standalone.database"),
        ({"deployment": {"deployment": "sentinel"}}, "deployment.sentinel.service_name"),
        (
            {"deployment": {"deployment": "sentinel", "service_name": "s", "nodes": ["h:1", "h"]}},
            "deployment.sentinel.nodes.1",
        ),
        ({"key_prefix": "a{b"}, "key_prefix"),
        ({"key_prefix": "a}b"}, "key_prefix"),
        ({"tunnel_method": {"tunnel_method": "SSH_KEY_AUTH", **SSH_SERVER}}, "tunnel_method.SSH_KEY_AUTH.ssh_key"),
    ],
)
def test_a_wrong_setting_is_a_config_error_that_names_it(wrong: Json, setting: str) -> None:
    error = complaint({"host": "h", **wrong})
    assert error.failure_type is FailureType.config_error
    assert f"{setting}: " in str(error.message)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"key_prefix": "a{b"}, "key_prefix: Input should be text without { and }"),
        ({"ssl_mode": {}}, "ssl_mode: 'mode' is missing"),
        (
            {"ssl_mode": {"mode": "S3cret"}},
            "ssl_mode: 'mode' should be one of 'disable', 'require', 'verify-ca', 'verify-full'",
        ),
        (
            {"deployment": {"deployment": "cluster", "nodes": ["h"]}},
            "deployment.cluster.nodes.0: Input should be host:port",
        ),
    ],
)
def test_a_wrong_setting_is_told_in_words_what_it_should_be(wrong: Json, says: str) -> None:
    assert complaint({"host": "h", **wrong}).message == f"The configuration is not valid: {says}"


def test_every_wrong_setting_is_named_at_once() -> None:
    message = str(complaint({"port": 0, "ssl": "perhaps"}).message)
    assert all(f"{setting}: " in message for setting in ("host", "port", "ssl"))


SECRETS: list[tuple[str, Json, str]] = [
    ("", {}, "password"),
    *[
        ("ssl_mode", {"mode": "verify-full"}, name)
        for name in ("ca_certificate", "client_certificate", "client_key", "client_key_password")
    ],
    ("deployment", {"deployment": "sentinel", "service_name": "s"}, "sentinel_password"),
    ("tunnel_method", {"tunnel_method": "SSH_KEY_AUTH", **SSH_SERVER}, "ssh_key"),
    ("tunnel_method", {"tunnel_method": "SSH_PASSWORD_AUTH", **SSH_SERVER}, "tunnel_user_password"),
]


@given(
    st.sampled_from(SECRETS),
    st.text(alphabet="abcdefXYZ0189!{}", min_size=1, max_size=20).map("S3cret".__add__),
    st.sampled_from([lambda secret: secret, lambda secret: [secret], lambda secret: {secret: secret}]),
)
def test_no_secret_value_ever_appears_in_an_error(place: tuple[str, Json, str], secret: str, shape: Any) -> None:
    group, others, name = place
    filled = {**others, name: shape(secret)}
    config = {"host": "h", "port": "none", **({group: filled} if group else filled)}
    assert "S3cret" not in everything_said(complaint(config))


def test_no_secret_shows_when_the_settings_are_printed() -> None:
    tunnel = {"tunnel_method": "SSH_PASSWORD_AUTH", **SSH_SERVER, "tunnel_user_password": "S3cret"}
    ssl = {"mode": "verify-full", "client_certificate": "C", "client_key": "S3cret", "client_key_password": "S3cret"}
    config = parse_config({**JAVA, "tunnel_method": tunnel, "ssl_mode": ssl})
    assert "S3cret" not in f"{config} {config!r}"


@pytest.mark.parametrize("word", ["anyOf", "allOf", "$ref", "$defs", "discriminator"])
def test_the_spec_has_no_word_airbytes_form_does_not_know(word: str) -> None:
    assert f'"{word}"' not in json.dumps(specification())


def test_every_property_has_a_title_and_a_description() -> None:
    for properties in forms():
        for name, field in properties.items():
            assert field.get("title"), name
            assert field.get("description"), name


def test_the_order_of_properties_is_unique_within_their_object_and_group() -> None:
    for properties in forms():
        places = [(field.get("group"), field["order"]) for field in properties.values()]
        assert len(set(places)) == len(places)


def test_every_top_level_property_is_in_a_group_the_form_shows() -> None:
    groups = {group["id"] for group in FORM["groups"]}
    assert {field["group"] for field in FORM["properties"].values()} == groups


def test_every_secret_is_marked_as_one() -> None:
    secrets = {name for _, _, name in SECRETS}
    found = [(name, field) for properties in forms() for name, field in properties.items() if name in secrets]
    assert {name for name, _ in found} == secrets
    assert all(field["airbyte_secret"] is True for _, field in found)


def test_only_secrets_are_marked_as_such() -> None:
    secrets = {name for _, _, name in SECRETS}
    marked = {name for properties in forms() for name, field in properties.items() if field.get("airbyte_secret")}
    assert marked == secrets


def test_the_spec_requires_the_host_alone() -> None:
    assert FORM["required"] == ["host"]


def test_every_option_has_a_title_and_a_required_tag_of_one_value() -> None:
    assert options()
    for option in options():
        tags = [name for name, field in option["properties"].items() if "const" in field]
        assert option["title"]
        assert len(tags) == 1
        assert tags[0] in option["required"]


def test_a_choice_is_an_object_whose_options_differ_in_one_tag() -> None:
    for node in walk(FORM):
        if "oneOf" in node:
            assert node["type"] == "object"
            tags = [
                (name, field["const"])
                for option in node["oneOf"]
                for name, field in option["properties"].items()
                if "const" in field
            ]
            assert len({name for name, _ in tags}) == 1
            assert len({value for _, value in tags}) == len(node["oneOf"])


def test_every_pattern_is_described() -> None:
    assert all("pattern_descriptor" in node for node in walk(FORM) if isinstance(node.get("pattern"), str))


def test_a_default_is_never_null() -> None:
    assert all(node["default"] is not None for node in walk(FORM) if "default" in node)


def test_the_form_is_json_schema_draft_7_that_allows_unknown_settings() -> None:
    assert FORM["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert FORM["type"] == "object"
    assert FORM["additionalProperties"] is True


def test_the_spec_advertises_every_sync_mode() -> None:
    assert specification()["supported_destination_sync_modes"] == ["append", "overwrite", "append_dedup"]


def test_the_spec_names_every_data_type_there_is() -> None:
    assert FORM["properties"]["cache_type"]["enum"] == list(CACHES)
    assert FORM["properties"]["cache_type"]["default"] == "hash"
    assert FORM["properties"]["record_format"]["enum"] == ["envelope", "columns"]


@pytest.mark.parametrize("seconds", [-1, 1.5, "soon"])
def test_a_time_to_live_is_a_whole_number_of_seconds_and_zero_is_none(seconds: Any) -> None:
    assert "ttl_seconds: " in str(complaint({"host": "h", "ttl_seconds": seconds}).message)
    assert parse_config({"host": "h", "ttl_seconds": 0}).expiry == 0


@pytest.mark.parametrize("name", CACHES)
def test_an_expiry_by_a_field_needs_a_key_for_each_record(name: str) -> None:
    config = {"host": "h", "cache_type": name, "expire_at": "ends"}
    config["record_format"] = CACHES[name].capabilities.formats[0]
    if not CACHES[name].capabilities.collection:
        assert parse_config(config).expire_at == "ends"
        assert parse_config({**config, "expire_at": ""}).expire_at is None
    else:
        message = f"expire_at needs a key for each record (cache_type hash or json or string), not cache_type {name}"
        assert complaint(config).message == message


@pytest.mark.parametrize(
    "shape", [(name, form) for name, cache in CACHES.items() for form in cache.capabilities.formats]
)
def test_a_format_a_type_has_is_taken(shape: tuple[str, str]) -> None:
    config = {"host": "h", "cache_type": shape[0], "record_format": shape[1]}
    config |= dict.fromkeys(CACHES[shape[0]].capabilities.required, "id")
    assert parse_config(config).storage_format == shape


@pytest.mark.parametrize("cache_type", ["list", "set", "sorted_set", "geo", "bitmap", "hyperloglog"])
def test_a_field_as_the_element_needs_no_format(cache_type: str) -> None:
    for record_format in ("envelope", "columns"):
        config = parse_config({"host": "h", "cache_type": cache_type, "record_format": record_format, "value": "id"})
        assert config.storage_format == (cache_type, "columns")
    assert parse_config({"host": "h", "cache_type": cache_type, "value": "id"}).value == "id"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"value": "id"}, "value needs cache_type list, set, sorted_set, geo, bitmap or hyperloglog, not hash"),
        ({"value": "id", "cache_type": "stream"}, "value needs cache_type list, set, sorted_set, geo, bitmap or hy"),
        ({"score": "points"}, "score needs cache_type sorted_set, not hash"),
        ({"value": "id", "score": "points", "cache_type": "set"}, "score needs cache_type sorted_set, not set"),
        (
            {"value": "id", "cache_type": "list", "record_metadata": "full"},
            "record_metadata full is not possible with value, which stores one field of a record alone: set record_m",
        ),
        ({"longitude": "lng", "cache_type": "sorted_set"}, "longitude needs cache_type geo, not sorted_set"),
        ({"latitude": "lat", "cache_type": "set"}, "latitude needs cache_type geo, not set"),
        ({"cache_type": "geo"}, "cache_type geo has no record_format envelope, only columns"),
        ({"score": "points", "cache_type": "sorted_set"}, "cache_type sorted_set has no record_format envelope, only"),
        ({"score": "points", "cache_type": "bitmap"}, "score needs cache_type sorted_set, not bitmap"),
        ({"cache_type": "hyperloglog"}, "cache_type hyperloglog has no record_format envelope, only columns"),
        ({"bitmap_max_position": 9}, "bitmap_max_position needs cache_type bitmap, not hash"),
    ],
)
def test_a_field_that_a_data_type_has_no_place_for_is_refused_with_what_to_change(wrong: Json, says: str) -> None:
    error = complaint({"host": "h", **wrong})
    assert error.failure_type is FailureType.config_error
    assert str(error.message).startswith(says)


def test_a_setting_without_which_a_data_type_has_no_elements_is_asked_for() -> None:
    for record_format in ("envelope", "columns"):
        said = complaint({"host": "h", "cache_type": "bitmap", "record_format": record_format})
        assert said.failure_type is FailureType.config_error
        assert said.message == "cache_type bitmap needs value: set it to the field that becomes the element"
    assert parse_config({"host": "h", "cache_type": "bitmap", "value": "seat"}).storage_format == ("bitmap", "columns")


@pytest.mark.parametrize("most", [-1, 2**32, 1.5, "all"])
def test_the_highest_position_of_a_bitmap_is_one_that_redis_has(most: Any) -> None:
    config = {"host": "h", "cache_type": "bitmap", "value": "seat"}
    assert "bitmap_max_position: " in str(complaint({**config, "bitmap_max_position": most}).message)
    for allowed in (0, 2**32 - 1):
        assert parse_config({**config, "bitmap_max_position": allowed}).limits == {"bitmap_max_position": allowed}
    assert parse_config(config).limits == {}
