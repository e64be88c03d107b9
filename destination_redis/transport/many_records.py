"""The scripts for many records: each record is written on its own, and one that fails is sent again alone.

The layout of such a command is fixed, so it can be divided without knowing its script::

    KEYS    the keys of each record, one record after the other
    ARGV    "<keys of a record> <shared arguments>", the shared arguments, then for each record the number of its
            arguments and these. If the keys do not begin with the stream's names, these follow in the first argument

The reply is an integer, or a list with the indexes of the records, from 0, that were not written. It never holds an
error: hiredis would return it as a part of a good reply. When the record is sent again alone, the server replies with
the error itself. A server checks `maxmemory` only before the first write of a script, so a script can exceed it by the
bytes of its command.
"""

import re
from collections.abc import Sequence
from functools import lru_cache, partial

from destination_redis.resp import pack_arguments, unpack_command

#: Maximum bytes and records of a command: ten records take some hundred microseconds of the server's time.
_BYTES, _RECORDS = 60 * 1024, 100
#: Arguments before the first key: EVALSHA, the SHA1 and the number of keys.
_BEFORE = 3
_LAYOUT = re.compile(rb"(\d+) (\d+)(?: .*)?", re.DOTALL)


def script_for_many(keys: int, shared: int, statements: str, before: str = "") -> str:
    """Return the script that runs Lua statements for each record.

    The record's keys are in `key`, `key2` and `key3`, its arguments in ARGV from `at` to `last`. The statements return
    an integer or an error reply. Shared arguments begin at ARGV[2]. The statements in `before` run once.
    """
    names = ["key", "key2", "key3"][:keys]
    first = ", ".join(f"KEYS[{number + 1}]" for number in range(keys))
    each = ", ".join(f"KEYS[i + {number}]" for number in range(keys))
    absent = ["key", "key2", "key3"][keys:]
    return f"""{before}
local function one({", ".join(names)}, at, last)
{f"local {', '.join(absent)}" if absent else ""}
{statements}
end
local at = {2 + shared}
if #KEYS == {keys} then return one({first}, at + 1, at + ARGV[at]) end
local number, missing = 0, {{}}
for i = 1, #KEYS, {keys} do
  local last = at + ARGV[at]
  local ran, reply = pcall(one, {each}, at + 1, last)
  if not ran or type(reply) == 'table' then missing[#missing + 1] = number end
  number, at = number + 1, last + 1
end
if #missing > 0 then return missing end
return number
"""


def divided(command: bytes) -> list[bytes]:
    """Return one command for each record of a command for many records; any other command is returned as it is."""
    parts = list(unpack_command(command))
    if parts[0] != b"EVALSHA":
        return [command]
    keys, arguments = parts[_BEFORE : (end := _BEFORE + int(parts[2]))], parts[end:]
    layout = _LAYOUT.fullmatch(arguments[0]) if arguments else None
    if layout is None:
        return [command]
    each, shared = map(int, layout.groups())
    commands, at = [], 1 + shared
    for first in range(0, len(keys), each):
        last = at + int(arguments[at])
        own = (*keys[first : first + each], *arguments[: 1 + shared], *arguments[at : last + 1])
        start = b"*%d\r\n" % (_BEFORE + len(own))
        commands.append(start + pack_arguments(b"EVALSHA", parts[1], b"%d" % each, *own))
        at = last + 1
    return commands


class ManyRecords:
    """Gathers records into the commands of one script."""

    def __init__(
        self, sha: bytes, keys: int, shared: Sequence[bytes] = (), *, alone: bool = False, name: bytes = b""
    ) -> None:
        """Set the script, the keys per record and the shared arguments; `alone` gives each record its own command.

        `name` is the stream's, for messages, if the keys do not begin with it.
        """
        layout = b"%d %d" % (keys, len(shared))
        self._shared = pack_arguments(b"%b %b" % (layout, name) if name else layout, *shared)
        self._keys_each = keys
        self._alone = alone
        self._start = lru_cache(partial(_start, sha, keys))
        self._commands: list[bytes] = []
        self._keys: list[bytes] = []
        self._arguments: list[bytes] = []
        self._least = _BEFORE + 1 + len(shared)
        self._count = self._least + keys * alone
        self._room = _BYTES

    def add(self, keys: bytes, count: int, arguments: bytes) -> None:
        """Add a record by its packed keys and its `count` packed arguments, the first of which is their number."""
        if self._alone:
            self._commands.append(b"".join((self._start(self._count + count, 1), keys, self._shared, arguments)))
            return
        size = len(keys) + len(arguments)
        if self._keys and (size > self._room or len(self._keys) == _RECORDS):
            self._close()
        self._keys.append(keys)
        self._arguments.append(arguments)
        self._count += self._keys_each + count
        self._room -= size

    def take(self) -> list[bytes]:
        """Return the commands for all records added since the last call."""
        if self._keys:
            self._close()
        commands, self._commands = self._commands, []
        return commands

    def _close(self) -> None:
        start = self._start(self._count, len(self._keys))
        self._commands.append(b"".join((start, *self._keys, self._shared, *self._arguments)))
        self._count = self._least
        self._keys.clear()
        self._arguments.clear()
        self._room = _BYTES


def _start(sha: bytes, keys_each: int, arguments: int, records: int) -> bytes:
    """Return a command up to its first key, given the number of its arguments, with the command's name, and records."""
    keys = b"%d" % (keys_each * records)
    return b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n%b\r\n$%d\r\n%b\r\n" % (arguments, sha, len(keys), keys)
