"""A stream's generations in a run: which one it writes to, the ids it gives out, what is reserved and committed.

A process may die between any two commands, so an id is reserved in the ledger before it is used, and a generation
begins in the ledger before its first record is sent.
"""

from destination_redis.caches import Written
from destination_redis.claim import Claim
from destination_redis.errors import config_error
from destination_redis.ledger import LOST, LOST_BEFORE, Home, Ledger
from destination_redis.pipeline import Pipeline
from destination_redis.streams import COLLECTION, PRIMARY_KEY, SEQUENCE

#: Ids reserved at first, and at most in one go; the most is far more than a window of the pipeline holds.
FIRST_RESERVE, LARGEST_RESERVE = 256, 65_536


class Generations:
    """One stream's generations in this run; live and staged ids are one sequence, none is used twice."""

    def __init__(self, lane: Pipeline, claim: Claim, written: Written, expiry: int) -> None:
        """Take the seconds that a live collection lives, 0 for ever."""
        self._lane = lane
        self._claim = claim
        self._home = Home(claim.stream.placement, claim.stream.key_fields, written)
        self._expiry = expiry
        self._step = FIRST_RESERVE
        #: Whether this sync's records are staged.
        self.staging = False
        self._had_live = False
        self._had_staged = False
        #: The id the next record gets, and the id above which `reserve` must be called before it is used.
        self.next_id = 1
        self.alarm = 0

    @property
    def last_id(self) -> int:
        """The last id given out."""
        return self.next_id - 1

    @property
    def first_id(self) -> int:
        """The first id of the generation this sync writes to."""
        ledger = self._claim.value
        return ledger.staged_first if self.staging else ledger.first

    @property
    def answered_id(self) -> int:
        """The last id of this sync's generation that the ledger was answered to cover."""
        answered = self._claim.answered
        return answered.staged_committed if self.staging else answered.committed

    def start(self) -> bool:
        """Begin this sync after `recover`; return whether a cancelled refresh is to be merged before a record is sent.

        What it sends must be answered before a record is sent. Raises a config error where what is there does not fit,
        and only a refresh can help.
        """
        claim, stream = self._claim, self._claim.stream
        if claim.value.new:
            # By primary key no key shows which ids were given out: a time rises even if a ledger was lost.
            claim.value = claim.value.begun_at(claim.taken_at if stream.placement == PRIMARY_KEY else 1)
        ledger = claim.value
        self._had_live = ledger.live
        anew = stream.starts_anew
        replaces = anew or (stream.truncates and (ledger.generation, ledger.sync_id) != stream.pair)
        continues = ledger.staged and (ledger.staged_generation, ledger.staged_sync_id) == stream.pair and not anew
        self._had_staged = acknowledged = continues and ledger.staged_committed >= ledger.staged_first
        if (ledger.lost and not replaces) or (ledger.lost == LOST and acknowledged):
            raise config_error(
                f"The server lost acknowledged data of the stream {stream}: refresh it, so that all of it is sent again"
            )
        if stream.placement == PRIMARY_KEY and not acknowledged:
            continues = False  # the source begins anew, and may not send again what is there unacknowledged
        if not replaces or continues:
            self._refuse_change(ledger, replaces)
        self.next_id = ledger.reserved + 1
        self.staging = replaces
        order = self._order(ledger)
        lost = LOST_BEFORE if ledger.lost else 0  # all of this generation is sent from now on
        reserved = ledger.reserved + FIRST_RESERVE
        if not replaces:
            pair = {"generation": stream.generation_id, "sync_id": stream.sync_id}
            task = "merge" if ledger.staged else ""
            changes = {"task": task, "reserved": reserved, **self._home.fields(), **pair, **order, **self._base(ledger)}
            if COLLECTION in (ledger.placement, self._home.placement) and ledger.placement != self._home.placement:
                claim.exchange(self._expiry, changes)  # nothing is live: what an emptied stream left there goes
            else:
                claim.move(**changes)
        elif continues:
            claim.move(reserved=reserved, lost=lost, **order, **self._base(ledger))
        else:
            claim.move(
                reserved=reserved,
                lost=lost,
                **({"staged_first": self.next_id, "staged_committed": self.next_id - 1} | self._base(ledger)),
                staged_generation=None if anew else stream.generation_id,
                staged_sync_id=None if anew else stream.sync_id,
                **self._home.fields("staged_"),
                **self._dropped(ledger),
                **order,
            )
        return not replaces and ledger.staged

    def reserve(self) -> None:
        """Make sure that the next id is reserved, ahead of need; waits only where the server is far behind."""
        claim = self._claim
        if self.next_id + self._step // 2 > claim.value.reserved:
            self._step = min(2 * self._step, LARGEST_RESERVE)
            claim.move(reserved=self.last_id + self._step)
            self._lane.replicate()
        if self.next_id > claim.answered.reserved:
            self._lane.settle()
        self.alarm = min(claim.answered.reserved, claim.value.reserved - self._step // 2)

    def commit(self, last_id: int) -> None:
        """Move `committed` up to `last_id`; every record up to it must have been answered well."""
        if self.staging:
            if last_id > self._claim.value.staged_committed:
                self._claim.move(staged_committed=last_id)
        elif last_id > self._claim.value.committed:
            self._claim.move(committed=last_id)

    def has_live(self) -> bool:
        """Whether any live record may have existed when this sync began."""
        return self._had_live

    def has_data(self) -> bool:
        """Whether any live record may have existed when this sync began, or a staged one that it goes on with."""
        return self._had_live or self._had_staged

    def _refuse_change(self, ledger: Ledger, replaces: bool) -> None:
        homes = [ledger.home] if ledger.live and not replaces else []
        homes += [ledger.staged_home] if ledger.staged else []
        for home in homes:
            if home != self._home:
                raise config_error(
                    f"The records of the stream {self._claim.stream} are kept {home}, and are now to be kept "
                    f"{self._home}: refresh the stream, so that all of it is sent again"
                )

    def _order(self, ledger: Ledger) -> dict[str, int | str | None]:
        """Return the ledger's fields about the order of records: a new order makes everything before it older."""
        order = self._claim.stream.order
        if not order or order == ledger.cursor:
            return {}
        return {"cursor": order, "cursor_epoch": ledger.cursor_epoch + bool(ledger.cursor)}

    def _base(self, ledger: Ledger) -> dict[str, int | str | None]:
        """Return the ledger's fields from which a collection counts what no state covers: ids of a sync are dense."""
        if self._home.placement != COLLECTION:
            return {}
        last, first = self.next_id - 1, self.next_id
        if self.staging:
            empty = ledger.staged_committed < ledger.staged_first
            return {"sent": last, "staged_committed": last, **({"staged_first": first} if empty else {})}
        empty = not ledger.live and not ledger.staged
        return {"sent": last, "committed": last, **({"first": first} if empty else {})}

    def _dropped(self, ledger: Ledger) -> dict[str, int | str | None]:
        """Return the ledger's fields for what is staged and has to go."""
        if not ledger.staged:
            # A server that lost the ledger may have kept the collection.
            lost = ledger.lost and self._home.placement == COLLECTION
            return {"drop_first": 1, "drop_last": self.next_id, "drop_placement": COLLECTION} if lost else {}
        placement = ledger.staged_home.placement
        # By sequence what was not acknowledged is gone already; elsewhere it may still be there.
        last = ledger.staged_committed if placement == SEQUENCE else ledger.reserved
        if last < ledger.staged_first:
            return {}
        return {"drop_first": ledger.staged_first, "drop_last": last, "drop_placement": placement}
