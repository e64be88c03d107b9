"""The keys: their names, the templates of the settings, and which templates could give the same key."""

from destination_redis.keys.names import (
    DEFAULT_NAMESPACE,
    NULL,
    DataKeys,
    StreamKeys,
    check_key,
    escape,
    key_part,
    namespace_in_keys,
    staged_key,
)
from destination_redis.keys.templates import (
    COLLECTION_KEY,
    RECORD_KEY,
    KeyTemplate,
    Matcher,
    why_no_collection_key,
    why_no_record_key,
)

__all__ = [
    "COLLECTION_KEY",
    "DEFAULT_NAMESPACE",
    "NULL",
    "RECORD_KEY",
    "DataKeys",
    "KeyTemplate",
    "Matcher",
    "StreamKeys",
    "check_key",
    "escape",
    "key_part",
    "namespace_in_keys",
    "staged_key",
    "why_no_collection_key",
    "why_no_record_key",
]
