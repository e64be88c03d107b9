"""The parser of the settings: a config error names each invalid one, never its value."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from destination_redis.config.base import PATTERNS
from destination_redis.config.records import RecordSettings
from destination_redis.config.rules import check_settings
from destination_redis.config.settings import RedisConfig
from destination_redis.config.stream_configs import StreamConfigs
from destination_redis.config.streams import StreamSettings, entry_label
from destination_redis.config.vectors import Vector
from destination_redis.errors import config_error


def parse_config(config: Mapping[str, Any]) -> RedisConfig:
    """Return the settings in `config`; raises a config error if one is invalid, or if two exclude each other."""
    try:
        parsed = RedisConfig.model_validate(config)
    except ValidationError as error:
        problems = error.errors(include_input=False, include_url=False)
        wrong = "; ".join(_sentence(problem, config) for problem in problems)
        raise config_error(f"The configuration is not valid: {wrong}") from None
    check_settings(parsed)
    StreamConfigs(parsed)
    return parsed


def unknown_settings(config: Mapping[str, Any]) -> list[str]:
    """Return the names of settings that are unknown, such as mistyped ones, at the top level and in lists."""
    return [
        *_unknown(config, RedisConfig),
        *(
            f"{name} of {_label(config, number)}"
            for number, entry in _objects(config, "streams")
            for name in _unknown(entry, StreamSettings)
        ),
    ]


def _unknown(settings: Mapping[str, Any], model: type[RecordSettings]) -> Iterator[str]:
    yield from sorted(set(settings) - set(model.model_fields))
    for number, vector in _objects(settings, "vectors"):
        yield from (f"vectors.{number}.{name}" for name in sorted(set(vector) - set(Vector.model_fields)))


def _objects(settings: Mapping[str, Any], name: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the objects of a list with their numbers; settings that were not validated may have anything there."""
    objects = settings.get(name)
    for number, each in enumerate(objects if isinstance(objects, list | tuple) else ()):
        if isinstance(each, Mapping):
            yield number, each


def _label(config: Mapping[str, Any], number: int) -> str:
    entry = dict(_objects(config, "streams")).get(number, {})
    return entry_label(number, entry.get("stream"), entry.get("namespace"))


def _sentence(problem: ErrorDetails, config: Mapping[str, Any]) -> str:
    """Return which setting is wrong and why, without its value: a mistyped secret must not be printed."""
    text, context = problem["msg"], problem.get("ctx", {})
    match problem["type"]:
        case "union_tag_invalid":
            text = f"{context['discriminator']} should be one of {context['expected_tags']}"
        case "union_tag_not_found":
            text = f"{context['discriminator']} is missing"
        case "string_pattern_mismatch":
            text = f"Input should be {PATTERNS[context['pattern']]}"
    match problem["loc"]:
        case ("streams", int(number), *place):
            names = [_label(config, number), *([".".join(map(str, place))] if place else [])]
        case place:
            names = [".".join(map(str, place)) or "config"]
    return ": ".join([*names, text])
