"""The specification of the ledger: every start of a sync, every end, and every recovery, case by case."""

from dataclasses import replace
from typing import Any

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.caches import StorageFormat
from destination_redis.ledger import transitions
from destination_redis.ledger.ledger import Dropped, Generation, Ledger, Loss, RejectedId, Task
from destination_redis.ledger.storage import Storage
from destination_redis.ledger.transitions import FIRST_RESERVE, Start, start
from destination_redis.protocol.catalog import Stream

IDS = Storage()
KEYS = Storage("primary_key", '[["id"]]')
LIST = Storage("collection", "", StorageFormat("list"))

#: Ids 1 to 9 are live, all of them acknowledged, as generation 1 of the sync 1; 10 to 12 were reserved.
LIVE = Ledger(Generation(1, 1, 1, 9), reserved=12)
#: A refresh, generation 2 of the sync 2, died; its ids 13 to 20 are acknowledged.
STAGED = Ledger(Generation(1, 1, 1, 9), Generation(2, 2, 13, 20), reserved=268)


def stream(storage: Storage = IDS, **more: Any) -> Stream:
    keyed = {"primary_key": (("id",),), "cursor": ("at",)} if storage.placement == "primary_key" else {}
    mode: Any = more.pop("mode", "append_dedup" if keyed else "append")
    return Stream("users", None, mode, **{**keyed, "collected": storage.placement == "collection", **more})


def stored(ledger: Ledger, storage: Storage) -> Ledger:
    """Return the ledger of records that are all kept so."""
    staged = replace(ledger.staged, storage=storage) if ledger.staged else None
    return replace(ledger, live=replace(ledger.live, storage=storage), staged=staged)


def adding(generation: int | None = 1, sync: int | None = 3) -> dict[str, Any]:
    return {"generation_id": generation, "minimum_generation_id": 0, "sync_id": sync}


def replacing(generation: int, sync: int) -> dict[str, Any]:
    return {"generation_id": generation, "minimum_generation_id": generation, "sync_id": sync}


class TestFirstIds:
    def test_sequential_ids_begin_with_1(self) -> None:
        assert transitions.first_ids(Ledger(), IDS, 10**15).reserved == 0

    def test_by_primary_key_they_begin_with_the_servers_time_so_that_they_rise_even_if_a_ledger_was_lost(self) -> None:
        found = transitions.first_ids(Ledger(), KEYS, 10**15)
        assert (found.live.first, found.live.committed, found.reserved) == (10**15, 10**15 - 1, 10**15 - 1)

    def test_a_ledger_that_has_ids_goes_on(self) -> None:
        assert transitions.first_ids(LIVE, KEYS, 10**15) == LIVE


class TestAddingToLiveRecords:
    def test_a_first_sync_reserves_ids_before_it_uses_any(self) -> None:
        found = start(Ledger(), stream(**adding(0, 1)), IDS)
        assert found.next_id == 1
        assert found.ledger == Ledger(Generation(0, 1), reserved=FIRST_RESERVE)

    def test_ids_go_on_above_all_that_were_reserved(self) -> None:
        found = start(LIVE, stream(**adding(1, 3)), IDS)
        assert (found.next_id, found.stages) == (13, False)
        assert found.ledger == Ledger(Generation(1, 3, 1, 9), reserved=12 + FIRST_RESERVE)

    @pytest.mark.parametrize("numbers", [adding(None, None), adding(1, 1), replacing(1, 1)])
    def test_whatever_does_not_ask_for_a_replacement_adds(self, numbers: dict[str, Any]) -> None:
        assert not start(LIVE, stream(**numbers), IDS).stages

    def test_what_a_cancelled_refresh_had_acknowledged_is_merged_first(self) -> None:
        found = start(STAGED, stream(**adding(3, 3)), IDS)
        assert (found.stages, found.ledger.task, found.next_id) == (False, Task.MERGE, 269)
        assert found.ledger.staged == STAGED.staged

    def test_another_template_is_refused_and_only_a_refresh_helps(self) -> None:
        named = replace(KEYS, template="user:{key}")
        for held, wanted in ((KEYS, named), (named, KEYS), (named, replace(KEYS, template="u:{key}"))):
            with pytest.raises(AirbyteTracedException, match="refresh the stream"):
                start(stored(LIVE, held), stream(wanted, **adding(1, 3)), wanted)
            found = start(stored(LIVE, held), stream(wanted, **replacing(2, 3)), wanted)
            assert found.ledger.staged is not None
            assert (found.ledger.live.storage, found.ledger.staged.storage) == (held, wanted)

    def test_staged_records_are_dropped_under_the_template_that_they_had(self) -> None:
        named = replace(KEYS, template="user:{key}")
        found = start(stored(STAGED, named), stream(KEYS, **replacing(3, 3)), KEYS)
        assert found.ledger.dropped == Dropped(13, 268, "primary_key", "user:{key}", 1)

    def test_an_empty_collection_changes_its_key_with_its_template(self) -> None:
        empty = Ledger(Generation(1, 1, 1, 0, LIST), reserved=12)
        assert start(empty, stream(LIST, **adding()), replace(LIST, template="queue")).changes_key
        assert not start(empty, stream(LIST, **adding()), LIST).changes_key

    def test_another_storage_is_refused_and_only_a_refresh_helps(self) -> None:
        with pytest.raises(
            AirbyteTracedException, match=r"by sequential ids, but this sync would store them .* in one key"
        ):
            start(LIVE, stream(LIST, **adding()), LIST)
        with pytest.raises(AirbyteTracedException, match="refresh the stream"):
            start(LIVE, stream(KEYS, **adding()), KEYS)

    @pytest.mark.parametrize("other", [replace(LIST, fields=((name, "id"),)) for name in ("value", "score")])
    def test_elements_taken_from_other_fields_are_another_storage(self, other: Storage) -> None:
        for before, now in ((LIST, other), (other, LIST)):
            with pytest.raises(AirbyteTracedException, match="refresh the stream"):
                start(stored(LIVE, before), stream(LIST, **adding()), now)
            refreshed = start(stored(LIVE, before), stream(LIST, **replacing(2, 2)), now)
            assert refreshed.ledger.staged
            assert (refreshed.ledger.live.storage, refreshed.ledger.staged.storage) == (before, now)
            empty = Ledger(Generation(1, 1, 13, 12, before), reserved=12)
            assert start(empty, stream(LIST, **adding()), now).ledger.live.storage == now

    def test_an_empty_stream_may_change_its_storage_and_its_key_turns_with_it(self) -> None:
        empty = Ledger(Generation(1, 1, 13, 12), reserved=12)
        assert start(empty, stream(LIST, **adding()), LIST).changes_key
        assert start(stored(empty, LIST), stream(**adding()), IDS).changes_key
        assert not start(empty, stream(**adding()), IDS).changes_key

    def test_a_collection_counts_what_no_state_covers_from_the_first_id_of_the_sync(self) -> None:
        found = start(stored(LIVE, LIST), stream(LIST, **adding()), LIST)
        assert (found.ledger.live.committed, found.ledger.sent, found.next_id) == (12, 12, 13)

    def test_another_order_of_upserts_makes_everything_before_it_older(self) -> None:
        first = start(stored(LIVE, KEYS), stream(KEYS, **adding()), KEYS).ledger
        assert (first.cursor, first.cursor_epoch) == ('["at"] text', 0)
        same = start(first, stream(KEYS, **adding()), KEYS).ledger
        assert same.cursor_epoch == 0
        other = start(same, stream(KEYS, cursor=("updated",), **adding()), KEYS).ledger
        assert (other.cursor, other.cursor_epoch) == ('["updated"] text', 1)


class TestReplacingAStream:
    def check_anew(self, found: Start, number: int | None, sync_id: int | None) -> None:
        assert (found.stages, found.continues_staged, found.next_id) == (True, False, found.ledger.reserved - 255)
        assert found.ledger.staged is not None
        assert found.ledger.staged.pair == (number, sync_id)
        assert found.ledger.staged.first == found.next_id == found.ledger.staged.committed + 1

    @pytest.mark.parametrize("numbers", [replacing(2, 2), replacing(1, 2)])
    def test_another_pair_of_generation_and_sync_is_staged_be_it_higher_or_not(self, numbers: dict[str, Any]) -> None:
        found = start(LIVE, stream(**numbers), IDS)
        self.check_anew(found, numbers["generation_id"], numbers["sync_id"])
        assert found.replaces_live
        assert found.ledger.live == LIVE.live

    def test_an_overwrite_without_generations_always_begins_anew(self) -> None:
        found = start(STAGED, stream(mode="overwrite"), IDS)
        self.check_anew(found, None, None)
        assert found.ledger.dropped == Dropped(13, 20, "sequence", key_parts=1)

    def test_the_same_pair_goes_on_with_what_is_staged(self) -> None:
        found = start(STAGED, stream(**replacing(2, 2)), IDS)
        assert (found.stages, found.continues_staged, found.next_id) == (True, True, 269)
        assert found.ledger.staged == STAGED.staged
        assert found.ledger.dropped is None

    def test_another_pair_drops_what_is_staged(self) -> None:
        found = start(STAGED, stream(**replacing(3, 3)), IDS)
        self.check_anew(found, 3, 3)
        assert found.ledger.dropped == Dropped(13, 20, "sequence", key_parts=1)

    @pytest.mark.parametrize("storage", [KEYS, LIST])
    def test_where_unacknowledged_records_may_be_there_all_reserved_ids_are_dropped(self, storage: Storage) -> None:
        found = start(stored(STAGED, storage), stream(storage, **replacing(3, 3)), storage)
        assert found.ledger.dropped == Dropped(13, 268, storage.placement, key_parts=1)

    def test_by_primary_key_a_refresh_that_got_nothing_acknowledged_begins_anew(self) -> None:
        nothing = replace(STAGED, staged=Generation(2, 2, 13, 12))
        found = start(stored(nothing, KEYS), stream(KEYS, **replacing(2, 2)), KEYS)
        self.check_anew(found, 2, 2)
        assert found.ledger.dropped == Dropped(13, 268, "primary_key", key_parts=1)

    def test_a_refresh_may_change_the_storage_but_not_half_way(self) -> None:
        self.check_anew(start(LIVE, stream(LIST, **replacing(2, 2)), LIST), 2, 2)
        with pytest.raises(AirbyteTracedException, match="refresh the stream"):
            start(STAGED, stream(LIST, **replacing(2, 2)), LIST)

    @pytest.mark.parametrize(("committed", "first"), [(20, 13), (12, 269)])
    def test_a_staged_collection_goes_on_where_it_was_and_an_empty_one_begins_here(
        self, committed: int, first: int
    ) -> None:
        ledger = stored(replace(STAGED, staged=Generation(2, 2, 13, committed)), LIST)
        found = start(ledger, stream(LIST, **replacing(2, 2)), LIST).ledger
        assert found.staged is not None
        assert (found.staged.first, found.staged.committed, found.sent) == (first, 268, 268)


class TestStagedRecordsThatNoStateCovers:
    NOTHING = replace(STAGED, staged=Generation(2, 2, 13, 12), sent=40)
    NAMED = replace(KEYS, template="user:{key}")
    VALUES = replace(LIST, fields=(("value", "id"),))
    #: How records were staged, how they are stored now, and what has to be removed.
    CHANGES = pytest.mark.parametrize(
        ("held", "wanted", "dropped"),
        [
            (NAMED, KEYS, Dropped(13, 268, "primary_key", "user:{key}", 1)),
            (KEYS, NAMED, Dropped(13, 268, "primary_key", "", 1)),
            (VALUES, LIST, Dropped(13, 268, "collection", "", 1)),
            (replace(LIST, template="queue"), LIST, Dropped(13, 268, "collection", "queue", 1)),
            (KEYS, LIST, Dropped(13, 268, "primary_key", "", 1)),
            (IDS, LIST, None),  # by sequence they are already removed
            (replace(IDS, storage_format=StorageFormat("json")), IDS, None),
        ],
    )

    def staged(self, held: Storage, wanted: Storage, ledger: Ledger = NOTHING) -> Ledger:
        """Return the ledger of a stream whose live records are stored as they are now, and the staged ones are not."""
        assert ledger.staged
        live, staged = replace(ledger.live, storage=wanted), replace(ledger.staged, storage=held)
        return replace(ledger, live=live, staged=staged)

    @CHANGES
    def test_are_dropped_if_they_are_stored_in_another_way_than_now(
        self, held: Storage, wanted: Storage, dropped: Dropped | None
    ) -> None:
        found = transitions.dropping(self.staged(held, wanted), wanted)
        assert (found.staged, found.dropped) == (None, dropped)
        assert (found.live, found.reserved) == (self.staged(held, wanted).live, 268)

    @CHANGES
    @pytest.mark.parametrize("numbers", [replacing(2, 2), replacing(3, 3), adding(3, 3)])
    def test_then_neither_a_retry_nor_any_other_sync_asks_for_a_refresh(
        self, held: Storage, wanted: Storage, dropped: Dropped | None, numbers: dict[str, Any]
    ) -> None:
        ledger = transitions.dropping(self.staged(held, wanted), wanted)
        for each in (ledger, transitions.dropped(ledger)):
            found = start(each, stream(wanted, **numbers), wanted)
            assert (found.continues_staged, found.changes_key, found.next_id) == (False, False, 269)
            assert found.ledger.task is Task.NONE
            assert found.ledger.dropped == (dropped if each is ledger else None)
            assert found.ledger.newest.storage == wanted
            assert found.stages == (found.ledger.staged is not None) == (numbers["minimum_generation_id"] > 0)

    @pytest.mark.parametrize("held", [VALUES, replace(LIST, template="queue")])
    def test_a_sync_that_dies_then_takes_no_live_elements_for_those_that_were_staged(self, held: Storage) -> None:
        found = transitions.dropping(self.staged(held, LIST), LIST)
        assert found.sent == found.live.committed

    @pytest.mark.parametrize("storage", [IDS, KEYS, NAMED, LIST, VALUES])
    def test_are_kept_if_they_are_stored_as_now(self, storage: Storage) -> None:
        ledger = self.staged(storage, storage)
        assert transitions.dropping(ledger, storage) == ledger

    @CHANGES
    @pytest.mark.parametrize(
        "ledger",
        [
            replace(NOTHING, staged=Generation(2, 2, 13, 13)),
            # The source does not send again what a state covers, even if all of it was rejected.
            replace(NOTHING, rejected=RejectedId(13, 4), rejected_sent=4),
        ],
    )
    def test_what_a_state_covers_is_never_dropped_and_only_a_refresh_helps(
        self, held: Storage, wanted: Storage, dropped: Dropped | None, ledger: Ledger
    ) -> None:
        ledger = self.staged(held, wanted, ledger)
        assert transitions.dropping(ledger, wanted) == ledger
        for numbers in (replacing(2, 2), adding(3, 3)):
            with pytest.raises(AirbyteTracedException, match="refresh the stream"):
                start(ledger, stream(wanted, **numbers), wanted)
        refreshed = start(ledger, stream(wanted, **replacing(3, 3)), wanted).ledger
        assert refreshed.staged
        assert refreshed.staged.storage == wanted
        assert refreshed.dropped
        assert dropped is None or refreshed.dropped == dropped

    def test_an_empty_stream_whose_refresh_died_may_then_be_stored_in_any_way(self) -> None:
        empty = replace(self.NOTHING, live=Generation())
        for held, wanted in ((KEYS, LIST), (LIST, self.VALUES), (IDS, KEYS)):
            assert empty.staged
            ledger = replace(empty, staged=replace(empty.staged, storage=held))
            found = start(transitions.dropping(ledger, wanted), stream(wanted, **adding(3, 3)), wanted)
            assert found.ledger.live.storage == wanted

    def test_after_a_loss_a_refresh_begins_anew(self) -> None:
        for loss in (Loss.LOST, Loss.BEFORE_STAGED):
            ledger = transitions.dropping(replace(self.staged(self.VALUES, LIST), loss=loss), LIST)
            found = start(transitions.dropped(ledger), stream(LIST, **replacing(2, 2)), LIST)
            assert (found.stages, found.ledger.loss) == (True, Loss.BEFORE_STAGED)
            assert found.ledger.dropped == Dropped(1, 269, "collection")


class TestAfterALoss:
    LOST = replace(LIVE, loss=Loss.LOST)

    def test_only_a_sync_that_replaces_the_stream_may_begin(self) -> None:
        with pytest.raises(AirbyteTracedException, match="lost acknowledged data"):
            start(self.LOST, stream(**adding()), IDS)
        found = start(self.LOST, stream(**replacing(2, 2)), IDS)
        assert (found.stages, found.ledger.loss) == (True, Loss.BEFORE_STAGED)

    def test_it_must_not_go_on_with_what_was_staged_before(self) -> None:
        with pytest.raises(AirbyteTracedException, match="lost acknowledged data"):
            start(replace(STAGED, loss=Loss.LOST), stream(**replacing(2, 2)), IDS)

    def test_it_goes_on_with_what_was_staged_after_the_loss(self) -> None:
        found = start(replace(STAGED, loss=Loss.BEFORE_STAGED), stream(**replacing(2, 2)), IDS)
        assert found.continues_staged

    def test_a_collection_may_still_be_staged_though_the_ledger_knows_of_none(self) -> None:
        found = start(stored(self.LOST, LIST), stream(LIST, **replacing(2, 2)), LIST)
        assert found.ledger.dropped == Dropped(1, 13, "collection")


class TestDuringASync:
    def test_what_a_state_covers_is_committed_to_the_live_records(self) -> None:
        assert transitions.commit(LIVE, 11).live.committed == 11

    def test_or_to_the_staged_ones(self) -> None:
        found = transitions.commit(STAGED, 30)
        assert found.staged is not None
        assert (found.staged.committed, found.live.committed) == (30, 9)

    def test_a_commit_never_goes_back(self) -> None:
        assert transitions.commit(LIVE, 5) == LIVE
        assert transitions.commit(STAGED, 5) == STAGED


class TestExpiries:
    @pytest.mark.parametrize("storage", [IDS, KEYS])
    @pytest.mark.parametrize("numbers", [adding(), replacing(2, 3)])
    def test_that_records_may_have_expiries_is_noted_before_the_first_one(
        self, storage: Storage, numbers: dict[str, Any]
    ) -> None:
        begun = start(stored(LIVE, storage), stream(storage, expire_at="ends", **numbers), storage).ledger
        assert begun.expires
        assert begun.deletes == (storage is KEYS)  # by primary key, a record whose time is past is a deletion

    def test_the_note_stays_when_the_setting_goes_and_through_every_end(self) -> None:
        noted = replace(stored(STAGED, KEYS), expires=True, deletes=True)
        assert start(noted, stream(KEYS, **adding()), KEYS).ledger.expires
        ends = (transitions.promoted, transitions.merged, transitions.dropped, transitions.released)
        assert all(end(noted).expires for end in ends)

    def test_without_the_setting_the_ledger_says_nothing_of_it(self) -> None:
        begun = start(LIVE, stream(**adding()), IDS).ledger
        assert not begun.expires
        assert "expires" not in begun.fields()


class TestRejectedRecords:
    #: A sync that ended well rejected its last record, after the id 9.
    ENDED = Ledger(Generation(1, 1, 1, 9), reserved=9, rejected=RejectedId(10, 3), rejected_sent=3)
    #: All that the staged generation has acknowledged is one rejected record.
    NOTHING_ELSE = replace(STAGED, staged=Generation(2, 2, 13, 12), rejected=RejectedId(13, 4), rejected_sent=4)

    def test_a_state_may_cover_them_alone(self) -> None:
        assert transitions.commit(LIVE, 9, RejectedId(10, 1)) == replace(LIVE, rejected=RejectedId(10, 1))

    def test_what_covers_them_never_goes_back(self) -> None:
        assert transitions.commit(self.ENDED, 9, RejectedId(10, 2)) == self.ENDED
        assert transitions.commit(self.ENDED, 9) == self.ENDED

    @pytest.mark.parametrize("storage", [IDS, KEYS, LIST])
    @pytest.mark.parametrize("numbers", [adding(1, 3), replacing(2, 2)])
    def test_the_next_sync_begins_above_the_id_that_names_the_last_one(
        self, storage: Storage, numbers: dict[str, Any]
    ) -> None:
        found = start(stored(self.ENDED, storage), stream(storage, **numbers), storage)
        assert found.next_id == 11
        assert found.ledger.newest.first in (1, 11)
        assert found.ledger.rejected == RejectedId(10, 3)

    def test_the_numbers_of_those_that_are_removed_stay_used(self) -> None:
        found = transitions.rejected_discarded(replace(self.ENDED, rejected_sent=7))
        assert found.rejected == RejectedId(10, 7)
        assert transitions.rejected_discarded(self.ENDED) == self.ENDED

    @pytest.mark.parametrize("storage", [IDS, KEYS, LIST])
    def test_a_refresh_that_acknowledged_nothing_else_goes_on(self, storage: Storage) -> None:
        found = start(stored(self.NOTHING_ELSE, storage), stream(storage, **replacing(2, 2)), storage)
        assert found.continues_staged
        assert found.ledger.staged is not None
        assert found.ledger.staged.first == 13
        assert found.ledger.dropped is None

    @pytest.mark.parametrize(("storage", "last"), [(IDS, 13), (KEYS, 268), (LIST, 268)])
    def test_another_refresh_drops_them_with_what_is_staged(self, storage: Storage, last: int) -> None:
        found = start(stored(self.NOTHING_ELSE, storage), stream(storage, **replacing(3, 3)), storage)
        assert found.ledger.dropped == Dropped(13, last, storage.placement, storage.template, storage.key_parts)

    def test_those_of_the_live_generation_acknowledge_nothing_that_is_staged(self) -> None:
        nothing = replace(self.NOTHING_ELSE, rejected=RejectedId(10, 3))
        found = start(stored(nothing, KEYS), stream(KEYS, **replacing(2, 2)), KEYS)
        assert not found.continues_staged

    def test_they_stay_known_after_a_promotion_a_merge_and_a_clean_end(self) -> None:
        for ended in (transitions.promoted, transitions.merged, transitions.released):
            assert ended(self.NOTHING_ELSE).rejected == RejectedId(13, 4)


class TestEnds:
    def test_a_promotion_is_announced_before_any_key_moves(self) -> None:
        assert transitions.promoting(STAGED) == replace(STAGED, task=Task.PROMOTE)

    def test_then_the_staged_generation_is_the_live_one(self) -> None:
        found = transitions.promoted(transitions.promoting(STAGED))
        assert found == Ledger(Generation(2, 2, 13, 20), reserved=268)

    def test_an_empty_generation_leaves_an_empty_stream(self) -> None:
        found = transitions.promoted(replace(STAGED, staged=Generation(2, 2, 13, 0)))
        assert (found.live.first, found.live.committed, found.live.acknowledged) == (13, 12, False)

    def test_a_promotion_mends_what_was_lost_before_its_first_record_and_nothing_after(self) -> None:
        before = replace(STAGED, loss=Loss.BEFORE_STAGED)
        assert transitions.promoted(before).loss is Loss.NONE
        assert transitions.promoted(replace(STAGED, loss=Loss.LOST)).loss is Loss.LOST

    def test_a_merge_leaves_the_live_generation_with_all_that_was_acknowledged(self) -> None:
        found = transitions.merged(replace(STAGED, task=Task.MERGE))
        assert found == Ledger(Generation(1, 1, 1, 20), reserved=268)

    def test_a_clean_end_leaves_no_id_reserved(self) -> None:
        assert transitions.released(LIVE).reserved == 9
        assert transitions.released(STAGED).reserved == 20


class TestRecoveryOfAPromotionToACollection:
    UNDER_WAY = replace(STAGED, staged=Generation(2, 2, 13, 20, LIST), task=Task.PROMOTE)

    def test_the_key_itself_tells_how_far_it_came(self) -> None:
        assert transitions.corrected(self.UNDER_WAY, collection=True).task is Task.REMOVE
        behind = transitions.collection_in_place(self.UNDER_WAY)
        assert transitions.corrected(behind, collection=False).task is Task.PROMOTE

    def test_until_the_old_records_are_gone_the_collection_is_what_is_read(self) -> None:
        in_place = transitions.collection_in_place(self.UNDER_WAY)
        assert in_place.readable == LIST
        assert in_place.collected
        assert self.UNDER_WAY.readable == IDS

    @pytest.mark.parametrize("ledger", [LIVE, STAGED, stored(STAGED, LIST), replace(STAGED, task=Task.MERGE)])
    @pytest.mark.parametrize("collection", [True, False])
    def test_any_other_ledger_is_as_it_says(self, ledger: Ledger, *, collection: bool) -> None:
        assert transitions.corrected(ledger, collection=collection) == ledger

    def test_a_key_of_another_kind_is_somebody_elses_but_for_a_promotion_and_a_loss(self) -> None:
        assert LIVE.agrees(collection=False)
        assert not LIVE.agrees(collection=True)
        assert not stored(LIVE, LIST).agrees(collection=False)
        assert self.UNDER_WAY.agrees(collection=True)
        assert replace(LIVE, loss=Loss.LOST).agrees(collection=True)
