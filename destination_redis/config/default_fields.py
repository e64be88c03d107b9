"""The default fields: what a data type needs of a record and the settings do not name, found in the stream's schema."""

from collections.abc import Sequence

from destination_redis.caches import CACHES
from destination_redis.config.records import listed
from destination_redis.config.settings import RedisConfig
from destination_redis.errors import config_error
from destination_redis.protocol.catalog import Stream


def with_default_fields(config: RedisConfig, stream: Stream) -> RedisConfig:
    """Return the settings with every field that the data type needs; raises a config error if one is not found."""
    names = CACHES[config.cache_type].capabilities.default_fields
    missing = {setting: some for setting, some in names.items() if getattr(config, setting) is None}
    found = {setting: _first(config, stream, setting, some) for setting, some in missing.items()}
    return config.model_copy(update=found) if found else config


def _first(config: RedisConfig, stream: Stream, setting: str, names: Sequence[str]) -> str:
    for name in names:
        if name in stream.properties:
            return name
    raise config_error(
        f"The schema of the stream {stream} has no field named {listed(names)}: set {setting} to the field that "
        f"cache_type {config.cache_type} is to use"
    )
