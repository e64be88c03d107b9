"""A ledger as a value: read, moved, and refused where it is none."""

import pytest

from destination_redis.ledger import Ledger, parse

CLAIMED = [b"writer", b"token", b"move", b"0"]


@pytest.mark.parametrize("stored", [[], CLAIMED])
def test_a_count_that_is_a_time_is_what_a_lost_ledger_of_upserts_left(stored: list[bytes]) -> None:
    found = parse(stored, b"1795446746180790")
    assert (found.placement, found.lost, found.live) == ("primary_key", 1, True)
    assert found.reserved == found.committed == 1795446746180790


@pytest.mark.parametrize("stored", [[], CLAIMED])
def test_a_smaller_count_is_the_java_connectors(stored: list[bytes]) -> None:
    found = parse(stored, b"7")
    assert found == Ledger(committed=7, reserved=7)
    assert found.live


@pytest.mark.parametrize("stored", [[], CLAIMED])
def test_without_a_count_no_id_was_ever_given_out(stored: list[bytes]) -> None:
    assert parse(stored, b"").new


def test_what_a_ledger_says_can_be_read_back() -> None:
    ledger = Ledger(generation=3, sync_id=None, first=5, committed=9, reserved=12, key_fields='[["a","b"],["c"]]')
    assert parse([text.encode() for text in ledger.fields()], b"9") == ledger
    assert ledger.key_parts == 2
