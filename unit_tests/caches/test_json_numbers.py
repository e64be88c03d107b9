"""Numbers that RedisJSON would round, found and made strings."""

import json
import tracemalloc
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_redis.caches.json_numbers import exact

NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,5})?", fullmatch=True)


def as_the_module_keeps_it(number: str) -> Decimal | None:
    """Return a number as 64-bit integers and doubles hold it; None where they cannot."""
    if number.lstrip("-").isdigit() and -(2**63) <= int(number) < 2**64:
        return Decimal(number)
    stored = float(number)
    return Decimal(repr(stored)) if abs(stored) != float("inf") else None


@given(NUMBERS)
def test_a_number_becomes_text_if_and_only_if_it_would_be_rounded(number: str) -> None:
    kept, changes = exact(b'{"n":%b,"other":1}' % number.encode())
    rounded = as_the_module_keeps_it(number) != Decimal(number)
    assert kept == (b'{"n":"%b","other":1}' if rounded else b'{"n":%b,"other":1}') % number.encode()
    assert len(changes) == rounded


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    NUMBERS,
)
def test_a_number_is_found_at_any_depth_and_nothing_else_is_touched(other: Any, number: str) -> None:
    text = json.dumps(other)
    data = f'{{"a":{text},"b":[{{"x":{number} }}, "{number}"],"c":"1234567890123456789012345"}}'
    kept, changes = exact(data.encode())
    found = json.loads(kept, parse_int=Decimal, parse_float=Decimal)
    expected = json.loads(data, parse_int=Decimal, parse_float=Decimal)
    if as_the_module_keeps_it(number) != Decimal(number):
        expected["b"][0]["x"] = number
        assert "b" in [change["field"] for change in changes]  # type: ignore[index]
    assert {name: found[name] for name in "bc"} == {name: expected[name] for name in "bc"}


@pytest.mark.parametrize("number", ["1e999999999999999999999", "1e-999999999999999999999", "9" * 5000])
def test_a_number_beyond_any_measure_becomes_text(number: str) -> None:
    kept, changes = exact(b'{"n":%b}' % number.encode())
    assert kept == b'{"n":"%b"}' % number.encode()
    assert changes == [{"field": "n", "change": "TRUNCATED", "reason": "DESTINATION_TYPECAST_ERROR"}]


@pytest.mark.parametrize(
    "data", [b"{}", b'{"a":1.5,"t":"2024-01-01T00:00:00.000000+00:00"}', b'{"a":9007199254740993}']
)
def test_other_data_is_not_looked_at_further(data: bytes) -> None:
    kept, changes = exact(data)
    assert kept is data
    assert changes == ()


@pytest.mark.parametrize("some", [b"1000.1001.", b'\\"', b"\\u0041"], ids=["plain", "quotes", "escapes"])
def test_a_long_text_takes_no_more_memory_than_its_bytes_a_few_times(some: bytes) -> None:
    text = some * (2_000_000 // len(some))
    tracemalloc.start()
    try:
        kept, changes = exact(b'{"text":"%b","n":12345678901234567890123}' % text)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept == b'{"text":"%b","n":"12345678901234567890123"}' % text
    assert len(changes) == 1
    assert most < 10 * len(text)
