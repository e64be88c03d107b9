"""The summary table at the end of a sync: the records of each stream, and a key to look at."""

import sys
import time
from collections.abc import Callable, Iterable

from destination_redis.connection.deployment import Servers
from destination_redis.console.terminal import say
from destination_redis.protocol.catalog import COLLECTION, PRIMARY_KEY
from destination_redis.resp import first_key
from destination_redis.sync.stream_writer import StreamWriter
from destination_redis.transport.many_records import divided

#: Maximum streams in the table: those with the most records.
_MOST = 20
#: Keys that are noted per stream: some may be of deletions, or be deleted later.
_NOTED = 8

#: Whether a key exists.
Exists = Callable[[bytes], bool]


class Summary:
    """The table of one sync, for a person at a terminal."""

    def __init__(self, writers: Iterable[StreamWriter]) -> None:
        """Set the stream writers, before any record is written."""
        self._began = time.monotonic()
        self._examples = [Example(writer) for writer in writers]

    def tell(self, servers: Servers) -> None:
        """Print the table after the sync; never raises, since the sync has succeeded."""
        seconds = max(time.monotonic() - self._began, 0.001)
        shown = sorted(self._examples, key=lambda each: -each.writer.received)[:_MOST]
        try:
            keys = [each.key(lambda key: bool(servers.ask(key, "EXISTS", key))) for each in shown]
        except Exception:  # noqa: BLE001 - the sync has succeeded without the table
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
    """A key of one stream. By primary key, those of the first records are noted; later records cost nothing."""

    def __init__(self, writer: StreamWriter) -> None:
        """Set the stream writer, before any record is written."""
        self.writer = writer
        self._take_gathered = writer.take_gathered
        self._commands: list[bytes] = []
        if writer.stream.placement == PRIMARY_KEY:
            writer.take_gathered = self._note

    def key(self, exists: Exists) -> bytes:
        """Return a key that exists; else the pattern of the stream's keys, or nothing without records."""
        writer, keys = self.writer, self.writer.lease.live_keys
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
        keys = self.writer.lease.live_keys
        return (keys.staged if self.writer.generations.staging else keys.live).part(first_key(command))


def aligned(rows: Iterable[tuple[str, str, str, str]]) -> Iterable[str]:
    """Yield a line for each row, with numbers aligned to the right."""
    rows = list(rows)
    first, second, third = (max(len(row[column]) for row in rows) for column in range(3))
    for name, count, rate, key in rows:
        yield f"{name:<{first}}  {count:>{second}}  {rate:>{third}}  {key}".rstrip()


def quoted(key: bytes, encoding: str) -> str:
    """Return a key in the syntax of redis-cli, with characters that `encoding` has."""
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
