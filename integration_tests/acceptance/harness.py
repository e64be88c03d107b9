"""A sync as Airbyte's own tests run it, and the stored records as they compare them."""

import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple
from uuid import RFC_4122, UUID

from redis import Redis

from integration_tests.support.connector.process import Connector, Outcome
from integration_tests.support.messages import Json, generation, stream
from integration_tests.support.waiting import wait_until

DATA = Path(__file__).parent / "data"
NAMESPACE = "test20260101"
ANALYTICS = {"type": "TRACE", "trace": {"type": "ANALYTICS", "emitted_at": 1, "analytics": {"type": "a", "value": "b"}}}

#: How a sync is cut off.
End = Literal["no status", "unparseable", "kill"]


class Row(NamedTuple):
    """A record, its data as the text that is sent and to be stored."""

    data: str
    emitted_at: int = 1602637589100
    changes: tuple[Json, ...] = ()


class Stored(NamedTuple):
    """A record as it is found, with its place in the history of syncs."""

    row: Row
    generation_id: int
    sync_id: int


def configured(
    name: str = "test_stream",
    mode: str = "append",
    run: tuple[int, int, int] = (0, 0, 42),
    schema: Json | None = None,
    namespace: str | None = NAMESPACE,
    **more: object,
) -> Json:
    """Return a configured stream; `run` is its generation, the minimum one and the sync's id."""
    place = {"namespace": namespace} if namespace is not None else {}
    made = stream(name, mode, **place, **generation(*run), **more)
    made["stream"]["json_schema"] = {"type": "object", "properties": schema or {}}
    return made


def line(stream: Json, row: Row) -> str:
    """Return a record's line, the data as it is."""
    place = "".join(f'"{field}":{json.dumps(value)},' for field, value in _place(stream).items())
    meta = f'"meta":{json.dumps({"changes": row.changes})},' if row.changes else ""
    place = place.replace('"name"', '"stream"', 1)
    return f'{{"type":"RECORD","record":{{{place}{meta}"emitted_at":{row.emitted_at},"data":{row.data}}}}}'


def lines(stream: Json, rows: Iterable[Row]) -> list[str]:
    return [line(stream, row) for row in rows]


def checkpoint(stream: Json, blob: object, **more: object) -> Json:
    """Return a stream's state."""
    body = {"stream_descriptor": _place(stream), "stream_state": blob}
    return {"type": "STATE", "state": {"type": "STREAM", "stream": body, **more}}


def complete(stream: Json) -> Json:
    status = {"stream_descriptor": _place(stream), "status": "COMPLETE"}
    return {"type": "TRACE", "trace": {"type": "STREAM_STATUS", "emitted_at": 1.7e12, "stream_status": status}}


def kept(stream: Json, *rows: Row) -> list[Stored]:
    """Return how the rows that one sync sent are to be found."""
    return [Stored(row, stream["generation_id"], stream["sync_id"]) for row in rows]


def counted(state: Json, records: int) -> Json:
    """Return a state's body as it is to come back."""
    return {**state["state"], "destinationStats": {"recordCount": float(records)}}


def file_lines(name: str) -> list[str]:
    """Return the messages in a file of Airbyte's, without its comments, and without the one brace too many."""
    found = (DATA / name).read_text().splitlines()
    messages = [line.strip() for line in found if line.strip() and not line.startswith("//")]
    return [line.removesuffix("}") if line.endswith('"name": null }}}') else line for line in messages]


def catalog(name: str, run: tuple[int, int, int] = (12, 12, 42)) -> list[Json]:
    """Return a file's streams: to be overwritten, unless it says otherwise itself."""
    found = json.loads((DATA / name).read_text())["streams"]
    return [each if "stream" in each else _overwritten(each, run) for each in found]


def rows_of(messages: Iterable[str]) -> dict[str, list[Row]]:
    """Return the records in these lines for each stream, "" for those that name none."""
    found: dict[str, list[Row]] = {}
    for message in messages:
        parsed = json.loads(message)
        if parsed["type"] != "RECORD":
            continue
        record = parsed["record"]
        start = re.search(r'"data": *', message)
        assert start
        _, end = json.JSONDecoder().raw_decode(message, start.end())
        row = Row(message[start.end() : end], record["emitted_at"], tuple(record.get("meta", {}).get("changes", ())))
        found.setdefault(record.get("stream", ""), []).append(row)
    return found


class Destination:
    """The connector in front of one server, with all of Airbyte's metadata kept."""

    def __init__(self, connector: Connector, client: Redis) -> None:
        self.connector = connector
        self.client = client
        self.connector.config["record_metadata"] = "full"

    def sync(self, streams: Sequence[Json], messages: Iterable[Json | str]) -> Outcome:
        """Sync with every stream reported complete; it succeeds."""
        outcome = self.connector.write(streams, [*messages, *map(complete, streams)])
        assert outcome.code == 0, outcome.text
        return outcome

    def interrupt(self, streams: Sequence[Json], messages: Sequence[Json | str], end: End) -> Outcome:
        """Sync until every state has come back while the input is open, then cut it off; it fails."""
        running = self.connector.start(streams)
        running.send(*messages)
        states = len([message for message in messages if not isinstance(message, str) and message["type"] == "STATE"])

        def acknowledged() -> bool:
            running.send(ANALYTICS)
            return len(running.outcome(0).states) == states

        wait_until(acknowledged, 60)
        if end == "unparseable":
            running.send('{"unparseable')
        outcome = running.kill() if end == "kill" else running.finish()
        assert outcome.code != 0, outcome.text
        return outcome

    def stored(self, stream: Json) -> list[Stored]:
        """Return a stream's records in the order of their ids; each has a UUID of its own."""
        found = self.fields(stream)
        ids = [UUID(fields["_airbyte_raw_id"]) for fields in found]
        assert {(each.variant, each.version) for each in ids} <= {(RFC_4122, 4)}
        assert len({fields["_airbyte_raw_id"] for fields in found}) == len(found)
        return [_stored(fields) for fields in found]

    def fields(self, stream: Json) -> list[dict[str, str]]:
        """Return the hashes of a stream's records in the order of their ids."""
        prefix = re.sub(r"([*?\[\]\\^-])", r"\\\1", self.prefix(stream))
        hashes = [self.client.hgetall(key) for key in self.client.scan_iter(f"{prefix}*", count=1000)]
        texts = [{name.decode(): value.decode() for name, value in fields.items()} for fields in hashes]  # type: ignore[union-attr]
        return sorted(texts, key=lambda fields: int(fields["_airbyte_ab_id"]))

    def prefix(self, stream: Json) -> str:
        """Return what stands before a record's id in its key."""
        default = self.connector.config.get("default_namespace", "default")
        parts = (stream["stream"].get("namespace") or default, stream["stream"]["name"])
        return "".join(re.sub("[%:{}]", lambda found: f"%{ord(found[0]):02X}", part) + ":" for part in parts)


def _overwritten(stream: Json, run: tuple[int, int, int]) -> Json:
    return {
        "stream": stream,
        "sync_mode": "full_refresh",
        "destination_sync_mode": "overwrite",
        "cursor_field": [],
        "primary_key": [],
        **generation(*run),
    }


def _place(stream: Json) -> Json:
    return {name: stream["stream"][name] for name in ("name", "namespace") if name in stream["stream"]}


def _stored(fields: dict[str, str]) -> Stored:
    assert fields["_airbyte_extracted_at"] == fields["_airbyte_emitted_at"]
    meta = json.loads(fields["_airbyte_meta"])
    row = Row(fields["_airbyte_data"], int(fields["_airbyte_emitted_at"]), tuple(meta["changes"]))
    return Stored(row, int(fields["_airbyte_generation_id"]), meta["sync_id"])
