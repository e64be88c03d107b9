"""The depth of JSON: levels of arrays and objects, whatever its strings hold."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_redis.protocol.json_depth import depth, is_deeper

TEXTS = st.text('[]{}"\\,:aé\n', max_size=5)
VALUES = st.recursive(
    st.one_of(TEXTS, st.none(), st.integers()),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)),
    max_leaves=30,
)


def levels(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(levels, value), default=0) if isinstance(value, list) else 0


@given(VALUES, st.booleans(), st.sampled_from([None, 2]), st.integers(0, 5))
def test_it_is_the_number_of_levels(value: Any, ascii_only: bool, indent: int | None, limit: int) -> None:
    data = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()
    assert depth(data) == levels(value)
    assert is_deeper(data, limit) == (levels(value) > limit)


@pytest.mark.parametrize("count", [1, 127, 128, 5000])
def test_no_depth_is_too_much(count: int) -> None:
    assert depth(b"[" * count + b"]" * count) == count
    assert depth(b'{"a":' * count + b"1" + b"}" * count) == count
