"""Airbyte messages and configured streams, as a source and a platform make them."""

import json
from typing import Any

Json = dict[str, Any]


def stream(name: str = "users", mode: str = "append", **more: Any) -> Json:
    """Return a configured stream; `namespace` and generations by name."""
    inner = {"name": name, "json_schema": {}}
    if "namespace" in more:
        inner["namespace"] = more.pop("namespace")
    return {"stream": inner, "sync_mode": "full_refresh", "destination_sync_mode": mode, **more}


def dedup(name: str = "users", schema: Json | None = None, **more: Any) -> Json:
    """Return a stream deduplicated by "id", ordered by "at", unless others are given."""
    keyed = {"primary_key": [["id"]], "cursor_field": ["at"], **more}
    configured = stream(name, "append_dedup", **keyed)
    configured["stream"]["json_schema"] = schema or {}
    return configured


def generation(number: int, minimum: int, sync_id: int) -> Json:
    return {"generation_id": number, "minimum_generation_id": minimum, "sync_id": sync_id}


def lines(*messages: Json, end: bytes = b"\n") -> bytes:
    """Return messages as a source sends them."""
    return b"".join(json.dumps(message).encode() + end for message in messages)


def record(number: int, name: str = "users", **more: Any) -> Json:
    body = {"stream": name, "data": {"id": number}, "emitted_at": 1700000000000 + number, **more}
    return {"type": "RECORD", "record": body}


def state(cursor: int, name: str = "users", **more: Any) -> Json:
    descriptor = {"name": name}
    body = {"type": "STREAM", "stream": {"stream_descriptor": descriptor, "stream_state": {"cursor": cursor}}}
    return {"type": "STATE", "state": {**body, **more}}


def status(value: str, name: str = "users") -> Json:
    described = {"stream_descriptor": {"name": name}, "status": value}
    return {
        "type": "TRACE",
        "trace": {"type": "STREAM_STATUS", "emitted_at": 1.7e12, "stream_status": described},
    }


COMPLETE = status("COMPLETE")
