"""The memory estimate: whether the servers evict keys, and whether the records to be staged fit into free memory.

These are only warnings. If a server does not report its memory, or the user may not ask, there are none.
"""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple, TypeVar

from redis import Redis
from redis import exceptions as redis_errors

from destination_redis.config.settings import RedisConfig
from destination_redis.connection.deployment import Servers
from destination_redis.connection.memory import Memory, memory_of, why_evicting
from destination_redis.connection.replies import ask, info, number
from destination_redis.connection.slots import Address, slot_of
from destination_redis.keys import KeyTemplate, Matcher
from destination_redis.ledger.lease import StreamLease
from destination_redis.ledger.ledger import Generation
from destination_redis.protocol.catalog import COLLECTION, PRIMARY_KEY, SEQUENCE, Stream

#: Sampled keys of all streams together; each stream has at least one.
_LOOKS = 2000
#: Sampled elements of a collection (MEMORY USAGE).
_ELEMENTS = 50
#: Keys that a server scans for those of streams by primary key.
_SCANNED = 2000
_MEGABYTE = 1_000_000
Item = TypeVar("Item")


class _Look(NamedTuple):
    """A sampled key that represents `weight` keys; negative for staged keys, whose memory is already in use."""

    lease: StreamLease
    key: bytes
    weight: float


def warnings(
    settings: Mapping[Stream, RedisConfig], servers: Servers, begun: Sequence[tuple[StreamLease, bool]], database: int
) -> list[str]:
    """Return the warnings about memory before the first record, given the settings of each stream.

    `begun` has the leases of all streams, and whether old and new data will exist at the same time.
    """
    found: list[str] = []
    with suppress(redis_errors.RedisError, OSError):
        primaries = servers.slot_map().primaries
        memories = {address: memory_of(servers.client(address)) for address in primaries}
        of_streams = [(config, stream) for stream, config in settings.items()]
        for policy in dict.fromkeys(memory.policy for memory in memories.values()):
            found += filter(None, [why_evicting(policy, of_streams, clustered=servers.clustered)])
        both = [lease for lease, twice in begun if twice]
        if both and any(memory.limit for memory in memories.values()):
            found += _why_too_large(memories, servers, both, database)
        for address in primaries:  # or this connection stays idle until the sync ends
            servers.client(address).connection_pool.disconnect(inuse_connections=False)
    return found


def _why_too_large(
    memories: Mapping[Address, Memory], servers: Servers, leases: Sequence[StreamLease], database: int
) -> Iterator[str]:
    needs = _needs(servers, tuple(memories), leases, database)
    for address, memory in memories.items():
        if memory.limit and needs[address] > memory.free:
            where = f" {address[0]}:{address[1]}" if servers.clustered else ""
            several = f"{leases[0].stream} and {len(leases) - 1} more streams" if leases[1:] else str(leases[0].stream)
            yield (
                f"The old data of {several} stays until the new data is complete. Judging by the old data, this needs "
                f"about {needs[address] / _MEGABYTE:,.1f} MB more, and the server{where} has "
                f"{memory.free / _MEGABYTE:,.1f} MB free: raise maxmemory or free memory."
            )


def _needs(
    servers: Servers, primaries: Sequence[Address], leases: Sequence[StreamLease], database: int
) -> Mapping[Address, float]:
    """Return the bytes needed on each server: the size of the live records minus that of the staged ones."""
    table = servers.slot_map().table()
    most = max(_LOOKS // len(leases), 1)
    looks: dict[Address, list[_Look]] = defaultdict(list)
    for lease in leases:
        for key, weight in _by_ledger(lease, most):
            if (address := table[slot_of(key)]) is not None:
                looks[address].append(_Look(lease, key, weight))
    by_key = [lease for lease in leases if PRIMARY_KEY in (lease.value.live.placement, lease.value.newest.placement)]
    needs = dict.fromkeys(primaries, 0.0)
    for address in primaries:
        client = servers.client(address)
        some = [*looks[address], *(_by_scan(client, by_key, most, database) if by_key else ())]
        asking = client.pipeline(transaction=False)
        for look in some:
            asking.execute_command("MEMORY", "USAGE", look.key, "SAMPLES", _ELEMENTS)
        sizes: dict[StreamLease, float] = defaultdict(float)
        for look, size in zip(some, asking.execute(), strict=True):
            sizes[look.lease] += number(size) * look.weight
        needs[address] = sum(max(size, 0) for size in sizes.values())
    return needs


def _by_ledger(lease: StreamLease, most: int) -> Iterator[tuple[bytes, float]]:
    """Yield the sampled keys that the ledger determines, with the weight of each."""
    ledger, keys = lease.value, lease.live_keys
    yield from _part(ledger.live, keys.collection, keys.live, most)
    if ledger.staged:
        keys = lease.newest_keys
        staged = _part(ledger.staged, keys.staged_collection, keys.staged, most)
        yield from ((key, -weight) for key, weight in staged)


def _part(generation: Generation, collection: bytes, template: KeyTemplate, most: int) -> Iterator[tuple[bytes, float]]:
    first, last = generation.first, generation.committed
    if generation.placement == COLLECTION:
        yield collection, 1
    elif generation.placement == SEQUENCE and last >= first:
        ids = _some(range(first, last + 1), most)
        for number in ids:
            yield template.key(b"%d" % number), (last + 1 - first) / len(ids)


def _by_scan(client: Redis, leases: Sequence[StreamLease], most: int, database: int) -> Iterator[_Look]:
    """Yield keys of streams by primary key from a part of the server's keys, which represents all of them."""
    keyspace = info(ask(client, "INFO", "keyspace")).get(f"db{database}", "")
    total = number(keyspace.removeprefix("keys=").partition(",")[0])
    match ask(client, "SCAN", "0", "COUNT", _SCANNED):
        case [_, [*scanned]]:
            keys = [key for key in scanned if isinstance(key, bytes)]
        case _:
            return
    matcher = Matcher((template, (lease, sign)) for lease in leases for template, sign in _places(lease))
    found: dict[tuple[StreamLease, int], list[bytes]] = defaultdict(list)
    for key in keys:
        for place, _ in matcher.match(key):
            found[place].append(key)
    for (lease, sign), some in found.items():
        chosen = _some(some, most)
        for key in chosen:
            yield _Look(lease, key, sign * len(some) / len(chosen) * max(total / len(keys), 1))


def _places(lease: StreamLease) -> Iterator[tuple[KeyTemplate, int]]:
    ledger = lease.value
    if ledger.live.placement == PRIMARY_KEY:
        yield lease.live_keys.live, 1
    if ledger.staged and ledger.staged.placement == PRIMARY_KEY:
        yield lease.newest_keys.staged, -1


def _some(items: Sequence[Item], most: int) -> list[Item]:
    # A random sample is right even for records whose size follows a regular pattern.
    return random.sample(items, min(most, len(items)))
