"""The slots of a cluster: which of the 16,384 a key belongs to, and which primary serves each."""

import binascii
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from destination_redis.resp import first_key

SLOTS = 16_384
#: Bytes in which a command's key ends, unless it is an uncommonly long one.
_HEAD = 256

#: Host and port.
Address = tuple[str, int]


def host_of(named: str, asked: str) -> str:
    """Return the host in a node's reply; if it is empty or unknown, the host that was queried."""
    return asked if named in ("", "?") else named


def slot_of(key: bytes) -> int:
    """Return the key's slot by the cluster specification: that of its hash tag if it has one."""
    start = key.find(b"{")
    if start >= 0:
        end = key.find(b"}", start + 1)
        if end > start + 1:
            key = key[start + 1 : end]
    # Python's CRC-CCITT is the CRC16 that Redis uses.
    return binascii.crc_hqx(key, 0) % SLOTS


def slots_of(commands: Iterable[bytes]) -> Iterator[int]:
    """Yield the slots of packed commands, each by its first key."""
    crc = binascii.crc_hqx
    for command in commands:
        # In nearly all commands the first key has a fixed place: one split then replaces the steps of `first_key`.
        parts = command[:_HEAD].split(b"\r\n", 9)
        at = 8 if parts[2] == b"EVALSHA" else 4
        if len(parts) > at + 1 and parts[at - 1] == b"$%d" % len(key := parts[at]) and b"{" not in key:
            yield crc(key, 0) % SLOTS
        else:
            yield slot_of(first_key(command))


@dataclass(frozen=True, slots=True)
class SlotMap:
    """Which primary serves which slots: (first, last, address), both inclusive; slots may be missing."""

    ranges: tuple[tuple[int, int, Address], ...]

    @property
    def primaries(self) -> tuple[Address, ...]:
        """The addresses of all primaries that serve any slot, each once."""
        return tuple(dict.fromkeys(address for _, _, address in self.ranges))

    def table(self) -> Sequence[Address | None]:
        """Return the address for each slot, None where no primary serves it."""
        table: list[Address | None] = [None] * SLOTS
        for first, last, address in self.ranges:
            table[first : last + 1] = [address] * (last + 1 - first)
        return table

    def key_at(self, address: Address, head: bytes = b"") -> bytes:
        """Return a key that begins with `head` and whose slot the primary serves."""
        table = self.table()
        return next(key for number in range(SLOTS**2) if table[slot_of(key := b"%b%d" % (head, number))] == address)
