"""What servers tell of themselves: what cannot be read counts as not told."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_redis.connection.cluster import own_slots
from destination_redis.connection.replies import UNTOLD, clients, info, number
from destination_redis.errors import CommandError

REPLIES = st.recursive(st.none() | st.integers() | st.binary(max_size=40), lambda part: st.lists(part, max_size=4))


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        *((b"12", 12), ("12", 12), (12, 12), (0, 0), ("0012", 12)),
        *((b"", 0), (b"unlimited", 0), ("-1", 0), (-1, 0), ("1.5", 0), ("1_0", 0), ("\u0664", 0), ("\u00b2", 0)),
        *(("9" * 5000, 0), (None, 0), ([], 0), (b"\xff", 0)),
    ],
)
def test_a_number_is_read_or_counts_as_none(told: object, expected: int) -> None:
    assert number(told) == expected


def test_info_leaves_out_nothing_but_what_is_no_field() -> None:
    told = b"# Memory\r\nused_memory:5\r\nmaxmemory:\r\nnonsense\r\nexecutable:/a:b\r\nodd:\xff\r\n"
    fields = info(told)
    assert (fields["used_memory"], fields["maxmemory"], fields["executable"]) == ("5", "", "/a:b")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"id=7 addr=127.0.0.1:9 laddr=127.0.0.1:6379 name=", ("7", "127.0.0.1:9")),
        (b"addr=[::1]:9 id=7", ("7", "[::1]:9")),
        (b"id=7 addr=/run/my redis.sock:0 fd=8", ("7", "/run/my redis.sock:0")),
        *(
            (line, UNTOLD)
            for line in (b"id=7", b"addr=a:1", b"id= addr=a:1", b"id=x addr=a:1", b"id=7 addr=", b"x", b" ")
        ),
    ],
)
def test_a_connection_is_told_by_its_id_and_address_or_not_at_all(line: bytes, expected: tuple[str, str]) -> None:
    assert list(clients(line + b"\n")) == [expected]


def test_a_primary_tells_its_own_slots() -> None:
    other = b"b 127.0.0.1:2@3,host slave a 0 0 9 connected\n"
    mine = b"a 127.0.0.1:1@2 myself,master - 0 0 7 connected 0-99 200 [300->-b]\n"
    assert own_slots(other + mine) == (7, [(0, 99), (200, 200)], True)
    assert own_slots(b"a 127.0.0.1:1@2 myself,slave b 0 0 7 connected\n") is None
    assert own_slots(mine.replace(b" 0-99 200 [300->-b]", b"")) == (7, [], False)


@pytest.mark.parametrize(
    "odd",
    [None, 5, [], b"", b"\n", b"a b myself,master\n", b"a b myself,master - 0 0 x connected 1\n"]
    + [b"a b myself,master - 0 0 1 connected %b\n" % slots for slots in (b"x", b"-", b"1-x", b"-1", b"0-16384", b"")],
)
def test_a_node_that_does_not_tell_its_slots_is_an_error(odd: object) -> None:
    with pytest.raises(CommandError):
        own_slots(odd)


@given(REPLIES)
def test_no_reply_is_too_odd(reply: object) -> None:
    list(clients(reply))
    info(reply)
    number(reply)
    with suppress(CommandError):
        own_slots(reply)
