"""`check`: prove that a sync would work, with every command one uses, and leave nothing behind."""

import contextlib
import uuid
from collections.abc import Sequence

from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from redis import Redis
from redis import exceptions as redis_errors

from destination_redis.caches import CACHES, Layout
from destination_redis.config import RedisConfig
from destination_redis.durability import Durability
from destination_redis.errors import explain
from destination_redis.indexing import probe_index
from destination_redis.keys import check_key, staged_key
from destination_redis.room import memory_of, why_evicting
from destination_redis.servers import Servers
from destination_redis.slots import SLOTS

_SCRIPT = """
redis.call('TIME')
redis.call('HGETALL', KEYS[1])
redis.call('HMGET', KEYS[1], 'none')
redis.call('HDEL', KEYS[1], 'none')
redis.call('HSET', KEYS[1], 'probe', 1)
redis.call('UNLINK', KEYS[1])
redis.call('SET', KEYS[2], 1)
return redis.call('GET', KEYS[2])
"""
# What upserts and their promotion use beside that.
_UPSERT = """
redis.call('TYPE', KEYS[1])
redis.call('HSET', KEYS[1], 'probe', 1)
redis.call('RENAME', KEYS[1], KEYS[2])
redis.call('UNLINK', KEYS[2])
redis.call('SET', KEYS[1], 1, 'EX', 60)
return redis.call('UNLINK', KEYS[1])
"""

#: Keys of different slots that a single server is asked for.
_LOOKS = 20


def check(servers: Servers, config: RedisConfig) -> tuple[str | None, list[str]]:
    """Return (what is wrong in one sentence or None, warnings) after trying every command a sync uses, everywhere."""
    try:
        slots = servers.slot_map()
    except (redis_errors.RedisError, OSError) as error:
        return f"{explain(error, _credentials(config))}.", []
    if servers.clustered and (free := SLOTS - sum(last + 1 - first for first, last, _ in slots.ranges)):
        return f"The cluster is incomplete: no node serves {free:,} of its {SLOTS:,} slots.", []
    warnings: dict[str, None] = {}
    for address in slots.primaries:
        key = slots.key_at(address, check_key(config.key_prefix, uuid.uuid4().hex))
        first: list[tuple[str | bytes, ...]] = [("EXISTS", key)]
        if servers.clustered:
            first += [("CLUSTER", "NODES"), ("ASKING",), ("EXPIRE", key, "60")]
        else:  # a node of a cluster that is taken for the only server refuses some of these
            first += [("EXISTS", b"%b%d" % (key, number)) for number in range(_LOOKS)]
        wrong, more = _check(servers.client(address), config, key, first)
        if wrong is not None:
            return (f"{address[0]}:{address[1]}: {wrong}" if servers.clustered else wrong), []
        warnings |= dict.fromkeys(more)
        with contextlib.suppress(redis_errors.RedisError, OSError):  # what it must not tell was warned of
            policy = memory_of(servers.client(address)).policy
            if evicting := why_evicting(policy, config, None, clustered=servers.clustered):
                warnings[evicting] = None
    return None, list(warnings)


def _check(
    client: Redis, config: RedisConfig, key: bytes, first: Sequence[Sequence[str | bytes]]
) -> tuple[str | None, list[str]]:
    staged = staged_key(key, config.key_prefix)
    try:
        for command in first:
            client.execute_command(*command)
    except (redis_errors.RedisError, OSError) as error:
        return f"{explain(error, (*_credentials(config), key))}.", []
    try:
        wrong, warnings = _probe(client, config, key, staged)
        return wrong or _why_not_durable(client, key, config.durable), warnings
    except (redis_errors.RedisError, OSError) as error:
        return f"{explain(error, (*_credentials(config), key))}.", []
    finally:
        with contextlib.suppress(redis_errors.RedisError, OSError):
            client.unlink(key)
        with contextlib.suppress(redis_errors.RedisError, OSError):
            client.unlink(staged)


def _probe(client: Redis, config: RedisConfig, key: bytes, staged: bytes) -> tuple[str | None, list[str]]:
    cache = CACHES[config.cache_type](Layout(config.record_format, max_length=config.stream_max_length))
    probe = b"probe"
    client.execute_command("UNLINK", key, staged)  # first: what cannot be removed must not be written
    client.execute_command("HSET", staged, "_airbyte_data", probe)
    client.execute_command("RENAME", staged, key)
    if client.execute_command("HMGET", key, "_airbyte_data") != [probe]:
        return "The server did not give back the record written to it.", []
    # What scripts use comes first outside of them: there every server names the command that it refuses.
    for command in ("TYPE", "HGETALL"):
        client.execute_command(command, key)
    client.execute_command("HDEL", key, "none")
    client.execute_command("TIME")
    client.execute_command("UNLINK", key)
    expiries = [("PERSIST", key)] if config.ttl_seconds is None else [("EXPIRE", key, "60")]
    for arguments in (*cache.probes(key), *expiries):
        client.execute_command(*arguments)
    client.execute_command("UNLINK", key)
    if config.search_index:
        probe_index(client, "JSON" if config.cache_type == "json" else "HASH", key)
    client.execute_command("SET", key, probe)
    client.execute_command("GET", key)
    client.execute_command("UNLINK", key)
    if client.execute_command("EXISTS", key):
        return "The server did not remove the record it was told to remove.", []
    client.execute_command("EVAL", _SCRIPT, 2, key, key)
    client.execute_command("UNLINK", key)
    client.execute_command("EVALSHA", client.script_load(_UPSERT), 2, staged, key)
    return None, _warnings(client, key)


def _credentials(config: RedisConfig) -> tuple[str, ...]:
    """Return what a connection begins with and no message may show."""
    return config.username or "", config.password.get_secret_value() if config.password else ""


def _why_not_durable(client: Redis, key: bytes, durability: Durability) -> str | None:
    if not durability:
        return None
    client.execute_command("SET", key, "probe")
    try:
        reply = client.execute_command(*durability.command)
    except redis_errors.ResponseError as error:
        if "unknown command" in str(error):
            return "The server cannot wait for its disk: durability's fsync needs Redis 7.2 or Valkey."
        raise
    try:
        durability.judge(reply)
    except AirbyteTracedException as error:
        return f"{str(error).partition(', so ')[0]}."
    return None


def _warnings(client: Redis, key: bytes) -> list[str]:
    warnings = []
    for name, command, consequence in (
        ("SCAN", ("SCAN", "0", "COUNT", "1"), "no stream in append_dedup can be refreshed"),
        ("WAIT", ("WAIT", "0", "1"), "states do not wait for a replica"),
        ("CLIENT LIST", ("CLIENT", "LIST"), "after a killed sync the next one waits up to 30 seconds"),
        ("CLIENT INFO", ("CLIENT", "INFO"), "after a killed sync the next one waits up to 30 seconds"),
        (
            "INFO",
            ("INFO", "server"),
            "states do not wait for a replica, and a server replaced during a sync is not always noticed",
        ),
        ("MEMORY USAGE", ("MEMORY", "USAGE", key), "no sync can tell ahead that what it stages does not fit"),
        (
            "CLIENT KILL",
            ("CLIENT", "KILL", "ID", "0", "ADDR", "0.0.0.0:0"),
            "late commands of a paused sync may leave stray records",
        ),
    ):
        try:
            client.execute_command(*command)
        except redis_errors.ResponseError as error:
            if "NOPERM" in str(error) or isinstance(error, redis_errors.NoPermissionError):
                warnings.append(f"Without permission for {name}, {consequence}.")
    return warnings
