"""The geo cache: one field, the primary key or the data of all records of a stream in one geospatial index.

Equal ones become one. The index is a sorted set whose scores are geohashes.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import ClassVar

import msgspec

from destination_redis.caches.base import Capabilities, Gatherer
from destination_redis.caches.elements import chunked, element_of
from destination_redis.caches.sorted_set import SortedSetCache
from destination_redis.errors import NoElement, RejectedRecord
from destination_redis.keys import NULL, key_part
from destination_redis.protocol.cursor import Order, number_of
from destination_redis.protocol.json_fields import MISSING, picker
from destination_redis.protocol.messages import Record

logger = logging.getLogger("airbyte")

#: What GEOADD takes, in degrees on either side of 0.
_MOST = {"longitude": 180.0, "latitude": 85.05112878}


class GeoCache(SortedSetCache):
    """Writes records with GEOADD."""

    __slots__ = ()

    capabilities: ClassVar[Capabilities] = Capabilities(
        ("columns",),
        collection=True,
        settings=("value", "longitude", "latitude"),
        default_fields=MappingProxyType({"longitude": ("longitude", "lng", "lon"), "latitude": ("latitude", "lat")}),
        primary_key=True,
    )
    collection = replace(SortedSetCache.collection, append=chunked("GEOADD", 3), width=lambda _: 3)

    def gatherer(self, parts: list[bytes]) -> Gatherer:
        """Return a function that adds a record's longitude, latitude and element."""
        longitude, latitude = (self._options.fields[name] for name in _MOST)
        value = self._options.fields.get("value")
        of_element = ((value,),) if value else self._options.primary_key
        pick = picker(((longitude,), (latitude,), *of_element))
        needed = 3 if value else 2
        element = self._element(value)
        add = parts.append

        def gather(_: int, record: Record) -> int:
            fields = pick(record.data)
            if MISSING in fields[:needed]:
                raise NoElement
            east = _degrees(fields[0], longitude, "longitude")
            north = _degrees(fields[1], latitude, "latitude")
            member = element(record, fields[2:])
            lengths = len(east), len(north), len(member)
            add(b"$%d\r\n%b\r\n$%d\r\n%b\r\n$%d\r\n%b\r\n" % (lengths[0], east, lengths[1], north, lengths[2], member))
            return 3

        return gather

    def probes(self, key: bytes) -> Sequence[Sequence[str | bytes]]:
        """Return the commands for geospatial indexes; a merge moves their geohashes."""
        return [("GEOADD", key, "0", "0", "{}"), ("ZADD", key, "1", "{}"), ("ZPOPMIN", key, "1")]

    def _element(self, value: str | None) -> Callable[[Record, Sequence[msgspec.Raw]], bytes]:
        """Return a function from a record, and what it was picked for its element, to that element."""
        if value:
            return lambda _, fields: element_of(fields[0], value)
        return self._key() if self._options.primary_key else lambda record, _: bytes(record.data)

    def _key(self) -> Callable[[Record, Sequence[msgspec.Raw]], bytes]:
        """Return the same function for the primary key; it warns once if a record has no value in it."""
        stream, paths = self._options.stream, self._options.primary_key
        nothing, warned = b":".join([NULL] * len(paths)), False

        def key(_: Record, fields: Sequence[msgspec.Raw]) -> bytes:
            nonlocal warned
            parts = b":".join(map(key_part, fields))
            if parts == nothing and not warned:
                warned = True
                logger.warning(
                    "A record of the stream %s has no value in its primary key (%s): all such records are one element",
                    *(stream, ", ".join(map(".".join, paths))),
                )
            return parts

        return key


def _degrees(value: msgspec.Raw, field: str, name: str) -> bytes:
    """Return a coordinate as the shortest text of the same double: there are numbers that Redis does not read."""
    number, most = number_of(value, Order.NUMBER), _MOST[name]
    if number is None or not -most <= number <= most:
        raise RejectedRecord(f"its field {field}, the {name}, is not a number from -{most:.10g} to {most:.10g}")
    return repr(number).encode()
