"""The setting `streams`: settings that hold for some streams only, chosen by name."""

import fnmatch
import re
from typing import Any

from pydantic import ConfigDict

from destination_redis.config.base import setting
from destination_redis.config.records import FIELDS, RecordSettings


def _in_form(schema: dict[str, Any]) -> None:
    """Adapt the schema to the form, which sends every default that it shows: an entry would then inherit nothing."""
    schema.pop("description")
    for name in RecordSettings.model_fields:
        field = schema["properties"][name]
        field.pop("default", None)
        field.pop("group", None)  # for the top level only
        field["order"] += 2  # after the names


class StreamSettings(RecordSettings):
    """An entry of `streams`: the streams for which it holds, and what it sets; the rest is inherited."""

    model_config = ConfigDict(title="Stream", json_schema_extra=_in_form)
    #: An empty name of a field takes back the global one.
    may_be_empty = frozenset({"expire_at", *FIELDS})
    stream: str = setting(
        "Stream name",
        0,
        description="The streams that these settings apply to: a name, or a pattern with * for any text and ? for any "
        "character. Matching is case-sensitive.",
        examples=["orders", "orders_*"],
        min_length=1,
    )
    namespace: str | None = setting(
        "Namespace",
        1,
        default=None,
        description="The namespace of these streams, or a pattern as above. Leave empty for all namespaces.",
        examples=["shop", "shop_*"],
    )

    @property
    def overrides(self) -> dict[str, Any]:
        """The settings that the entry has itself; None is for none, whatever the global one is."""
        own = {name: getattr(self, name) for name in RecordSettings.model_fields if name in self.model_fields_set}
        return {name: None if value == "" else value for name, value in own.items()}

    @property
    def names(self) -> re.Pattern[str]:
        """What the names of its streams match."""
        return _pattern(self.stream)

    @property
    def namespaces(self) -> re.Pattern[str]:
        """What the namespaces of its streams match; a missing one counts as empty."""
        return _pattern("*" if self.namespace is None else self.namespace)


def entry_label(number: int, stream: object, namespace: object = None) -> str:
    """Return the words by which messages name an entry, such as `streams.2 (orders_*)`; its names may be invalid."""
    place = f"streams.{number}"
    if not isinstance(stream, str) or not stream:
        return place
    return f"{place} ({namespace}.{stream})" if isinstance(namespace, str) and namespace else f"{place} ({stream})"


def _pattern(glob: str) -> re.Pattern[str]:
    # In `fnmatch` a [ opens a class of characters, unless it is in a class of its own.
    return re.compile(fnmatch.translate(glob.replace("[", "[[]")))
