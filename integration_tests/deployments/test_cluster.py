"""A Redis Cluster: slots that move, primaries that die, in every sync mode."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from integration_tests.support.connector.library import check, full, full_dedup, write
from integration_tests.support.connector.process import Connector, Running
from integration_tests.support.docs.permissions import LEAST, OF_CLUSTER
from integration_tests.support.expiries import END, FOREVER, OWN, row
from integration_tests.support.messages import COMPLETE, Json, dedup, generation, record, state, stream
from integration_tests.support.servers.cluster import ClusterServers, cluster, slot
from integration_tests.support.servers.server import Server, free_port, running
from integration_tests.support.stored import LEDGER, ledger, rows, values
from integration_tests.support.waiting import wait_until

MODES = ("append", "overwrite", "append_dedup", "refresh of append_dedup")


class Work:
    """A sync of one mode into data of an earlier one, and what it must leave."""

    def __init__(self, mode: str, count: int = 2000) -> None:
        by_key = mode.endswith("append_dedup")
        make = dedup if by_key else stream
        self.by_key = by_key
        self.count = count
        replaces = mode in ("overwrite", "refresh of append_dedup")
        self.before = [make(**generation(1, 0, 1))]
        second = generation(2, 2, 2) if replaces else generation(1, 0, 2)
        self.streams = [dedup(**second) if by_key else stream(mode="overwrite" if replaces else "append", **second)]
        self.earlier = [self._message(number) for number in range(-200, 0)]
        self.messages: list[Json] = []
        for number in range(1, count + 1):
            self.messages.append(self._message(number))
            if number % 200 == 0:
                self.messages.append(state(number))
        self._kept = [] if replaces else self.earlier

    def _message(self, number: int) -> Json:
        if not self.by_key:
            return record(number)
        data: Json = {"id": number % 300, "at": number + 1000, "value": number}
        if number % 7 == 0:
            data["_ab_cdc_deleted_at"] = "now"
        return record(number, data=data)

    @property
    def expected(self) -> object:
        data = [each["record"]["data"] for each in (*self._kept, *self.messages) if each["type"] == "RECORD"]
        if not self.by_key:
            return [each["id"] for each in data]
        table: dict[str, int] = {}
        for each in data:
            table.pop(str(each["id"]), None)
            if "_ab_cdc_deleted_at" not in each:
                table[str(each["id"])] = each["value"]
        return table

    def found(self, servers: ClusterServers) -> object:
        with servers.client() as client:
            return rows(client) if self.by_key else values(client)  # type: ignore[arg-type]

    def begin(self, connector: Connector) -> None:
        outcome = connector.write(self.before, [*self.earlier, state(0), COMPLETE])
        assert outcome.code == 0, outcome.text

    def feed(self, run: Running, *, part: slice = slice(None), pause: float = 0.002) -> None:
        for message in self.messages[part]:
            run.feed([message])
            if message["type"] == "STATE":
                time.sleep(pause * 100)


@pytest.fixture(scope="module")
def _plain() -> Iterator[ClusterServers]:
    with cluster() as servers:
        yield servers


@pytest.fixture
def plain(_plain: ClusterServers) -> ClusterServers:
    """Three primaries without replicas."""
    _plain.flush()
    return _plain


@pytest.fixture
def replicated() -> Iterator[ClusterServers]:
    """Three primaries with a replica each."""
    with cluster(replicas=True) as servers:
        yield servers


@pytest.mark.parametrize("mode", MODES)
def test_every_sync_mode_spreads_its_records_over_all_primaries(
    plain: ClusterServers, tmp_path: Path, mode: str
) -> None:
    work, connector = Work(mode), Connector(plain.config, tmp_path)
    with plain.client() as client:
        client.hset("default:users:42:cart", "item", 1)
        work.begin(connector)
        outcome = connector.write(work.streams, [*work.messages, COMPLETE])
        assert client.hgetall("default:users:42:cart") == {b"item": b"1"}
        client.delete("default:users:42:cart")

    assert outcome.code == 0, outcome.text
    assert len(outcome.states) == 10
    assert work.found(plain) == work.expected
    assert plain.own_keys() == []
    assert all(len(node.client.keys("default:users:*")) > 20 for node in plain.primaries)


@pytest.mark.parametrize("mode", ["append", "append_dedup", "refresh", "refresh_dedup", "merge", "merge_dedup"])
def test_records_expire_at_their_own_times_on_every_primary(plain: ClusterServers, mode: str) -> None:
    kind = mode.removesuffix("_dedup")
    make = full_dedup if mode.endswith("dedup") else full
    numbers = generation(2, 0 if kind == "append" else 2, 2)
    expected = {0: FOREVER, 1: OWN, 2: FOREVER, 3: None}
    ends = {0: None, 1: END / 1000, 2: "infinity", 3: 1}
    messages = [row(number, 1, ends[number % 4]) for number in range(80)]
    config = {**plain.config, "expire_at": "ends"}
    assert check(config) is None
    if kind == "merge":
        with pytest.raises(AirbyteTracedException, match="Not complete"):
            list(write(config, [make(**numbers)], [*messages, state(1)]))
        list(write(config, [make(**generation(2, 0, 3))], [COMPLETE]))
    else:
        list(write(config, [make(**numbers)], [*messages, COMPLETE]))
    with plain.client() as client:
        first = 0 if mode.endswith("dedup") else 1
        found = {number: expiry_in(client, f"default:users:{number + first}") for number in range(80)}
    assert found == {number: expected[number % 4] for number in range(80)}
    assert [key for key in plain.own_keys() if b"tmp" in key] == []


def expiry_in(client: redis.RedisCluster, key: str) -> str | None:
    """Return what expiry a key has, None if it is not there."""
    left = client.execute_command("PTTL", key)
    if left < 0:
        return FOREVER if left == -1 else None
    assert abs(time.time() * 1000 + left - END) < 5000
    return OWN


@contextmanager
def moving_slots(servers: ClusterServers) -> Iterator[list[int]]:
    """Move slots that are in use from primary to primary and back, each lingering half-way, until the end."""
    moved: list[int] = []
    over = threading.Event()

    def move() -> None:
        # The ledger's is in use all the time, the others now and then.
        numbers = [slot(key) for number in range(1, 40) for key in (LEDGER, f"default:users:{number}")]
        while not over.is_set():
            number = numbers[len(moved) % len(numbers)]
            source = servers.owner(number)
            target = servers.primaries[(servers.primaries.index(source) + 1) % len(servers.primaries)]
            servers.move_slot(number, source, target, pause=0.02)
            moved.append(number)

    thread = threading.Thread(target=move)
    thread.start()
    try:
        yield moved
    finally:
        over.set()
        thread.join(30)


@pytest.mark.parametrize("mode", MODES)
def test_slots_that_move_while_a_sync_runs_lose_and_double_nothing(
    plain: ClusterServers, tmp_path: Path, mode: str
) -> None:
    work, connector = Work(mode), Connector(plain.config, tmp_path)
    work.begin(connector)
    before = plain.errors("MOVED")
    with moving_slots(plain) as moved:
        run = connector.start(work.streams)
        work.feed(run)
        wait_until(lambda: len(moved) > 20)
        run.feed([COMPLETE])
        assert run.process.stdin
        run.process.stdin.close()
        # A promotion ends once no slot is on its way.
        wait_until(lambda: len(moved) > 40 or run.process.poll() is not None)
    outcome = run.ended()

    assert outcome.code == 0, outcome.text
    assert len(outcome.states) == 10
    assert work.found(plain) == work.expected
    assert plain.own_keys() == []
    assert plain.errors("MOVED") > before


@pytest.mark.parametrize("key", [LEDGER, "default:users:7"])
def test_a_slot_that_stays_half_way_is_waited_for_where_there_is_no_other_way(
    plain: ClusterServers, tmp_path: Path, key: str
) -> None:
    connector = Connector(plain.config, tmp_path)
    before, asked = plain.errors("TRYAGAIN"), plain.errors("ASK")
    with plain.on_its_way(slot(key)):
        run = connector.start([stream(mode="overwrite", **generation(2, 2, 2))])
        run.feed([*map(record, range(1, 101)), state(100), COMPLETE])
        assert run.process.stdin
        run.process.stdin.close()
        if key == LEDGER:  # its script has two keys, of which one is not there yet
            wait_until(lambda: plain.errors("TRYAGAIN") > before + 2)
        else:
            wait_until(lambda: plain.errors("ASK") > asked)
        time.sleep(1)
        assert run.process.poll() is None
    outcome = run.ended()
    assert outcome.code == 0, outcome.text
    with plain.client() as client:
        assert values(client) == list(range(1, 101))  # type: ignore[arg-type]
    assert plain.own_keys() == []


@pytest.mark.parametrize("whose", ["ledger", "another"])
@pytest.mark.parametrize("mode", MODES)
def test_a_primary_that_dies_in_the_middle_of_a_sync_is_replaced_and_the_result_is_exact(
    replicated: ClusterServers, tmp_path: Path, mode: str, whose: str
) -> None:
    work, connector = Work(mode), Connector(replicated.config, tmp_path)
    work.begin(connector)
    of_ledger = replicated.owner(slot(LEDGER))
    others = [node for node in replicated.primaries if node is not of_ledger]
    run = connector.start(work.streams)
    half = len(work.messages) // 2
    work.feed(run, part=slice(half))
    run.wait_for_states(4)
    replicated.fail_over(of_ledger if whose == "ledger" else others[-1])
    work.feed(run, part=slice(half, None))
    replicated.wait_until_whole()  # a node that takes some slots for down keeps its watermark
    run.feed([COMPLETE])
    outcome = run.finish()

    assert outcome.code == 0, outcome.text
    assert len(outcome.states) == 10
    assert work.found(replicated) == work.expected
    assert replicated.own_keys() == []
    again = connector.write([work.streams[0] | generation(2, 0, 3)], [COMPLETE])
    assert again.code == 0, again.text


@pytest.mark.parametrize("mode", ["overwrite", "refresh of append_dedup"])
def test_a_primary_that_dies_while_a_promotion_is_under_way_is_replaced_and_the_result_is_exact(
    replicated: ClusterServers, tmp_path: Path, mode: str
) -> None:
    work, connector = Work(mode), Connector(replicated.config, tmp_path)
    work.begin(connector)
    of_ledger = replicated.owner(slot(LEDGER))
    dying = next(node for node in replicated.primaries if node is not of_ledger)
    run = connector.start(work.streams)
    work.feed(run, pause=0)
    run.wait_for_states(10)
    replicated.wait_until_in_step()
    # The promotion begins, and comes to an end everywhere but here.
    dying.client.client_pause(60_000, all=False)
    run.feed([COMPLETE])
    assert run.process.stdin
    run.process.stdin.close()
    with replicated.client() as client:
        wait_until(lambda: ledger(client).get("task") == "promote")  # type: ignore[arg-type]
    time.sleep(0.5)
    replicated.kill(dying)
    outcome = run.ended()

    if outcome.code:  # what was not yet replicated of the promotion is done again by the next run
        assert outcome.error["failure_type"] == "transient_error", outcome.text
        outcome = connector.write([work.streams[0] | generation(2, 0, 3)], [COMPLETE])
        assert outcome.code == 0, outcome.text
    assert work.found(replicated) == work.expected
    assert replicated.own_keys() == []


@pytest.mark.parametrize("acknowledged", [True, False])
def test_what_a_replica_lacks_that_takes_over_from_a_server_without_the_ledger_is_found_out(
    replicated: ClusterServers, tmp_path: Path, *, acknowledged: bool
) -> None:
    connector = Connector(replicated.config, tmp_path)
    of_ledger = replicated.owner(slot(LEDGER))
    lost = next(node for node in replicated.primaries if node is not of_ledger)
    run = connector.start([stream()])
    run.send(*map(record, range(1, 101)), state(100))
    run.wait_for_states(1)
    with replicated.parted(lost):
        run.send(*map(record, range(101, 201)))
        if acknowledged:
            run.send(state(200))
            run.wait_for_states(2)
        else:
            wait_until(lambda: sum(len(node.client.keys("default:users:*")) for node in replicated.primaries) == 200)
        replicated.kill(lost)
    run.send(*map(record, range(201, 301)), state(300), COMPLETE)
    outcome = run.finish()

    assert outcome.code != 0
    if acknowledged:
        assert outcome.error["failure_type"] == "config_error"
        assert "lost acknowledged data of the stream users: refresh it" in outcome.error["message"]
        assert len(outcome.states) == 2
        refused = connector.write([stream()], [record(1), COMPLETE])
        assert "refresh" in refused.error["message"]
        again = connector.write([stream(**generation(2, 2, 2))], [*map(record, range(1, 301)), COMPLETE])
    else:
        assert outcome.error["failure_type"] == "transient_error", outcome.text
        assert len(outcome.states) == 1
        again = connector.write([stream()], [*map(record, range(101, 301)), state(300), COMPLETE])
    assert again.code == 0, again.text
    with replicated.client() as client:
        assert values(client) == list(range(1, 301))  # type: ignore[arg-type]


def test_with_durability_a_state_stays_back_as_long_as_no_replica_has_its_records(
    replicated: ClusterServers, tmp_path: Path
) -> None:
    durable = {**replicated.config, "durability": {"replicas": 1, "timeout_ms": 1000}}
    connector = Connector(durable, tmp_path)
    of_ledger = replicated.owner(slot(LEDGER))
    lagging = next(node for node in replicated.primaries if node is not of_ledger)
    run = connector.start([stream()])
    run.send(*map(record, range(1, 101)), state(100))
    run.wait_for_states(1)
    with replicated.parted(lagging):
        run.send(*map(record, range(101, 201)), state(200), COMPLETE)
        outcome = run.finish()

    assert outcome.code != 0
    assert outcome.error["failure_type"] == "transient_error"
    assert "0 of 1 replicas confirmed the writes within 1000 ms" in outcome.error["message"]
    assert len(outcome.states) == 1


@pytest.mark.parametrize("seed", range(4))
def test_with_durability_no_acknowledged_record_is_missing_after_a_failover_at_any_instant(
    replicated: ClusterServers, tmp_path: Path, seed: int
) -> None:
    durable = {**replicated.config, "durability": {"replicas": 1}}
    connector = Connector(durable, tmp_path)
    run = connector.start([stream()])
    stop = threading.Event()
    sent = 0

    def feed() -> None:
        nonlocal sent
        while not stop.is_set():
            run.feed([*map(record, range(sent + 1, sent + 51)), state(sent + 50)])
            sent += 50

    thread = threading.Thread(target=feed)
    thread.start()
    run.wait_for_states(20)
    time.sleep(0.037 * seed)
    node = replicated.primaries[seed % 3]
    replicated.kill(node)
    replica = replicated.replica_of(node)
    wait_until(lambda: replicated.takes_over(replica), 30)
    # From here on the outcome is decided by what was acknowledged, whether the sync goes on or not.
    run.process.kill()
    stop.set()
    thread.join(30)
    outcome = run.ended()
    acknowledged = outcome.states[-1]["stream"]["stream_state"]["cursor"]
    replicated.wait_until_whole()  # some still take the slots of the killed one for down
    with replicated.client() as client:
        found = set(values(client))  # type: ignore[arg-type]
    assert acknowledged >= 1000
    assert set(range(1, acknowledged + 1)) <= found

    again = connector.write([stream()], [*map(record, range(acknowledged + 1, sent + 1)), state(sent), COMPLETE])
    if "replicas confirmed" in again.text:  # the shard that lost its primary has no replica to confirm anything
        connector.config = replicated.config
        again = connector.write([stream()], [*map(record, range(acknowledged + 1, sent + 1)), state(sent), COMPLETE])
    assert again.code == 0, again.text
    with replicated.client() as client:
        assert sorted(set(values(client))) == list(range(1, sent + 1))  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", MODES)
def test_a_sync_that_is_killed_and_run_again_is_exact_in_a_cluster(
    plain: ClusterServers, tmp_path: Path, mode: str
) -> None:
    work, connector = Work(mode), Connector(plain.config, tmp_path)
    work.begin(connector)
    run = connector.start(work.streams)
    half = len(work.messages) // 2
    work.feed(run, part=slice(half + 100), pause=0)
    run.wait_for_states(5)
    time.sleep(0.1)  # what no state covers is on its way, or there
    killed = run.kill()
    confirmed = killed.states[-1]["stream"]["stream_state"]["cursor"]
    started = time.monotonic()
    rest = [
        each for each in work.messages if each["type"] == "STATE" or each["record"]["emitted_at"] > 1.7e12 + confirmed
    ]
    outcome = connector.write(work.streams, [*rest, COMPLETE])

    assert outcome.code == 0, outcome.text
    assert time.monotonic() - started < 20  # no lease was waited for
    assert work.found(plain) == work.expected


def test_a_cluster_that_is_down_for_a_while_is_waited_for(tmp_path: Path) -> None:
    with cluster() as servers:
        connector = Connector(servers.config, tmp_path)
        run = connector.start([stream()])
        run.send(*map(record, range(1, 301)), state(300))
        run.wait_for_states(1)
        away = servers.primaries[1]
        away.stop()
        wait_until(lambda: b"cluster_state:fail" in servers.primaries[0].client.execute_command("CLUSTER", "INFO"))
        run.send(*map(record, range(301, 601)), state(600), COMPLETE)
        wait_until(lambda: servers.errors("CLUSTERDOWN") > 2)
        away.start()
        outcome = run.finish()
        assert outcome.code == 0, outcome.text
        with servers.client() as client:
            assert values(client) == list(range(1, 601))  # type: ignore[arg-type]


def test_a_primary_that_hangs_and_is_replaced_and_comes_back_changes_nothing(
    replicated: ClusterServers, tmp_path: Path
) -> None:
    connector = Connector(replicated.config, tmp_path)
    run = connector.start([stream()])
    run.send(*map(record, range(1, 301)), state(300))
    run.wait_for_states(1)
    replicated.wait_until_in_step()
    hanging, replica = replicated.primaries[0], replicated.replicas[0]
    os.kill(hanging._process.pid, signal.SIGSTOP)
    try:
        run.send(*map(record, range(301, 601)), state(600), COMPLETE)
        wait_until(lambda: replicated.takes_over(replica), 30)
    finally:
        os.kill(hanging._process.pid, signal.SIGCONT)
    outcome = run.finish()

    assert outcome.code == 0, outcome.text
    with replicated.client() as client:
        assert values(client) == list(range(1, 601))  # type: ignore[arg-type]


def test_check_says_in_one_sentence_what_is_wrong_with_a_cluster(
    plain: ClusterServers, start_server: Callable[..., Server]
) -> None:
    assert check(plain.config) is None
    single = start_server()
    alone = {"deployment": "cluster"}
    asked = {**plain.config, "deployment": alone, "port": single.port}
    assert check(asked) == "The server does not belong to a cluster: set deployment to standalone"
    nowhere = {**plain.config, "deployment": alone, "port": free_port()}
    refused = "No node of the cluster can be queried (The connection was refused: no server listens there)."
    assert check(nowhere) == refused
    further = {"deployment": "cluster", "nodes": [f"127.0.0.1:{plain.primaries[2].port}"]}
    assert check({**nowhere, "deployment": further}) is None
    wrong = check({**plain.config, "password": "wrong"})
    assert wrong == "A password is set, but the server requires none."
    standalone = {key: value for key, value in plain.config.items() if key != "deployment"}
    assert check(standalone) == "The server belongs to a cluster and does not have all keys: set deployment to cluster."
    own = plain.primaries[0]
    own.client.execute_command("CLUSTER", "DELSLOTS", 7)
    try:
        wait_until(lambda: "no node serves" in (check(plain.config) or ""))
    finally:
        own.client.execute_command("CLUSTER", "ADDSLOTS", 7)
        wait_until(lambda: check(plain.config) is None)


def test_check_names_the_node_that_refuses_something(plain: ClusterServers) -> None:
    node = plain.primaries[2]
    node.client.config_set("maxmemory", 1)
    try:
        message = check(plain.config)
    finally:
        node.client.config_set("maxmemory", 0)
    expected = "The server is out of memory and refuses writes: raise maxmemory or remove data."
    assert message == f"127.0.0.1:{node.port}: {expected}"


@pytest.mark.parametrize("cache_type", ["hash", "list"])
def test_a_replacement_that_will_not_fit_is_warned_of_for_each_primary_that_lacks_room(
    plain: ClusterServers, caplog: pytest.LogCaptureFixture, cache_type: str
) -> None:
    config = {**plain.config, "cache_type": cache_type}
    streams = [full(mode="overwrite", **generation(number, number, number)) for number in (1, 2)]
    messages = [record(number, data={"id": number, "pad": f"{number}{'x' * 3000}"}) for number in range(900)]
    assert list(write(config, streams[:1], [*messages, COMPLETE])) == []
    # A list lies on one of them, other records on all; one has no limit.
    lacking = [plain.owner(slot("default:users"))] if cache_type == "list" else plain.primaries[1:]
    try:
        for node in plain.primaries[1:] if cache_type == "hash" else plain.primaries:
            node.client.config_set("maxmemory", node.client.info("memory")["used_memory"] + 400_000)
        plain.primaries[1].client.config_set("maxmemory-policy", "volatile-lru")
        caplog.clear()
        list(write(config, streams[1:], [*messages[:3], COMPLETE]))
    finally:
        for node in plain.primaries:
            node.client.config_set("maxmemory", 0)
            node.client.config_set("maxmemory-policy", "noeviction")
    warned = [each.message for each in caplog.records if each.levelname == "WARNING"]
    assert "maxmemory-policy is volatile-lru" in warned[0]
    expected = {f"127.0.0.1:{node.port}" for node in lacking}
    assert {address for address in expected for each in warned[1:] if f"server {address} has " in each} == expected
    assert len(warned) == 1 + len(lacking)
    for each in warned[1:]:
        needed = float(each.partition("about ")[2].split(" ")[0])
        assert needed == pytest.approx(2.8 if cache_type == "list" else 2.8 / 3, rel=0.3)


def test_a_standalone_setting_for_a_node_of_a_cluster_fails_a_write_with_what_to_change(
    plain: ClusterServers, tmp_path: Path
) -> None:
    config = {key: value for key, value in plain.config.items() if key != "deployment"}
    outcome = Connector(config, tmp_path).write([stream()], [*map(record, range(20)), COMPLETE])
    assert outcome.error["failure_type"] == "config_error"
    assert "set deployment to cluster" in outcome.error["message"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            {
                "tunnel_method": {
                    "tunnel_method": "SSH_PASSWORD_AUTH",
                    "tunnel_host": "h",
                    "tunnel_user": "u",
                    "tunnel_user_password": "p",
                }
            },
            "A cluster cannot be reached through an SSH tunnel: set tunnel_method to NO_TUNNEL",
        ),
        (
            {"host": "/run/redis.sock"},
            "A cluster cannot be reached over a Unix socket: set the host and port of a node",
        ),
    ],
)
def test_ways_that_do_not_lead_to_a_cluster_are_refused(more: Json, says: str) -> None:
    assert check({"host": "h", "deployment": {"deployment": "cluster"}, **more}) == says


@pytest.mark.parametrize("command", [rule for rule in OF_CLUSTER.split() if rule.startswith("+")])
def test_check_names_each_command_that_a_user_of_a_cluster_lacks(plain: ClusterServers, command: str) -> None:
    for node in plain.primaries:
        for line in (LEAST, OF_CLUSTER.replace(f" {command}", "")):
            node.client.execute_command(*line.split())
    try:
        wrong = check({**plain.config, "username": "airbyte", "password": "password"})
    finally:
        for node in plain.primaries:
            node.client.execute_command("ACL", "DELUSER", "airbyte")
    name = command.removeprefix("+").upper().replace("|", " ")
    assert wrong is not None
    assert wrong.endswith(f"The user has no permission for the command {name}.")


@pytest.mark.parametrize("mode", MODES)
def test_the_least_permissions_do_in_a_cluster(plain: ClusterServers, tmp_path: Path, mode: str) -> None:
    for node in plain.primaries:
        for line in (LEAST, OF_CLUSTER):
            node.client.execute_command(*line.split())
    config = {**plain.config, "username": "airbyte", "password": "password"}
    work, connector = Work(mode), Connector(config, tmp_path)
    work.begin(connector)
    outcome = connector.write(work.streams, [*work.messages, COMPLETE])
    assert outcome.code == 0, outcome.text
    assert work.found(plain) == work.expected
    assert plain.own_keys() == []


@pytest.mark.parametrize(
    ("server_name", "says"),
    [
        ("valkey-9.1", None),
        ("redis-7.0", "The server cannot confirm writes to disk: fsync (durability) needs Redis 7.2 or Valkey."),
    ],
)
def test_the_disk_is_waited_for_where_the_server_can(server_name: str, says: str | None, tmp_path: Path) -> None:
    with running(server_name, "--appendonly", "yes") as server:
        config = {**server.config, "durability": {"fsync": True}}
        assert check(config) == says
        if says is None:
            outcome = Connector(config, tmp_path).write(
                [stream(), dedup("rows")], [*map(record, range(1, 3001)), state(1), record(1, "rows"), COMPLETE]
            )
            assert outcome.states, outcome.text
            assert values(server.client) == list(range(1, 3001))
            server.client.config_set("appendonly", "no")
            assert "appendonly" in (check(config) or "")


def test_check_says_that_fewer_replicas_confirm_than_are_asked_for(start_server: Callable[..., Server]) -> None:
    config = {**start_server().config, "durability": {"replicas": 1, "timeout_ms": 100}}
    assert check(config) == "0 of 1 replicas confirmed the writes within 100 ms (durability)."


def test_records_under_a_template_are_staged_moved_and_removed_on_every_primary() -> None:
    def row(number: int) -> Json:
        return record(0, data={"id": number, "at": number, "value": number})

    with cluster() as servers, servers.client() as client:
        old, new = {**servers.config, "record_key": "user:{key}"}, {**servers.config, "record_key": "u-{key}"}
        first = [full_dedup(**generation(1, 0, 1))]
        assert list(write(old, first, [*map(row, range(300)), COMPLETE])) == []
        client.hset("user:42:cart", mapping={"items": "3"})
        assert len(list(client.scan_iter("user:*"))) == 301
        refresh = [full_dedup(**generation(2, 2, 2))]
        assert list(write(new, refresh, [*map(row, range(100, 400)), COMPLETE])) == []
        assert {key.decode() for key in client.scan_iter("u-*")} == {f"u-{number}" for number in range(100, 400)}
        assert list(client.scan_iter("user:*")) == [b"user:42:cart"]
        assert client.hget("airbyte:templates", "default:users") == b'["u-{key}"]'
        other = [full_dedup("people")]
        with pytest.raises(Exception, match=r"people \(u-\{key\}\) and default:users \(u-\{key\}\)"):
            list(write(new, other, [record(0, "people")]))
