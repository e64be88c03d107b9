"""A failover in the middle of a sync: a replica takes over, in step with the primary or some commands behind it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration_tests.support.faults.proxy import Exchange, at, proxy
from integration_tests.support.faults.runner import Runner, cursor_of, play
from integration_tests.support.servers.server import Server
from integration_tests.support.waiting import wait_until

if TYPE_CHECKING:
    from integration_tests.support.connector.process import Outcome


@dataclass(frozen=True)
class Pair:
    """A primary, of which the runner is, and its replica."""

    runner: Runner
    replica: Server

    def join(self) -> None:
        """Let the replica follow, in step."""
        primary = self.runner.server
        self.replica.client.execute_command("REPLICAOF", "127.0.0.1", str(primary.port))
        wait_until(lambda: self.replica.client.info("replication").get("master_link_status") == "up")
        wait_until(lambda: primary.client.info("replication").get("slave0", {}).get("state") == "online")

    def part(self) -> None:
        """Let the replica, in step until now, hear nothing more."""
        steps = self.runner.server.client.pipeline(transaction=False)
        # A connection waits for what it wrote itself, and so for all before.
        steps.execute_command("SET", "in step", 1)
        steps.execute_command("DEL", "in step")
        steps.execute_command("WAIT", 1, 10_000)
        assert steps.execute()[-1] == 1
        self.replica.client.execute_command("REPLICAOF", "NO", "ONE")

    def part_before(self, exchange: Exchange) -> None:
        self.part()
        exchange.forward()


def promoted(pair: Pair, number: int, lag: int) -> str:
    """Let a replica take over at the command of that number, which lacks so many commands; return what became of it."""
    runner, scenario, client = pair.runner, pair.runner.scenario, pair.replica.client
    client.execute_command("REPLICAOF", "NO", "ONE")
    runner.reset()
    pair.join()

    def take_over(exchange: Exchange) -> None:
        if not lag:
            pair.part()
        way.target = pair.replica.port
        way.reset()
        exchange.reset()

    acts = {number: take_over} | ({number - lag: pair.part_before} if lag else {})
    with proxy(runner.server.port, at(acts)) as way:
        outcome = play(runner.start(way.port, scenario.streams()), scenario.messages())
        assert len(way.seen) >= number
    what = f"{scenario}, replaced at {number} ({way.seen[number - 1]}), {lag} behind: {outcome.text}"
    cursor = cursor_of(outcome)
    if outcome.code == 0:
        kind = "went_on" if lag else "in_step"
    else:
        assert lag, what
        assert outcome.error["failure_type"] in ("transient_error", "config_error"), what
        lost = outcome.error["failure_type"] == "config_error"
        assert lost == ("refresh" in outcome.error["message"]), what
        kind = "refreshed" if lost else "ran_again"
        again: Outcome
        if lost:
            again = play(runner.start(pair.replica.port, scenario.streams(3)), scenario.messages())
        else:
            assert scenario.steps(client, cursor) == [], what
            again = play(runner.start(pair.replica.port, scenario.streams()), scenario.messages(cursor))
        assert again.code == 0, f"{what}\n{again.text}"
    assert scenario.found(client) == scenario.expected(anew=kind == "refreshed"), what
    assert scenario.untidy(client) == [], what
    return kind
