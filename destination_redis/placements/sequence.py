"""The placement of records under sequential ids: one key per record, whose range of ids is known without SCAN."""

from collections.abc import Iterator, Sequence
from functools import partial

from destination_redis.caches import CollectionCache, plain
from destination_redis.keys import KeyTemplate
from destination_redis.ledger.heartbeat import LeaseHeartbeat
from destination_redis.ledger.lease import StreamLease
from destination_redis.ledger.ledger import Ledger
from destination_redis.placements.base import Target, Writer
from destination_redis.placements.expiry import FOREVER, Expiry
from destination_redis.placements.record_scripts import Scripts
from destination_redis.placements.scan import scan
from destination_redis.protocol.catalog import SEQUENCE
from destination_redis.protocol.expiry import NEVER, NONE
from destination_redis.protocol.messages import Record
from destination_redis.resp import pack_arguments
from destination_redis.transport.pipeline import Pipeline

#: Keys per batch while keys are moved or removed.
_BATCH = 1000
#: Keys per UNLINK.
_UNLINKED = 100
# The arguments of a record without any: their number.
_NO_ARGUMENTS = pack_arguments(b"0")


class _Expiring:
    """Gathers the records of a stream that have an expiry of their own: the script replies 0 if that is past."""

    def __init__(self, pipeline: Pipeline, lease: StreamLease) -> None:
        self._pipeline = pipeline
        self._lease = lease
        self._commands: list[bytes] = []
        #: Records that were not written because their expiry was past.
        self.past = 0

    def add(self, command: bytes) -> bytes:
        """Gather a record's command; return nothing to send yet."""
        self._commands.append(command)
        return b""

    def send(self) -> list[bytes]:
        """Send the gathered records, without waiting; return no commands."""
        if self._commands:
            commands, self._commands = self._commands, []
            self._pipeline.send(commands, on_zeros=self._count)
            # A ledger update ends the batch, to detect a server that lost answered writes.
            self._lease.update()
        return []

    def _count(self, zeros: int) -> None:
        self.past += zeros


class SequencePlacement:
    """Writes, moves and removes records by their ids alone."""

    def __init__(self, pipeline: Pipeline, scripts: Scripts, heartbeat: LeaseHeartbeat) -> None:
        self._pipeline = pipeline
        self._scripts = scripts
        self._heartbeat = heartbeat

    def writer(self, target: Target) -> Writer:
        """Return a writer that stores each record under its id, without reading the key first."""
        assert not isinstance(target.cache, CollectionCache)
        keys = target.lease.newest_keys if target.staged else target.lease.live_keys
        template = keys.staged if target.staged else keys.live
        start = plain if target.staged else self._scripts.start(target.lease.stream.expiry)
        encode = target.cache.encoder(template, start)
        pass_over = partial(self._scripts.is_stored, target.cache.lua)
        if (read := target.expiry_reader()) is None:
            return Writer(encode, pass_over=pass_over)
        at = target.cache.encoder(template, self._scripts.start_expiring)
        forever = target.cache.encoder(template, plain)
        gathered = _Expiring(self._pipeline, target.lease)

        def expiring(number: int, record: Record) -> bytes:
            own = read(record.data)
            if own == NONE:
                return encode(number, record)
            if own != NEVER:
                return gathered.add(at(number, record) + pack_arguments(own))
            return at(number, record) + pack_arguments(FOREVER) if target.staged else forever(number, record)

        return Writer(expiring, gathered.send, pass_over, lambda: gathered.past)

    def move(self, leases: Sequence[StreamLease]) -> None:
        """RENAME the acknowledged staged records."""
        for lease in leases:
            staged, expiry = lease.value.newest, Expiry(lease.stream.expiry, own=lease.value.expires)
            keys = lease.newest_keys
            head, tail, live = keys.staged.head, keys.staged.tail, keys.live.head
            rename = b"*3\r\n$6\r\nRENAME\r\n$%d\r\n%b%d%b\r\n$%d\r\n%b%d\r\n"
            for ids in _digits(staged.first, staged.committed):
                digits = len(str(ids[0]))
                source, target = len(head) + digits + len(tail), len(live) + digits
                if any(expiry):
                    renames = self._scripts.renames(expiry)
                    pair = b"$%d\r\n%b%d%b\r\n$%d\r\n%b%d\r\n"
                    for i in ids:
                        renames.add(pair % (source, head, i, tail, target, live, i), 1, _NO_ARGUMENTS)
                    commands = renames.take()
                else:
                    commands = [rename % (source, head, i, tail, target, live, i) for i in ids]
                # A missing key was moved already, or is an id that a sync which died did not use: both are fine.
                self._pipeline.send(commands, ignore_error="no such key")
                self._mark(lease)
        self._pipeline.flush()

    def remove_old(self, leases: Sequence[StreamLease]) -> None:
        """UNLINK the ids below those of the staged generation; after a loss, all keys outside of it that SCAN finds."""
        for lease in leases:
            ledger, keys = lease.value, lease.live_keys
            old, new = ledger.live, ledger.newest
            if new.placement != old.placement:
                # A key with an old id may be a record of the new generation.
                self._remove_older(lease, old.first, new.first - 1)
            else:
                self._unlink(lease, keys.live, old.first, new.first - 1)
            if ledger.loss:
                # A lost ledger leaves unknown ids. Only sequential ids of the new generation stay.
                ours = new.placement == SEQUENCE
                self._unlink_found(lease, keys.live, new.first, new.committed if ours else 0)
                self._unlink_found(lease, keys.staged, new.first, ledger.reserved if ours else 0)
        self._pipeline.flush()

    def end_promotion(self, lease: StreamLease, promoted: Ledger) -> None:
        """Update the ledger."""
        lease.update(promoted)

    def drop(self, leases: Sequence[StreamLease]) -> None:
        """UNLINK the dropped staged ids."""
        for lease in leases:
            if dropped := lease.value.dropped:
                self._unlink(lease, lease.keys.data().staged, dropped.first, dropped.last)
        self._pipeline.flush()

    def discard_unacknowledged(self, leases: Sequence[StreamLease]) -> None:
        """UNLINK the ids above the last acknowledged one: the source sends those records again."""
        for lease in leases:
            ledger = lease.value
            keys = lease.newest_keys
            template = keys.staged if ledger.staged else keys.live
            self._unlink(lease, template, ledger.top + 1, ledger.reserved)
        self._pipeline.flush()

    def _unlink(self, lease: StreamLease, template: KeyTemplate, first: int, last: int) -> None:
        head, tail = template.head, template.tail
        for ids in _digits(first, last):
            size = len(head) + len(str(ids[0])) + len(tail)
            keys = [b"$%d\r\n%b%d%b\r\n" % (size, head, i, tail) for i in ids]
            many = _UNLINKED if self._pipeline.many_keys else 1
            some = (keys[at : at + many] for at in range(0, len(keys), many))
            self._pipeline.send([b"*%d\r\n$6\r\nUNLINK\r\n%b" % (1 + len(each), b"".join(each)) for each in some])
            self._mark(lease)

    def _remove_older(self, lease: StreamLease, first: int, last: int) -> None:
        head = lease.live_keys.live.head
        below = lease.value.newest.first
        for ids in _digits(first, last):
            removals = self._scripts.removals(lease.value.live.storage.storage_format)
            for i in ids:
                removals.add(pack_arguments(head + b"%d" % i), 3, pack_arguments(b"2", b"0", b"%d" % (below - 1)))
            self._pipeline.send(removals.take())
            self._mark(lease)

    def _unlink_found(self, lease: StreamLease, template: KeyTemplate, first: int, last: int) -> None:
        """Remove records, found by SCAN, whose ids are outside `first` to `last`; foreign keys are left alone."""
        storage_format = lease.value.live.storage.storage_format
        for found in scan(self._pipeline, self._heartbeat, [(template, lease)]):
            removals = self._scripts.removals(storage_format)
            for _, key, part in found:
                if part.isdigit() and not first <= int(part) <= last:
                    own = b"%d" % int(part)
                    removals.add(pack_arguments(key), 3, pack_arguments(b"2", own, own))
            if commands := removals.take():
                self._pipeline.send(commands)
                self._mark(lease)
        self._pipeline.flush()

    def _mark(self, lease: StreamLease) -> None:
        """End a batch with a ledger update, to detect a server that lost answered writes."""
        lease.update()
        self._heartbeat.keep()


def _digits(first: int, last: int) -> Iterator[range]:
    """Yield `first` to `last` in batches whose ids have the same number of digits."""
    while first <= last:
        end = min(last, first + _BATCH - 1, 10 ** len(str(first)) - 1)
        yield range(first, end + 1)
        first = end + 1
