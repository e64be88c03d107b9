"""The deployment settings: one model for each kind."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field, SecretStr

from destination_redis.config.base import PATTERNS, Settings, setting
from destination_redis.config.hosts import HOST_PORT, node


class Standalone(Settings):
    """One server, or one endpoint that leads to the primary."""

    model_config = ConfigDict(title="Standalone")
    deployment: Literal["standalone"] = setting(
        "Deployment",
        0,
        default="standalone",
        description="One server, or one endpoint that leads to the primary.",
    )
    database: int = setting("Database", 1, default=0, description="The index of the logical database.", ge=0)


_Node = Annotated[
    str,
    # The pattern is for the form only: the errors of `node` are more precise.
    Field(json_schema_extra={"pattern": HOST_PORT, "pattern_descriptor": PATTERNS[HOST_PORT]}),
    AfterValidator(node),
]


class Cluster(Settings):
    """A Redis Cluster."""

    model_config = ConfigDict(title="Cluster")
    deployment: Literal["cluster"] = setting(
        "Deployment",
        0,
        default="cluster",
        description="A Redis Cluster; host and port are those of any node.",
    )
    nodes: tuple[_Node, ...] = setting(
        "Additional nodes",
        1,
        default=(),
        description="Tried if the first node does not answer; the others are discovered from any node that does.",
        examples=[["redis-2:6379", "redis-3:6379"]],
    )


class Sentinel(Settings):
    """A primary with replicas, monitored by Redis Sentinel."""

    model_config = ConfigDict(title="Sentinel")
    deployment: Literal["sentinel"] = setting(
        "Deployment",
        0,
        default="sentinel",
        description="A primary with replicas, monitored by sentinels; host and port are those of the first sentinel.",
    )
    service_name: str = setting(
        "Service name",
        1,
        description="The name under which the sentinels monitor the primary.",
        examples=["mymaster"],
        min_length=1,
    )
    nodes: tuple[_Node, ...] = setting(
        "Additional sentinels",
        2,
        default=(),
        description="Tried if the first sentinel does not answer.",
        examples=[["sentinel-2:26379", "sentinel-3:26379"]],
    )
    database: int = setting("Database", 3, default=0, description="The index of the logical database.", ge=0)
    sentinel_username: str | None = setting(
        "Sentinel username",
        4,
        default=None,
        description="The ACL user of the sentinels; leave empty for the default user. The server's is set above.",
    )
    sentinel_password: SecretStr | None = setting(
        "Sentinel password",
        5,
        default=None,
        description="The password of the sentinels' user; leave empty if they require none.",
        airbyte_secret=True,
    )
