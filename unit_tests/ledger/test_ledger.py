"""A ledger as a value: read from a hash, written to it, and what it says of a stream."""

from dataclasses import replace

import pytest

from destination_redis.caches import StorageFormat
from destination_redis.ledger.ledger import Dropped, Generation, Ledger, Loss, RejectedId, Task
from destination_redis.ledger.storage import Storage
from destination_redis.ledger.stored import parse

CLAIMED = [b"writer", b"token", b"version", b"0"]


@pytest.mark.parametrize("stored", [[], CLAIMED])
def test_a_count_that_is_a_time_is_what_a_lost_ledger_of_upserts_left(stored: list[bytes]) -> None:
    found = parse(stored, b"1795446746180790")
    assert (found.live.placement, found.loss, found.has_live) == ("primary_key", Loss.LOST, True)
    assert found.reserved == found.live.committed == 1795446746180790


@pytest.mark.parametrize("stored", [[], CLAIMED])
def test_a_smaller_count_is_the_java_connectors(stored: list[bytes]) -> None:
    found = parse(stored, b"7")
    assert found == Ledger(Generation(committed=7), reserved=7)
    assert found.has_live


@pytest.mark.parametrize("stored", [[], CLAIMED])
def test_without_a_count_no_id_was_ever_given_out(stored: list[bytes]) -> None:
    assert parse(stored, b"").new


KEYED = Storage("primary_key", '[["a","b"],["c"]]', StorageFormat("json", "columns"))
NAMED = Storage("primary_key", '[["id"]]', template="user:{key}")
LIVE = Generation(3, None, 5, 9, KEYED)
LISTED = Storage("collection", "", StorageFormat("list", "columns"))
SCORED = Storage(
    "collection", "", StorageFormat("sorted_set", "columns"), fields=(("value", "player"), ("score", "points"))
)


@pytest.mark.parametrize(
    "ledger",
    [
        Ledger(),
        Ledger(LIVE, reserved=12, cursor='["at"] number', cursor_epoch=2, deletes=True, expires=True),
        Ledger(LIVE, Generation(4, 8, 13, 12, KEYED), reserved=300, task=Task.PROMOTE, loss=Loss.BEFORE_STAGED),
        Ledger(LIVE, reserved=12, dropped=Dropped(7, 9, "collection"), loss=Loss.LOST),
        Ledger(LIVE, reserved=12, dropped=Dropped(7, 9, "primary_key", "user:{key}", 2)),
        Ledger(replace(LIVE, storage=NAMED), Generation(4, 8, 13, 12, KEYED), reserved=300),
        Ledger(LIVE, Generation(4, 8, 13, 12, NAMED), reserved=300),
        Ledger(Generation(committed=9, storage=SCORED), Generation(4, 8, 13, 12, LISTED), reserved=300),
        Ledger(LIVE, reserved=12, rejected=RejectedId(10, 3)),
    ],
)
def test_what_a_ledger_says_can_be_read_back(ledger: Ledger) -> None:
    assert parse([text.encode() for text in ledger.fields()], b"9" if ledger.live is LIVE else b"") == ledger


def test_a_ledger_from_before_elements_were_fields_has_elements_that_are_the_data() -> None:
    text = Ledger(Generation(committed=9, storage=LISTED), Generation(4, 8, 13, 12, LISTED), reserved=300).fields()
    fields = dict(zip(text[::2], text[1::2], strict=True))
    for name in ("fields", "staged_fields"):
        assert fields.pop(name) == ""
    found = parse([part.encode() for pair in fields.items() for part in pair], b"")
    assert found.staged
    assert found.live.storage == found.staged.storage == LISTED


def test_a_storage_is_told_with_the_fields_that_it_is_taken_from() -> None:
    assert str(SCORED) == "as sorted_set (columns, value player, score points) in one key"
    assert str(LISTED) == "as list (columns) in one key"


def test_a_composite_key_has_as_many_parts_as_fields() -> None:
    assert KEYED.key_parts == 2
    assert Storage().key_parts == 1
    assert Storage("primary_key").key_parts is None


def test_a_stream_under_a_template_has_no_counter_and_another_applications_number_is_not_taken_for_one() -> None:
    named = Ledger(replace(LIVE, storage=NAMED), reserved=12)
    assert not named.counted
    assert parse([text.encode() for text in named.fields()], b"1000") == named
    assert Ledger(LIVE, reserved=12).counted


def test_the_streams_key_is_used_only_where_a_template_is_the_default() -> None:
    named = Ledger(replace(LIVE, storage=NAMED), reserved=12)
    assert Ledger().uses_own_key("")
    assert not Ledger().uses_own_key("user:{key}")
    assert not named.uses_own_key("user:{key}")
    assert named.uses_own_key("")
    assert Ledger(LIVE, reserved=12).uses_own_key("user:{key}")
    promoting = replace(named, staged=Generation(4, 8, 13, 12, KEYED), task=Task.PROMOTE)
    assert promoting.uses_own_key("user:{key}")
    assert not replace(promoting, task=Task.NONE).uses_own_key("user:{key}")


def test_a_collection_under_a_template_is_not_in_the_streams_key() -> None:
    queue = Storage("collection", "", StorageFormat("list"), "queue")
    assert not Ledger(replace(LIVE, storage=queue)).collected
    removing = Ledger(LIVE, Generation(4, 8, 13, 20, queue), reserved=300, task=Task.REMOVE)
    assert not removing.collected
    assert removing.counted
    assert removing.readable == queue
