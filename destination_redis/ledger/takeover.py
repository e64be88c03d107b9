"""One writer a stream: claiming ledgers, and taking over from a writer that died."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from redis import Redis
from redis import exceptions as redis_errors

from destination_redis.connection.deployment import Servers
from destination_redis.connection.optional import CLOSED, without
from destination_redis.connection.replies import UNTOLD, ask, clients
from destination_redis.errors import ClosedAtCommandError, UnreachableError, explain, transient_error
from destination_redis.ledger.lease import StreamLease
from destination_redis.transport.pipeline import Pipeline

#: Seconds between two looks at a writer that still seems to be there.
_LOOK_EVERY = 0.2


@dataclass(frozen=True, slots=True)
class _Writer:
    token: str
    connections: frozenset[tuple[str, ...]]
    """(id, address) on the server's side; empty where the writer's ACL hid them."""
    until: int
    now: int


def take_all(leases: Sequence[StreamLease], pipeline: Pipeline, servers: Servers, logger: logging.Logger) -> None:
    """Claim every ledger, from dead writers too; raises a transient error where another sync is alive.

    A writer is dead once its server shows none of its connections, or once its lease ran out without a renewal; its
    connection is cut before its ledger is taken.
    """
    busy = _take(leases, pipeline, {})
    told = False
    seen = dict(busy)
    while busy:
        dead: dict[StreamLease, str] = {}
        for lease, writer in busy.items():
            if writer.token == seen[lease].token and writer.until != seen[lease].until:
                raise transient_error(
                    f"Another sync is writing the stream {lease.stream}; run this one when it has ended"
                )
            if not _shown(servers, writer.connections) or (
                writer.now > writer.until and _cut(servers, writer.connections, logger)
            ):
                dead[lease] = writer.token
        if not dead:
            if not told:
                logger.info("Waiting for the writer of %s to show whether it is alive", next(iter(busy)).stream)
                told = True
            pipeline.retry.pause(_LOOK_EVERY)
        busy = _take(list(busy), pipeline, dead)
        for lease, writer in busy.items():
            if lease in dead or writer.token != seen[lease].token:
                seen[lease] = writer


def _take(
    leases: Sequence[StreamLease], pipeline: Pipeline, dead: dict[StreamLease, str]
) -> dict[StreamLease, _Writer]:
    busy: dict[StreamLease, _Writer] = {}

    def on_busy(lease: StreamLease, token: str, connection: str, until: int, now: int) -> None:
        pairs = frozenset(tuple(pair.split(" ")) for pair in connection.split(",") if pair)
        busy[lease] = _Writer(token, pairs, until, now)

    for lease in leases:
        lease.take(on_busy, dead.get(lease, ""))
    pipeline.flush()
    return busy


def _shown(servers: Servers, connections: frozenset[tuple[str, ...]]) -> bool:
    """Whether any server still shows one of the connections, or may: an ACL can hide them."""
    if not connections:
        return True
    try:
        replies = [ask(client, "CLIENT", "LIST") for client in _clients(servers)]
    except (redis_errors.RedisError, OSError):  # refused, or cut off: it is asked again
        return True
    # A list without lines tells nothing: the connection that asked is missing.
    shown = {each for reply in replies for each in (*clients(reply),) or (UNTOLD,)}
    return UNTOLD in shown or not shown.isdisjoint(connections)


def _cut(servers: Servers, connections: frozenset[tuple[str, ...]], logger: logging.Logger) -> bool:
    """Cut the connections; return whether that was tried, and need not be once more."""
    try:
        for client in _clients(servers):
            for number, address in connections:
                _kill(client, number, address)
    except redis_errors.ResponseError as error:
        logger.warning("The connection of a writer that seems dead could not be cut: %s", explain(error))
    except ClosedAtCommandError:
        logger.warning(without("CLIENT KILL", CLOSED))
    except (redis_errors.RedisError, OSError):
        return False
    return True


def _kill(client: Redis, number: str, address: str) -> None:
    """Raise ClosedAtCommandError only where the server closes the connection at this command and at no other."""
    kill = ("CLIENT", "KILL", "ID", number, "ADDR", address)
    try:
        ask(client, *kill)
    except ClosedAtCommandError:  # chance, maybe
        try:
            ask(client, "TIME")
        except ClosedAtCommandError as error:
            raise UnreachableError(str(error)) from error
        ask(client, *kill)


def _clients(servers: Servers) -> list[Redis]:
    return [servers.client(address) for address in servers.slot_map().primaries]
