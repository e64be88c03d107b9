"""Bytes of a line -> a message.

Only what is needed is decoded. Record data, states and unknown fields stay the bytes they came as, so numbers of any
size and precision, nulls and fields nobody knows yet survive. Input lines: Airbyte protocol v0, one JSON object each,
fields in any order, every optional one possibly null.
"""

import re
from enum import StrEnum

import msgspec

#: What stands for a field that is absent.
ABSENT = msgspec.Raw(b"null")

#: A stream's names: (namespace, name), the namespace None where it is absent or empty.
Key = tuple[str | None, str]


class Record(msgspec.Struct, frozen=True, gc=False):
    """A RECORD's body; `data`, `emitted_at` (milliseconds) and `meta` are the bytes received."""

    stream: str
    data: msgspec.Raw
    emitted_at: msgspec.Raw
    namespace: str | None = None
    meta: msgspec.Raw = ABSENT
    #: This destination takes no files: a record with one cannot be read.
    file_reference: None = None

    @property
    def key(self) -> Key:
        """The stream's names."""
        return self.namespace or None, self.stream


class Message(msgspec.Struct, frozen=True, gc=False):
    """One line of input; of the bodies at most the one that `type` names is meaningful."""

    type: str
    record: Record | None = None
    state: msgspec.Raw = ABSENT
    trace: msgspec.Raw = ABSENT


class Descriptor(msgspec.Struct, frozen=True, gc=False):
    """A stream's name as messages give it."""

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
        """Whether nothing may follow it."""
        return self in (Status.COMPLETE, Status.INCOMPLETE)


class StreamStatus(msgspec.Struct, frozen=True, gc=False):
    """The body of a TRACE about a stream's status."""

    stream_descriptor: Descriptor
    status: Status


class SourceError(msgspec.Struct, frozen=True, gc=False):
    """The body of a TRACE about an error of the source; `stream_descriptor` None where it concerns every stream."""

    stream_descriptor: Descriptor | None = None


class _Trace(msgspec.Struct, frozen=True, gc=False):
    type: str | None = None
    stream_status: msgspec.Raw = ABSENT
    error: msgspec.Raw = ABSENT


#: What decoding raises; RecursionError where arrays or objects are nested deeper than the interpreter goes.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_MESSAGE = msgspec.json.Decoder(Message)
#: Decodes a line into a `Message`; raises one of `UNREADABLE`.
decode = _MESSAGE.decode


def decode_all(lines: bytes) -> list[Message] | None:
    """Return the message of each of `lines`, in half the time that takes one by one; None where not all are one."""
    try:
        messages = _MESSAGE.decode_lines(lines)
    except UNREADABLE:
        return None
    # An object over two lines and an empty line are no messages, though the decoder takes them.
    return messages if len(messages) == lines.count(b"\n") else None


#: An escape that stands for no character alone.
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
#: The value that is none of an enum's.
_QUOTED = re.compile(r"(?<=^Invalid enum value) .*(?= - at )")
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_RECORD = msgspec.json.Decoder(Record)
_TRACE = msgspec.json.Decoder(_Trace)
_STATUS = msgspec.json.Decoder(StreamStatus)
_ERROR = msgspec.json.Decoder(SourceError | None)
#: How a JSON object begins, or what is left of one that was cut off.
_OBJECT = re.compile(rb"\s*\{\s*(\"|$)")
#: What every message has that must not be lost.
_TYPE = re.compile(rb"\"type\"\s*:\s*\"(RECORD|STATE|TRACE)\"")


def why_no_message(line: bytes, error: Exception) -> str | None:
    """Return why `line`, met with `error`, is none, never its content; None where no message can be lost with it.

    A message is lost if its line was cut off, if other text stands before it on its line, or if one of its fields is
    wrong. What a program logs is no message, be it text or a JSON object without a `type`.
    """
    line = line.replace(b"\0", b"")  # UTF-16
    if not _OBJECT.match(line):
        return "other text stands before it" if _TYPE.search(line) else None
    if _is_log(line):
        return None
    why = why_unreadable(error)
    return f"{why} (a text in it may hold half of a surrogate pair)" if _SURROGATE.search(line) else why


def _is_log(line: bytes) -> bool:
    """Whether a line is a whole JSON object, but neither has a type nor holds a record."""
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
    """Whether a record cannot be read, by `error`, because it comes with a file."""
    return str(error).endswith("`$.record.file_reference`")


def why_unreadable(error: Exception) -> str:
    """Return what one of `UNREADABLE` says is wrong, never what it was given."""
    match error:
        case UnicodeDecodeError():
            return "invalid UTF-8"
        case RecursionError():
            return "it is nested too deeply"
    return _QUOTED.sub("", str(error))


def decode_trace(message: Message) -> StreamStatus | SourceError | None:
    """Return the stream status or the source's error in a TRACE, None for its other kinds.

    Raises one of `UNREADABLE`.
    """
    trace = _TRACE.decode(message.trace)
    match trace.type:
        case "STREAM_STATUS":
            return _STATUS.decode(trace.stream_status)
        case "ERROR":
            return _ERROR.decode(trace.error) or SourceError()
    return None
