"""The configuration: a pydantic model, from which the spec takes fields, titles and descriptions."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from destination_redis.caches import CACHES, RecordFormat, StorageFormat
from destination_redis.config.base import NO_BRACES, PATTERNS, Host, Settings, setting
from destination_redis.config.deployment import Cluster, Sentinel, Standalone
from destination_redis.config.durability import Durability
from destination_redis.config.tls import SslDisable, SslRequire, SslVerifyCa, SslVerifyFull
from destination_redis.config.tunnel import NoTunnel, SshKeyTunnel, SshPasswordTunnel

#: What completes an overwrite if the input has no stream statuses.
WithoutStatus = Literal["end_mark", "trailing_state"]


def _known_type(name: str) -> str:
    if name not in CACHES:
        # The name itself is left out: a mistyped secret must not be printed.
        raise PydanticCustomError("cache_type", "Input should be {names}", {"names": " or ".join(CACHES)})
    return name


class RedisConfig(Settings):
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
    cache_type: Annotated[str, AfterValidator(_known_type)] = setting(
        "Cache type",
        0,
        default="hash",
        description="The Redis data type in which records are stored.",
        enum=list(CACHES),
        group="records",
    )
    record_format: RecordFormat = setting(
        "Record format",
        1,
        default="envelope",
        description="envelope stores a record's id, time and data as received; columns stores each top-level field of "
        "the data separately.",
        group="records",
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
    record_metadata: Literal["minimal", "full"] = setting(
        "Record metadata",
        4,
        default="minimal",
        description="full adds Airbyte's _airbyte_raw_id, _airbyte_extracted_at, _airbyte_generation_id and "
        "_airbyte_meta to every record.",
        group="records",
    )
    ttl_seconds: int | None = setting(
        "Time to live",
        5,
        default=None,
        description="Seconds until a record expires, counted from its last write; leave empty to keep records forever.",
        ge=1,
        # Redis accepts this: it converts to milliseconds and adds the current time.
        le=10**11,
        group="records",
    )
    deletion_mode: Literal["hard", "soft"] = setting(
        "Deletion mode",
        6,
        default="hard",
        description="In append_dedup: hard removes the key of a row that was deleted in the source, soft keeps it as a "
        "record with the time of deletion.",
        group="records",
    )
    search_index: bool = setting(
        "Search index",
        7,
        default=False,
        description="Whether to maintain a search index for each stream, named <namespace>:<stream>, with its columns "
        "by type (FT.CREATE). For cache_type json, or hash with record_format columns.",
        group="records",
    )
    stream_max_length: int | None = setting(
        "Stream length",
        9,
        default=None,
        description="With cache_type stream: how many of the newest entries are kept; leave empty to keep all.",
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

    @property
    def storage_format(self) -> StorageFormat:
        """The data type and format of records."""
        return StorageFormat(self.cache_type, self.record_format)

    @property
    def durable(self) -> Durability:
        """The durability required."""
        return self.durability or Durability()

    @property
    def database(self) -> int:
        """The index of the logical database."""
        return self.deployment.database if isinstance(self.deployment, Standalone | Sentinel) else 0
