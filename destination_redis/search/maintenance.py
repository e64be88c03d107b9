"""The search indexes of a sync: created, altered, or rebuilt beside the old index and swapped with it.

Users query an alias, so an index can be replaced under its name. It changes together with the data. Missing indexes are
created at the start of a sync; so are the changes needed by a sync that adds records. A sync that replaces records
leaves an existing index unchanged until they are promoted, since until then queries are for the old data. An index with
other types is built beside the old one before any of its records arrives, scans the existing ones meanwhile, and takes
over the alias once it has scanned all. If a sync dies, the old index stays, and the next sync starts the new one again.
"""

import logging
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from redis import exceptions as redis_errors

from destination_redis.config.settings import RedisConfig
from destination_redis.connection.deployment import Servers
from destination_redis.connection.refusals import about, name_of
from destination_redis.errors import RetryDecision, config_error, retry_decision, traced
from destination_redis.ledger.heartbeat import LeaseHeartbeat
from destination_redis.ledger.lease import StreamLease
from destination_redis.protocol.catalog import PRIMARY_KEY, Stream
from destination_redis.protocol.schema import VECTOR
from destination_redis.search.definition import Command, Index, failures, index_of, parse, scanned
from destination_redis.search.vectors import with_vectors
from destination_redis.transport.retry import RetryPolicy

Promote = Callable[[Sequence[StreamLease]], None]

#: Error replies for a missing index, and for an existing index or field: in both cases nothing is left to do.
_MISSING = re.compile("unknown index|no such index|index not found", re.IGNORECASE)
_THERE = re.compile("already exists|duplicate field", re.IGNORECASE)
#: Seconds between two checks of an index that still scans existing keys.
_LOOK = 0.1

logger = logging.getLogger("airbyte")


class Indexes:
    """The index of each stream; every step is idempotent."""

    def __init__(
        self,
        wanted: Mapping[StreamLease, Index],
        servers: Servers,
        retry: RetryPolicy,
        heartbeat: LeaseHeartbeat,
    ) -> None:
        """Take the wanted indexes; `heartbeat` renews the leases while waiting for an index."""
        self._wanted = wanted
        self._servers = servers
        self._retry = retry
        self._heartbeat = heartbeat
        #: Indexes in use, with their names; and the names of those being built beside them.
        self._used: dict[StreamLease, tuple[bytes, Index]] = {}
        self._beside: dict[StreamLease, bytes] = {}
        self._failed: dict[StreamLease, int] = {}

    def begin(self, adding: Collection[StreamLease]) -> None:
        """Create every missing index, and change those of the streams to which the sync adds records."""
        for lease, wanted in self._wanted.items():
            if wanted.left_out:
                logger.warning(
                    "The search index of the stream %s is full: it leaves out the columns %s",
                    lease.stream,
                    ", ".join(wanted.left_out),
                )
            self._find(lease)
            if lease not in self._used:
                name = lease.keys.index(1)
                self._run(wanted.create(name), _THERE)
                self._run([["FT.ALIASUPDATE", lease.keys.counter, name]])
                self._used[lease] = name, wanted
        self._change(adding)

    def around(self, promote: Promote) -> Promote:
        """Return `promote`, with the indexes changed before it and swapped after it."""

        def promote_and_swap(leases: Sequence[StreamLease]) -> None:
            self._change(leases)
            promote(leases)
            self._swap()
            self._report()

        return promote_and_swap

    def _find(self, lease: StreamLease) -> None:
        """Look up the alias's index, and drop one that a dead sync left beside it."""
        ours = [lease.keys.index(1), lease.keys.index(2)]
        if (reply := self._info(lease.keys.counter)) is not None:
            name, index = parse(reply)
            if name not in ours:
                raise config_error(
                    f"The search index {lease.keys.counter.decode()} was not created by the connector: drop it, or "
                    "turn search_index off"
                )
            ours.remove(name)
            self._used[lease] = name, index
            self._failed[lease] = failures(reply)
        self._run((["FT.DROPINDEX", name] for name in ours), _MISSING)

    def _change(self, leases: Iterable[StreamLease]) -> None:
        for lease in leases:
            if lease not in self._wanted:
                continue
            wanted, (name, held) = self._wanted[lease], self._used[lease]
            if wanted.fits(held):
                self._run(wanted.alter(name, held), _THERE)
                continue
            one, other = lease.keys.index(1), lease.keys.index(2)
            self._beside[lease] = other if name == one else one
            self._run(wanted.create(self._beside[lease]), _THERE)

    def _swap(self) -> None:
        for lease, name in self._beside.items():
            while not scanned(self._info(name)):
                self._retry.pause(_LOOK)
                self._heartbeat.keep()
            self._run([["FT.ALIASUPDATE", lease.keys.counter, name]])
            self._run([["FT.DROPINDEX", self._used[lease][0]]], _MISSING)
            self._failed.pop(lease, None)
        self._beside.clear()

    def _report(self) -> None:
        for lease in self._wanted:
            reply = self._info(lease.keys.counter)
            # The number is not reported: a record is counted again when an index scans existing keys.
            if reply is not None and failures(reply) > self._failed.get(lease, 0):
                logger.warning(
                    "Records of the stream %s were left out of its search index: a value did not fit its column's type",
                    lease.stream,
                )

    def _info(self, name: bytes) -> list[Any] | None:
        """Return FT.INFO's reply, None if there is no such index."""
        reply = self._ask("FT.INFO", name, good=_MISSING)
        assert reply is None or isinstance(reply, list)
        return reply

    def _run(self, commands: Iterable[Command], good: re.Pattern[str] | None = None) -> None:
        for command in commands:
            self._ask(*command, good=good)

    def _ask(self, *command: str | bytes, good: re.Pattern[str] | None = None) -> object:
        """Return the reply, None for an error that matches `good`; retries while the server is unavailable."""

        def once() -> object:
            try:
                return self._servers.ask(b"", *command)
            except redis_errors.ResponseError as error:
                if good is not None and good.search(str(error)):
                    return None
                if retry_decision(error) is not RetryDecision.FAIL:
                    raise
                raise traced(about(error, name_of(*command), command), f"sending {command[0]!s}", command) from error

        reply = self._retry.do(once)
        self._retry.progressed()
        return reply


def search_indexes(
    settings: Mapping[Stream, RedisConfig],
    leases: Sequence[StreamLease],
    servers: Servers,
    retry: RetryPolicy,
    heartbeat: LeaseHeartbeat,
) -> Indexes:
    """Return the indexes of the streams for which search_index is on."""
    configs = {lease: settings[lease.stream] for lease in leases}
    _warn_of_unknown_vectors(settings)
    wanted = {
        lease: index_of(
            with_vectors(lease.stream.columns, config.vectors),
            lease.keys.data(lease.stream.template).live.head,
            config.storage_format,
            upserts=lease.stream.placement == PRIMARY_KEY,
            full=config.record_metadata == "full",
        )
        for lease, config in configs.items()
        if config.search_index
    }
    return Indexes(wanted, servers, retry, heartbeat)


def _warn_of_unknown_vectors(settings: Mapping[Stream, RedisConfig]) -> None:
    for stream, config in settings.items():
        for vector in config.vectors:
            if stream.properties and vector.field not in stream.properties:
                logger.warning(
                    "The schema of the stream %s has no field %s, which vectors names: check it for a typo",
                    *(stream, vector.field),
                )


def probe_index(
    execute: Callable[..., object], kind: str, name: bytes, vectors: Iterable[tuple[str, ...]] = ()
) -> None:
    """Try every command for indexes, on one without keys, and drop it; raises redis-py's errors.

    `vectors` are the options of vector fields.
    """

    def column(name: str, *options: str) -> tuple[str, ...]:
        return (f"$.{name}" if kind == "JSON" else name, "AS", name, *options)

    add = [word for number, options in enumerate(vectors) for word in column(f"v{number}", VECTOR, *options)]
    drop = ("FT.DROPINDEX", name)
    try:
        execute(*drop)  # first: what cannot be dropped must not be created
    except redis_errors.ResponseError as error:
        if not _MISSING.search(str(error)):
            raise
    execute("FT.CREATE", name, "ON", kind, "PREFIX", "1", name + b":", "SCHEMA", *column("a", "TEXT"), *add)
    try:
        execute("FT.ALTER", name, "SCHEMA", "ADD", *column("b", "TAG"))
        execute("FT.ALIASUPDATE", name + b":alias", name)
        execute("FT.INFO", name + b":alias")
    finally:
        with suppress(redis_errors.RedisError, OSError):
            execute(*drop)
