"""Records in one collection: staged and promoted as a whole, swept and merged by the ledger in the same slot.

Every script goes by the writer's token and by the ledger, so one that is sent twice, or late, does nothing. What is
large is given back by UNLINK, in the background of the server; what has to go element by element goes in small steps.
"""

from collections.abc import Sequence

from destination_redis.caches import CACHES, Collection, CollectionCache, Layout, Written
from destination_redis.ledger import transitions
from destination_redis.ledger.lease import Claim, Lease
from destination_redis.ledger.ledger import Ledger, Task
from destination_redis.ledger.scripts import GUARD
from destination_redis.placements.record_scripts import Scripts, expire
from destination_redis.protocol.catalog import COLLECTION
from destination_redis.transport.pipeline import Pipeline

#: Elements that one script removes or moves: some milliseconds of a server's time.
_MOST = 1000
#: Scripts sent before their replies are looked at.
_AT_ONCE = 8


# KEYS: ledger, collection; ARGV: token, last id that stays.
def _sweep(collection: Collection) -> str:
    return f"""{GUARD}
local low = math.max(tonumber(ARGV[2]), sent - {_MOST})
if sent <= low then return 'ok' end
{collection.sweep}
redis.call('HSET', KEYS[1], 'sent', string.format('%.0f', low))
return 'ok'
"""


# KEYS: ledger, staged, live; ARGV: token.
def _merge(collection: Collection, expiry: int) -> str:
    return f"""{GUARD}
if held[3] ~= 'merge' or redis.call('EXISTS', KEYS[2]) == 0 then return 'ok' end
local most = {_MOST}
{collection.merge}
if redis.call('EXISTS', KEYS[3]) == 1 then {expire("KEYS[3]", expiry)} end
return 'more'
"""


# KEYS: ledger, collection; ARGV: token.
_UNLINK = f"""{GUARD}
redis.call('UNLINK', KEYS[2])
return 'ok'
"""


class CollectionPlacement:
    """Moves and removes collections."""

    def __init__(self, lane: Pipeline, scripts: Scripts, lease: Lease) -> None:
        self._lane = lane
        self._expiry = scripts.expiry
        self._lease = lease

    def move(self, claims: Sequence[Claim]) -> None:
        """In a merge, move the staged elements to the live ones; in a promotion put the collection in its place.

        In place of another collection `enter` does that: old and new change places in the step that ends the promotion.
        """
        for claim in claims:
            if claim.value.task is Task.PROMOTE and claim.value.live.placement != COLLECTION:
                claim.exchange(transitions.collection_in_place(claim.value), self._expiry)
            elif claim.value.task is Task.MERGE:
                script = _merge(_collection(claim.value.newest.storage.written), self._expiry)
                keys = (claim.keys.staged_collection, claim.keys.collection)
                more = True
                while more:
                    more = False
                    for reply in self._run(claim, [self._pack(claim, script, *keys)] * _AT_ONCE):
                        more = reply == b"more"
        self._lane.settle()

    def remove_old(self, claims: Sequence[Claim]) -> None:
        """UNLINK the collections of which the new generation's records have keys of their own."""
        for claim in claims:
            if claim.value.newest.placement != claim.value.live.placement:
                self._run(claim, [self._pack(claim, _UNLINK, claim.keys.collection)])

    def enter(self, claim: Claim, promoted: Ledger) -> None:
        """Put the staged collection in the place of a live one, in the step that moves the ledger on."""
        if claim.value.task is Task.REMOVE:
            claim.move(promoted)
        else:
            claim.exchange(promoted, self._expiry)

    def drop(self, claims: Sequence[Claim]) -> None:
        """UNLINK the staged collections."""
        for claim in claims:
            self._run(claim, [self._pack(claim, _UNLINK, claim.keys.staged_collection)])

    def sweep(self, claims: Sequence[Claim]) -> None:
        """Remove the elements above the last acknowledged one, where the source's sending them again doubles them."""
        for claim in claims:
            ledger, keys = claim.value, claim.keys
            collection = _collection(ledger.newest.storage.written)
            if collection.sweep and (count := ledger.sent - ledger.top) > 0:
                key = keys.staged_collection if ledger.staged else keys.collection
                step = self._pack(claim, _sweep(collection), key, arguments=(ledger.top,))
                self._run(claim, [step] * -(-count // _MOST))

    def _pack(self, claim: Claim, script: str, *keys: bytes, arguments: Sequence[int] = ()) -> bytes:
        sha = self._lane.load(script)
        return self._lane.pack("EVALSHA", sha, 1 + len(keys), claim.keys.ledger, *keys, claim.token, *arguments)

    def _run(self, claim: Claim, commands: Sequence[bytes]) -> list[bytes]:
        """Return the replies; raises where another writer has the ledger."""
        replies: list[bytes] = []

        def judge(reply: object) -> None:
            assert isinstance(reply, bytes)
            if reply != b"more":
                claim.judge(reply)
            replies.append(reply)

        self._lane.send(commands, judge=judge, moves=True)
        claim.move()
        self._lease.keep()
        self._lane.settle()
        return replies


def _collection(written: Written) -> Collection:
    cache = CACHES[written.cache_type](Layout(written.record_format))
    assert isinstance(cache, CollectionCache), f"{written.cache_type} is no collection"
    return cache.collection
