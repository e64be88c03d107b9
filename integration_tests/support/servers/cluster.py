"""A Redis Cluster of real servers, whose primaries fail and whose slots move on demand."""

import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress

import redis

from destination_redis.connection.slots import SLOTS, slot_of
from integration_tests.support.messages import Json
from integration_tests.support.servers.server import Server, free_port, require
from integration_tests.support.waiting import wait_until

#: Milliseconds after which a node counts as failed.
NODE_TIMEOUT = 1000


class ClusterServers:
    """Nodes on loopback: primaries that share the slots evenly, and one replica for each where asked for."""

    def __init__(self, primaries: list[Server], replicas: list[Server], tls_port: int) -> None:
        self.primaries = primaries
        self.replicas = replicas
        self.tls_port = tls_port

    @property
    def nodes(self) -> list[Server]:
        return [*self.primaries, *self.replicas]

    @property
    def config(self) -> Json:
        """The configuration for it; it names two nodes."""
        first, *others = self.nodes
        deployment = {"deployment": "cluster", "nodes": [f"127.0.0.1:{others[0].port}"] if others else []}
        return {"host": "127.0.0.1", "port": first.port, "deployment": deployment}

    @contextmanager
    def client(self) -> Iterator["redis.RedisCluster"]:
        """Yield a client that sees all keys; SCAN asks every primary."""
        with redis.RedisCluster(host="127.0.0.1", port=self._alive().port) as client:
            yield client

    def flush(self) -> None:
        for node in self.nodes:
            with suppress(redis.ResponseError):  # a replica
                node.client.flushall()

    def owner(self, slot: int) -> Server:
        """Return the primary that serves a slot."""
        asked = self._alive().client
        for first, last, node, *_ in asked.execute_command("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(each for each in self.nodes if each.port == node[1])
        raise AssertionError(slot)

    def errors(self, code: str) -> int:
        """Return how often the nodes have answered with an error of this code."""
        counts = (node.client.info("errorstats").get(f"errorstat_{code}", {"count": 0}) for node in self._living())
        return sum(int(each["count"]) for each in counts)

    @contextmanager
    def on_its_way(self, slot: int) -> Iterator[None]:
        """Have a slot half-way between two primaries, and at the other one in the end."""
        source = self.owner(slot)
        target = self.primaries[(self.primaries.index(source) + 1) % len(self.primaries)]
        names = [node.client.execute_command("CLUSTER", "MYID").decode() for node in (source, target)]
        target.client.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[0])
        source.client.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[1])
        yield
        self.move_slot(slot, source, target)

    def move_slot(self, slot: int, source: Server, target: Server, pause: float = 0.0) -> None:
        """Give a slot away as `redis-cli --cluster reshard` does, key by key; `pause` seconds in its middle."""
        here, there = (node.client for node in (source, target))
        names = [node.execute_command("CLUSTER", "MYID").decode() for node in (here, there)]
        there.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[0])
        here.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[1])
        self._migrate(slot, here, target)
        time.sleep(pause)
        self._migrate(slot, here, target)
        for node in (there, here, *(each.client for each in self.primaries if each not in (source, target))):
            node.execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[1])

    @staticmethod
    def _migrate(slot: int, here: "redis.Redis", target: Server) -> None:
        while keys := here.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
            here.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *keys)

    def wait_until_in_step(self) -> None:
        """Return once every replica has all that its primary has."""
        wait_until(lambda: all(node.offset == self._primary_of(node).offset for node in self.replicas))

    def kill(self, node: Server) -> None:
        """Kill a primary, whose replica then takes over in a while."""
        node._process.kill()
        node._process.wait(60)

    def fail_over(self, node: Server) -> None:
        """Kill a primary whose replica is in step, and return when the replica has taken over."""
        replica = self.replica_of(node)
        self.wait_until_in_step()
        self.kill(node)
        wait_until(lambda: self.takes_over(replica), 30)

    @contextmanager
    def parted(self, primary: Server) -> Iterator[None]:
        """Have the primary's replica, in step before, receive nothing; it goes on afterwards."""
        replica = self.replica_of(primary)
        self.wait_until_in_step()
        replica.signal(signal.SIGSTOP)
        try:
            # What is on its way to a stopped process would be read once it goes on.
            primary.client.client_kill_filter(_type="replica")
            yield
        finally:
            replica.signal(signal.SIGCONT)

    def takes_over(self, node: Server) -> bool:
        return bool(node.client.role()[0] == b"master")

    def wait_until_whole(self) -> None:
        """Return when each living node serves what it has: after a failover some refuse that for a while."""
        _wait(lambda: all(b"cluster_state:ok" in _info(node) for node in self._living()))

    def own_keys(self) -> list[bytes]:
        """Return the connector's own keys, other than ledgers and deletions."""
        with self.client() as client:
            keys = list(client.scan_iter("airbyte:*"))
        return [key for key in keys if not key.startswith((b"airbyte:{", b"airbyte:tombstone:"))]

    def replica_of(self, primary: Server) -> Server:
        return self.replicas[self.primaries.index(primary)]

    def _primary_of(self, replica: Server) -> Server:
        return self.primaries[self.replicas.index(replica)]

    def _alive(self) -> Server:
        return self._living()[0]

    def _living(self) -> list[Server]:
        return [node for node in self.nodes if node._process.poll() is None]


@contextmanager
def cluster(
    name: str = "redis-7.0", primaries: int = 3, *, replicas: bool = False, tls: Sequence[str] = ()
) -> Iterator[ClusterServers]:
    """Start a cluster of a kind of server; with `replicas` there is one for each primary, and they are in step.

    With `tls`, its options, every node listens on a port for that too, and they use it among themselves.
    """
    binary = require(name)
    with ExitStack() as stack:
        tls_ports: list[int] = []

        def start() -> Server:
            tls_ports.append(free_port())
            # Nodes speak to each other on another port, else their own plus 10,000, which may be too high or taken.
            node = Server(
                binary,
                *("--cluster-enabled", "yes", "--cluster-node-timeout", str(NODE_TIMEOUT)),
                *("--cluster-port", str(free_port()), "--repl-diskless-sync-delay", "0"),
                *("--cluster-allow-replica-migration", "no", "--appendonly", "no"),
                *(("--tls-port", str(tls_ports[-1]), *tls) if tls else ()),
            )
            stack.callback(node.close)
            return node

        firsts = [start() for _ in range(primaries)]
        seconds = [start() for _ in range(primaries if replicas else 0)]
        bounds = [SLOTS * number // primaries for number in range(primaries + 1)]
        for number, (node, first, end) in enumerate(zip(firsts, bounds, bounds[1:], strict=False), 1):
            node.client.execute_command("CLUSTER", "SET-CONFIG-EPOCH", number)
            node.client.execute_command("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
        buses = {node.port: _bus(node) for node in (*firsts, *seconds)}
        for node in (*firsts[1:], *seconds):
            node.client.execute_command("CLUSTER", "MEET", "127.0.0.1", firsts[0].port, buses[firsts[0].port])
        count = len(firsts) + len(seconds)
        everyone = (*firsts, *seconds)
        _wait(lambda: all(len(_lines(node)) == count and _is_whole(node, count) for node in everyone))
        for first_node, second in zip(firsts, seconds, strict=False):
            second.client.execute_command("CLUSTER", "REPLICATE", first_node.client.execute_command("CLUSTER", "MYID"))
        _wait(lambda: all(second.client.info("replication").get("master_link_status") == "up" for second in seconds))
        servers = ClusterServers(firsts, seconds, tls_ports[0])
        _wait(lambda: all(b"cluster_state:ok" in _info(node) for node in everyone))
        if replicas:
            # Whoever is asked has to know who would take over.
            _wait(lambda: all(_lines_with(node, "slave") == len(seconds) for node in everyone))
        yield servers


def slot(key: str) -> int:
    return slot_of(key.encode())


def _bus(node: Server) -> int:
    return int(node.client.config_get("cluster-port")["cluster-port"] or 0)


def _info(node: Server) -> bytes:
    answer = node.client.execute_command("CLUSTER", "INFO")
    assert isinstance(answer, bytes)
    return answer


def _lines(node: Server) -> list[str]:
    answer = node.client.execute_command("CLUSTER", "NODES")
    assert isinstance(answer, bytes)
    return answer.decode().splitlines()


def _lines_with(node: Server, flag: str) -> int:
    return sum(flag in line.split(" ")[2] for line in _lines(node))


def _is_whole(node: Server, count: int) -> bool:
    return all("handshake" not in line and "connected" in line for line in _lines(node)) and count > 0


def _wait(there: Callable[[], bool]) -> None:
    wait_until(there, 60)
