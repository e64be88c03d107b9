"""The settings and a stream -> how its records are written, and where; what cannot be combined is a config error."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from destination_redis.caches import CACHES, RecordOptions, StorageFormat
from destination_redis.config.base import PATTERNS
from destination_redis.config.deployment import Cluster
from destination_redis.config.settings import RedisConfig
from destination_redis.errors import config_error


def storage_format_of(config: RedisConfig) -> StorageFormat:
    """Return the data type and format; raises where they, or other settings, do not go together."""
    cache_type, record_format = chosen = StorageFormat(config.cache_type, config.record_format)
    formats = CACHES[cache_type].formats
    if record_format not in formats:
        raise config_error(f"cache_type {cache_type} has no record_format {record_format}, only {' or '.join(formats)}")
    if config.record_metadata == "full" and not CACHES[cache_type](RecordOptions(record_format)).stores_metadata:
        raise config_error(
            f"record_metadata full has no room in cache_type {cache_type} with record_format {record_format}, which "
            "holds a record's data alone"
        )
    if config.search_index:
        _refuse_index(config, chosen)
    if config.stream_max_length is not None and cache_type != "stream":
        raise config_error(f"stream_max_length is for cache_type stream, which {cache_type} is not")
    return chosen


def _refuse_index(config: RedisConfig, chosen: StorageFormat) -> None:
    """Raise where there can be no search index."""
    cache_type, record_format = chosen
    if cache_type != "json" and chosen != ("hash", "columns"):
        raise config_error(
            "search_index needs cache_type json, or cache_type hash with record_format columns; "
            f"it has no columns to index in cache_type {cache_type} with record_format {record_format}"
        )
    if isinstance(config.deployment, Cluster):
        raise config_error("search_index is not possible in a cluster: an index holds only what its own node holds")
    if config.database:
        raise config_error(f"search_index needs the database 0, the only one that has indexes, not {config.database}")


def parse_config(config: Mapping[str, Any]) -> RedisConfig:
    """Return the settings in `config`; raises a config error that names each wrong one, never its value."""
    try:
        return RedisConfig.model_validate(config)
    except ValidationError as error:
        wrong = "; ".join(map(_said, error.errors(include_input=False, include_url=False)))
        raise config_error(f"The configuration is not valid: {wrong}") from None


def unknown_settings(config: Mapping[str, Any]) -> list[str]:
    """Return the names of top-level settings that mean nothing here, such as mistyped ones."""
    return sorted(set(config) - set(RedisConfig.model_fields))


def _said(problem: ErrorDetails) -> str:
    """Return which setting is wrong and how, without what was given: a mistyped secret must not be printed."""
    told, context = problem["msg"], problem.get("ctx", {})
    match problem["type"]:
        case "union_tag_invalid":
            told = f"{context['discriminator']} should be one of {context['expected_tags']}"
        case "union_tag_not_found":
            told = f"{context['discriminator']} is missing"
        case "string_pattern_mismatch":
            told = f"Input should be {PATTERNS[context['pattern']]}"
    return f"{'.'.join(map(str, problem['loc'])) or 'config'}: {told}"
