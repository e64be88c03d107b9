"""The configuration: a pydantic model, from which the spec takes fields, titles and descriptions."""

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from destination_redis.config.base import NO_BRACES, PATTERNS, Host, setting
from destination_redis.config.deployment import Cluster, Sentinel, Standalone
from destination_redis.config.durability import Durability
from destination_redis.config.records import RecordSettings
from destination_redis.config.streams import StreamSettings
from destination_redis.config.tls import SslDisable, SslRequire, SslVerifyCa, SslVerifyFull
from destination_redis.config.tunnel import NoTunnel, SshKeyTunnel, SshPasswordTunnel

#: What completes an overwrite if the input has no stream statuses.
WithoutStatus = Literal["end_mark", "trailing_state"]


class RedisConfig(RecordSettings):
    """The user's settings; only `host` is required."""

    #: An empty namespace is used in keys as it is, as in the Java connector.
    may_be_empty = frozenset({"default_namespace"})

    host: Host = setting(
        "Host",
        0,
        description="The host name or address of the server, or the path of its Unix socket.",
        examples=["localhost", "127.0.0.1", "/run/redis/redis.sock"],
        min_length=1,
        group="connection",
    )
    port: int = setting(
        "Port", 1, default=6379, description="The port of the server.", ge=1, le=65535, group="connection"
    )
    username: str | None = setting(
        "Username",
        2,
        default=None,
        description="The ACL user; leave empty for the default user.",
        group="connection",
    )
    password: SecretStr | None = setting(
        "Password",
        3,
        default=None,
        description="The user's password; leave empty if the server requires none.",
        airbyte_secret=True,
        group="connection",
    )
    ssl: bool = setting(
        "SSL connection",
        4,
        default=False,
        description="Whether to encrypt the connection with TLS.",
        group="connection",
    )
    ssl_mode: Annotated[SslDisable | SslRequire | SslVerifyCa | SslVerifyFull | None, Field(discriminator="mode")] = (
        setting(
            "SSL mode",
            5,
            default=None,
            description="How the server's certificate is verified; by default verify-full.",
            group="connection",
        )
    )
    deployment: Annotated[Standalone | Cluster | Sentinel | None, Field(discriminator="deployment")] = setting(
        "Deployment", 6, default=None, description="How the server is deployed.", group="connection"
    )
    tunnel_method: Annotated[
        NoTunnel | SshKeyTunnel | SshPasswordTunnel | None, Field(discriminator="tunnel_method")
    ] = setting(
        "SSH tunnel method",
        7,
        default=None,
        description="Whether to connect through an SSH jump server.",
        group="connection",
    )
    default_namespace: str | None = setting(
        "Default namespace",
        2,
        default=None,
        description="The namespace used in keys for streams without one; by default 'default'.",
        group="records",
    )
    key_prefix: str = setting(
        "Key prefix",
        3,
        default="",
        description="Prepended to every key. Braces are not allowed.",
        pattern=NO_BRACES,
        pattern_descriptor=PATTERNS[NO_BRACES],
        examples=["staging:"],
        group="records",
    )
    rejected_records: Literal["fail", "keep"] = setting(
        "Rejected records",
        17,
        default="fail",
        description="What to do with a record that cannot be stored because of its content, such as a score that is "
        "not a number. fail ends the sync with an error. keep adds the record and the reason to a separate Redis "
        "stream, and continues.",
        group="records",
    )
    rejected_max_length: int = setting(
        "Rejected records length",
        18,
        default=10_000,
        description="With rejected_records keep: how many of the newest rejected records of each stream are kept.",
        ge=1,
        group="records",
    )
    overwrite_without_status: WithoutStatus = setting(
        "Overwrite without status",
        10,
        default="end_mark",
        description="When an overwrite replaces the old data if the platform sends no stream statuses, as for a custom "
        "connector. end_mark: when the source's last state marks the stream as complete. trailing_state: when any "
        "state follows the last record, for sources that send no such mark; if the source fails right after a state, "
        "incomplete data then replaces the old.",
        group="records",
    )
    durability: Durability | None = setting(
        "Durability",
        8,
        default=None,
        description="Which replicas and disks must confirm writes before a state is acknowledged.",
        group="records",
    )
    streams: tuple[StreamSettings, ...] = setting(
        "Settings for single streams",
        30,
        default=(),
        description="Settings for individual streams. The first entry that matches a stream applies to it. Settings "
        "that the entry leaves out are inherited from those above.",
        examples=[[{"stream": "sessions", "cache_type": "json", "ttl_seconds": 3600}]],
        group="records",
    )

    @property
    def durable(self) -> Durability:
        """The durability required."""
        return self.durability or Durability()

    @property
    def database(self) -> int:
        """The index of the logical database."""
        return self.deployment.database if isinstance(self.deployment, Standalone | Sentinel) else 0
