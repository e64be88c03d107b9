"""What the stream's own key holds: case by case, by the note in the ledger or, without one, by type and text."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from destination_redis.caches import CACHES, Capabilities, StorageFormat
from destination_redis.ledger import storage
from destination_redis.ledger.ledger import Generation, Ledger, Loss, OwnKey, Task
from destination_redis.ledger.own_key import holds
from destination_redis.ledger.storage import Storage
from destination_redis.ledger.stored import parse

IDS = Storage()
LIST = Storage("collection", "", StorageFormat("list"))
#: A collection of Redis's type string, and one that is in another key.
BITS = Storage("collection", "", StorageFormat("bits", "columns"))
ELSEWHERE = replace(BITS, template="bits")
NOTHING = Ledger()
LIVE = Ledger(Generation(1, 1, 1, 9), reserved=12)
LONG, NUMBER, TEXT = b"", b"9", b"\x80\x01"
COUNTER, COLLECTION = OwnKey.COUNTER, OwnKey.COLLECTION


@pytest.fixture(autouse=True)
def _bits(monkeypatch: pytest.MonkeyPatch) -> None:
    bits = SimpleNamespace(capabilities=Capabilities(("columns",), collection=True, string=True))
    monkeypatch.setattr(storage, "CACHES", {**CACHES, "bits": bits})


def live(kept: Storage, note: OwnKey = OwnKey.NONE, loss: Loss = Loss.NONE) -> Ledger:
    return replace(LIVE, live=replace(LIVE.live, storage=kept), own_key=note, loss=loss)


def promoting(old: Storage, new: Storage, task: Task, note: OwnKey = OwnKey.NONE, loss: Loss = Loss.NONE) -> Ledger:
    return replace(live(old, note, loss), staged=Generation(2, 2, 13, 20, new), reserved=20, task=task)


def test_a_string_is_told_from_other_collections_by_the_data_type() -> None:
    assert BITS.in_string
    assert not any(kept.in_string for kept in (IDS, LIST, Storage("sequence", "", StorageFormat("string"))))
    assert not Storage("collection", "", StorageFormat("of_a_later_version")).in_string


@pytest.mark.parametrize("note", OwnKey)
@pytest.mark.parametrize("ledger", [NOTHING, live(IDS), live(LIST), live(BITS)])
def test_a_key_that_is_not_there_holds_nothing_whatever_is_noted(ledger: Ledger, note: OwnKey) -> None:
    assert holds(replace(ledger, own_key=note), b"none", b"") is OwnKey.NONE


class TestWithoutALedger:
    @pytest.mark.parametrize("text", [b"0", b"1", b"9", b"999999999999999", b"1795446746180790"])
    def test_a_number_is_a_counter(self, text: bytes) -> None:
        assert holds(NOTHING, b"string", text) is COUNTER

    @pytest.mark.parametrize(
        "text", [LONG, TEXT, b"007", b"00", b"-1", b"1.5", b" 1", b"1\n", b"9999999999999999", b"12345678901234567"]
    )
    def test_any_other_string_is_somebody_elses(self, text: bytes) -> None:
        assert holds(NOTHING, b"string", text) is None

    @pytest.mark.parametrize("kind", [b"list", b"set", b"hash"])
    def test_so_is_a_key_of_another_type(self, kind: bytes) -> None:
        assert holds(NOTHING, kind, b"") is None


class TestWithANote:
    @pytest.mark.parametrize("text", [LONG, TEXT, NUMBER, b"1"])
    @pytest.mark.parametrize("loss", Loss)
    def test_a_string_collection_is_one_be_its_bytes_digits_or_not(self, text: bytes, loss: Loss) -> None:
        assert holds(live(BITS, COLLECTION, loss), b"string", text) is COLLECTION

    @pytest.mark.parametrize("ledger", [live(IDS), live(BITS), live(LIST)])
    def test_a_counter_is_one_whatever_the_ledger_says_that_another_server_was_ahead_of(self, ledger: Ledger) -> None:
        noted = replace(ledger, own_key=COUNTER)
        assert holds(noted, b"string", NUMBER) is COUNTER
        assert [holds(noted, b"string", LONG), holds(noted, b"string", TEXT)] == [None] * 2

    @pytest.mark.parametrize("ledger", [live(IDS), live(LIST)])
    def test_so_is_a_string_collection_where_the_ledger_knows_of_none(self, ledger: Ledger) -> None:
        assert holds(replace(ledger, own_key=COLLECTION), b"string", NUMBER) is COLLECTION

    @pytest.mark.parametrize("note", [COUNTER, COLLECTION])
    def test_a_key_that_is_no_string_goes_by_the_ledger(self, note: OwnKey) -> None:
        assert holds(live(LIST, note), b"list", b"") is COLLECTION
        assert holds(live(IDS, note), b"list", b"") is None

    @pytest.mark.parametrize("task", [Task.PROMOTE, Task.REMOVE])
    @pytest.mark.parametrize(("old", "new"), [(IDS, BITS), (BITS, IDS)])
    def test_in_a_promotion_the_note_alone_tells_how_far_it_came(self, old: Storage, new: Storage, task: Task) -> None:
        assert holds(promoting(old, new, task, COUNTER), b"string", NUMBER) is COUNTER
        assert holds(promoting(old, new, task, COLLECTION), b"string", NUMBER) is COLLECTION

    def test_a_promotion_from_one_collection_to_another_may_have_either(self) -> None:
        ledger = promoting(LIST, BITS, Task.PROMOTE, COLLECTION)
        assert holds(ledger, b"list", b"") is COLLECTION
        assert holds(ledger, b"string", LONG) is COLLECTION


class TestWithoutANote:
    """In a ledger of a version that had no string collections, or one that a server lost."""

    def test_a_ledger_of_an_earlier_version_goes_by_the_type(self) -> None:
        assert holds(live(IDS), b"string", NUMBER) is COUNTER
        assert holds(live(LIST), b"list", b"") is COLLECTION
        for ledger, kind, text in ((live(IDS), b"list", b""), (live(LIST), b"string", NUMBER)):
            assert holds(ledger, kind, text) is None

    @pytest.mark.parametrize("text", [LONG, TEXT, NUMBER])
    def test_a_string_where_the_collection_was_never_written_is_somebody_elses(self, text: bytes) -> None:
        assert holds(live(BITS), b"string", text) is None

    @pytest.mark.parametrize("text", [LONG, TEXT, NUMBER])
    @pytest.mark.parametrize("loss", [Loss.LOST, Loss.BEFORE_STAGED])
    def test_after_a_loss_it_is_the_lost_collection_which_a_refresh_replaces(self, text: bytes, loss: Loss) -> None:
        assert holds(live(BITS, loss=loss), b"string", text) is COLLECTION

    @pytest.mark.parametrize("loss", [Loss.LOST, Loss.BEFORE_STAGED])
    @pytest.mark.parametrize("kept", [IDS, LIST, ELSEWHERE])
    def test_after_a_loss_of_anything_else_a_string_that_is_no_number_is_somebody_elses(
        self, kept: Storage, loss: Loss
    ) -> None:
        assert holds(live(kept, loss=loss), b"string", TEXT) is None
        assert holds(live(kept, loss=loss), b"string", LONG) is None
        assert holds(live(kept, loss=loss), b"string", NUMBER) is COUNTER

    @pytest.mark.parametrize(("old", "new"), [(IDS, BITS), (BITS, IDS)])
    def test_a_loss_in_a_promotion_leaves_a_number_as_the_counter_and_all_else_as_the_collection(
        self, old: Storage, new: Storage
    ) -> None:
        for task in (Task.PROMOTE, Task.REMOVE):
            lost = promoting(old, new, task, loss=Loss.LOST)
            assert holds(lost, b"string", NUMBER) is COUNTER
            assert holds(lost, b"string", LONG) is COLLECTION
            assert holds(lost, b"string", TEXT) is COLLECTION


def test_the_note_is_read_back_and_never_written_by_the_ledger_itself() -> None:
    fields = [text.encode() for text in live(BITS, COLLECTION).fields()]
    assert b"own_key" not in fields
    assert parse(fields, b"").own_key is OwnKey.NONE
    assert parse([*fields, b"own_key", b"collection"], b"").own_key is COLLECTION
