"""Airbyte messages, decoded from lines of input.

Only what is needed is decoded. Record data, states and unknown fields stay the bytes received, so numbers of any size
and precision, nulls and future fields survive. Input lines: Airbyte protocol v0, one JSON object each, fields in any
order, optional ones possibly null.
"""

import io
import re
from enum import StrEnum

import msgspec

#: The value of an absent field.
ABSENT = msgspec.Raw(b"null")

#: A stream's (namespace, name); the namespace is None if it is absent or empty.
Key = tuple[str | None, str]


class Record(msgspec.Struct, frozen=True, gc=False):
    """The body of a RECORD; `data`, `emitted_at` (milliseconds) and `meta` are the bytes received."""

    stream: str
    data: msgspec.Raw
    emitted_at: msgspec.Raw
    namespace: str | None = None
    meta: msgspec.Raw = ABSENT
    #: Files are not supported: decoding a record with one fails.
    file_reference: None = None

    @property
    def key(self) -> Key:
        """The stream's names."""
        return self.namespace or None, self.stream


class Message(msgspec.Struct, frozen=True, gc=False):
    """One line of input; only the body named by `type` is meaningful."""

    type: str
    record: Record | None = None
    state: msgspec.Raw = ABSENT
    trace: msgspec.Raw = ABSENT


class Descriptor(msgspec.Struct, frozen=True, gc=False):
    """A stream's name and namespace in a message."""

    name: str
    namespace: str | None = None

    @property
    def key(self) -> Key:
        """The stream's names."""
        return self.namespace or None, self.name


class Status(StrEnum):
    """A stream's status."""

    STARTED = "STARTED"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    INCOMPLETE = "INCOMPLETE"

    @property
    def terminal(self) -> bool:
        """Whether no other status may follow it."""
        return self in (Status.COMPLETE, Status.INCOMPLETE)


class StreamStatus(msgspec.Struct, frozen=True, gc=False):
    """The body of a TRACE with a stream's status."""

    stream_descriptor: Descriptor
    status: Status


class SourceError(msgspec.Struct, frozen=True, gc=False):
    """The body of a TRACE with a source error; `stream_descriptor` is None if it concerns every stream."""

    stream_descriptor: Descriptor | None = None


class _Trace(msgspec.Struct, frozen=True, gc=False):
    type: str | None = None
    stream_status: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


#: What decoding raises; RecursionError if arrays or objects exceed the interpreter's recursion limit.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_MESSAGE = msgspec.json.Decoder(Message)
#: Decodes a line into a `Message`; raises one of `UNREADABLE`.
decode = _MESSAGE.decode


def decode_all(lines: bytes) -> list[Message] | None:
    """Return the messages in `lines`, twice as fast as one by one; None if any line is not a message."""
    try:
        messages = _MESSAGE.decode_lines(lines)
    except UNREADABLE:
        return None
    # The decoder also accepts empty lines and objects that span two lines; neither is a message. Reading them as the
    # lines of a file takes a third of the time of bytes.count.
    return messages if len(messages) == len(io.BytesIO(lines).readlines()) else None


#: The escape of half a surrogate pair.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
#: An invalid enum value quoted by msgspec.
_QUOTED = re.compile(r"(?<=^Invalid enum value) .*(?= - at )")
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RECORD = msgspec.json.Decoder(Record)
_TRACE = msgspec.json.Decoder(_Trace)
_STATUS = msgspec.json.Decoder(StreamStatus)
_ERROR = msgspec.json.Decoder(SourceError | None)
#: The beginning of a JSON object, possibly cut off.
_OBJECT = re.compile(rb"\s*\{\s*(\"|$)")
#: Found in every message that must not be lost.
_TYPE = re.compile(rb"\"type\"\s*:\s*\"(RECORD|STATE|TRACE)\"")


def why_no_message(line: bytes, error: Exception) -> str | None:
    """Return why `line`, which failed with `error`, is not a message; None if it cannot contain one.

    A message is lost if its line was cut off, if other text precedes it on its line, or if one of its fields is
    wrong. Log output is not a message, whether text or a JSON object without a `type`. The result never quotes `line`.
    """
    line = line.replace(b"\0", b"")  # UTF-16
    if not _OBJECT.match(line):
        return "other text precedes it" if _TYPE.search(line) else None
    if _is_log(line):
        return None
    why = why_unreadable(error)
    return f"{why} (a string in it may contain half of a surrogate pair)" if _SURROGATE.search(line) else why


def _is_log(line: bytes) -> bool:
    """Whether a line is a complete JSON object with neither a type nor a record."""
    try:
        fields = _FIELDS.decode(line)
    except UNREADABLE:
        return False
    if "type" in fields:
        return False
    try:
        _RECORD.decode(fields.get("record", ABSENT))
    except UNREADABLE:
        return True
    return False


def has_file(error: Exception) -> bool:
    """Whether `error` says that a record could not be decoded because it has a file."""
    return str(error).endswith("`$.record.file_reference`")


def why_unreadable(error: Exception) -> str:
    """Return what is wrong according to one of `UNREADABLE`, without quoting the input."""
    match error:
        case UnicodeDecodeError():
            return "invalid UTF-8"
        case RecursionError():
            return "it is nested too deeply"
    return _QUOTED.sub("", str(error))


def decode_trace(message: Message) -> StreamStatus | SourceError | None:
    """Return the stream status or the source error in a TRACE, None for other kinds.

    Raises one of `UNREADABLE`.
    """
    trace = _TRACE.decode(message.trace)
    match trace.type:
        case "STREAM_STATUS":
            return _STATUS.decode(trace.stream_status)
        case "ERROR":
            return _ERROR.decode(trace.error) or SourceError()
    return None
