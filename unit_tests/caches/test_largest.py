"""The largest value of a record, which servers limit."""

from typing import Any

import msgspec
import pytest

from destination_redis.caches import CACHES, RecordOptions
from destination_redis.caches.largest import largest_value
from destination_redis.protocol.messages import Record

DATA = b'{"id":1,"long":"%b"}' % (b"x" * 1000)
LONG = Record("users", msgspec.Raw(DATA), msgspec.Raw(b"1700000000000"))


def largest(cache_type: str, record_format: Any, **options: Any) -> int:
    return largest_value(CACHES[cache_type](RecordOptions(record_format, **options)))(LONG)


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
    measure = largest_value(CACHES[cache_type](RecordOptions("columns", fields={"value": "id"})))
    assert [measure(LONG), measure(LONG)] == [15 if cache_type == "sorted_set" else 1] * 2
