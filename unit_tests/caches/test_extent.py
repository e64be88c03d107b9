"""The extent of a record, which servers limit: its bytes as a command, and those of its largest value and its key."""

from typing import Any

import msgspec
import pytest

from destination_redis.caches import CACHES, RecordOptions
from destination_redis.caches.extent import Extent, measure, measure_upsert
from destination_redis.keys import KeyTemplate
from destination_redis.protocol.messages import Record

DATA = b'{"id":1,"long":"%b"}' % (b"x" * 1000)
LONG = Record("users", msgspec.Raw(DATA), msgspec.Raw(b"1700000000000"))


def largest(cache_type: str, record_format: Any, **options: Any) -> int:
    return measure(CACHES[cache_type](RecordOptions(record_format, **options)))(LONG).value


@pytest.mark.parametrize("cache_type", ["hash", "stream"])
def test_in_columns_it_is_the_longest_column_else_the_data(cache_type: str) -> None:
    assert largest(cache_type, "columns") == 1000
    assert largest(cache_type, "envelope") == len(DATA)


@pytest.mark.parametrize("cache_type", ["string", "list", "set", "sorted_set"])
def test_a_type_that_stores_the_data_alone_has_its_length(cache_type: str) -> None:
    assert largest(cache_type, "columns") == len(DATA)


@pytest.mark.parametrize(
    ("cache_type", "record_format"), [("string", "envelope"), ("json", "envelope"), ("json", "columns")]
)
def test_a_document_is_longer_than_its_data(cache_type: str, record_format: str) -> None:
    assert len(DATA) < largest(cache_type, record_format) < len(DATA) + 200


@pytest.mark.parametrize("cache_type", ["list", "set", "sorted_set"])
def test_it_is_that_of_the_element_whatever_the_record_is(cache_type: str) -> None:
    of = measure(CACHES[cache_type](RecordOptions("columns", fields={"value": "id"})))
    assert [of(LONG).value, of(LONG).value] == [15 if cache_type == "sorted_set" else 1] * 2


def upsert(data: bytes, *, hard: bool = True) -> Extent:
    cache = CACHES["hash"](RecordOptions("envelope"))
    of = measure_upsert(cache, KeyTemplate(b"ns:s:"), (("id",), ("part",)), ("at",), hard=hard)
    return of(Record("users", msgspec.Raw(data), msgspec.Raw(b"1700000000000")))


def test_an_upsert_has_the_bytes_of_its_key_too_as_the_key_is_written() -> None:
    data = b'{"id":":::","part":null,"at":"ab"}'
    found = upsert(data)
    assert found.key == len("ns:s:%3A%3A%3A:%null")
    assert found.value == len(data)
    assert found.command > len(data) + found.key


def test_a_cursor_counts_as_hexadecimal_text_and_a_hard_deletion_has_nothing_else() -> None:
    data = b'{"id":1,"part":2,"at":"%b","_ab_cdc_deleted_at":"now","text":"%b"}' % (b"a" * 1000, b"x" * 5000)
    assert upsert(data).value == 2005
    assert upsert(data).command < 2100
    assert upsert(data, hard=False).value == len(data)


def test_an_extent_reaches_another_only_in_every_respect() -> None:
    assert Extent(3, 2, 1).reaches(Extent(3, 2, 1))
    assert Extent(4, 4, 4).reaches(Extent(3, 2, 1))
    assert not any(Extent(*each).reaches(Extent(3, 3, 3)) for each in ((2, 9, 9), (9, 2, 9), (9, 9, 2)))
