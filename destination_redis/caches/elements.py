"""The elements of a collection: how scripts add them, and how they are read back page by page."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from redis import exceptions as redis_errors

from destination_redis.caches.base import WRONG_TYPE

if TYPE_CHECKING:
    from redis import Redis

#: (key, position) -> the command for a page of elements.
Page = Callable[[bytes, int], Sequence[str | bytes | int]]


def chunked(command: str, width: int = 1) -> str:
    """Return the Lua statements that add elements of `width` arguments with `command`.

    They add them in chunks of whole elements, because Lua's stack holds about 8,000 arguments.
    """
    step = 7000 // width * width
    return f"""
for i = 4 + skip * {width}, #ARGV, {step} do
  redis.call('{command}', KEYS[2], unpack(ARGV, i, math.min(#ARGV, i + {step - 1})))
end
"""


def by_ranges(client: "Redis", keys: Iterable[bytes], page: Page) -> Iterator[Any]:
    """Yield the elements of collections read by position; nothing for a key of another type."""
    for key in keys:
        first = 0
        while elements := ask(client, page(key, first)):
            yield from elements
            first += len(elements)


def ask(client: "Redis", command: Sequence[str | bytes | int]) -> Any:  # noqa: ANN401 - each command has its own
    """Return the server's reply, None if the key has another type."""
    try:
        return client.execute_command(*command)
    except redis_errors.ResponseError as error:
        if any(wrong in str(error) for wrong in WRONG_TYPE):
            return None
        raise
