"""Upserts and failed refreshes: BFT's cases by primary key, and typing and deduping ("TD": BaseTypingDedupingTest and
BaseSqlGeneratorIntegrationTest, of the Java CDK).

Answered otherwise on purpose:

- BFT 27 testDedupChangePk keeps the rows of two primary keys side by side; here a changed one is refused until the
  stream is refreshed, since a row under a key of the old make would never be replaced again.
- TD interruptedTruncateWithPriorData and resumeAfterCancelledTruncate demand the records of a failed attempt that no
  state covers, and then find them twice; here these go, and are there once when the source has sent them again.
- TD cdcComplexUpdate takes {} in _ab_cdc_deleted_at for no deletion, since it is no timestamp ("up for debate", says
  its data); here it is one, as any value but null.
- TD testIncrementalSyncDropOneColumn drops a column that left the schema; here records stay as they were sent, as in
  BFT 20 (test_bulk_writes).

Elsewhere: TD truncateRefresh, mergeRefresh, interruptedMergeRefresh, interruptedOverwriteWithoutPriorData,
testManyStreamsCompletion and noColumns are in test_bulk_writes; weirdColumnNames, testReservedKeywords, mixedCaseTest,
testLongIdentifierHandling, incrementalDedupSameNameNamespace and timestampFormats in test_bulk_values.

Not run, for they speak of tables, of typed columns or of raw and final ones: testDisableTypingDeduping,
testCreateTableIncremental, testCreateTableForce, detectNoSchemaChange, detectColumnAdded, detectColumnRemoved,
detectColumnChanged, allTypes…, jsonStringifyTypes, minTimestampBehavesCorrectly, handlePreexistingRecords,
handleNoPreexistingRecords, ignoreOldRawRecords, overwriteFinalTable, softReset, softResetIgnoresPreexistingTempTable,
testStateHandling, testV1V2migration.
"""

import json
from typing import Literal, NamedTuple

import pytest

from integration_tests.acceptance.harness import (
    DATA,
    Destination,
    Row,
    Stored,
    checkpoint,
    complete,
    configured,
    file_lines,
    kept,
    lines,
    rows_of,
)
from integration_tests.support.messages import Json

INSTANT = {"type": "string", "format": "date-time", "airbyte_type": "timestamp_with_timezone"}
SCHEMA: Json = json.loads((DATA / "typing-deduping" / "schema.json").read_text())["properties"]
PAIR = [["id1"], ["id2"]]


def read(name: str) -> list[Row]:
    """Return the rows of a file, which name no stream."""
    return rows_of(file_lines(f"typing-deduping/{name}.jsonl"))[""]


def row(**data: object) -> Row:
    return Row(json.dumps(data), 1000)


def change(day: str, deleted: object = "left out", **more: object) -> Row:
    """Return a row of one key, "1:100" unless another is given, last changed on that day or at that time of it."""
    data = {"id1": 1, "id2": 100, "updated_at": f"2023-01-{day}Z", **more}
    return row(**data if deleted == "left out" else {**data, "_ab_cdc_deleted_at": deleted})


class Case(NamedTuple):
    """Two syncs' rows, and (sync, row) of those that stay; with deletion_mode soft these too."""

    syncs: tuple[list[Row], list[Row]]
    stay: list[tuple[int, int]]
    soft: list[tuple[int, int]] = []  # noqa: RUF012 - nobody changes it
    cursors: tuple[str, str] = ("updated_at", "updated_at")
    place: tuple[str | None, str] = ("", "")
    mode: str = "append_dedup"
    key: list[list[str]] = PAIR


def people(ids: dict[str, object]) -> tuple[list[Row], list[Row]]:
    """Return BFT 23's rows; Alice, Bob and Charlie, and one who was never there."""

    def person(second: int, minute: int, name: str | None, deleted: object = None) -> Row:
        at = f"2000-01-{second // 1000 + 1:02}T00:{minute:02}:00Z"
        return row(**ids, id2=second % 1000, updated_at=at, name=name, _ab_cdc_deleted_at=deleted)

    bob = row(**ids, id2=201, updated_at="2000-01-01T00:02:00Z", name="Bob1")
    first = [person(200, 0, "Alice1"), person(200, 1, "Alice2"), bob]
    long_ago = "1970-01-01T00:00:00Z"
    second = [
        person(1200, 0, "Alice3"),
        person(1201, 0, "Bob2"),
        person(1201, 1, None, long_ago),
        person(1202, 0, "Charlie1"),
        person(1202, 1, None, long_ago),
        person(1203, 0, None, long_ago),
    ]
    return first, second


ONE, TWO, ONE_OTHER, TWO_OTHER, OLD_CURSOR = (
    read(name)
    for name in (
        "sync1_messages",
        "sync2_messages",
        "sync1_messages2",
        "sync2_messages2",
        "sync1_cursorchange_messages",
    )
)
HISTORY_1 = [
    change("01T00:00:00", None, id1=1, string="spooky ghost"),
    change("01T01:00:00", "2022-12-31T00:00:00Z", id1=0, string="zombie"),
    change("01T02:00:00", None, id1=5, string="will be deleted"),
    change("01T03:00:00", None, id1=6, string="should be untouched"),
]
HISTORY_2 = [
    change("02T01:00:00", None, id1=2, string="alice"),
    change("02T02:00:00", None, id1=2, string="alice2"),
    change("02T03:00:00", None, id1=3, string="bob"),
    change("02T04:00:00", "2022-12-31T23:59:59Z", id1=1),
    change("02T05:00:00", None, id1=0, string="zombie_returned"),
    change("02T06:00:00", id1=4, string="charlie"),
    change("02T07:00:00", {}, id1=5, string="david1"),
]
DELETED = change("01T01:00:00", "2023-01-01T01:00:00Z")

CASES: dict[str, Case] = {
    "BFT 23 testDedup": Case(people({"id1": 1}), [(1, 0)], [(1, 2), (1, 4), (1, 5)]),
    "BFT 24 testDedupWithStringKey": Case(
        people({"id1": "9cf974de-52cf-4194-9f3d-7efa76ba4d84"}), [(1, 0)], [(1, 2), (1, 4), (1, 5)]
    ),
    "BFT 25 testDedupNoCursor, TD incrementalDedupNoCursor": Case(
        ([Row('{"id":1234,"name":"a"}', 1234), Row('{"id":1234,"name":"b"}', 5678)], []),
        [(0, 1)],
        cursors=("", ""),
        key=[["id"]],
    ),
    "BFT 26 testDedupChangeCursor": Case(
        ([row(id=1, cursor1=9, name="foo_1")], [row(id=1, cursor2=1, name="foo_2")]),
        [(1, 0)],
        cursors=("cursor1", "cursor2"),
        key=[["id"]],
    ),
    "BFT 26 testDedupChangeCursor, in one column: a null or missing cursor is the oldest": Case(
        ([row(id=1, cursor1=-9, name="foo_1")], [row(id=1, cursor1=None, name="foo_2"), row(id=1, name="foo_3")]),
        [(0, 0)],
        cursors=("cursor1", "cursor1"),
        key=[["id"]],
    ),
    "TD incrementalDedup": Case((ONE, TWO), [(0, 3), (0, 4), (1, 0)], [(1, 2)]),
    "TD incrementalDedupDefaultNamespace": Case((ONE, TWO), [(0, 3), (0, 4), (1, 0)], [(1, 2)], place=(None, "users")),
    "TD incrementalDedupIdenticalName": Case((ONE, TWO), [(0, 3), (0, 4), (1, 0)], [(1, 2)], place=("test_1", "same")),
    "TD incrementalDedupIdenticalName, the other": Case((ONE_OTHER, TWO_OTHER), [(1, 0)], place=("test_2", "same")),
    "TD incrementalDedupChangeCursor": Case(
        (OLD_CURSOR, TWO), [(0, 3), (1, 0)], [(1, 2)], cursors=("old_cursor", "updated_at")
    ),
    "TD incrementalAppend and fullRefreshAppend": Case(
        (ONE, TWO), [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (1, 0), (1, 1), (1, 2)], mode="append"
    ),
    "TD sync_null_pk": Case((read("sync_null_pk"), []), [(0, 2)]),
    "TD testCdcImmediateDeletion, cdcImmediateDeletion": Case(([DELETED], []), [], [(0, 0)]),
    "TD testCdcIdempotent, cdcIdempotent": Case(([DELETED], [DELETED]), [], [(1, 0)]),
    "TD cdcIdempotent, which appends": Case(([DELETED], []), [(0, 0)], mode="append"),
    "TD testCdcComplexUpdate, cdcComplexUpdate": Case(
        (HISTORY_1, HISTORY_2), [(0, 3), (1, 1), (1, 2), (1, 4), (1, 5)], [(1, 3), (1, 6)]
    ),
    "TD testCdcOrdering_updateAfterDelete": Case(
        ([DELETED], [change("01T00:00:00", None, string="alice")]), [], [(0, 0)]
    ),
    "TD testCdcOrdering_insertAfterDelete": Case(([change("01T02:00:00", None, string="alice")], [DELETED]), [(0, 0)]),
}


@pytest.mark.parametrize("deletion_mode", ["hard", "soft"])
def test_of_each_key_the_newest_record_stays_unless_it_is_a_deletion(
    destination: Destination, deletion_mode: Literal["hard", "soft"]
) -> None:
    """The cases that CASES names, each a stream of the same two syncs."""
    destination.connector.config["deletion_mode"] = deletion_mode
    streams: dict[str, list[Json]] = {}
    for name, case in CASES.items():
        namespace, own_name = case.place
        place = {"namespace": namespace} if own_name else {}
        streams[name] = [
            configured(
                own_name or name,
                case.mode,
                (42, 0, 42 + number),
                SCHEMA,
                primary_key=case.key,
                cursor_field=[cursor] if cursor else [],
                **place,
            )
            for number, cursor in enumerate(case.cursors)
        ]
    for number in range(2):
        sent = [text for name, case in CASES.items() for text in lines(streams[name][number], case.syncs[number])]
        destination.sync([made[number] for made in streams.values()], sent)

    for name, case in CASES.items():
        stay = case.stay + (case.soft if deletion_mode == "soft" else [])
        expected = [Stored(case.syncs[sync][position], 42, 42 + sync) for sync, position in stay]
        assert sorted(destination.stored(streams[name][0]), key=str) == sorted(expected, key=str), name


def test_special_characters_do_no_harm_in_names_keys_and_cursors(destination: Destination) -> None:
    """BFT 10 testFunkyCharactersDedup, TD noCrashOnSpecialCharacters."""
    marks = ["$", "${", "${${", "${foo}", '"', "'", "`", ".", "$$", "\\", "{", "}", "~!@#$%^&*()`[]{}\\|;':\",./<>?"]
    sent: list[tuple[Json, list[Row]]] = []
    for mark in marks:
        name = f"{mark}_test_{mark}"
        key, cursor, value = (f"{field}{mark}" for field in ("id", "updated_at", "value"))
        made = configured(name, "append_dedup", namespace=name, primary_key=[[key]], cursor_field=[cursor])
        sent.append((made, [row(**{key: mark, cursor: at, value: "bar"}) for at in (1, 2, 0)]))
    destination.sync([stream for stream, _ in sent], [text for each in sent for text in lines(*each)])

    for stream, rows in sent:
        assert destination.stored(stream) == kept(stream, rows[1])


def test_a_changed_primary_key_is_refused_until_a_refresh(destination: Destination) -> None:
    """BFT 27 testDedupChangePk, answered otherwise."""
    first = configured(mode="append_dedup", run=(42, 0, 42), primary_key=[["id1"], ["id2"]], cursor_field=[])
    rows = [row(id1=1, id2=200, name="foo"), row(id1=1, id3=300, name="bar")]
    destination.sync([first], lines(first, rows[:1]))
    second = {**first, "primary_key": [["id1"], ["id3"]]}
    outcome = destination.connector.write([second], [*lines(second, rows[1:]), complete(second)])

    assert outcome.code != 0
    assert outcome.error["failure_type"] == "config_error"
    assert "refresh" in outcome.error["message"].lower()
    assert destination.stored(first) == kept(first, rows[0])

    second |= {"generation_id": 43, "minimum_generation_id": 43, "sync_id": 43}
    destination.sync([second], lines(second, rows[1:]))
    assert destination.stored(second) == kept(second, rows[1])


def test_many_copies_of_a_few_rows_are_those_rows(destination: Destination) -> None:
    """TD largeDedupSync."""
    stream = configured(mode="append_dedup", schema=SCHEMA, primary_key=PAIR, cursor_field=["updated_at"])
    destination.sync([stream], lines(stream, ONE) * 25_000)
    assert destination.stored(stream) == kept(stream, *ONE[1:])


def test_two_syncs_at_once_into_streams_of_one_name_do_not_disturb_each_other(destination: Destination) -> None:
    """TD identicalNameSimultaneousSync."""
    made: Json = {"primary_key": PAIR, "cursor_field": ["updated_at"], "schema": SCHEMA}
    one, other = (
        configured("users", "append_dedup", namespace=namespace, **made) for namespace in ("test_1", "test_2")
    )
    first = destination.connector.start([one])
    first.send(*lines(one, ONE), checkpoint(one, {}))
    first.wait_for_states(1, 60)
    second = destination.connector.start([other])
    second.send(*lines(other, ONE_OTHER) * 10_000)
    first.send(complete(one))
    assert first.finish().code == 0
    second.send(*lines(other, ONE_OTHER) * 10_000, complete(other))
    assert second.finish().code == 0

    assert destination.stored(one) == kept(one, *ONE[1:])
    assert destination.stored(other) == kept(other, *ONE_OTHER)


def test_records_of_a_failed_attempt_that_no_state_covers_are_there_once_when_they_are_sent_again(
    destination: Destination,
) -> None:
    """TD interruptedTruncateWithPriorData, resumeAfterCancelledTruncate; answered otherwise in that it is once."""
    resumed, cancelled = (
        [configured(name, run=run, schema=SCHEMA) for run in runs]
        for name, runs in (
            ("resumed", [(41, 41, 42), (43, 43, 42), (43, 43, 42)]),
            ("cancelled", [(43, 0, 42), (44, 44, 42), (44, 0, 42)]),
        )
    )
    for stream in resumed:
        stream["destination_sync_mode"] = "overwrite"
    destination.sync([resumed[0], cancelled[0]], [*lines(resumed[0], [*ONE, *TWO]), *lines(cancelled[0], ONE)])
    attempt = [*lines(resumed[1], ONE), *lines(cancelled[1], TWO)]
    outcome = destination.connector.write([resumed[1], cancelled[1]], attempt)

    assert outcome.code != 0
    assert outcome.error["failure_type"] == "transient_error"
    assert destination.stored(resumed[0]) == kept(resumed[0], *ONE, *TWO)
    assert destination.stored(cancelled[0]) == kept(cancelled[0], *ONE)

    destination.sync([resumed[2], cancelled[2]], attempt)
    assert destination.stored(resumed[2]) == kept(resumed[2], *ONE)
    assert destination.stored(cancelled[2]) == [*kept(cancelled[0], *ONE), *kept(cancelled[2], *TWO)]
