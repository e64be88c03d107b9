"""States: what they say of the end of a stream, and their answers."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_redis.protocol.messages import UNREADABLE, Descriptor, decode
from destination_redis.protocol.states import State, decode_state

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


def test_rejected_records_are_counted_as_a_float_where_there_are_any() -> None:
    state = state_of('{"type":"STATE","state":{"type":"GLOBAL"}}')
    stats = textually(state.acknowledged(2, 3))["state"]["destinationStats"]
    assert stats == {"recordCount": "2.0", "rejectedRecordCount": "3.0"}
    assert textually(state.acknowledged(2, 0))["state"]["destinationStats"] == {"recordCount": "2.0"}


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


def own(stream_state: str | None) -> State:
    held = "" if stream_state is None else f',"stream_state":{stream_state}'
    stream = f'{{"stream_descriptor":{{"name":"users"}}{held}}}'
    return state_of(f'{{"type":"STATE","state":{{"type":"STREAM","stream":{stream}}}}}')


@pytest.mark.parametrize(
    "mark",
    [
        *(None, "null", "{}", "{ }"),
        '{"__ab_full_refresh_sync_complete": true}',
        '{"__ab_no_cursor_state_message":true}',
        '{ "__ab_no_cursor_state_message" : true }',
    ],
)
def test_an_end_mark_says_that_the_stream_is_all_there(mark: str | None) -> None:
    assert own(mark).end_mark


@pytest.mark.parametrize(
    "other",
    [
        *('{"cursor":1}', "[]", '"x"', "0", "false", '""', '{"cursor":1e400}'),
        '{"__ab_full_refresh_sync_complete": false}',
        '{"__ab_full_refresh_sync_complete": "true"}',
        '{"__ab_full_refresh_sync_complete": true, "cursor": 1}',
        '{"nested": {"__ab_no_cursor_state_message": true}}',
        '{"__AB_NO_CURSOR_STATE_MESSAGE": true}',
    ],
)
def test_any_other_state_is_a_checkpoint(other: str) -> None:
    assert not own(other).end_mark


@pytest.mark.parametrize("body", ['{"type":"GLOBAL","global":{"shared_state":null}}', '{"type":"LEGACY","data":{}}'])
def test_a_state_that_speaks_for_every_stream_is_no_end_mark(body: str) -> None:
    assert not state_of(f'{{"type":"STATE","state":{body}}}').end_mark


def clears(body: str) -> dict[str, bool]:
    """Return which of the streams a, b and n.a the state clears."""
    cleared = state_of(f'{{"type":"STATE","state":{body}}}').cleared()
    return {"a": cleared.includes((None, "a")), "b": cleared.includes((None, "b")), "n.a": cleared.includes(("n", "a"))}


def global_(shared: str, **streams: str) -> str:
    named = [f'{{"stream_descriptor":{{"name":"{name}","namespace":""}}{state}}}' for name, state in streams.items()]
    return f'{{"type":"GLOBAL","global":{{{shared}"stream_states":[{",".join(named)}]}}}}'


@pytest.mark.parametrize("shared", ["", '"shared_state":null,'])
def test_a_global_state_without_a_shared_one_clears_every_stream_but_those_that_it_has_a_state_of(shared: str) -> None:
    assert clears(global_(shared)) == {"a": True, "b": True, "n.a": True}
    assert clears(global_(shared, a=',"stream_state":null', b=',"stream_state":{}')) == {
        "a": True,
        "b": False,
        "n.a": True,
    }
    assert clears('{"type":"GLOBAL","global":{"stream_states":null}}') == {"a": True, "b": True, "n.a": True}


def test_a_global_state_with_a_shared_one_clears_the_streams_that_it_has_null_for() -> None:
    assert clears(global_('"shared_state":{"lsn":1},', a="", b=',"stream_state":{"cursor":1}')) == {
        "a": True,
        "b": False,
        "n.a": False,
    }
    assert clears(global_('"shared_state":{},')) == {"a": False, "b": False, "n.a": False}


@pytest.mark.parametrize(
    "body",
    [
        '{"type":"LEGACY","data":{}}',
        '{"type":"GLOBAL"}',
        '{"type":"GLOBAL","global":null}',
        '{"type":"GLOBAL","global":{"stream_states":5}}',
        '{"type":"STREAM","stream":{"stream_descriptor":{"name":"a"},"stream_state":null}}',
    ],
)
def test_other_states_clear_nothing(body: str) -> None:
    assert clears(body) == {"a": False, "b": False, "n.a": False}


@pytest.mark.parametrize("stream", ["", ',"stream":null'])
def test_a_stream_state_that_names_no_stream_is_none(stream: str) -> None:
    with pytest.raises(UNREADABLE):
        state_of(f'{{"type":"STATE","state":{{"type":"STREAM"{stream}}}}}')


def test_a_state_that_is_not_utf_8_is_none_for_it_would_go_back_as_it_came() -> None:
    line = b'{"type":"STATE","state":{"type":"LEGACY","data":{"text":"\xff"}}}'
    with pytest.raises(UnicodeDecodeError):
        decode_state(line, decode(line))
