"""`check`: prove that a sync would work, with every command one uses, and leave nothing behind."""

import contextlib
import uuid

from redis import Redis
from redis import exceptions as redis_errors

from destination_redis.errors import explain
from destination_redis.keys import check_key

_SCRIPT = """
redis.call('TIME')
redis.call('HGETALL', KEYS[1])
redis.call('HMGET', KEYS[1], 'none')
redis.call('HDEL', KEYS[1], 'none')
redis.call('HSET', KEYS[1], 'probe', 1)
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[2], 1)
return redis.call('GET', KEYS[2])
"""
# What upserts and their promotion use beside that.
_UPSERT = """
redis.call('TYPE', KEYS[1])
redis.call('HLEN', KEYS[1])
redis.call('HSET', KEYS[1], 'probe', 1)
redis.call('RENAME', KEYS[1], KEYS[2])
redis.call('UNLINK', KEYS[2])
redis.call('SET', KEYS[1], 1, 'EX', 60)
return redis.call('UNLINK', KEYS[1])
"""


def check(client: Redis, key_prefix: str) -> tuple[str | None, list[str]]:
    """Return (what is wrong in one sentence or None, warnings) after trying every command a sync uses."""
    key, staged = check_key(key_prefix, uuid.uuid4().hex)
    try:
        client.ping()
    except (redis_errors.RedisError, OSError) as error:
        return f"{explain(error)}.", []
    try:
        return _probe(client, key, staged)
    except (redis_errors.RedisError, OSError) as error:
        return f"{explain(error)}.", []
    finally:
        with contextlib.suppress(redis_errors.RedisError, OSError):
            client.delete(key)
        with contextlib.suppress(redis_errors.RedisError, OSError):
            client.delete(staged)


def _probe(client: Redis, key: bytes, staged: bytes) -> tuple[str | None, list[str]]:
    probe = b"probe"
    client.execute_command("HSET", staged, "_airbyte_data", probe)
    client.execute_command("RENAME", staged, key)
    if client.execute_command("HGET", key, "_airbyte_data") != probe:
        return "The server did not give back the record written to it.", []
    client.execute_command("TYPE", key)
    client.execute_command("UNLINK", key)
    if client.execute_command("EXISTS", key):
        return "The server did not remove the record it was told to remove.", []
    client.execute_command("EVAL", _SCRIPT, 2, key, key)
    client.execute_command("UNLINK", key)
    client.execute_command("EVALSHA", client.script_load(_UPSERT), 2, staged, key)
    client.execute_command("SCAN", 0, "COUNT", 1)
    return None, _warnings(client)


def _warnings(client: Redis) -> list[str]:
    warnings = []
    for name, command, consequence in (
        ("CLIENT LIST", ("CLIENT", "LIST"), "after a killed sync the next one waits up to 30 seconds"),
        ("CLIENT INFO", ("CLIENT", "INFO"), "after a killed sync the next one waits up to 30 seconds"),
        ("WAIT", ("WAIT", "0", "0"), "no replica is waited for, and one that takes over may lack the last commits"),
        ("INFO", ("INFO", "server"), "a server that was replaced during a sync is not noticed"),
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
