"""Where a stream's records live: by sequence, one key per record, ids in the order of arrival.

Failure cases, each the reason for an order below: a process may die between any two commands, so what is to happen is
written into the ledger first, the keys follow, each by its id alone and doing no harm when done twice, and the ledger
then says that it is done. The next run, whatever it is for, starts with `recover`, which does again what was begun.
"""

from collections.abc import Iterator

from destination_redis.errors import config_error
from destination_redis.keys import pattern, record_part
from destination_redis.ledger import Claim
from destination_redis.pipeline import Lane

#: Commands in a batch while keys are moved or removed.
_BATCH = 1000
#: Keys a SCAN looks at in one step.
_SCAN_COUNT = 1000
#: Ids reserved at first, and at most in one go; the most is far more than a window of the pipeline holds.
FIRST_RESERVE, LARGEST_RESERVE = 256, 65_536


class SequencePlacement:
    """One stream's records under ids that rise with arrival; live and staged ids are one sequence, none used twice."""

    def __init__(self, lane: Lane, claim: Claim) -> None:
        self._lane = lane
        self._claim = claim
        self._step = FIRST_RESERVE
        self.staging = False
        #: The id the next record gets, and the id above which `reserve` must be called before it is used.
        self.next_id = 1
        self.alarm = 0

    @property
    def around(self) -> tuple[bytes, bytes]:
        """What stands before and after the id in the key of a record of this sync."""
        return self._claim.keys.staged if self.staging else self._claim.keys.live

    @property
    def last_id(self) -> int:
        """The last id given out."""
        return self.next_id - 1

    def recover(self) -> None:
        """Finish what a former run began, and remove what it did not get acknowledged."""
        ledger = self._claim.value
        if ledger.task == "promote":
            self.promote()
        elif ledger.task == "merge":
            self._merge()
        if self._claim.value.drop_last:
            self._drop()
        self._sweep()

    def start(self) -> None:
        """Begin this sync, after `recover`: stage or add; what it sends must be answered before a record is sent."""
        claim, stream = self._claim, self._claim.stream
        ledger = claim.value
        anew = stream.starts_anew
        replaces = anew or (stream.truncates and (ledger.generation, ledger.sync_id) != stream.pair)
        if ledger.lost and not replaces:
            raise config_error(
                f"The server lost acknowledged data of the stream {stream}: refresh it, so that all of it is sent again"
            )
        staged = ledger.staged_first > 0
        continues = staged and (ledger.staged_generation, ledger.staged_sync_id) == stream.pair
        self.next_id = ledger.reserved + 1
        reserved = ledger.reserved + FIRST_RESERVE
        if replaces and continues and not anew:
            claim.move(reserved=reserved)
        elif replaces:
            last = ledger.staged_committed if staged else 0
            claim.move(
                reserved=reserved,
                staged_first=self.next_id,
                staged_committed=self.next_id - 1,
                staged_generation=None if anew else stream.generation_id,
                staged_sync_id=None if anew else stream.sync_id,
                drop_first=ledger.staged_first if last >= ledger.staged_first else 0,
                drop_last=last if last >= ledger.staged_first else 0,
            )
            if claim.value.drop_last:
                self._drop()
        else:
            if staged:
                claim.move(task="merge")
                self._merge()
            claim.move(reserved=reserved, generation=stream.generation_id, sync_id=stream.sync_id)
        self.staging = replaces

    def reserve(self) -> None:
        """Make sure that the next id is reserved, ahead of need; waits only where the server is far behind."""
        claim = self._claim
        if self.next_id + self._step // 2 > claim.value.reserved:
            self._step = min(2 * self._step, LARGEST_RESERVE)
            claim.move(reserved=self.last_id + self._step)
        if self.next_id > claim.answered.reserved:
            self._lane.settle()
        self.alarm = min(claim.answered.reserved, claim.value.reserved - self._step // 2)

    def commit(self, last_id: int) -> None:
        """Move `committed` up to `last_id`; every record up to it must have been answered well."""
        if self.staging:
            if last_id > self._claim.value.staged_committed:
                self._claim.move(staged_committed=last_id)
        elif last_id > self._claim.value.committed:
            self._claim.move(counter=last_id, committed=last_id)

    def has_live(self) -> bool:
        """Whether any live record may exist."""
        ledger = self._claim.value
        return bool(ledger.lost) or ledger.committed >= ledger.first

    def promote(self) -> None:
        """Make what is staged, complete and committed the live data: first all of the new in, then the old out."""
        self._lane.settle()
        claim = self._claim
        if claim.value.task != "promote":
            claim.move(task="promote")
            self._lane.settle()
        ledger = claim.value
        live, staged = claim.keys.live, claim.keys.staged
        while True:  # a server that was replaced meanwhile may have lost steps it had answered
            server = self._lane.peer.run_id
            self._rename(ledger.staged_first, ledger.staged_committed)
            self._unlink(live, ledger.first, ledger.staged_first - 1)
            if ledger.lost:
                self._unlink_found(live, ledger.staged_first, ledger.staged_committed)
                self._unlink_found(staged, ledger.staged_first, ledger.reserved)
            if self._lane.peer.run_id == server:
                break
        committed = max(ledger.staged_committed, ledger.staged_first - 1)
        claim.move(
            counter=committed,
            generation=ledger.staged_generation,
            sync_id=ledger.staged_sync_id,
            first=ledger.staged_first,
            committed=committed,
            **_NOTHING_STAGED,
            lost=0,
        )
        self._lane.settle()
        self.staging = False

    def _merge(self) -> None:
        """Move the acknowledged staged records of a cancelled refresh to the live ones: they are not sent again."""
        claim = self._claim
        ledger = claim.value
        self._lane.settle()
        while True:
            server = self._lane.peer.run_id
            self._rename(ledger.staged_first, ledger.staged_committed)
            if self._lane.peer.run_id == server:
                break
        committed = max(ledger.committed, ledger.staged_committed)
        claim.move(counter=committed, committed=committed, **_NOTHING_STAGED)
        self._lane.settle()

    def _drop(self) -> None:
        ledger = self._claim.value
        self._lane.settle()
        self._unlink(self._claim.keys.staged, ledger.drop_first, ledger.drop_last)
        self._claim.move(drop_first=0, drop_last=0)

    def _sweep(self) -> None:
        """Remove what a sync that died had sent and not got acknowledged: the source sends it again."""
        ledger = self._claim.value
        around = self._claim.keys.staged if ledger.staged_first else self._claim.keys.live
        self._unlink(around, ledger.top + 1, ledger.reserved)

    def _rename(self, first: int, last: int) -> None:
        (head, tail), (live, _) = self._claim.keys.staged, self._claim.keys.live
        template = b"*3\r\n$6\r\nRENAME\r\n$%d\r\n%b%d%b\r\n$%d\r\n%b%d\r\n"
        for ids in _digits(first, last):
            digits = len(str(ids[0]))
            source, target = len(head) + digits + len(tail), len(live) + digits
            commands = [template % (source, head, i, tail, target, live, i) for i in ids]
            # Moved already, or an id of a sync that died: both are as they should be.
            self._lane.send(commands, forgive="no such key")
            self._claim.move()
        self._lane.settle()

    def _unlink(self, around: tuple[bytes, bytes], first: int, last: int) -> None:
        head, tail = around
        for ids in _digits(first, last):
            size = len(head) + len(str(ids[0])) + len(tail)
            self._lane.send([b"*2\r\n$6\r\nUNLINK\r\n$%d\r\n%b%d%b\r\n" % (size, head, i, tail) for i in ids])
            self._claim.move()
        self._lane.settle()

    def _unlink_found(self, around: tuple[bytes, bytes], first: int, last: int) -> None:
        """Remove records, found by SCAN, whose ids are outside `first` to `last`; keys of others are left alone."""
        cursor = b"0"
        while True:
            reply = self._lane.call("SCAN", cursor, "MATCH", pattern(around), "COUNT", _SCAN_COUNT)
            assert isinstance(reply, list)
            cursor, keys = reply
            for key in keys:
                part = record_part(key, around)
                if part is not None and part.isdigit() and not first <= int(part) <= last and self._ours(key, part):
                    self._lane.call("UNLINK", key)
            if cursor == b"0":
                return

    def _ours(self, key: bytes, part: bytes) -> bool:
        if self._lane.call("TYPE", key) != b"hash":
            return False
        return self._lane.call("HGET", key, "_airbyte_ab_id") == part


_NOTHING_STAGED: dict[str, int | str | None] = {
    "task": "",
    "staged_first": 0,
    "staged_committed": 0,
    "staged_generation": None,
    "staged_sync_id": None,
}


def _digits(first: int, last: int) -> Iterator[range]:
    """Yield `first` to `last` in batches whose ids have equally many digits."""
    while first <= last:
        end = min(last, first + _BATCH - 1, 10 ** len(str(first)) - 1)
        yield range(first, end + 1)
        first = end + 1
