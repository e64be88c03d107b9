"""A ledger as a value: read from a hash, written to it, and what it says of a stream."""

import pytest

from destination_redis.caches import StorageFormat
from destination_redis.ledger.ledger import Dropped, Generation, Ledger, Loss, Storage, Task, parse

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
LIVE = Generation(3, None, 5, 9, KEYED)


@pytest.mark.parametrize(
    "ledger",
    [
        Ledger(),
        Ledger(LIVE, reserved=12, cursor='["at"] number', cursor_epoch=2, deletes=True),
        Ledger(LIVE, Generation(4, 8, 13, 12, KEYED), reserved=300, task=Task.PROMOTE, loss=Loss.BEFORE_STAGED),
        Ledger(LIVE, reserved=12, dropped=Dropped(7, 9, "collection"), loss=Loss.LOST),
    ],
)
def test_what_a_ledger_says_can_be_read_back(ledger: Ledger) -> None:
    assert parse([text.encode() for text in ledger.fields()], b"9" if ledger.live is LIVE else b"") == ledger


def test_a_composite_key_has_as_many_parts_as_fields() -> None:
    assert KEYED.key_parts == 2
    assert Storage().key_parts == 1
    assert Storage("primary_key").key_parts is None
