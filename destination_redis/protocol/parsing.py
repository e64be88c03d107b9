"""Lines of the input -> messages; what is no message is left out, or ends the sync if a message may be lost with it."""

import codecs
from collections.abc import Iterator

from destination_redis.errors import config_error, system_error
from destination_redis.protocol.input import may_have_line_above
from destination_redis.protocol.messages import UNREADABLE, Message, decode, decode_all, has_file, why_no_message


class Parser:
    """Parses the input, chunk by chunk, and knows the numbers of its lines."""

    def __init__(self, large: int) -> None:
        """Take the bytes above which a line is yielded alone."""
        self._large = large
        self._number = 0
        #: Lines that were left out, empty ones not counted.
        self.left_out = 0

    def parse(self, lines: bytes) -> Iterator[tuple[list[Message], bytes]]:
        """Yield the messages of whole `lines` with the lines they came in, in one or many parts.

        Raises an error where a message may be lost.
        """
        messages = None if may_have_line_above(self._large, lines) else decode_all(lines)
        if messages is not None:
            yield messages, lines
            self._number += len(messages)
            return
        for given in lines.split(b"\n")[:-1]:
            line = given.removeprefix(codecs.BOM_UTF8)  # files joined by cat may each begin with one
            try:
                message = decode(line)
            except UNREADABLE as error:
                self.refuse(line, error)
            else:
                yield [message], line
            self._number += 1

    def place(self, index: int = 0) -> str:
        """Return where in the input the line is that has `index` among those yielded last."""
        return f"Line {self._number + index + 1} of the input"

    def refuse(self, line: bytes, error: Exception, index: int = 0) -> None:
        """Count a line that is no message, as `error` says; raises where a message may be lost."""
        if has_file(error):
            raise config_error(
                f"{self.place(index)} is a record with a file (file_reference), but this destination takes no files: "
                "sync the stream without them"
            ) from None
        if (wrong := why_no_message(line, error)) is not None:
            raise system_error(f"{self.place(index)} is not an Airbyte message: {wrong}") from None
        self.left_out += bool(line.strip())
