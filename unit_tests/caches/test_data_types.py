"""What is to be done for a data type: one file and one entry. What else has to know of it asks CACHES."""

import re

import pytest

from destination_redis.caches import CACHES
from destination_redis.caches.elements import chunked
from integration_tests.support.docs.permissions import FOR_SETTING, OF_HASHES, for_type


@pytest.mark.parametrize("cache_type", CACHES)
def test_the_page_names_the_permissions_for_a_types_own_commands(cache_type: str) -> None:
    assert set(FOR_SETTING.get(cache_type, OF_HASHES).split()) == set(for_type(cache_type).split())


@pytest.mark.parametrize("width", [1, 2, 3, 6])
def test_elements_of_any_width_are_never_torn_apart(width: int) -> None:
    steps = re.findall(r"#ARGV, (\d+) do", chunked("ADD", width))
    assert [int(step) % width for step in steps] == [0]
