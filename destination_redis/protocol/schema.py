"""The top-level properties of a stream's JSON schema, and the columns among them, with the index field type of each."""

from collections.abc import Mapping
from typing import Any, NamedTuple

TEXT, TAG, NUMERIC, GEO, VECTOR = "TEXT", "TAG", "NUMERIC", "GEO", "VECTOR"


class Column(NamedTuple):
    """A column that can be indexed."""

    name: str
    type: str
    #: Whether it is an array of values of this type.
    many: bool = False
    #: Whether it is a number that may have more digits than a double can hold.
    big: bool = False
    #: What follows the type in the definition of an index.
    options: tuple[str, ...] = ()


def properties_of(schema: object) -> Mapping[str, object]:
    """Return the top-level properties of a JSON schema, by name."""
    properties = schema.get("properties") if isinstance(schema, dict) else None
    return properties if isinstance(properties, dict) else {}


def columns_of(schema: object) -> tuple[Column, ...]:
    """Return the top-level columns of a JSON schema that can be indexed."""
    # RediSearch's names end at a NUL.
    named = {name: node for name, node in properties_of(schema).items() if name and "\0" not in name}
    return tuple(column for name, node in named.items() if (column := _column(name, node)))


def _column(name: str, node: object) -> Column | None:
    found = {_described(choice) for choice in _choices(node)}
    types = {kind for kind, _ in found}
    if len(types) != 1 or (kind := types.pop()) is None:
        return None
    if kind != "array":
        return Column(name, kind, big=any(big for _, big in found))
    items = [choice.get("items") for choice in _choices(node) if "items" in choice]
    inner = _column(name, items[0]) if len(items) == 1 else None
    if inner is None or inner.many or inner.type == GEO:
        return None
    return inner._replace(type=NUMERIC if inner.type == NUMERIC else TAG, many=True)


def _choices(node: object) -> list[dict[str, Any]]:
    """Return the schemas a column's values may have, one for each type except null."""
    if not isinstance(node, dict):
        return [{}]
    listed = (choices for name in ("oneOf", "anyOf") if isinstance(choices := node.get(name), list))
    choices = [choice for choices in listed for choice in choices]
    if choices:
        return [each for choice in choices for each in _choices(choice)]
    types = node.get("type")
    names = [name for name in (types if isinstance(types, list) else [types]) if name != "null"]
    return [{**node, "type": name} for name in names]


def _described(choice: Mapping[str, Any]) -> tuple[str | None, bool]:
    """Return the index field type, "array" or None; and whether it is a big number."""
    airbyte_type = str(choice.get("airbyte_type") or "")
    match choice.get("type"):
        case "integer" | "number":
            return NUMERIC, airbyte_type.startswith("big_")
        case "boolean":
            return TAG, False
        case "array":
            return "array", False
        case "string" if choice.get("format") == "geo":
            return GEO, False
        case "string":
            # Formatted strings, dates and enums are searched by exact value, free text by its words.
            exact = airbyte_type or choice.get("format") or "enum" in choice or "const" in choice
            return (TAG if exact else TEXT), False
    return None, False
