"""Lines read from a file descriptor, and the wish to stop."""

import os

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.protocol.input import read_lines
from destination_redis.shutdown import Stop


def read(content: bytes, longest: int) -> bytes:
    reading, writing = os.pipe()
    try:
        os.write(writing, content)
        os.close(writing)
        with Stop() as stop:
            return b"".join(read_lines(reading, stop, longest))
    finally:
        os.close(reading)


def test_a_line_is_read_up_to_its_greatest_length() -> None:
    assert read(b"12345\n12345\n1234", 4) == b"12345\n12345\n1234\n"  # a line is measured while it has no end


def test_a_line_beyond_it_is_an_error() -> None:
    with pytest.raises(AirbyteTracedException, match="A line of the input is longer than 4 bytes"):
        read(b"1\n12345", 4)
