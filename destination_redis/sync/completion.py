"""The completion of streams: decided at the end of input, from the records, states and statuses in it."""

from collections.abc import Sequence
from dataclasses import dataclass

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.config.settings import WithoutStatus
from destination_redis.errors import transient_error
from destination_redis.protocol.catalog import Stream
from destination_redis.protocol.messages import Status
from destination_redis.protocol.states import State
from destination_redis.protocol.stream_status import StreamStatusTracker
from destination_redis.sync.stream_writer import StreamWriter
from destination_redis.sync.streams import Streams
from destination_redis.transport.pipeline import Pipeline

_NO_END_MARK = "no end mark came after its last record, so the source may have failed"
#: Streams that an error names for each reason.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Ending:
    """Facts, besides the stream's own, that decide whether a stream is complete."""

    #: Whether the sync replaces the stream, and whether records of earlier runs are live or staged.
    replaces: bool
    has_data: bool
    #: Whether another stream got a terminal status, and whether any stream got a record.
    others_ended: bool = False
    input_had_records: bool = True
    #: Whether the last GLOBAL state, in an input without records, cleared the stream.
    cleared: bool = False
    without_status: WithoutStatus = "end_mark"


def finish(streams: Streams, pipeline: Pipeline, without_status: WithoutStatus) -> None:
    """Commit and promote the streams that are complete; raises a transient error if any is not."""
    reasons = incomplete_reasons(streams.all, streams.last_global, without_status)
    complete = [writer for writer, reason in reasons if reason is None]
    pipeline.verify()
    pipeline.mark_acknowledged(pipeline.sent)
    for writer in complete:
        writer.confirm(writer.position)
    pipeline.flush()
    streams.promote([writer.lease for writer in complete if writer.generations.staging])
    pipeline.verify()
    for writer, reason in reasons:
        writer.lease.release(clean=reason is None)
    pipeline.replicate()
    pipeline.flush()
    if missing := [(writer.stream, reason) for writer, reason in reasons if reason is not None]:
        raise incomplete(missing)


def incomplete_reasons(
    writers: Sequence[StreamWriter], last_global: State | None, without_status: WithoutStatus
) -> list[tuple[StreamWriter, str | None]]:
    """Return each stream writer with the reason why its stream is not complete, or None if it is.

    `last_global` is the last state that covers all streams; `without_status` is `overwrite_without_status`.
    """
    ended = sum(writer.tracker.ended for writer in writers)
    records = any(writer.received for writer in writers)
    cleared = last_global.cleared() if last_global and not records else None
    reasons = []
    for writer in writers:
        stream, generations = writer.stream, writer.generations
        ending = Ending(
            replaces=generations.staging,
            has_data=generations.has_data(),
            others_ended=ended > int(writer.tracker.ended),
            input_had_records=records,
            cleared=cleared is not None and cleared.includes((stream.namespace, stream.name)),
            without_status=without_status,
        )
        reasons.append((writer, why_incomplete(stream, writer.tracker, ending)))
    return reasons


def why_incomplete(stream: Stream, tracker: StreamStatusTracker, ending: Ending) -> str | None:
    """Return why `stream` is not complete at the end of input, None if it is."""
    match tracker.status:
        case Status.COMPLETE:
            return None
        case Status.INCOMPLETE:
            return "the source reported it incomplete"
    if tracker.failed:
        return "the source reported an error"
    if tracker.status is not None:
        return "it was started but never reported complete"
    if ending.others_ended:
        return "it got no status while another stream did"
    if stream.needs_complete:
        return "a refresh ends with the status COMPLETE, which never came"
    followed = tracker.covered == tracker.records or (tracker.any_state and not ending.input_had_records)
    at_stake = tracker.records or (ending.replaces and ending.has_data)
    if stream.truncates:  # an overwrite, on a platform that sends no statuses
        nothing_to_do = not tracker.records and not ending.replaces
        if tracker.marked == tracker.records or ending.cleared or nothing_to_do:
            return None
        if ending.without_status == "end_mark":
            return _NO_END_MARK
        complete = followed or (tracker.any_state and not at_stake)
    else:
        no_platform = not tracker.any_state and stream.sync_id is None
        complete = followed or not at_stake or no_platform
    return None if complete else "no state came after its last record, so the source may have failed"


def incomplete(reasons: Sequence[tuple[Stream, str]]) -> AirbyteTracedException:
    """Return the error that names the incomplete streams, the reasons, and what to do."""
    names: dict[str, list[str]] = {}
    for stream, reason in reasons:
        names.setdefault(reason, []).append(str(stream))
    listed = "; ".join(f"{_listed(some)} ({reason})" for reason, some in names.items())
    advice = ""
    if _NO_END_MARK in names:
        advice = ". For a source that sends no end marks, set overwrite_without_status to trailing_state"
    return transient_error(
        f"Not complete: {listed}. Their old data is unchanged, and acknowledged records are kept; run the sync again"
        f"{advice}"
    )


def _listed(names: Sequence[str]) -> str:
    more = [f"{len(names) - _NAMED} more"] if len(names) > _NAMED else []
    return ", ".join([*names[:_NAMED], *more])
