"""The settings for a deployment: one model for each kind."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, SecretStr

from destination_redis.config.base import PATTERNS, Settings, setting
from destination_redis.config.hosts import HOST_PORT, node


class Standalone(Settings):
    """One server, or one address that leads to the primary."""

    model_config = ConfigDict(title="Standalone")
    deployment: Literal["standalone"] = setting(
        "Deployment",
        0,
        default="standalone",
        description="One server, or one address that leads to the primary.",
    )
    database: int = setting("Database", 1, default=0, description="The index of the logical database.", ge=0)


_Node = Annotated[
    str,
    # The pattern is for the form alone: `node` says what is wrong.
    Field(json_schema_extra={"pattern": HOST_PORT, "pattern_descriptor": PATTERNS[HOST_PORT]}),
    AfterValidator(node),
]


class Cluster(Settings):
    """A Redis Cluster, whose primaries share the keys."""

    model_config = ConfigDict(title="Cluster")
    deployment: Literal["cluster"] = setting(
        "Deployment",
        0,
        default="cluster",
        description="Primaries that share the keys; host and port are those of any of the nodes.",
    )
    nodes: tuple[_Node, ...] = setting(
        "Further nodes",
        1,
        default=(),
        description="Asked where the first node does not answer; one that answers names all others.",
        examples=[["redis-2:6379", "redis-3:6379"]],
    )


class Sentinel(Settings):
    """A primary with replicas, watched by sentinels that say which one it is."""

    model_config = ConfigDict(title="Sentinel")
    deployment: Literal["sentinel"] = setting(
        "Deployment",
        0,
        default="sentinel",
        description="A primary with replicas, watched by sentinels; host and port are the first sentinel's.",
    )
    service_name: str = setting(
        "Service name",
        1,
        description="What the sentinels call the primary and its replicas.",
        examples=["mymaster"],
        min_length=1,
    )
    nodes: tuple[_Node, ...] = setting(
        "Further sentinels",
        2,
        default=(),
        description="Asked where the first sentinel does not answer.",
        examples=[["sentinel-2:26379", "sentinel-3:26379"]],
    )
    database: int = setting("Database", 3, default=0, description="The index of the logical database.", ge=0)
    sentinel_username: str | None = setting(
        "Sentinel username",
        4,
        default=None,
        description="The sentinels' ACL user; empty for their default user. The server's is set above.",
    )
    sentinel_password: SecretStr | None = setting(
        "Sentinel password",
        5,
        default=None,
        description="The password of the sentinels' user; empty where they ask for none.",
        airbyte_secret=True,
    )
