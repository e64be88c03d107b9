"""RESP: the sizes of arguments, packed once."""

import pytest

from destination_redis.resp import PackedSizes, unpack_command


@pytest.mark.parametrize("size", [0, 1, 9, 1023, 1024, 100_000])
def test_the_size_before_an_argument_is_its_own_whether_it_is_kept_or_not(size: int) -> None:
    sizes = PackedSizes(b"*2\r\n$3\r\nGET\r\n")
    for _ in range(2):  # the second time it may be kept
        assert list(unpack_command(sizes[size] + b"x" * size + b"\r\n")) == [b"GET", b"x" * size]


def test_no_more_sizes_are_kept_than_are_usual() -> None:
    sizes = PackedSizes(b"\r\n")
    assert [sizes[size] for size in range(3000)] == [b"\r\n$%d\r\n" % size for size in range(3000)]
    assert len(sizes) == 1024
