"""The placements: how the records of a stream are stored and moved, by the name in its ledger."""

from collections.abc import Mapping

from destination_redis.ledger.heartbeat import LeaseHeartbeat
from destination_redis.placements.base import Placement, Target, Writer
from destination_redis.placements.collection import CollectionPlacement
from destination_redis.placements.primary_key import PrimaryKeyPlacement
from destination_redis.placements.record_scripts import Scripts
from destination_redis.placements.sequence import SequencePlacement
from destination_redis.protocol.catalog import COLLECTION, PRIMARY_KEY, SEQUENCE
from destination_redis.transport.pipeline import Pipeline

__all__ = ["Placement", "Target", "Writer", "placements"]


def placements(pipeline: Pipeline, scripts: Scripts, heartbeat: LeaseHeartbeat) -> Mapping[str, Placement]:
    """Return every placement by its name."""
    return {
        SEQUENCE: SequencePlacement(pipeline, scripts, heartbeat),
        PRIMARY_KEY: PrimaryKeyPlacement(pipeline, scripts, heartbeat),
        COLLECTION: CollectionPlacement(pipeline, heartbeat),
    }
