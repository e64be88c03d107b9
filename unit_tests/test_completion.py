"""Which streams are complete at the end of input."""

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.completion import Seen, why_incomplete
from destination_redis.messages import Status
from destination_redis.streams import Stream

PIPED = Stream("users", None, "append")
PLATFORM = Stream("users", None, "append", 4, 0, 7)
REFRESH = Stream("users", None, "append", 4, 4, 7)
OVERWRITE = Stream("users", None, "overwrite", 4, 4, 7)


def seen(*events: str | Status) -> Seen:
    """Return what is known after records, states ("own", "global") and statuses."""
    found = Seen()
    for event in events:
        match event:
            case Status():
                found.change(event, PLATFORM)
            case "record":
                found.records += 1
            case _:
                found.state(event == "own")
    return found


def why(
    stream: Stream,
    found: Seen,
    *,
    replaces: bool = False,
    has_live: bool = True,
    others_ended: bool = False,
    input_had_records: bool = True,
) -> str | None:
    return why_incomplete(
        stream,
        found,
        replaces=replaces,
        has_live=has_live,
        others_ended=others_ended,
        input_had_records=input_had_records,
    )


@pytest.mark.parametrize("stream", [PIPED, PLATFORM, REFRESH, OVERWRITE])
def test_complete_is_complete(stream: Stream) -> None:
    assert why(stream, seen("record", Status.COMPLETE), replaces=True, others_ended=True) is None


@pytest.mark.parametrize("stream", [PIPED, PLATFORM, REFRESH, OVERWRITE])
def test_incomplete_is_not_complete_even_after_a_state(stream: Stream) -> None:
    assert "incomplete" in str(why(stream, seen("record", "own", Status.INCOMPLETE)))


@pytest.mark.parametrize("status", [Status.STARTED, Status.RUNNING])
def test_a_stream_that_began_needs_complete(status: Status) -> None:
    assert "never reported complete" in str(why(PLATFORM, seen(status, "record", "own")))


@pytest.mark.parametrize("status", [Status.STARTED, Status.RUNNING])
def test_a_stream_that_began_and_sent_nothing_needs_complete_too(status: Status) -> None:
    assert why(PIPED, seen(status)) is not None


def test_no_status_while_another_stream_ended_is_not_complete() -> None:
    assert "another stream" in str(why(PIPED, seen("record", "own"), others_ended=True))


@pytest.mark.parametrize("events", [(), ("record",), ("record", "own"), ("record", "global")])
def test_a_refresh_by_generation_needs_complete(events: tuple[str, ...]) -> None:
    assert "COMPLETE" in str(why(REFRESH, seen(*events), replaces=True, has_live=False))


def test_pyairbytes_constants_do_not_make_an_append_need_complete() -> None:
    assert why(Stream("users", None, "append", 1, 1, 1), seen("record", "own")) is None


@pytest.mark.parametrize("stream", [PIPED, PLATFORM, OVERWRITE])
def test_a_stream_whose_last_message_is_its_own_state_is_complete(stream: Stream) -> None:
    assert why(stream, seen("record", "own"), replaces=True) is None


def test_a_stream_that_sent_only_its_own_state_is_complete() -> None:
    assert why(OVERWRITE, seen("own"), replaces=True) is None


@pytest.mark.parametrize("stream", [PIPED, PLATFORM, OVERWRITE])
def test_a_record_after_the_last_state_is_not_complete(stream: Stream) -> None:
    assert "no state" in str(why(stream, seen("record", "own", "record"), replaces=True))


def test_a_global_state_after_its_record_completes_a_stream() -> None:
    assert why(PLATFORM, seen("record", "global")) is None


def test_a_global_state_in_an_input_without_any_record_completes_a_stream() -> None:
    assert why(OVERWRITE, seen("global"), replaces=True, input_had_records=False) is None


def test_a_global_state_before_the_first_record_of_a_stream_says_nothing_about_it() -> None:
    assert why(OVERWRITE, seen("global"), replaces=True) is not None
    assert why(OVERWRITE, seen("global", "record"), replaces=True) is not None


def test_a_stream_without_records_that_does_not_replace_is_complete() -> None:
    assert why(PLATFORM, seen(), replaces=False, has_live=True) is None


def test_a_stream_without_records_that_replaces_nothing_is_complete() -> None:
    assert why(OVERWRITE, seen(), replaces=True, has_live=False) is None


def test_a_stream_without_records_that_would_replace_live_ones_is_not_complete() -> None:
    assert why(OVERWRITE, seen(), replaces=True, has_live=True) is not None


def test_a_persons_pipe_is_complete_without_states() -> None:
    assert why(PIPED, seen("record")) is None


def test_a_persons_overwrite_is_complete_without_states() -> None:
    assert why(Stream("users", None, "overwrite"), seen("record"), replaces=True) is None


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
