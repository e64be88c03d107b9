"""What a benchmark sends: the messages of a sync, the same records as finished commands, and a catalog."""

import gzip
import json
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path

from destination_redis.caches import KeyedCache, plain
from destination_redis.keys import StreamKeys
from destination_redis.protocol.messages import decode
from destination_redis.resp import pack_command

ROOT = Path(__file__).resolve().parent.parent
STATE_EVERY = 10_000
MESSAGES = "messages.jsonl"
#: The finished commands that write the records, and those that replace them.
COMMANDS, REPLACEMENT = "commands.resp", "replacement.resp"
#: What a sync without records sends, and what `redis-cli --pipe` then gets.
ENDED, EMPTY = "ended.jsonl", "empty"
#: The messages and the ends of several streams, whose records come in turn.
IN_TURN, ALL_ENDED = "in-turn.jsonl", "all-ended.jsonl"
MANY = tuple(f"users{number}" for number in range(10))

#: Keys per UNLINK.
_UNLINKED = 100
_UPDATED_AT = re.compile(rb'"updated_at":"[^"]*"')
_FIRST_UPDATE = datetime(2024, 1, 1, tzinfo=UTC)


def prepare(folder: Path, records: int) -> None:
    """Write the messages of a sync of `records` different users, each updated at another time, and of one of none."""
    # Line by line: a child's peak memory is never reported below what this process held when it was started.
    with gzip.open(ROOT / "examples" / "faker.jsonl.gz") as faker:
        start = b'{"type":"RECORD","record":{"stream":"users","data":{"id":'
        users = [_UPDATED_AT.split(line.partition(b',"created_at')[2]) for line in faker if line.startswith(start)]
    descriptor = {"stream_descriptor": {"name": "users"}}
    with (folder / MESSAGES).open("wb") as messages:
        for number, (before, after) in enumerate(islice(cycle(users), records), 1):
            updated_at = (_FIRST_UPDATE + number * timedelta(seconds=61)).isoformat().encode()
            messages.write(b'%b%d,"created_at%b"updated_at":"%b"%b' % (start, number, before, updated_at, after))
            if number % STATE_EVERY == 0:
                stream = {**descriptor, "stream_state": {"id": number}}
                messages.write(_line({"type": "STATE", "state": {"type": "STREAM", "stream": stream}}))
        status = {
            "type": "STREAM_STATUS",
            "emitted_at": 0,
            "stream_status": {**descriptor, "status": "COMPLETE"},
        }
        ended = _line({"type": "TRACE", "trace": status})
        messages.write(ended)
    (folder / ENDED).write_bytes(ended)
    (folder / EMPTY).touch()


def prepare_in_turn(folder: Path) -> None:
    """Write the messages that were prepared as those of the streams in `MANY`, record by record in turn."""
    names = [name.encode() for name in MANY]
    own = (b'"stream":"users"', b'"name":"users"')
    with (folder / MESSAGES).open("rb") as messages, (folder / IN_TURN).open("wb") as in_turn:
        for number, line in enumerate(messages):
            if line.startswith(b'{"type":"TRACE"'):
                break
            of_stream = names[number % len(names)]
            renamed = line
            for text in own:
                renamed = renamed.replace(text, text.replace(b"users", of_stream), 1)
            in_turn.write(renamed)
        ended = b"".join((folder / ENDED).read_bytes().replace(own[1], b'"name":"%b"' % name) for name in names)
        in_turn.write(ended)
    (folder / ALL_ENDED).write_bytes(ended)


def finish(folder: Path, cache: KeyedCache, records: int) -> None:
    """Write the records that were prepared as finished commands, and those that replace them by records like them.

    As in an overwrite, the new records have other ids and are staged, then renamed; then the old ones are removed.
    """
    keys = StreamKeys("default", "users").data()
    command_of, staged_of = cache.encoder(keys.live, plain), cache.encoder(keys.staged, plain)
    number = 0
    with (
        (folder / MESSAGES).open("rb") as messages,
        (folder / COMMANDS).open("wb") as commands,
        (folder / REPLACEMENT).open("wb") as replacement,
    ):
        for line in messages:
            if body := decode(line).record:
                number += 1
                commands.write(command_of(number, body))
                replacement.write(staged_of(records + number, body))
        ids = [b"%d" % number for number in range(1, 2 * records + 1)]
        for own in ids[records:]:
            replacement.write(pack_command("RENAME", keys.staged.key(own), keys.live.key(own)))
        for at in range(0, records, _UNLINKED):
            replacement.write(pack_command("UNLINK", *map(keys.live.key, ids[at : min(at + _UNLINKED, records)])))


def catalog(mode: str, generation: int, minimum: int, sync: int, names: Sequence[str] = ("users",)) -> str:
    """Return a catalog of streams with the schema of faker's users."""
    with (ROOT / "examples" / "catalog.json").open() as example:
        schemas = {each["stream"]["name"]: each["stream"]["json_schema"] for each in json.load(example)["streams"]}
    stream = {"json_schema": schemas["users"], "supported_sync_modes": ["full_refresh"]}
    configured = {
        "sync_mode": "full_refresh",
        "destination_sync_mode": mode,
        "primary_key": [["id"]],
        "cursor_field": ["updated_at"],
        "generation_id": generation,
        "minimum_generation_id": minimum,
        "sync_id": sync,
    }
    return json.dumps({"streams": [{"stream": {"name": name, **stream}, **configured} for name in names]})


def _line(message: object) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"
