"""RESP: commands as the bytes that Redis's protocol makes of them, and taken apart again.

Where 300,000 records a second are packed, a data type joins pieces of its own instead (caches/hash.py).
"""

from collections.abc import Iterator

import msgspec
from redis.connection import Connection

#: Sizes below this are packed once.
_USUAL = 1024
#: The packed sizes of arguments below that size.
SIZES = tuple(b"$%d\r\n" % size for size in range(_USUAL))
#: Never connected: it makes bytes of commands.
_PACKER = Connection()


class PackedSizes(dict[int, bytes]):
    """The packed sizes of arguments, by their number of bytes, each after a constant text; only usual ones are kept."""

    def __init__(self, before: bytes) -> None:
        super().__init__()
        self._before = before

    def __missing__(self, size: int) -> bytes:
        """Return a size that was not asked for before, or a large one."""
        packed = b"%b$%d\r\n" % (self._before, size)
        if size < _USUAL:
            self[size] = packed
        return packed


def pack_command(*arguments: str | bytes | int) -> bytes:
    """Return a whole command's bytes."""
    return b"".join(_PACKER.pack_command(*arguments))


def pack_arguments(*arguments: bytes | msgspec.Raw) -> bytes:
    """Return arguments as they stand inside a command."""
    return b"".join([b"$%d\r\n%b\r\n" % (len(argument), argument) for argument in arguments])


def unpack_command(command: bytes) -> Iterator[bytes]:
    """Yield a packed command's name and its arguments."""
    at = command.index(b"\n") + 1
    while at < len(command):
        end = command.index(b"\r", at)
        size = int(command[at + 1 : end])
        yield command[end + 2 : end + 2 + size]
        at = end + 4 + size


def first_key(command: bytes) -> bytes:
    """Return the first key of a packed command; it must have one."""
    at = command.index(b"\n") + 1
    # A script stands before its number of keys, and these before the first of them.
    before = 3 if command.startswith(b"EVAL", command.index(b"\n", at) + 1) else 1
    for _ in range(before):
        end = command.index(b"\r", at)
        at = end + 4 + int(command[at + 1 : end])
    end = command.index(b"\r", at)
    return command[end + 2 : end + 2 + int(command[at + 1 : end])]
