"""The rules of Airbyte's acceptance tests for a specification (TestSpec), where no other test has them."""

from collections.abc import Iterator
from typing import Any

import pytest
from airbyte_cdk.models import ConnectorSpecificationSerializer
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from destination_redis.config.parse import parse_config, unknown_settings
from destination_redis.config.spec import specification

Json = dict[str, Any]
#: A place in the specification, and what is there.
Node = tuple[tuple[str, ...], Json]

#: What the form cannot show, besides what test_settings_and_spec.py lists.
FORBIDDEN = {"not", "patternProperties", "prefixItems", "if", "then", "else", "dependentSchemas", "dependentRequired"}


@pytest.fixture(params=[False, True], ids=["oss", "cloud"])
def spec(request: pytest.FixtureRequest) -> Json:
    return specification(cloud=request.param)


@pytest.fixture
def nodes(spec: Json) -> list[Node]:
    """Return every schema in the form, but not the objects that hold schemas by name."""
    return list(_schemas((), spec["connectionSpecification"]))


def _schemas(place: tuple[str, ...], node: Json) -> Iterator[Node]:
    yield place, node
    inner = list(node.get("properties", {}).items())
    inner += [(str(number), option) for number, option in enumerate(node.get("oneOf", []))]
    inner += [("items", node["items"])] if "items" in node else []
    for name, each in inner:
        yield from _schemas((*place, name), each)


def test_a_form_cannot_show_some_words_of_json_schema(nodes: list[Node]) -> None:
    assert [(place, name) for place, node in nodes for name in node if name in FORBIDDEN] == []


def test_a_setting_has_one_type(nodes: list[Node]) -> None:
    assert len(nodes) > 60
    types = {"object", "array", "string", "integer", "boolean"}
    assert [place for place, node in nodes if node.get("type") not in types] == []


def test_an_object_has_settings_or_choices(nodes: list[Node]) -> None:
    objects = [(place, node) for place, node in nodes if node["type"] == "object"]
    assert [place for place, node in objects if not node.get("properties") and "oneOf" not in node] == []


def test_a_list_has_items_of_one_kind_that_a_form_can_show(nodes: list[Node]) -> None:
    kinds = {"object", "string", "integer", "number"}
    lists = [(place, node) for place, node in nodes if node["type"] == "array"]
    assert [place for place, node in lists if node["items"]["type"] not in kinds] == []


def test_the_values_of_a_setting_differ(nodes: list[Node]) -> None:
    found = [node["enum"] for _, node in nodes if "enum" in node]
    assert found
    assert [values for values in found if len(set(values)) < len(values)] == []


def test_the_tag_of_a_choice_is_text_whose_default_is_its_only_value(nodes: list[Node]) -> None:
    tags = [node for _, node in nodes if "const" in node]
    assert tags
    assert {node["type"] for node in tags} == {"string"}
    assert all(node.get("default", node["const"]) == node["const"] for node in tags)
    assert all(node.get("enum", [node["const"]]) == [node["const"]] for node in tags)


def test_only_settings_at_the_top_are_in_groups(nodes: list[Node]) -> None:
    assert [place for place, node in nodes if len(place) > 1 and "group" in node] == []


def test_a_choice_is_shown_as_a_list_or_as_buttons(nodes: list[Node]) -> None:
    shown = [node for _, node in nodes if "display_type" in node]
    assert all("oneOf" in node and node["display_type"] in ("dropdown", "radio") for node in shown)


def test_no_setting_is_a_date_which_would_need_a_pattern(nodes: list[Node]) -> None:
    assert [place for place, node in nodes if "format" in node] == []


def test_no_object_refuses_settings_that_it_does_not_know(nodes: list[Node]) -> None:
    assert {node["additionalProperties"] for _, node in nodes if "additionalProperties" in node} == {True}


def test_secrets_of_several_lines_keep_their_lines(nodes: list[Node]) -> None:
    several = [place[-1] for place, node in nodes if node.get("multiline")]
    assert set(several) == {"ca_certificate", "client_certificate", "client_key", "ssh_key"}
    assert all(node["airbyte_secret"] for _, node in nodes if node.get("multiline"))


def test_the_protocols_model_takes_the_specification_and_nobody_signs_in_elsewhere(spec: Json) -> None:
    taken = ConnectorSpecificationSerializer.load(spec)
    assert taken.advanced_auth is None
    assert ConnectorSpecificationSerializer.dump(taken)["connectionSpecification"] == spec["connectionSpecification"]
    Draft7Validator.check_schema(spec["connectionSpecification"])


_TEXT = st.text("abc é:/-", min_size=1, max_size=9)
_HOST = st.sampled_from(["localhost", "redis.example.com", "10.0.0.5", "::1"])
_PORT = st.integers(1, 65_535)
_CERTIFICATES = ("ca_certificate", "client_certificate", "client_key")
_SERVER = {"tunnel_host": _HOST, "tunnel_port": _PORT, "tunnel_user": _TEXT}


def _tagged(tag: str, value: str, **fields: Any) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries({tag: st.just(value), **fields})


#: Every configuration that the form of the Java connector accepted and with which it could run.
_JAVA = st.fixed_dictionaries(
    {"host": _HOST, "port": _PORT, "username": _TEXT | st.just(""), "cache_type": st.just("hash")},
    optional={
        "password": _TEXT | st.just(""),
        "ssl": st.booleans(),
        "ssl_mode": _tagged("mode", "disable")
        | _tagged("mode", "verify-full", **dict.fromkeys(_CERTIFICATES, _TEXT))
        | _tagged("mode", "verify-full", **dict.fromkeys((*_CERTIFICATES, "client_key_password"), _TEXT)),
        "tunnel_method": _tagged("tunnel_method", "NO_TUNNEL")
        | _tagged("tunnel_method", "SSH_KEY_AUTH", **_SERVER, ssh_key=_TEXT)
        | _tagged("tunnel_method", "SSH_PASSWORD_AUTH", **_SERVER, tunnel_user_password=_TEXT),
    },
)
_FORM = Draft7Validator(specification()["connectionSpecification"])


@given(_JAVA)
def test_whatever_the_form_of_the_java_connector_accepted_this_one_accepts(config: Json) -> None:
    assert [error.message for error in _FORM.iter_errors(config)] == []
    assert unknown_settings(config) == []
    assert parse_config(config).host == config["host"]
