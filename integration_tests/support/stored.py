"""What is stored in Redis, read back."""

import json
from typing import Any

from redis import Redis

from integration_tests.support.data_types import COLLECTED, FOLDING, HASH, NEEDS, Shape, cache

#: The key of the ledger of the stream that most tests write.
LEDGER = "airbyte:{default:users}"


def stored(client: Redis, prefix: str = "default:users:", shape: Shape = HASH) -> dict[int, int]:
    """Return record id -> the "id" in its data, for every key under `prefix`."""
    keys = list(client.scan_iter(match=prefix.replace("[", r"\[") + "*", count=1000))
    found = list(cache(shape).get_all(client, keys))
    assert [each.id for each in found] == [int(key.decode().removeprefix(prefix)) for key in keys]
    return {each.id: int(json.loads(each.data)["id"]) for each in found}


def values(client: Redis, prefix: str = "default:users:", shape: Shape = HASH) -> list[int]:
    """Return the "id" of every record in the order of arrival, or in ascending order where that is not kept."""
    if shape in COLLECTED:
        found = elements(client, prefix.removesuffix(":"), shape)
        # What the library and a process are given differs in its spaces.
        return sorted(set(found)) if shape[0] in FOLDING else found
    return [value for _, value in sorted(stored(client, prefix, shape).items())]


def elements(client: Redis, key: str, shape: Shape) -> list[int]:
    """Return the "id" of every record in a collection: from its data, or the element itself."""
    if (needs := NEEDS.get(shape[0])) and needs.read:
        return needs.read(client, key)
    found = [json.loads(each.data) for each in cache(shape).get_all(client, [key.encode()])]
    return [int(data["id"] if isinstance(data, dict) else data) for data in found]


def rows(
    client: Redis, prefix: str = "default:users:", only: set[str] | None = None, shape: Shape = HASH
) -> dict[str, Any]:
    """Return primary key -> the "value" in its data, for every key under `prefix`, or only these."""
    keys = {key.decode().removeprefix(prefix): key for key in client.scan_iter(match=f"{prefix}*", count=1000)}
    keys = {name: key for name, key in keys.items() if only is None or name in only}
    found = list(cache(shape).get_all(client, keys.values()))
    assert len(found) == len(keys)
    return {name: json.loads(each.data).get("value") for name, each in zip(keys, found, strict=True)}


def rejected(client: Redis, name: str = "default:users") -> list[tuple[str, dict[str, str]]]:
    """Return the id and the fields of each rejected record of a stream, in their order."""
    entries: list[tuple[bytes, dict[bytes, bytes]]] = client.xrange(f"airbyte:rejected:{{{name}}}")  # type: ignore[assignment]
    return [
        (at.decode(), {key.decode(): value.decode(errors="replace") for key, value in held.items()})
        for at, held in entries
    ]


def ledger(client: Redis, name: str = "default:users") -> dict[str, str]:
    fields: dict[bytes, bytes] = client.hgetall(f"airbyte:{{{name}}}")  # type: ignore[assignment]
    return {name.decode(): value.decode() for name, value in fields.items()}
