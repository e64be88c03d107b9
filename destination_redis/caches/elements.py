"""The elements of a collection: how they are taken from records, added by scripts, and read back page by page."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from redis import exceptions as redis_errors

from destination_redis.caches.base import WRONG_TYPE, Gatherer
from destination_redis.errors import NoElement, RejectedRecord
from destination_redis.protocol.json_fields import MISSING, picker, text
from destination_redis.protocol.messages import UNREADABLE, Record

if TYPE_CHECKING:
    from redis import Redis

#: (key, position) -> the command for a page of elements.
Page = Callable[[bytes, int], Sequence[str | bytes | int]]


def field_picker(names: Sequence[str]) -> Callable[[msgspec.Raw], Sequence[msgspec.Raw]]:
    """Return a function that selects top-level fields of a record's data; it raises NoElement if one is null."""
    pick = picker([(name,) for name in names])

    def present(data: msgspec.Raw) -> Sequence[msgspec.Raw]:
        values = pick(data)
        if MISSING in values:
            raise NoElement
        return values

    return present


def element_of(value: msgspec.Raw, name: str) -> bytes:
    """Return the element in a field: a string as it is, anything else as JSON text; RejectedRecord if it is invalid."""
    try:
        return text(bytes(value))
    except UNREADABLE:
        raise RejectedRecord(f"its field {name}, which value names, is not valid text") from None


def value_gatherer(name: str, parts: list[bytes]) -> Gatherer:
    """Return a function that adds a field, as the one argument of an element, to `parts`."""
    pick, add = field_picker((name,)), parts.append

    def gather(_: int, record: Record) -> int:
        (value,) = pick(record.data)
        element = element_of(value, name)
        add(b"$%d\r\n%b\r\n" % (len(element), element))
        return 1

    return gather


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
