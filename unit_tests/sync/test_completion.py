"""Which streams are complete at the end of input."""

from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.protocol.catalog import Stream
from destination_redis.protocol.messages import Status
from destination_redis.protocol.stream_status import StreamStatusTracker
from destination_redis.sync.completion import Ending, incomplete, why_incomplete

PIPED = Stream("users", None, "append")
PLATFORM = Stream("users", None, "append", 4, 0, 7)
REFRESH = Stream("users", None, "append", 4, 4, 7)
REFRESH_DEDUP = Stream("users", None, "append_dedup", 4, 4, 7)
OVERWRITE = Stream("users", None, "overwrite", 4, 4, 7)
PIPED_OVERWRITE = Stream("users", None, "overwrite")
PYAIRBYTE_OVERWRITE = Stream("users", None, "overwrite", 1, 1, 1)
ALL = [PIPED, PLATFORM, REFRESH, REFRESH_DEDUP, OVERWRITE, PIPED_OVERWRITE, PYAIRBYTE_OVERWRITE]


def seen(*events: str | Status) -> StreamStatusTracker:
    """Return what is known after records, states ("own", "mark" for an end mark, "global"), errors and statuses."""
    found = StreamStatusTracker()
    for event in events:
        match event:
            case Status():
                found.change(event, PLATFORM)
            case "record":
                found.records += 1
            case "error":
                found.failed = True
            case _:
                found.state(own=event != "global", end_mark=event == "mark")
    return found


def why(
    stream: Stream, found: StreamStatusTracker, *, replaces: bool = False, has_data: bool = True, **more: Any
) -> str | None:
    return why_incomplete(stream, found, Ending(replaces, has_data, **more))


@pytest.mark.parametrize("stream", ALL)
def test_complete_is_complete(stream: Stream) -> None:
    assert why(stream, seen("record", Status.COMPLETE), replaces=True, others_ended=True) is None
    assert why(stream, seen("error", "record", Status.COMPLETE, "error"), replaces=True) is None


@pytest.mark.parametrize("stream", ALL)
def test_incomplete_is_not_complete_even_after_a_state(stream: Stream) -> None:
    assert "incomplete" in str(why(stream, seen("record", "mark", Status.INCOMPLETE)))


@pytest.mark.parametrize("stream", ALL)
def test_an_error_of_the_source_leaves_a_stream_incomplete_even_before_an_end_mark(stream: Stream) -> None:
    for events in (("error", "record", "mark"), ("record", "mark", "error"), ("error",), (Status.STARTED, "error")):
        assert "error" in str(why(stream, seen(*events)))


@pytest.mark.parametrize("status", [Status.STARTED, Status.RUNNING])
def test_a_stream_that_began_needs_complete(status: Status) -> None:
    assert "never reported complete" in str(why(PLATFORM, seen(status, "record", "own")))


@pytest.mark.parametrize("status", [Status.STARTED, Status.RUNNING])
def test_a_stream_that_began_and_sent_nothing_needs_complete_too(status: Status) -> None:
    assert why(PIPED, seen(status)) is not None


def test_no_status_while_another_stream_ended_is_not_complete() -> None:
    assert "another stream" in str(why(PIPED, seen("record", "own"), others_ended=True))


@pytest.mark.parametrize("stream", [REFRESH, REFRESH_DEDUP])
@pytest.mark.parametrize("events", [(), ("record",), ("record", "own"), ("record", "mark"), ("record", "global")])
def test_a_refresh_by_generation_needs_complete(stream: Stream, events: tuple[str, ...]) -> None:
    for setting in ("end_mark", "trailing_state"):
        assert "COMPLETE" in str(why(stream, seen(*events), replaces=True, has_data=False, without_status=setting))


@pytest.mark.parametrize("stream", [REFRESH, REFRESH_DEDUP])
def test_a_clear_needs_complete_where_streams_are_replaced_by_generation(stream: Stream) -> None:
    assert why(stream, seen("mark"), replaces=True, input_had_records=False, cleared=True) is not None


@pytest.mark.parametrize("events", [("mark",), ("record", "mark"), ("own", "record", "own", "record", "mark")])
def test_an_overwrite_by_generation_that_ends_with_an_end_mark_is_complete(events: tuple[str, ...]) -> None:
    assert why(OVERWRITE, seen(*events), replaces=True) is None


def test_an_end_mark_counts_whatever_other_streams_sent_after_it() -> None:
    assert why(OVERWRITE, seen("record", "mark", "global"), replaces=True) is None


@pytest.mark.parametrize(
    "events",
    [
        *[(), ("record",), ("own",), ("record", "own"), ("record", "global"), ("global",)],
        *[("mark", "record"), ("record", "mark", "record"), ("record", "mark", "own"), ("mark", "record", "own")],
    ],
)
def test_an_overwrite_by_generation_that_ends_otherwise_is_not_complete(events: tuple[str, ...]) -> None:
    assert "end mark" in str(why(OVERWRITE, seen(*events), replaces=True))
    assert "end mark" in str(why(OVERWRITE, seen(*events), replaces=True, has_data=False))


def test_a_global_state_in_an_input_without_records_completes_an_overwrite_only_if_it_clears_the_stream() -> None:
    empty: dict[str, Any] = {"replaces": True, "input_had_records": False}
    assert why(OVERWRITE, seen("global"), **empty, cleared=True) is None
    assert why(OVERWRITE, seen("global"), **empty) is not None


def test_an_overwrite_that_an_earlier_run_finished_needs_nothing_more() -> None:
    assert why(OVERWRITE, seen(), replaces=False) is None
    assert why(OVERWRITE, seen("global"), replaces=False) is None
    assert why(OVERWRITE, seen("record", "own"), replaces=False) is not None


@pytest.mark.parametrize("events", [("own",), ("mark",), ("record", "own"), ("record", "global")])
def test_with_trailing_state_any_state_after_the_last_record_completes_an_overwrite(events: tuple[str, ...]) -> None:
    assert why(OVERWRITE, seen(*events), replaces=True, without_status="trailing_state") is None


@pytest.mark.parametrize("events", [(), ("record",), ("record", "own", "record"), ("record", "global", "record")])
def test_with_trailing_state_an_overwrite_without_one_is_not_complete(events: tuple[str, ...]) -> None:
    assert "no state" in str(why(OVERWRITE, seen(*events), replaces=True, without_status="trailing_state"))


def test_with_trailing_state_a_global_state_does_not_empty_a_stream_that_got_no_record_while_others_did() -> None:
    trailing: dict[str, Any] = {"replaces": True, "without_status": "trailing_state"}
    assert why(OVERWRITE, seen("global"), **trailing) is not None
    assert why(OVERWRITE, seen("global"), **trailing, has_data=False) is None
    assert why(OVERWRITE, seen(), **trailing, has_data=False) is not None
    assert why(OVERWRITE, seen("global"), **trailing, input_had_records=False) is None


def test_pyairbytes_constants_do_not_make_an_append_need_complete() -> None:
    assert why(Stream("users", None, "append", 1, 1, 1), seen("record", "own")) is None


@pytest.mark.parametrize("stream", [PIPED, PLATFORM, PIPED_OVERWRITE, PYAIRBYTE_OVERWRITE])
def test_a_stream_whose_last_message_is_its_own_state_is_complete(stream: Stream) -> None:
    assert why(stream, seen("record", "own"), replaces=True) is None


def test_a_stream_that_sent_only_its_own_state_is_complete() -> None:
    assert why(PYAIRBYTE_OVERWRITE, seen("own"), replaces=True) is None


@pytest.mark.parametrize("stream", [PIPED, PLATFORM, PIPED_OVERWRITE, PYAIRBYTE_OVERWRITE])
def test_a_record_after_the_last_state_is_not_complete(stream: Stream) -> None:
    assert "no state" in str(why(stream, seen("record", "own", "record"), replaces=True))


def test_a_global_state_after_its_record_completes_a_stream() -> None:
    assert why(PLATFORM, seen("record", "global")) is None


def test_a_global_state_in_an_input_without_any_record_completes_a_stream() -> None:
    assert why(PYAIRBYTE_OVERWRITE, seen("global"), replaces=True, input_had_records=False) is None


def test_a_global_state_before_the_first_record_of_a_stream_says_nothing_about_it() -> None:
    assert why(PYAIRBYTE_OVERWRITE, seen("global"), replaces=True) is not None
    assert why(PYAIRBYTE_OVERWRITE, seen("global", "record"), replaces=True) is not None


def test_a_stream_without_records_that_does_not_replace_is_complete() -> None:
    assert why(PLATFORM, seen(), replaces=False, has_data=True) is None


def test_a_stream_without_records_that_replaces_nothing_is_complete() -> None:
    assert why(PYAIRBYTE_OVERWRITE, seen(), replaces=True, has_data=False) is None


def test_a_stream_without_records_that_would_replace_live_ones_is_not_complete() -> None:
    assert why(PYAIRBYTE_OVERWRITE, seen(), replaces=True, has_data=True) is not None


def test_a_persons_pipe_is_complete_without_states() -> None:
    assert why(PIPED, seen("record")) is None


def test_a_persons_overwrite_is_complete_without_states() -> None:
    assert why(PIPED_OVERWRITE, seen("record"), replaces=True) is None


def test_a_sync_id_means_that_a_missing_state_is_the_sources_death() -> None:
    assert "source may have failed" in str(why(PLATFORM, seen("record")))


def test_a_state_seen_once_means_that_the_next_missing_one_is_the_sources_death() -> None:
    assert "source may have failed" in str(why(PIPED, seen("own", "record")))


def test_two_different_terminal_statuses_are_an_error_that_names_the_stream() -> None:
    with pytest.raises(AirbyteTracedException) as caught:
        seen(Status.COMPLETE, Status.INCOMPLETE)
    assert "users" in str(caught.value.message)


def test_the_same_terminal_status_twice_is_no_error() -> None:
    assert seen(Status.COMPLETE, Status.COMPLETE).status is Status.COMPLETE


def test_a_late_running_does_not_undo_a_terminal_status() -> None:
    assert seen(Status.COMPLETE, Status.RUNNING).status is Status.COMPLETE


def test_the_error_names_the_streams_the_reasons_and_what_to_do() -> None:
    error = incomplete([(PIPED, "the source reported an error"), (Stream("orders", "shop", "append"), "no reason")])
    assert error.failure_type is FailureType.transient_error
    assert error.message == (
        "Not complete: users (the source reported an error); shop.orders (no reason). Their old data is unchanged, "
        "and acknowledged records are kept; run the sync again"
    )


def test_the_error_names_the_setting_where_an_end_mark_is_missing() -> None:
    reason = why(OVERWRITE, seen("record", "own"), replaces=True)
    assert reason is not None
    assert "set overwrite_without_status to trailing_state" in str(incomplete([(OVERWRITE, reason)]).message)


def test_the_error_about_many_streams_still_says_what_to_do() -> None:
    streams = [Stream(f"stream_{number}", None, "overwrite", 4, 4, 7) for number in range(2000)]
    reason = why(OVERWRITE, seen("record"), replaces=True)
    assert reason is not None
    message = str(incomplete([(stream, reason) for stream in streams]).message)
    assert "stream_0" in message
    assert "1995 more" in message
    assert "run the sync again" in message
    assert message.endswith("trailing_state")
