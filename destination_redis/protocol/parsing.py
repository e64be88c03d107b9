"""The parser of input lines: it skips what is not a message, and fails where a message may be lost."""

import codecs
from collections.abc import Iterator

from destination_redis.errors import config_error, system_error
from destination_redis.protocol.input import may_have_line_above
from destination_redis.protocol.messages import UNREADABLE, Message, decode, decode_all, has_file, why_no_message


class Parser:
    """Parses the input, chunk by chunk, and counts its lines."""

    def __init__(self, large: int) -> None:
        """Set the size in bytes above which a line is yielded alone."""
        self._large = large
        self._number = 0
        #: Number of lines skipped, not counting empty ones.
        self.left_out = 0

    def parse(self, lines: bytes) -> Iterator[tuple[list[Message], bytes]]:
        """Yield the messages of whole `lines` with their lines, in one or more parts.

        Raises an error if a message may be lost.
        """
        messages = None if may_have_line_above(self._large, lines) else decode_all(lines)
        if messages is not None:
            yield messages, lines
            self._number += len(messages)
            return
        for given in lines.split(b"\n")[:-1]:
            line = given.removeprefix(codecs.BOM_UTF8)  # concatenated files may each begin with one
            try:
                message = decode(line)
            except UNREADABLE as error:
                self.refuse(line, error)
            else:
                yield [message], line
            self._number += 1

    def place(self, index: int = 0) -> str:
        """Return, for error messages, the position of the line at `index` among those yielded last."""
        return f"Line {self._number + index + 1} of the input"

    def refuse(self, line: bytes, error: Exception, index: int = 0) -> None:
        """Count a line that failed to decode with `error`; raises if a message may be lost."""
        if has_file(error):
            raise config_error(
                f"{self.place(index)} is a record with a file (file_reference), which this destination does not "
                "support: turn file transfer off for the stream"
            ) from None
        if (wrong := why_no_message(line, error)) is not None:
            raise system_error(f"{self.place(index)} is not an Airbyte message: {wrong}") from None
        self.left_out += bool(line.strip())
