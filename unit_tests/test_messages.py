"""Messages and states, decoded and answered."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_redis.messages import (
    UNREADABLE,
    Descriptor,
    State,
    Status,
    decode,
    decode_all,
    decode_state,
    decode_status,
    why_no_message,
)

TEXTS = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?", fullmatch=True)


def as_object(members: dict[str, str]) -> str:
    return "{" + ",".join(f"{json.dumps(name)}: {value}" for name, value in members.items()) + "}"


# JSON as text, since numbers of Python's own would have lost already what is tested for.
JSON_TEXTS = st.recursive(
    st.one_of(st.sampled_from(["null", "true", "false"]), NUMBERS, TEXTS.map(json.dumps)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{' ,'.join(items)}]"),
        st.dictionaries(TEXTS, inner, max_size=3).map(as_object),
    ),
    max_leaves=6,
)
UNKNOWN = st.dictionaries(TEXTS.map("x_".__add__), JSON_TEXTS, max_size=3)


def textually(line: str | bytes) -> Any:
    return json.loads(line, parse_float=str, parse_int=str)


def state_of(line: str) -> State:
    return decode_state(line.encode(), decode(line.encode()))


def trace(kind: str, **more: Any) -> bytes:
    return json.dumps({"type": "TRACE", "trace": {"type": kind, "emitted_at": 1.0, **more}}).encode()


@given(UNKNOWN, UNKNOWN, UNKNOWN, JSON_TEXTS)
def test_an_acknowledged_state_keeps_every_field_null_and_number_as_it_came(
    outer: dict[str, str], inner: dict[str, str], stats: dict[str, str], cursor: str
) -> None:
    stream = as_object({"stream_descriptor": '{"name":"users","namespace":null}', "stream_state": cursor})
    body = {"type": '"STREAM"', "stream": stream, "destinationStats": as_object(stats), **inner}
    line = as_object({**outer, "type": '"STATE"', "record": "null", "state": as_object(body)})

    expected = textually(line)
    expected["state"]["destinationStats"]["recordCount"] = "12.0"
    assert textually(state_of(line).acknowledged(12)) == expected


@given(st.integers(min_value=0, max_value=10**18))
def test_the_count_of_an_acknowledged_state_is_a_float(records: int) -> None:
    line = state_of('{"type":"STATE","state":{"type":"STREAM","stream":{"stream_descriptor":{"name":"a"}}}}')
    assert textually(line.acknowledged(records))["state"]["destinationStats"] == {"recordCount": f"{records}.0"}


def test_a_count_the_source_sent_is_replaced_and_its_other_counts_stay() -> None:
    line = '{"type":"STATE","state":{"type":"GLOBAL","destinationStats":{"recordCount":99,"rejectedRecordCount":0}}}'
    stats = textually(state_of(line).acknowledged(2))["state"]["destinationStats"]
    assert stats == {"recordCount": "2.0", "rejectedRecordCount": "0"}


def test_destination_stats_that_are_null_are_filled() -> None:
    line = '{"type":"STATE","state":{"type":"GLOBAL","destinationStats":null}}'
    assert textually(state_of(line).acknowledged(1))["state"]["destinationStats"] == {"recordCount": "1.0"}


def test_an_acknowledged_state_is_one_line() -> None:
    answer = state_of('{"type":"STATE","state":{"type":"LEGACY","data":{"text":\r"a\\nb"}}}\r').acknowledged(1)
    assert len(answer.splitlines()) == 1
    assert answer.endswith(b"\n")


def test_a_state_can_be_acknowledged_twice_with_different_counts() -> None:
    state = state_of('{"type":"STATE","state":{"type":"GLOBAL","destinationStats":{}}}')
    state.acknowledged(1)
    assert textually(state.acknowledged(2))["state"]["destinationStats"] == {"recordCount": "2.0"}


def test_a_stream_state_names_its_stream() -> None:
    descriptor = '{"stream_descriptor":{"name":"users","namespace":"public"}}'
    state = state_of(f'{{"type":"STATE","state":{{"type":"STREAM","stream":{descriptor}}}}}')
    assert state.stream == Descriptor("users", "public")


def test_a_state_without_a_type_that_names_a_stream_is_that_streams() -> None:
    state = state_of('{"type":"STATE","state":{"stream":{"stream_descriptor":{"name":"users"}}}}')
    assert state.stream == Descriptor("users")


@pytest.mark.parametrize(
    "body",
    [
        '{"type":"GLOBAL","stream":null,"global":{"shared_state":{},"stream_states":[]}}',
        '{"type":"LEGACY","data":{"a":1}}',
        '{"data":{"a":1}}',
    ],
)
def test_a_global_or_legacy_state_speaks_for_every_stream(body: str) -> None:
    assert state_of(f'{{"type":"STATE","state":{body}}}').stream is None


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
    found = decode_status(decode(trace("STREAM_STATUS", stream_status=described)))
    assert found is not None
    assert (found.stream_descriptor, found.status) == (Descriptor("users"), status)


def test_a_trace_of_another_kind_carries_no_status() -> None:
    assert decode_status(decode(trace("ESTIMATE", estimate={"name": "a"}))) is None


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
        decode_status(decode(line))
    assert why_no_message(line, caught.value) == "Invalid enum value - at `$.stream_status.status`"


def test_a_state_that_is_not_utf_8_is_none_for_it_would_go_back_as_it_came() -> None:
    line = b'{"type":"STATE","state":{"type":"LEGACY","data":{"text":"\xff"}}}'
    with pytest.raises(UnicodeDecodeError):
        decode_state(line, decode(line))
