"""RESP: what is packed can be taken apart again."""

import pytest

from destination_redis.resp import PackedSizes, unpack_command


@pytest.mark.parametrize("size", [0, 1, 9, 1023, 1024, 100_000])
@pytest.mark.parametrize(("after", "rest"), [(b"", b""), (b"users:%d:", b"}")])
def test_the_size_before_a_part_of_an_argument_is_that_of_the_whole_argument(
    size: int, after: bytes, rest: bytes
) -> None:
    sizes = PackedSizes(b"*2\r\n$3\r\nGET\r\n", after, len(after + rest))
    part = b"x" * size
    for _ in range(2):  # the second time it may be kept
        assert list(unpack_command(sizes[size] + part + rest + b"\r\n")) == [b"GET", after + part + rest]


def test_no_more_sizes_are_kept_than_are_usual() -> None:
    sizes = PackedSizes()
    assert [sizes[size] for size in range(3000)] == [b"$%d\r\n" % size for size in range(3000)]
    assert len(sizes) == 1024
