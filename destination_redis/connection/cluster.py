"""A Redis Cluster: which of its primaries serves which slot, by the word of any of its nodes."""

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

#: How often a question follows a key that has moved before it is asked again later.
_REDIRECTIONS = 5
#: One more than the highest port.
_PORTS = 65536
_UNREADABLE = "The server's reply to CLUSTER NODES does not say which slots it serves"


#: What a primary says of itself: its epoch, the first and last slot of each range, whether any slot is on its way.
_Own = tuple[int, list[tuple[int, int]], bool]


class Cluster:
    """The nodes that are known, one of which is enough to learn of the others."""

    clustered = replaceable = True

    def __init__(
        self,
        nodes: Sequence[Address],
        client: Callable[[Address], Redis],
        asking: Callable[[Address], Redis],
        announced: dict[Address, Address],
    ) -> None:
        """Take the addresses that the settings name, and what makes a node's client, for records and for questions.

        `announced` is filled with the addresses that nodes announced, and which node that was.
        """
        self._nodes = list(dict.fromkeys(nodes))
        self._make = client
        self._make_asking = asking
        self._announced = announced
        self._clients: dict[Address, Redis] = {}
        self._asking: dict[Address, Redis] = {}
        self._table: Sequence[Address | None] | None = None

    def slot_map(self) -> SlotMap:
        """Ask the nodes, one after the other until one answers; raises a config error where none is of a cluster."""
        refusal: Exception | None = None
        for address in list(self._nodes):
            # Each time another one begins: one that is cut off from the others tells what is no longer so.
            self._nodes.append(self._nodes.pop(0))
            try:
                reply = self._told(address, "SLOTS")
            except (redis_errors.RedisError, OSError) as error:
                if any("cluster support disabled" in str(each) for each in (error, error.__cause__)):
                    raise config_error("The server belongs to no cluster: set deployment to standalone") from error
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
        """Return the reply of the node that has `key`; raises redis-py's errors, and where it moves TryAgainError."""
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
        raise redis_errors.TryAgainError("The key moves from node to node")

    def held(self, keys: Sequence[bytes]) -> list[object]:
        """Return what the rightful owners of keys hold, found by asking every node."""
        owners: list[tuple[int, Address] | None] = [None] * SLOTS
        for address, (epoch, slots, _) in self._own().items():
            for first, last in slots:
                for slot in range(first, last + 1):
                    # A primary that was replaced, and does not know it yet, has the lower epoch.
                    owners[slot] = max(owners[slot] or (-1, address), (epoch, address))
        values = []
        for key in keys:
            if (owner := owners[slot_of(key)]) is None:
                raise redis_errors.ClusterDownError("Hash slot not served")
            values.append(self._asked(owner[1]).execute_command("GET", key))
        return values

    def topology_version(self, primaries: Sequence[Address]) -> str | None:
        """Ask every node for its own slots and epoch; None while any of them gives a slot away or takes one."""
        own = {address: each for address, each in self._own().items() if each[1] or each[2]}
        if any(moving for _, _, moving in own.values()):
            return None
        ends = (ends for address in primaries if address in own for ends in own[address][1])
        served = set().union(*(range(first, last + 1) for first, last in ends))
        return None if len(served) < SLOTS else repr(sorted(own.items()))

    def _own(self) -> dict[Address, _Own]:
        """Return each primary's epoch and slots, by its own word; nodes that do not answer are left out."""
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
        """Return the map that CLUSTER SLOTS gave, None where it has no slots; what cannot be read is not served."""
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
    """Return the epoch, the slots and whether any is on its way, of the primary that gave this reply to CLUSTER NODES.

    None of a replica; raises CommandError where a node does not tell them as Redis does.
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
    """Return the error where no node tells which slots there are."""
    if isinstance(refusal, CommandError):
        return config_error(f"{refusal}. Where it belongs to no cluster, set deployment to standalone")
    return UnreachableError(f"No node of the cluster can be asked ({explain(refusal)})")


def _address(node: object, asked: str) -> Address | None:
    """Return a node's address, of CLUSTER SLOTS; None where it cannot be read."""
    match node:
        case [bytes() | None as host, int(port), *_] if 0 < port < _PORTS:
            return host_of((host or b"").decode(errors="replace"), asked), port
    return None
