"""Airbyte destination connector for Redis."""

from destination_redis.destination import DestinationRedis

__all__ = ["DestinationRedis"]
