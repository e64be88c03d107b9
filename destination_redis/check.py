"""The `check` command: tries every command that a sync uses, and leaves nothing behind."""

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from functools import partial

from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from redis import Redis
from redis import exceptions as redis_errors

from destination_redis.caches import CACHES, RecordOptions
from destination_redis.config.durability import Durability
from destination_redis.config.settings import RedisConfig
from destination_redis.config.stream_configs import StreamConfigs
from destination_redis.connection.announced import shown
from destination_redis.connection.cluster import own_slots
from destination_redis.connection.deployment import Servers
from destination_redis.connection.many_keys import NO_COLLECTION_KEY, ONE_KEY, takes_many_keys
from destination_redis.connection.memory import memory_of, why_evicting
from destination_redis.connection.optional import optional_warnings
from destination_redis.connection.refusals import about, name_of
from destination_redis.connection.replies import ask
from destination_redis.connection.slots import SLOTS
from destination_redis.errors import ClosedAtCommandError, explain
from destination_redis.keys import check_key, staged_key
from destination_redis.placements.expiry import FOREVER
from destination_redis.placements.rejected import probes
from destination_redis.search.maintenance import probe_index
from destination_redis.search.vectors import options_of

_SCRIPT = """
redis.call('TIME')
redis.call('HGETALL', KEYS[1])
redis.call('HMGET', KEYS[1], 'none')
redis.call('HDEL', KEYS[1], 'none')
redis.call('HSET', KEYS[1], 'probe', 1)
redis.call('UNLINK', KEYS[1])
redis.call('SET', KEYS[2], 1)
redis.call('STRLEN', KEYS[2])
return redis.call('GET', KEYS[2])
"""
# What upserts and their promotion use in addition.
_UPSERT = """
redis.call('TYPE', KEYS[1])
redis.call('HSET', KEYS[1], 'probe', 1)
redis.call('RENAME', KEYS[1], KEYS[2])
redis.call('UNLINK', KEYS[2])
redis.call('SET', KEYS[1], 1, 'EX', 60)
return redis.call('UNLINK', KEYS[1])
"""

#: Keys of different slots that are looked up on a single server.
_LOOKS = 20


class _Server:
    """A server on which commands are tried; `command` is the last one that failed."""

    def __init__(self, client: Redis, credentials: Sequence[str]) -> None:
        self._client = client
        self._credentials = credentials
        self._sent: tuple[str | bytes | int, ...] = ()
        self.command = ""

    def execute(self, *command: str | bytes | int) -> object:
        """Return the raw reply; raises redis-py's errors."""
        try:
            with contextlib.suppress(ClosedAtCommandError):  # may be a coincidence
                return ask(self._client, *command)
            return ask(self._client, *command)
        except Exception:
            self.command, self._sent = name_of(*command), command
            raise

    def why(self, error: Exception) -> str:
        """Return the sentence for the error of the last command that failed."""
        sent = (*self._credentials, *self._sent[1:])
        return f"{explain(about(error, self.command, sent), sent)}."

    def remove(self, *keys: bytes) -> None:
        """Remove keys if possible."""
        for key in keys:
            with contextlib.suppress(redis_errors.RedisError, OSError):
                ask(self._client, "UNLINK", key)


def check(servers: Servers, config: RedisConfig) -> tuple[str | None, list[str]]:
    """Try every command a sync uses on every server; return (what is wrong in one sentence or None, warnings)."""
    try:
        slots = servers.slot_map()
    except (redis_errors.RedisError, OSError) as error:
        return f"{explain(error, _credentials(config))}.", []
    if servers.clustered and (free := SLOTS - sum(last + 1 - first for first, last, _ in slots.ranges)):
        return f"The cluster is incomplete: no node serves {free:,} of its {SLOTS:,} slots.", []
    configs, warnings = StreamConfigs(config), dict[str, None]()
    for address in slots.primaries:
        key = slots.key_at(address, check_key(config.key_prefix, uuid.uuid4().hex))
        wrong, more = _check(
            _Server(servers.client(address), _credentials(config)), configs, key, clustered=servers.clustered
        )
        if wrong is not None:
            place = f"{shown(address)}: " if servers.clustered and shown(address) not in wrong else ""
            return f"{place}{wrong}", []
        warnings |= dict.fromkeys(more)
        with contextlib.suppress(redis_errors.RedisError, OSError):
            if not servers.clustered and not takes_many_keys(partial(ask, servers.client(address)), config.key_prefix):
                if any(each.has_collection_key for each in configs.all):
                    return f"{NO_COLLECTION_KEY}.", []
                warnings[f"{ONE_KEY}."] = None
        with contextlib.suppress(redis_errors.RedisError, OSError):  # if INFO is refused, there is a warning already
            policy, settings = memory_of(servers.client(address)).policy, [(each, None) for each in configs.all]
            if evicting := why_evicting(policy, settings, clustered=servers.clustered):
                warnings[evicting] = None
    return None, list(warnings)


def _check(server: _Server, configs: StreamConfigs, key: bytes, *, clustered: bool) -> tuple[str | None, list[str]]:
    config = configs.default
    staged = staged_key(key, config.key_prefix)
    try:
        server.execute("EXISTS", key)
        if clustered:
            own_slots(server.execute("CLUSTER", "NODES"))
            server.execute("ASKING")
            server.execute("EXPIRE", key, "60")
        else:  # a cluster node configured as standalone refuses some of these
            for number in range(_LOOKS):
                server.execute("EXISTS", b"%b%d" % (key, number))
    except (redis_errors.RedisError, OSError) as error:
        return server.why(error), []
    try:
        wrong = _probe(server, configs, key, staged) or _why_not_durable(server, key, config.durable)
        return wrong, [] if wrong else list(optional_warnings(server.execute, key))
    except (redis_errors.RedisError, OSError) as error:
        return server.why(error), []
    finally:
        server.remove(key, staged)


def _probe(server: _Server, configs: StreamConfigs, key: bytes, staged: bytes) -> str | None:
    config, probe = configs.default, b"probe"
    server.execute("UNLINK", key, staged)  # first: what cannot be removed must not be written
    server.execute("HSET", staged, "_airbyte_data", probe)
    server.execute("RENAME", staged, key)
    if server.execute("HMGET", key, "_airbyte_data") != [probe]:
        return "The server did not return the record written to it."
    # Commands of scripts are tried outside of them first, where every server names the one it refuses.
    for command in ("TYPE", "HGETALL"):
        server.execute(command, key)
    server.execute("HDEL", key, "none")
    server.execute("TIME")
    server.execute("UNLINK", key)
    if (wrong := _probe_records(server, configs, key)) is not None:
        return wrong
    if config.rejected_records == "keep":
        for arguments in probes(key):
            server.execute(*arguments)
        server.execute("UNLINK", key)
    server.execute("SET", key, probe)
    server.execute("STRLEN", key)
    server.execute("GET", key)
    server.execute("UNLINK", key)
    if server.execute("EXISTS", key):
        return "The server did not remove the record written to it."
    server.execute("EVAL", _SCRIPT, 2, key, key)
    server.execute("UNLINK", key)
    sha = server.execute("SCRIPT", "LOAD", _UPSERT)
    server.execute("EVALSHA", sha if isinstance(sha, bytes) else b"", 2, staged, key)
    return None


def _probe_records(server: _Server, configs: StreamConfigs, key: bytes) -> str | None:
    """Try what the settings of records need, each once, and say for which entry of `streams` the server refuses it."""
    tried: set[object] = set()
    _probe_new(server, configs.default, key, tried)
    for entry in configs.entries:
        try:
            _probe_new(server, entry.config, key, tried)
        except (redis_errors.ResponseError, ClosedAtCommandError) as error:
            return f"{entry.label}: {server.why(error)}"
    return None


def _probe_new(server: _Server, config: RedisConfig, key: bytes, tried: set[object]) -> None:
    """Try what these settings need, but for what is in `tried`; add it there."""
    cache = CACHES[config.cache_type](RecordOptions(config.record_format, limits=config.limits))
    expiries = ((each,) for each in _expiries(config, key))
    for commands in (tuple(map(tuple, cache.probes(key))), *expiries):
        if commands not in tried:
            tried.add(commands)
            for command in commands:
                server.execute(*command)
            server.execute("UNLINK", key)
    kind = "JSON" if config.cache_type == "json" else "HASH"
    vectors = tuple(map(options_of, config.vectors))
    if config.search_index and (kind, vectors) not in tried:
        tried.add((kind, vectors))
        probe_index(server.execute, kind, key, vectors)


def _expiries(config: RedisConfig, key: bytes) -> Iterator[tuple[str | bytes, ...]]:
    """Yield the commands that give a record its expiry."""
    if config.expiry:
        yield "EXPIRE", key, "60"
    if not config.expiry or config.expire_at is not None:
        yield "PERSIST", key
    if config.expire_at is not None:
        yield "PTTL", key
        yield "PEXPIREAT", key, FOREVER


def _credentials(config: RedisConfig) -> tuple[str, ...]:
    """Return the credentials, which no message may show."""
    return config.username or "", config.password.get_secret_value() if config.password else ""


def _why_not_durable(server: _Server, key: bytes, durability: Durability) -> str | None:
    if not durability:
        return None
    server.execute("SET", key, "probe")
    try:
        reply = server.execute(*durability.command)
    except redis_errors.ResponseError as error:
        if "unknown" not in str(error).lower():
            raise
        if durability.fsync:
            return "The server cannot confirm writes to disk: fsync (durability) needs Redis 7.2 or Valkey."
        return "The server cannot wait for replicas, since it does not know WAIT: set replicas (durability) to 0."
    try:
        durability.check_reply(reply)
    except AirbyteTracedException as error:
        return f"{str(error).partition(', so ')[0]}."
    return None
