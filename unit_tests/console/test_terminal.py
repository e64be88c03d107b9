"""What a person reads, and what keeps writing it from doing harm."""

import io
import sys

import pytest

from destination_redis.console.output import OutputError, put
from destination_redis.console.terminal import printable, say
from destination_redis.sync.summary import aligned, quoted


@pytest.mark.parametrize(
    ("key", "typed"),
    [
        (b"public:users:1", "public:users:1"),
        ("public:users:é".encode(), "public:users:é"),
        (b"a b", '"a b"'),
        (b"a\tb\n", r'"a\x09b\x0a"'),
        (b'a"b\\', r'"a\"b\\"'),
        (b"a'b", '''"a'b"'''),
        (b"\x1b[2J", r'"\x1b[2J"'),
        (b"\xff", r'"\xff"'),
        ("\u202ea".encode(), r'"\xe2\x80\xaea"'),
        (b"", ""),
    ],
)
def test_a_key_is_quoted_as_redis_cli_takes_it_where_that_is_needed(key: bytes, typed: str) -> None:
    assert quoted(key, "utf-8") == typed


def test_what_an_encoding_lacks_is_typed_by_its_bytes() -> None:
    assert quoted("é 1".encode(), "ascii") == r'"\xc3\xa9 1"'
    assert quoted("é 1".encode(), "latin-1") == '"é 1"'


def test_names_are_to_the_left_and_numbers_to_the_right() -> None:
    rows = [("Stream", "Records", "Records/s", "Key"), ("a", "1,000", "10", "a:1"), ("longer.name", "1", "0", "")]
    assert list(aligned(rows)) == [
        "Stream       Records  Records/s  Key",
        "a              1,000         10  a:1",
        "longer.name        1          0",
    ]


def test_text_cannot_steer_a_terminal() -> None:
    assert printable("a\x1b[2J\r\nb\x9b\u202e") == r"a\x1b[2J\r\nb\x9b\u202e"
    assert printable("Ünïcode 漢字") == "Ünïcode 漢字"


@pytest.mark.parametrize("file", [None, io.TextIOWrapper(io.BytesIO(), encoding="ascii")])
def test_a_sentence_that_cannot_be_said_does_no_harm(
    file: io.TextIOWrapper | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if file is not None:
        file.close()
    monkeypatch.setattr(sys, "stderr", file)
    say("é")


class Short(io.RawIOBase):
    """Takes no more than a few bytes at once, as a write that a signal interrupts."""

    def __init__(self) -> None:
        self.taken = b""

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override] # of what may be written, bytes alone
        self.taken += bytes(data[:7])
        return len(data[:7])


def test_a_line_is_whole_though_each_write_takes_a_part_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    short = Short()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(short, write_through=True))  # type: ignore[type-var] # it is unbuffered
    put(b"a line that takes several writes\n")
    assert short.taken == b"a line that takes several writes\n"


def test_an_output_that_is_not_there_is_said_to_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(OutputError, match="closed"):
        put(b"line\n")
