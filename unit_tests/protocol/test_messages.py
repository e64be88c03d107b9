"""Messages, decoded; and lines that are none."""

import json
import re
from typing import Any

import msgspec
import pytest

from destination_redis.protocol.messages import (
    UNREADABLE,
    Descriptor,
    SourceError,
    Status,
    StreamStatus,
    decode,
    decode_all,
    decode_trace,
    has_file,
    why_no_message,
)


def trace(kind: str, **more: Any) -> bytes:
    return json.dumps({"type": "TRACE", "trace": {"type": kind, "emitted_at": 1.0, **more}}).encode()


def test_record_data_are_the_bytes_received() -> None:
    data = b'{ "n":123456789012345678901234567890 ,"d": 0.1000000000000000055511151231257827,"e":1e400,"s":"\\u0041"}'
    record = decode(b'{"type":"RECORD","record":{"stream":"a","emitted_at":17e11,"data":%b}}' % data).record
    assert record is not None
    assert bytes(record.data) == data
    assert bytes(record.emitted_at) == b"17e11"


def test_fields_may_come_in_any_order_and_unknown_ones_are_passed_over() -> None:
    line = b'{"x":1,"record":{"y":{},"data":{},"emitted_at":1,"namespace":"n","stream":"a"},"type":"RECORD"}'
    record = decode(line).record
    assert record is not None
    assert (record.stream, record.namespace) == ("a", "n")


def test_every_optional_field_may_be_null() -> None:
    line = b'{"type":"RECORD","state":null,"trace":null,"record":{"stream":"a","data":{},"emitted_at":1,"meta":null,'
    record = decode(line + b'"namespace":null}}').record
    assert record is not None
    assert (record.namespace, bytes(record.meta)) == (None, b"null")


def test_a_message_of_an_unknown_type_is_no_error() -> None:
    assert decode(b'{"type":"SOMETHING_NEW","something":{"a":1}}').type == "SOMETHING_NEW"


@pytest.mark.parametrize(
    "line", [b"S3cret", b'{"type":"S3cret"', b'{"type":"RECORD","record":{"stream":5,"data":"S3cret"}}', b'["S3cret"]']
)
def test_the_error_about_a_bad_line_does_not_quote_it(line: bytes) -> None:
    with pytest.raises(msgspec.DecodeError) as caught:
        decode(line)
    assert "S3cret" not in str(caught.value)


@pytest.mark.parametrize("status", list(Status))
def test_a_stream_status_is_read_from_its_trace(status: Status) -> None:
    described = {"stream_descriptor": {"name": "users", "namespace": None}, "status": status}
    found = decode_trace(decode(trace("STREAM_STATUS", stream_status=described)))
    assert found == StreamStatus(Descriptor("users"), status)


@pytest.mark.parametrize("named", [{}, {"stream_descriptor": None}])
def test_an_error_of_the_source_that_names_no_stream_is_read_from_its_trace(named: dict[str, Any]) -> None:
    for error in ({"message": "m", **named}, None):
        assert decode_trace(decode(trace("ERROR", error=error))) == SourceError()
    assert decode_trace(decode(trace("ERROR"))) == SourceError()


def test_an_error_of_the_source_names_the_stream_that_it_concerns() -> None:
    error = {"message": "m", "failure_type": "system_error", "stream_descriptor": {"name": "a", "namespace": "n"}}
    assert decode_trace(decode(trace("ERROR", error=error))) == SourceError(Descriptor("a", "n"))


@pytest.mark.parametrize("more", [{"estimate": {"name": "a"}}, {"error": "none", "stream_status": 5}])
def test_a_trace_of_another_kind_is_neither(more: dict[str, Any]) -> None:
    for kind in ("ESTIMATE", "ANALYTICS", "SOMETHING_NEW"):
        assert decode_trace(decode(trace(kind, **more))) is None


def test_only_complete_and_incomplete_are_terminal() -> None:
    assert {status for status in Status if status.terminal} == {Status.COMPLETE, Status.INCOMPLETE}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b'{"type":"STATE","state":{"stream_state":%b}}' % (b"[" * 100_000), "it is nested too deeply"),
        (b'{"type":"RECORD","record":{"stream":"\xff","emitted_at":1,"data":{}}}', "invalid UTF-8"),
    ],
)
def test_a_line_that_cannot_be_read_is_said_to_be_so(line: bytes, says: str) -> None:
    assert decode_all(line + b"\n") is None
    with pytest.raises(UNREADABLE) as caught:
        decode(line)
    assert why_no_message(line, caught.value) == says


def test_a_status_that_nobody_knows_is_not_quoted() -> None:
    line = trace("STREAM_STATUS", stream_status={"stream_descriptor": {"name": "users"}, "status": "S3cret's 'end'"})
    with pytest.raises(UNREADABLE) as caught:
        decode_trace(decode(line))
    assert why_no_message(line, caught.value) == "Invalid enum value - at `$.status`"


RECORD = b'{"type": "RECORD", "record": {"stream": "a", "data": {"id": 1}, "emitted_at": 1}}'
TURNED = b'{ "record":{"data":{"id":1},"emitted_at":1,"stream":"a"} ,"type":"RECORD"}'
STATE = b'{"type":"STATE","state":{"type":"LEGACY","data":{}}}'
ERROR = trace("ERROR", error={"message": "m"})


def why(line: bytes) -> str | None:
    with pytest.raises(UNREADABLE) as caught:
        decode(line)
    return why_no_message(line, caught.value)


@pytest.mark.parametrize("message", [RECORD, TURNED, STATE, ERROR])
def test_a_message_that_is_cut_off_anywhere_is_not_taken_for_a_log_line(message: bytes) -> None:
    assert [end for end in range(1, len(message)) if why(message[:end]) is None] == []


@pytest.mark.parametrize("after", [b"2026-01-01 INFO done", b'{"level":"info"}', b'"', RECORD, STATE])
@pytest.mark.parametrize("message", [RECORD, TURNED, STATE])
def test_a_message_that_is_cut_off_behind_its_first_name_and_followed_by_text_is_not_either(
    message: bytes, after: bytes
) -> None:
    begun = message.index(b'"') + 1
    assert [end for end in range(begun, len(message) + 1) if why(message[:end] + after) is None] == []


@pytest.mark.parametrize("before", [b"50%", b"\r 50%|###  |", b"INFO starting ", b"[", b'"', b"{}", b"{INFO}", b"}}"])
@pytest.mark.parametrize("message", [RECORD, TURNED, STATE, ERROR])
def test_a_message_behind_other_text_on_its_line_is_not_either(before: bytes, message: bytes) -> None:
    assert why(before + message) == "other text precedes it"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_a_message_in_another_encoding_than_utf_8_is_not_either(encoding: str) -> None:
    text = f"{RECORD.decode()}\n{STATE.decode()}\n"
    assert all(why(line) is not None for line in text.encode(encoding).split(b"\n") if len(line) > 4)


@pytest.mark.parametrize(
    "line",
    [
        b'{"record":{"stream":"a","data":{"id":1},"emitted_at":1}}',
        *(re.sub(rb'"RECORD"', text, RECORD) for text in (b"null", b"5", b'["RECORD"]', b"NaN")),
        *(b'{"type":"RECORD","record":%b}' % text for text in (b"5", b"[]", b'"x"', b"{}", b'{"stream":"a"}')),
        b'{"type":"access","record":"GET /"}',
        b'{"type"',
        b'{"unparseable',
        b"{",
        b" \t{ ",
    ],
)
def test_a_record_without_a_type_or_a_type_with_something_wrong_is_no_log_line(line: bytes) -> None:
    assert why(line) is not None


@pytest.mark.parametrize(
    "line",
    [
        *(b"", b" \r", b"plain text", b"{INFO} starting", b"{'a': 1}", b"{2026-01-01} INFO", b"{}", b"{} done", b"{ }"),
        *(
            b'{"level":"info","msg":"x"}',
            b'{"level":"info","msg":"got \\"type\\": \\"RECORD\\""}',
            b"null",
            b"5",
            b"NaN",
        ),
        *(b'{"msg":"saved","record":{"id":1}}', b'{"state":"running"}', b'{"trace":[]}', b'{"TYPE":"x"}', b'["x"]'),
        *(b"\xff\xfe", b"\x00", b"caf\xe9", b"}", b"a RECORD of", b"Traceback (most recent call last):"),
    ],
)
def test_what_a_program_logs_is_left_out(line: bytes) -> None:
    assert why(line) is None


def test_a_record_with_a_file_cannot_be_read_and_it_is_known_why() -> None:
    line = b'{"type":"RECORD","record":{"stream":"a","data":{},"emitted_at":1,"file_reference":%b}}'
    assert decode(line % b"null").record is not None
    for reference in (b"{}", b'{"staging_file_url":"x"}', b'"x"'):
        with pytest.raises(UNREADABLE) as caught:
            decode(line % reference)
        assert has_file(caught.value)
    with pytest.raises(UNREADABLE) as caught:
        decode(RECORD[:-1])
    assert not has_file(caught.value)
