"""A Redis Cluster: which of its primaries serves which slot, by the word of any of its nodes."""

from collections.abc import Callable, Sequence

from redis import Redis
from redis import exceptions as redis_errors

from destination_redis.errors import UnreachableError, Verdict, config_error, explain, verdict
from destination_redis.slots import SLOTS, Address, SlotMap, slot_of

#: How often a question follows a key that has moved before it is asked again later.
_REDIRECTIONS = 5


class Cluster:
    """The nodes that are known, one of which is enough to learn of the others."""

    clustered = replaceable = True

    def __init__(
        self, nodes: Sequence[Address], client: Callable[[Address], Redis], asking: Callable[[Address], Redis]
    ) -> None:
        """Take the addresses that the settings name, and what makes a node's client, for records and for questions."""
        self._nodes = list(dict.fromkeys(nodes))
        self._make = client
        self._make_asking = asking
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
                reply = self._asked(address).execute_command("CLUSTER", "SLOTS")
            except (redis_errors.RedisError, OSError) as error:
                if "cluster support disabled" in str(error):
                    raise config_error("The server belongs to no cluster: set deployment to standalone") from error
                refusal = error if refusal is None or verdict(error) is Verdict.FAIL else refusal
                continue
            return self._read(reply, address)
        assert refusal is not None
        if verdict(refusal) is Verdict.FAIL:
            raise refusal
        raise UnreachableError(f"No node of the cluster can be asked ({explain(refusal)})") from refusal

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
                address = (error.host or address[0], error.port)
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
        for address, (epoch, slots) in self._own().items():
            for first, last in map(_ends, (each for each in slots if "[" not in each)):
                for slot in range(first, last + 1):
                    # A primary that was replaced, and does not know it yet, has the lower epoch.
                    owners[slot] = max(owners[slot] or (-1, address), (epoch, address))
        values = []
        for key in keys:
            if (owner := owners[slot_of(key)]) is None:
                raise redis_errors.ClusterDownError("Hash slot not served")
            values.append(self._asked(owner[1]).execute_command("GET", key))
        return values

    def standing(self, primaries: Sequence[Address]) -> str | None:
        """Ask every node for its own slots and epoch; None while any of them gives a slot away or takes one."""
        own = {address: each for address, each in self._own().items() if each[1]}
        if any("[" in slot for _, slots in own.values() for slot in slots):
            return None
        ends = [_ends(slots) for address in primaries if address in own for slots in own[address][1]]
        served = set().union(*(range(first, last + 1) for first, last in ends))
        return None if len(served) < SLOTS else repr(sorted(own.items()))

    def _own(self) -> dict[Address, tuple[int, list[str]]]:
        """Return each primary's epoch and slots, by its own word; nodes that do not answer are left out."""
        primaries = set(self.slot_map().primaries)
        own: dict[Address, tuple[int, list[str]]] = {}
        for address in self._nodes:
            try:
                reply = self._asked(address).execute_command("CLUSTER", "NODES")
            except (redis_errors.RedisError, OSError):
                if address in primaries:
                    raise
                continue
            assert isinstance(reply, bytes)
            for line in reply.decode().splitlines():
                _, _, flags, _, _, _, epoch, _, *slots = line.split(" ")
                if "myself" in flags and "master" in flags:
                    own[address] = int(epoch), slots
        return own

    def _asked(self, address: Address) -> Redis:
        if address not in self._asking:
            self._asking[address] = self._make_asking(address)
        return self._asking[address]

    def _read(self, reply: object, asked: Address) -> SlotMap:
        """Return the map that CLUSTER SLOTS gave; a node without a host is where the asked one is."""
        assert isinstance(reply, list)
        ranges = []
        for first, last, *nodes in reply:
            addresses = [((host or b"").decode() or asked[0], int(port)) for host, port, *_ in nodes]
            ranges.append((int(first), int(last), addresses[0]))
            self._nodes += [address for address in addresses if address not in self._nodes]
        if not ranges:
            raise UnreachableError("The cluster serves no slots")
        return SlotMap(tuple(sorted(ranges)))


def _ends(slots: str) -> tuple[int, int]:
    first, _, last = slots.partition("-")
    return int(first), int(last or first)
