"""STATE messages: whether one marks the end of a stream, and the line that acknowledges it."""

from typing import NamedTuple

import msgspec

from destination_redis.protocol.messages import ABSENT, UNREADABLE, Descriptor, Key, Message

#: A state whose only field is one of these, set to true, ends a full refresh.
_END_MARKS = ("__ab_full_refresh_sync_complete", "__ab_no_cursor_state_message")


class _StreamState(msgspec.Struct, frozen=True, gc=False):
    stream_descriptor: Descriptor
    stream_state: msgspec.Raw = ABSENT


class _Global(msgspec.Struct, frozen=True, gc=False):
    shared_state: msgspec.Raw = ABSENT
    stream_states: list[_StreamState] | None = None


class _Head(msgspec.Struct, frozen=True, gc=False):
    type: str | None = None
    stream: _StreamState | None = None


class Cleared(NamedTuple):
    """The streams for which a GLOBAL state holds no state any more; `others` answers for streams not in `streams`."""

    streams: dict[Key, bool]
    others: bool

    def includes(self, key: Key) -> bool:
        """Whether a stream is one of them."""
        return self.streams.get(key, self.others)


class State(msgspec.Struct, frozen=True, gc=False):
    """A STATE; `stream` is None for a GLOBAL or legacy state, which covers every stream."""

    stream: Descriptor | None
    #: Whether it says that its stream is complete.
    end_mark: bool
    fields: dict[str, msgspec.Raw]
    body: dict[str, msgspec.Raw]

    def acknowledged(self, records: int, rejected: int = 0) -> bytes:
        """Return the acknowledging line: the whole message, with the counts of records as its destinationStats."""
        stats = _FIELDS.decode(self.body.get("destinationStats", ABSENT)) or {}
        stats["recordCount"] = msgspec.Raw(b"%d.0" % records)
        if rejected:
            stats["rejectedRecordCount"] = msgspec.Raw(b"%d.0" % rejected)
        body = {**self.body, "destinationStats": msgspec.Raw(msgspec.json.encode(stats))}
        # A carriage return is whitespace in JSON, but ends a line for many readers.
        return msgspec.json.encode({**self.fields, "state": body}).replace(b"\r", b" ") + b"\n"

    def cleared(self) -> Cleared:
        """Return what a GLOBAL state clears if the input has no records; any other state clears nothing."""
        try:
            found = _GLOBAL.decode(self.body["global"])
        except (KeyError, *UNREADABLE):
            return Cleared({}, others=False)
        named = {each.stream_descriptor.key: each.stream_state == ABSENT for each in found.stream_states or ()}
        return Cleared(named, others=found.shared_state == ABSENT)


_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw] | None)
_HEAD = msgspec.json.Decoder(_Head)
_GLOBAL = msgspec.json.Decoder(_Global)


def decode_state(line: bytes, message: Message) -> State:
    """Return the state in `line`, already decoded as `message`; raises one of `UNREADABLE`."""
    line.decode()  # the whole line is sent back as text
    head = _HEAD.decode(message.state)
    own = head.stream if head.type in ("STREAM", None) else None
    if head.type == "STREAM" and own is None:
        raise msgspec.ValidationError("Object missing required field `stream` - at `$.state`")
    return State(
        stream=own.stream_descriptor if own else None,
        end_mark=own is not None and _is_end_mark(own.stream_state),
        fields=_FIELDS.decode(line) or {},
        body=_FIELDS.decode(message.state) or {},
    )


def _is_end_mark(state: msgspec.Raw) -> bool:
    try:
        fields = _FIELDS.decode(state) or {}
    except UNREADABLE:
        return False  # a string, a number or an array
    return not fields or any(fields == {name: msgspec.Raw(b"true")} for name in _END_MARKS)
