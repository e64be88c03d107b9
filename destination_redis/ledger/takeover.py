"""The takeover of leases: each stream has one writer, and a new one replaces a writer that died."""

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

#: Seconds between two checks of a writer that may be alive.
_LOOK_EVERY = 0.2


@dataclass(frozen=True, slots=True)
class _Writer:
    token: str
    connections: frozenset[tuple[str, ...]]
    """(id, address) as the server sees them; empty if the writer's ACL hid them."""
    until: int
    now: int


def take_all(leases: Sequence[StreamLease], pipeline: Pipeline, servers: Servers, logger: logging.Logger) -> None:
    """Take every lease, from dead writers too; raises a transient error if another sync is alive.

    A writer is dead if its server no longer shows any of its connections, or if its lease has expired. In the second
    case its connections are killed before the lease is taken.
    """
    busy = _take(leases, pipeline, {})
    logged = False
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
            if not logged:
                logger.info("Waiting for the writer of %s to show whether it is alive", next(iter(busy)).stream)
                logged = True
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
    """Return whether any server still shows one of the connections; true if unknown, since an ACL can hide them."""
    if not connections:
        return True
    try:
        replies = [ask(client, "CLIENT", "LIST") for client in _clients(servers)]
    except (redis_errors.RedisError, OSError):  # refused or interrupted: it is checked again
        return True
    # A list without lines is no information: at least our own connection should be in it.
    shown = {each for reply in replies for each in (*clients(reply),) or (UNTOLD,)}
    return UNTOLD in shown or not shown.isdisjoint(connections)


def _cut(servers: Servers, connections: frozenset[tuple[str, ...]], logger: logging.Logger) -> bool:
    """Kill the connections; return False if this has to be tried again."""
    try:
        for client in _clients(servers):
            for number, address in connections:
                _kill(client, number, address)
    except redis_errors.ResponseError as error:
        logger.warning("The connection of a writer that seems dead could not be killed: %s", explain(error))
    except ClosedAtCommandError:
        logger.warning(without("CLIENT KILL", CLOSED))
    except (redis_errors.RedisError, OSError):
        return False
    return True


def _kill(client: Redis, number: str, address: str) -> None:
    """Kill a connection; raises ClosedAtCommandError only if the server closes ours at this command and no other."""
    kill = ("CLIENT", "KILL", "ID", number, "ADDR", address)
    try:
        ask(client, *kill)
    except ClosedAtCommandError:  # may be a coincidence
        try:
            ask(client, "TIME")
        except ClosedAtCommandError as error:
            raise UnreachableError(str(error)) from error
        ask(client, *kill)


def _clients(servers: Servers) -> list[Redis]:
    return [servers.client(address) for address in servers.slot_map().primaries]
