"""The parser of the settings: a config error names each invalid one, never its value."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from destination_redis.config.base import PATTERNS
from destination_redis.config.rules import check_settings
from destination_redis.config.settings import RedisConfig
from destination_redis.errors import config_error


def parse_config(config: Mapping[str, Any]) -> RedisConfig:
    """Return the settings in `config`; raises a config error if one is invalid, or if two exclude each other."""
    try:
        parsed = RedisConfig.model_validate(config)
    except ValidationError as error:
        wrong = "; ".join(map(_sentence, error.errors(include_input=False, include_url=False)))
        raise config_error(f"The configuration is not valid: {wrong}") from None
    check_settings(parsed)
    return parsed


def unknown_settings(config: Mapping[str, Any]) -> list[str]:
    """Return the names of top-level settings that are unknown, such as mistyped ones."""
    return sorted(set(config) - set(RedisConfig.model_fields))


def _sentence(problem: ErrorDetails) -> str:
    """Return which setting is wrong and why, without its value: a mistyped secret must not be printed."""
    text, context = problem["msg"], problem.get("ctx", {})
    match problem["type"]:
        case "union_tag_invalid":
            text = f"{context['discriminator']} should be one of {context['expected_tags']}"
        case "union_tag_not_found":
            text = f"{context['discriminator']} is missing"
        case "string_pattern_mismatch":
            text = f"Input should be {PATTERNS[context['pattern']]}"
    return f"{'.'.join(map(str, problem['loc'])) or 'config'}: {text}"
