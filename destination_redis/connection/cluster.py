"""A Redis Cluster: which primary serves which slot, as its nodes report it."""

from collections.abc import Callable, Sequence

from redis import Redis
from redis import exceptions as redis_errors

from destination_redis.connection.refusals import about
from destination_redis.connection.replies import ask, lines
from destination_redis.connection.slots import SLOTS, Address, SlotMap, host_of, slot_of
from destination_redis.errors import (
    CommandError,
    RetryDecision,
    UnreachableError,
    config_error,
    explain,
    retry_decision,
)

#: Number of MOVED redirections that a query follows before it fails with TryAgainError.
_REDIRECTIONS = 5
#: One more than the highest port.
_PORTS = 65536
_UNREADABLE = "The server's reply to CLUSTER NODES does not say which slots it serves"


#: What a primary reports of itself: its epoch, the first and last slot of each range, whether any slot is migrating.
_Own = tuple[int, list[tuple[int, int]], bool]


class Cluster:
    """The known nodes; the others are discovered from any one of them."""

    clustered = replaceable = True

    def __init__(
        self,
        nodes: Sequence[Address],
        client: Callable[[Address], Redis],
        asking: Callable[[Address], Redis],
        announced: dict[Address, Address],
    ) -> None:
        """Take the addresses in the settings, and factories of a node's clients: for records, and for queries.

        `announced` is filled with the addresses that nodes announce, each with that of the announcing node.
        """
        self._nodes = list(dict.fromkeys(nodes))
        self._make = client
        self._make_asking = asking
        self._announced = announced
        self._clients: dict[Address, Redis] = {}
        self._asking: dict[Address, Redis] = {}
        self._table: Sequence[Address | None] | None = None

    def slot_map(self) -> SlotMap:
        """Query the nodes one by one until one answers; raises a config error if a node is not part of a cluster."""
        refusal: Exception | None = None
        for address in list(self._nodes):
            # Start with a different node each time: one that is partitioned from the others reports outdated slots.
            self._nodes.append(self._nodes.pop(0))
            try:
                reply = self._told(address, "SLOTS")
            except (redis_errors.RedisError, OSError) as error:
                if any("cluster support disabled" in str(each) for each in (error, error.__cause__)):
                    raise config_error(
                        "The server does not belong to a cluster: set deployment to standalone"
                    ) from error
                refusal = error if refusal is None or retry_decision(error) is RetryDecision.FAIL else refusal
                continue
            if (found := self._read(reply, address)) is not None:
                return found
        if refusal is None:
            raise UnreachableError("The cluster serves no slots")
        if retry_decision(refusal) is RetryDecision.FAIL and not isinstance(refusal, CommandError):
            raise refusal
        raise _why_unknown(refusal) from refusal

    def client(self, address: Address) -> Redis:
        """Return a node's client."""
        if address not in self._clients:
            self._clients[address] = self._make(address)
        return self._clients[address]

    def ask(self, key: bytes, *command: str | bytes | int) -> object:
        """Return the reply of the node that has `key`; raises redis-py's errors, TryAgainError if the key is moving."""
        self._table = table = self._table or self.slot_map().table()
        address = table[slot_of(key)]
        for _ in range(_REDIRECTIONS):
            if address is None:
                break
            try:
                return self._asked(address).execute_command(*command)
            except redis_errors.MovedError as error:
                address = (host_of(error.host, address[0]), error.port)
            except redis_errors.AskError as error:
                raise redis_errors.TryAgainError(str(error)) from error
            except (redis_errors.RedisError, OSError):
                self._table = None
                raise
        self._table = None
        raise redis_errors.TryAgainError("The key keeps moving between nodes")

    def held(self, keys: Sequence[bytes]) -> list[object]:
        """Return the values of keys on their actual owners, found by querying every node."""
        owners: list[tuple[int, Address] | None] = [None] * SLOTS
        for address, (epoch, slots, _) in self._own().items():
            for first, last in slots:
                for slot in range(first, last + 1):
                    # A primary that was replaced but does not know it yet has the lower epoch.
                    owners[slot] = max(owners[slot] or (-1, address), (epoch, address))
        values = []
        for key in keys:
            if (owner := owners[slot_of(key)]) is None:
                raise redis_errors.ClusterDownError("Hash slot not served")
            values.append(self._asked(owner[1]).execute_command("GET", key))
        return values

    def topology_version(self, primaries: Sequence[Address]) -> str | None:
        """Query every node for its own slots and epoch; None while any slot is migrating or importing."""
        own = {address: each for address, each in self._own().items() if each[1] or each[2]}
        if any(moving for _, _, moving in own.values()):
            return None
        ends = (ends for address in primaries if address in own for ends in own[address][1])
        served = set().union(*(range(first, last + 1) for first, last in ends))
        return None if len(served) < SLOTS else repr(sorted(own.items()))

    def _own(self) -> dict[Address, _Own]:
        """Return each primary's own epoch and slots; replicas that do not answer are skipped."""
        primaries = set(self.slot_map().primaries)
        own: dict[Address, _Own] = {}
        for address in self._nodes:
            try:
                found = own_slots(self._told(address, "NODES"))
            except (redis_errors.RedisError, OSError):
                if address in primaries:
                    raise
                continue
            if found is not None:
                own[address] = found
        return own

    def _told(self, address: Address, what: str) -> object:
        try:
            return ask(self._asked(address), "CLUSTER", what)
        except redis_errors.ResponseError as error:
            raise about(error, f"CLUSTER {what}") from error

    def _asked(self, address: Address) -> Redis:
        if address not in self._asking:
            self._asking[address] = self._make_asking(address)
        return self._asking[address]

    def _read(self, reply: object, asked: Address) -> SlotMap | None:
        """Return the map in a reply to CLUSTER SLOTS, None if it has no slots; unreadable entries are not served."""
        ranges = []
        for entry in reply if isinstance(reply, list) else ():
            match entry:
                case [int(first), int(last), *nodes] if 0 <= first <= last < SLOTS:
                    addresses = [_address(node, asked[0]) for node in nodes]
                case _:
                    continue
            if addresses and addresses[0] is not None:
                ranges.append((first, last, addresses[0]))
            for address in filter(None, addresses):
                if address not in self._nodes:
                    self._nodes.append(address)
                    self._announced[address] = asked
        return SlotMap(tuple(sorted(ranges))) if ranges else None


def own_slots(reply: object) -> _Own | None:
    """Return the replying primary's epoch, slots and whether any is migrating, from a reply to CLUSTER NODES.

    Returns None for a replica; raises CommandError if the reply does not have Redis's format.
    """
    for line in lines(reply):
        match line.split(" "):
            case [_, _, flags, _, _, _, epoch, _, *slots] if "myself" in flags and epoch.isdecimal():
                if "master" not in flags:
                    return None
                moving = any("[" in each for each in slots)
                return int(epoch), [_ends(each) for each in slots if "[" not in each], moving
    raise CommandError(_UNREADABLE)


def _ends(slots: str) -> tuple[int, int]:
    first, _, last = slots.partition("-")
    if not (first.isdecimal() and (last or first).isdecimal() and int(last or first) < SLOTS):
        raise CommandError(_UNREADABLE)
    return int(first), int(last or first)


def _why_unknown(refusal: Exception) -> Exception:
    """Return the error for a cluster of which no node reports the slots."""
    if isinstance(refusal, CommandError):
        return config_error(f"{refusal}. If it does not belong to a cluster, set deployment to standalone")
    return UnreachableError(f"No node of the cluster can be queried ({explain(refusal)})")


def _address(node: object, asked: str) -> Address | None:
    """Return a node's address in a reply to CLUSTER SLOTS; None if it cannot be read."""
    match node:
        case [bytes() | None as host, int(port), *_] if 0 < port < _PORTS:
            return host_of((host or b"").decode(errors="replace"), asked), port
    return None
