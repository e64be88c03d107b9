"""Slots as the cluster specification has them."""

import pytest

from destination_redis.connection.slots import SLOTS, SlotMap, slot_of, slots_of
from destination_redis.resp import first_key

A, B = ("a", 1), ("b", 2)


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        (b"123456789", 0x31C3),
        (b"", 0),
        (b"foo", 12182),
        (b"{foo}.bar", 12182),
        (b"a{foo}{bar}", 12182),
        (b"foo{}", slot_of(b"foo{}")),
    ],
)
def test_a_keys_slot_is_its_crc16_by_the_hash_tag_if_there_is_one(key: bytes, slot: int) -> None:
    assert slot_of(key) == slot


def test_an_empty_hash_tag_and_one_without_an_end_are_none() -> None:
    assert len({slot_of(key) for key in (b"{}a", b"{}b", b"{a", b"{b")}) == 4


@pytest.mark.parametrize(
    "key", [b"k", b"k" * 300, b"airbyte:tmp:{k}", b"with\r\n$3\r\nin it", b"", "schl\u00fcssel".encode()]
)
@pytest.mark.parametrize(
    "before",
    [
        (b"HSET",),
        (b"EVALSHA", b"a" * 40, b"2"),
        (b"EVAL", b"return '\r\n$1\r\n'", b"1"),
        (b"RENAME",),
    ],
)
def test_a_commands_key_is_found_whatever_stands_before_it(before: tuple[bytes, ...], key: bytes) -> None:
    parts = (*before, key, b"another", b"x" * 1000)
    packed = b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%b\r\n" % (len(part), part) for part in parts)
    assert first_key(packed) == key
    assert list(slots_of([packed, packed])) == [slot_of(key)] * 2


def test_a_slot_map_tells_who_serves_a_slot_and_that_nobody_does() -> None:
    slots = SlotMap(((0, 99, A), (100, 199, B), (300, SLOTS - 1, A)))
    table = slots.table()
    assert slots.primaries == (A, B)
    assert (table[0], table[99], table[100], table[199], table[200], table[SLOTS - 1]) == (A, A, B, B, None, A)
    for address in (A, B):
        key = slots.key_at(address, b"head:")
        assert key.startswith(b"head:")
        assert table[slot_of(key)] == address
