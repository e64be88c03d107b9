"""The specification: the models as JSON schema draft-07, by the rules of Airbyte's connector specification."""

from typing import Any

from destination_redis.config.cloud import NOT_OFFERED
from destination_redis.config.settings import RedisConfig

DOCUMENTATION_URL = "https://docs.airbyte.com/integrations/destinations/redis"
SYNC_MODES = ("append", "overwrite", "append_dedup")
GROUPS = [{"id": "connection", "title": "Connection"}, {"id": "records", "title": "Records"}]


def specification(*, cloud: bool = False) -> dict[str, Any]:
    """Return the connector's specification, as in a SPEC message; with `cloud` that of Airbyte Cloud."""
    schema = RedisConfig.model_json_schema()
    form = _form(schema, schema.pop("$defs", {}))
    form.pop("description")
    form |= {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Redis Destination Spec",
        "additionalProperties": True,
        "groups": GROUPS,
    }
    if cloud:
        modes = form["properties"]["ssl_mode"]
        modes["oneOf"] = [mode for mode in modes["oneOf"] if mode["properties"]["mode"]["const"] not in NOT_OFFERED]
    return {
        "documentationUrl": DOCUMENTATION_URL,
        "connectionSpecification": form,
        "supportsIncremental": True,
        "supportsNormalization": False,
        "supportsDBT": False,
        "supported_destination_sync_modes": list(SYNC_MODES),
    }


def _form(node: Any, definitions: dict[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
    """Return `node` with references inlined, `X or null` as X, and unions as the options of a form."""
    if isinstance(node, list):
        return [_form(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: value for key, value in node.items() if not (key == "default" and value is None)}
    if node.get("writeOnly"):  # how pydantic marks secrets; Airbyte uses airbyte_secret
        node.pop("writeOnly")
        node.pop("format")
    if "$ref" in node:
        return _form(definitions[node.pop("$ref").rsplit("/", 1)[1]] | node, definitions)
    if options := [option for option in node.pop("anyOf", []) if option != {"type": "null"}]:
        node = {**options[0], **node}  # the field's own title and description win
        return _form(node, definitions)
    discriminator = node.pop("discriminator", None)
    node.pop("additionalProperties", None)
    node = {key: _form(value, definitions) for key, value in node.items()}
    if discriminator and "oneOf" in node:
        node["type"] = "object"
        node["oneOf"] = [_option(option, discriminator["propertyName"]) for option in node["oneOf"]]
    return node


def _option(option: dict[str, Any], tag: str) -> dict[str, Any]:
    option["required"] = sorted({*option.get("required", ()), tag})
    option.pop("description", None)
    return option
