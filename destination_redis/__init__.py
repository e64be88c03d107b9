"""Airbyte destination connector for Redis."""

from destination_redis.gc_pause import uncollected

with uncollected():
    from destination_redis.caches import CACHES, RecordOptions, RedisRecord
    from destination_redis.destination import DestinationRedis

__all__ = ["CACHES", "DestinationRedis", "RecordOptions", "RedisRecord"]
