"""The table at the end of a sync: what went into each stream, and a key to look at."""

import sys
import time
from collections.abc import Callable, Iterable

from destination_redis.connection.deployment import Servers
from destination_redis.console.terminal import say
from destination_redis.protocol.catalog import COLLECTION, PRIMARY_KEY
from destination_redis.resp import first_key
from destination_redis.sync.stream_writer import StreamWriter
from destination_redis.transport.many_records import divided

#: Streams in the table, those with the most records.
_MOST = 20
#: Records of a stream whose keys are noted: some may be deletions, or be deleted later.
_NOTED = 8

#: Whether a key exists.
Exists = Callable[[bytes], bool]


class Summary:
    """The table of one sync, for a person at a terminal."""

    def __init__(self, writers: Iterable[StreamWriter]) -> None:
        """Take the routes before any record is written."""
        self._began = time.monotonic()
        self._examples = [Example(writer) for writer in writers]

    def tell(self, servers: Servers) -> None:
        """Print it once the sync is over; never raises: the sync is worth more than the table."""
        seconds = max(time.monotonic() - self._began, 0.001)
        shown = sorted(self._examples, key=lambda each: -each.writer.received)[:_MOST]
        try:
            keys = [each.key(lambda key: bool(servers.ask(key, "EXISTS", key))) for each in shown]
        except Exception:  # noqa: BLE001 - whatever it is, the sync is over and went well
            keys = [b""] * len(shown)
        rows = [("Stream", "Records", "Records/s", "Key")]
        for each, key in zip(shown, keys, strict=True):
            count = each.writer.received
            rows.append((each.writer.label, f"{count:,}", f"{count / seconds:,.0f}", quoted(key, sys.stderr.encoding)))
        for line in aligned(rows):
            say(line)
        if len(self._examples) > _MOST:
            say(f"and {len(self._examples) - _MOST} more streams")


class Example:
    """A key of one stream. For primary keys the first records' are noted; every record after them costs nothing."""

    def __init__(self, writer: StreamWriter) -> None:
        """Take the route before any record is written."""
        self.writer = writer
        self._take_gathered = writer.take_gathered
        self._commands: list[bytes] = []
        if writer.stream.placement == PRIMARY_KEY:
            writer.take_gathered = self._note

    def key(self, exists: Exists) -> bytes:
        """Return a key that exists; else the pattern of all of the stream's keys, or nothing if it got no record."""
        writer, keys = self.writer, self.writer.lease.keys
        if writer.stream.placement == COLLECTION:
            return keys.collection if exists(keys.collection) else b""
        if writer.stream.placement == PRIMARY_KEY:
            found = (keys.live.key(part) for command in reversed(self._commands) if (part := self._part(command)))
        else:
            found = (keys.live.key(b"%d" % number) for number in (writer.generations.last_id,))
        return next(filter(exists, found), keys.live.pattern if writer.received else b"")

    def _note(self) -> list[bytes]:
        commands = self._take_gathered()
        for command in commands[: _NOTED - len(self._commands)]:
            self._commands += divided(command)[: _NOTED - len(self._commands)]
        if len(self._commands) == _NOTED:
            self.writer.take_gathered = self._take_gathered
        return commands

    def _part(self, command: bytes) -> bytes | None:
        keys = self.writer.lease.keys
        return (keys.staged if self.writer.generations.staging else keys.live).part(first_key(command))


def aligned(rows: Iterable[tuple[str, str, str, str]]) -> Iterable[str]:
    """Yield a line for each row, its numbers to the right."""
    rows = list(rows)
    first, second, third = (max(len(row[column]) for row in rows) for column in range(3))
    for name, count, rate, key in rows:
        yield f"{name:<{first}}  {count:>{second}}  {rate:>{third}}  {key}".rstrip()


def quoted(key: bytes, encoding: str) -> str:
    """Return a key as one types it into redis-cli, in characters that `encoding` has."""
    text = key.decode(errors="surrogateescape")
    plain = [_plain(character, encoding) for character in text]
    if all(plain) and not any(character in " '\"\\" for character in text):
        return text
    return f'"{"".join(map(_typed, text, plain))}"'


def _plain(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return character.isprintable()


def _typed(character: str, plain: bool) -> str:
    if plain:
        return f"\\{character}" if character in '"\\' else character
    return "".join(f"\\x{byte:02x}" for byte in character.encode(errors="surrogateescape"))
