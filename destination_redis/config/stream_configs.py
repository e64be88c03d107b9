"""The settings of each stream: those of the first entry of `streams` that matches it, else the global ones."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.config.rules import check_required, check_server, unsupported, without_effect
from destination_redis.config.settings import RedisConfig
from destination_redis.config.streams import StreamSettings, entry_label
from destination_redis.errors import config_error
from destination_redis.protocol.catalog import Stream


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """An entry of `streams`, with the global settings for what it leaves out."""

    label: str
    config: RedisConfig
    #: The global settings that its data type cannot have, a sentence for each.
    left_out: tuple[str, ...]
    names: re.Pattern[str]
    namespaces: re.Pattern[str]

    def matches(self, name: str, namespace: str | None) -> bool:
        """Return whether the entry's patterns match a stream."""
        return self.names.match(name) is not None and self.namespaces.match(namespace or "") is not None


class StreamConfigs:
    """The settings of all streams, computed once for each entry."""

    def __init__(self, config: RedisConfig) -> None:
        """Raise a config error, which names the entry, if two settings that hold together exclude each other."""
        #: The global settings.
        self.default = config
        self.entries = tuple(_entry(config, number, each) for number, each in enumerate(config.streams))

    @property
    def all(self) -> tuple[RedisConfig, ...]:
        """The global settings, and those of each entry."""
        return self.default, *(entry.config for entry in self.entries)

    @property
    def left_out(self) -> list[str]:
        """The global settings that the data types of entries cannot have, a sentence for each."""
        return [sentence for entry in self.entries for sentence in entry.left_out]

    def of(self, name: str, namespace: str | None) -> RedisConfig:
        """Return the settings of a stream."""
        for entry in self.entries:
            if entry.matches(name, namespace):
                return entry.config
        return self.default

    def without_effect(self, streams: Iterable[Stream]) -> list[str]:
        """Return a sentence for each entry that holds for no stream of a catalog."""
        matching: set[Entry] = set()
        first: set[Entry] = set()
        for stream in streams:
            found = [entry for entry in self.entries if entry.matches(stream.name, stream.namespace)]
            matching.update(found)
            first.update(found[:1])
        return [
            f"{entry.label} has no effect: an earlier entry matches each of its streams"
            if entry in matching
            else f"{entry.label} has no effect: it matches no stream of the catalog"
            for entry in self.entries
            if entry not in first
        ]


def _entry(config: RedisConfig, number: int, entry: StreamSettings) -> Entry:
    label, own = entry_label(number, entry.stream, entry.namespace), entry.overrides
    left_out = []
    combined = config.model_copy(update={**own, "streams": ()})
    while (found := next(unsupported(combined), None)) is not None:
        if found.name in own:
            raise config_error(f"{label}: {found.why}")
        left_out.append(f"{label} leaves out the global {found.name}: {found.why}")
        combined = combined.model_copy(update={found.name: found.instead})
    for found in without_effect(combined):
        if found.name in own:
            raise config_error(f"{label}: {found.why}")
    try:
        check_required(combined)
        check_server(combined)
    except AirbyteTracedException as error:
        raise config_error(f"{label}: {error}") from None
    return Entry(label, combined, tuple(left_out), entry.names, entry.namespaces)
