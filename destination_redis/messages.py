"""Bytes of a line -> a message; a STATE -> its line back, whole, with our count.

Only what is needed is decoded. Record data, states and unknown fields stay the bytes they came as, so numbers of any
size and precision, nulls and fields nobody knows yet survive. Input lines: Airbyte protocol v0, one JSON object each,
fields in any order, every optional one possibly null.
"""

import codecs
import re
from enum import StrEnum

import msgspec

_ABSENT = msgspec.Raw(b"null")


class Record(msgspec.Struct, frozen=True, gc=False):
    """A RECORD's body; `data`, `emitted_at` (milliseconds) and `meta` are the bytes received."""

    stream: str
    data: msgspec.Raw
    emitted_at: msgspec.Raw
    namespace: str | None = None
    meta: msgspec.Raw = _ABSENT


class Message(msgspec.Struct, frozen=True, gc=False):
    """One line of input; of the bodies at most the one that `type` names is meaningful."""

    type: str
    record: Record | None = None
    state: msgspec.Raw = _ABSENT
    trace: msgspec.Raw = _ABSENT


class Descriptor(msgspec.Struct, frozen=True, gc=False):
    """A stream's name as messages give it."""

    name: str
    namespace: str | None = None


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


class _Trace(msgspec.Struct, frozen=True, gc=False):
    type: str | None = None
    stream_status: StreamStatus | None = None


class _StreamState(msgspec.Struct, frozen=True, gc=False):
    stream_descriptor: Descriptor


class _StateHead(msgspec.Struct, frozen=True, gc=False):
    type: str | None = None
    stream: _StreamState | None = None


class State(msgspec.Struct, frozen=True, gc=False):
    """A STATE; `stream` is None for a GLOBAL or legacy one, which speaks for every stream."""

    stream: Descriptor | None
    fields: dict[str, msgspec.Raw]
    body: dict[str, msgspec.Raw]

    def acknowledged(self, records: int) -> bytes:
        """Return the line to answer with: all that came, and `records` as destinationStats.recordCount."""
        stats = _RAW_FIELDS.decode(self.body.get("destinationStats", _ABSENT)) or {}
        stats["recordCount"] = msgspec.Raw(b"%d.0" % records)
        body = {**self.body, "destinationStats": msgspec.Raw(msgspec.json.encode(stats))}
        # A carriage return, which JSON takes for a space between values, ends a line for many readers.
        return msgspec.json.encode({**self.fields, "state": body}).replace(b"\r", b" ") + b"\n"


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
_RAW_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
_STATE_HEAD = msgspec.json.Decoder(_StateHead)
_TRACE = msgspec.json.Decoder(_Trace)


def why_no_message(line: bytes, error: Exception) -> str | None:
    """Return why `line`, met with `error`, is none, never its content; None where it was never meant to be one."""
    if not line.lstrip().removeprefix(codecs.BOM_UTF8).startswith(b"{"):
        return None
    why = why_unreadable(error)
    return f"{why} (a text in it may hold half of a surrogate pair)" if _SURROGATE.search(line) else why


def why_unreadable(error: Exception) -> str:
    """Return what one of `UNREADABLE` says is wrong, never what it was given."""
    match error:
        case UnicodeDecodeError():
            return "invalid UTF-8"
        case RecursionError():
            return "it is nested too deeply"
    return _QUOTED.sub("", str(error))


def decode_state(line: bytes, message: Message) -> State:
    """Return the state of `line`, already decoded as `message`; raises one of `UNREADABLE`."""
    line.decode()  # it goes back as text, all of it
    head = _STATE_HEAD.decode(message.state)
    return State(
        stream=head.stream.stream_descriptor if head.stream and head.type in ("STREAM", None) else None,
        fields=_RAW_FIELDS.decode(line) or {},
        body=_RAW_FIELDS.decode(message.state) or {},
    )


def decode_status(message: Message) -> StreamStatus | None:
    """Return the stream status of a TRACE, None for its other kinds; raises one of `UNREADABLE`."""
    trace = _TRACE.decode(message.trace)
    return trace.stream_status if trace.type == "STREAM_STATUS" else None
