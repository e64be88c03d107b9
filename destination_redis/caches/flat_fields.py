"""Flat fields: a record as names and values, as in hashes and Redis streams, packed and read back."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from destination_redis.caches.base import RecordOptions, RedisRecord
from destination_redis.caches.column_shape import Shapes
from destination_redis.caches.metadata import AB_ID, DATA, EMITTED_AT, META, Metadata, own_names
from destination_redis.caches.vectors import numbers_of, vector_packer
from destination_redis.protocol.json_fields import MISSING, fields, text
from destination_redis.protocol.messages import Record
from destination_redis.resp import SIZES, pack_arguments

_PACKED_DATA = b"$13\r\n_airbyte_data\r\n$%d\r\n"
#: Maximum number of cached packed names: data may have an unlimited number of them.
_NAMES = 10_000

#: (id, record) -> the number of fields besides id and time, and their packed form.
Packer = Callable[[int, Record], tuple[int, Sequence[bytes]]]


def packer(options: RecordOptions, *, upserts: bool) -> Packer:
    """Return a function that packs the fields besides id and time; received values keep their bytes."""
    if options.record_format != "columns":
        return _envelope(options)
    return (_columns_and_vectors if options.vectors else _columns)(options, upserts=upserts)


def reader(options: RecordOptions) -> Callable[[Mapping[bytes, bytes]], RedisRecord | None]:
    """Return a function from names and values to a record, or None; with columns, `data` holds their text.

    Of a vector, it holds the numbers.
    """
    own = {name.encode() for name in own_names(options, upserts=True)}
    vectors = {name.encode() for name in options.vectors}
    envelope = options.record_format == "envelope"

    def value(name: bytes, stored: bytes) -> str | list[float]:
        return numbers_of(stored) if name in vectors else stored.decode()

    def read(held: Mapping[bytes, bytes]) -> RedisRecord | None:
        if AB_ID not in held or EMITTED_AT not in held:
            return None
        if envelope:
            data = held[DATA]
        else:
            columns = {name.decode(): value(name, stored) for name, stored in held.items() if name not in own}
            data = msgspec.json.encode(columns)
        return RedisRecord(int(held[AB_ID]), held[EMITTED_AT], data, held.get(META))

    return read


def _envelope(options: RecordOptions) -> Packer:
    metadata, full = Metadata(options), options.full

    def body(number: int, record: Record) -> tuple[int, Sequence[bytes]]:
        data = record.data
        if (full or len(record.meta) > len(b"null")) and (pairs := metadata(number, record)):
            return 1 + len(pairs), (_PACKED_DATA % len(data), data, b"\r\n", *map(_pair, pairs))
        return 1, (_PACKED_DATA % len(data), data, b"\r\n")

    return body


def _columns(options: RecordOptions, *, upserts: bool) -> Packer:
    metadata, full = Metadata(options), options.full
    own = own_names(options, upserts=upserts)
    shapes, any_columns = Shapes(own), _any_columns(own)

    def body(number: int, record: Record) -> tuple[int, Sequence[bytes]]:
        if (packed := shapes.pack(record.data)) is None:
            columns = fields(record.data)
            shapes.learn(columns)
            packed = any_columns(columns)
        if full or len(record.meta) > len(b"null"):
            pairs = metadata(number, record)
            return packed[0] + len(pairs), (packed[1], *map(_pair, pairs))
        return packed[0], packed[1:]

    return body


def _columns_and_vectors(options: RecordOptions, *, upserts: bool) -> Packer:
    metadata, any_columns = Metadata(options), _any_columns(own_names(options, upserts=upserts))
    vectors = [(name, vector_packer(name, dimensions)) for name, dimensions in options.vectors.items()]

    def body(number: int, record: Record) -> tuple[int, Sequence[bytes]]:
        columns = fields(record.data)
        packed = [
            pack_arguments(name.encode(), vector)
            for name, pack in vectors
            if (vector := pack(columns.pop(name, MISSING))) is not None
        ]
        count, others = any_columns(columns)
        pairs = metadata(number, record)
        return count + len(packed) + len(pairs), (others, *packed, *map(_pair, pairs))

    return body


def _any_columns(own: frozenset[str]) -> Callable[[Mapping[str, msgspec.Raw]], tuple[int, bytes]]:
    """Return a function that packs columns of any kind, but null and the connector's own, and counts them."""
    names: dict[str, bytes] = {}

    def head(name: str) -> bytes:
        if len(names) >= _NAMES:
            names.clear()
        encoded = name.encode()
        names[name] = b"" if name in own else b"$%d\r\n%b\r\n" % (len(encoded), encoded)
        return names[name]

    def pack(columns: Mapping[str, msgspec.Raw]) -> tuple[int, bytes]:
        packed: list[bytes] = []
        add = packed.extend
        for name, raw in columns.items():
            value = bytes(raw)
            first = value[0]
            if first == 0x22:  # a quotation mark
                value = text(value) if b"\\" in value else value[1:-1]
            elif first == 0x6E:  # null
                continue
            packed_name = names.get(name)
            if packed_name is None:
                packed_name = head(name)
            if packed_name:
                size = len(value)
                add((packed_name, SIZES[size] if size < len(SIZES) else b"$%d\r\n" % size, value, b"\r\n"))
        return len(packed) // 4, b"".join(packed)

    return pack


def _pair(pair: tuple[bytes, bytes]) -> bytes:
    name, value = pair[0], text(pair[1])
    return b"$%d\r\n%b\r\n$%d\r\n%b\r\n" % (len(name), name, len(value), value)
