"""What a server's search module says of an index, and finds by it."""

from typing import Any

from redis import Redis


def ask(client: Redis, *command: str | bytes) -> Any:
    """Return a reply as it is: by default redis-py makes something else of those about indexes."""
    given = client.get_connection_kwargs()
    with Redis(port=given["port"], username=given.get("username"), password=given.get("password"), protocol=2) as plain:
        return plain.execute_command(*command)


def found(client: Redis, query: str = "*", alias: str = "default:users") -> list[str]:
    """Return the keys that a query finds."""
    reply = ask(client, "FT.SEARCH", alias, query, "NOCONTENT", "LIMIT", "0", "100", "DIALECT", "2")
    return sorted(key.decode() for key in reply[1:])
