"""The configuration: pydantic models whose fields, titles and descriptions are the spec's."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from destination_redis.caches import CACHES, RecordFormat, StorageFormat
from destination_redis.config.base import NO_BRACES, PATTERNS, Host, Settings, setting
from destination_redis.config.deployment import Cluster, Sentinel, Standalone
from destination_redis.config.durability import Durability
from destination_redis.config.tls import SslDisable, SslRequire, SslVerifyCa, SslVerifyFull
from destination_redis.config.tunnel import NoTunnel, SshKeyTunnel, SshPasswordTunnel

#: What ends an overwrite where the input has no statuses.
WithoutStatus = Literal["end_mark", "trailing_state"]


def _known_type(name: str) -> str:
    if name not in CACHES:
        # Not the name itself: a mistyped secret must not be printed.
        raise PydanticCustomError("cache_type", "Input should be {names}", {"names": " or ".join(CACHES)})
    return name


class RedisConfig(Settings):
    """What a user sets; only `host` is required."""

    #: Stands in keys as it is, as it did in the Java connector's.
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
        description="The ACL user; empty for the server's default user.",
        group="connection",
    )
    password: SecretStr | None = setting(
        "Password",
        3,
        default=None,
        description="The user's password; empty where the server asks for none.",
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
            description="How the server's certificate is verified; verify-full unless set.",
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
        description="The Redis data type of a record.",
        enum=list(CACHES),
        group="records",
    )
    record_format: RecordFormat = setting(
        "Record format",
        1,
        default="envelope",
        description="What of a record is stored: envelope keeps its id, its time and its data as received, columns "
        "puts each top-level field of the data into a place of its own.",
        group="records",
    )
    default_namespace: str | None = setting(
        "Default namespace",
        2,
        default=None,
        description="Stands in keys for streams without a namespace; 'default' unless set.",
        group="records",
    )
    key_prefix: str = setting(
        "Key prefix",
        3,
        default="",
        description="Stands in front of every key, as it is. No braces.",
        pattern=NO_BRACES,
        pattern_descriptor=PATTERNS[NO_BRACES],
        examples=["staging:"],
        group="records",
    )
    record_metadata: Literal["minimal", "full"] = setting(
        "Record metadata",
        4,
        default="minimal",
        description="full adds to every record Airbyte's _airbyte_raw_id, _airbyte_extracted_at, "
        "_airbyte_generation_id and _airbyte_meta.",
        group="records",
    )
    ttl_seconds: int | None = setting(
        "Time to live",
        5,
        default=None,
        description="Seconds after which a record expires, counted from when it was last written; never unless set.",
        ge=1,
        # What Redis takes, in milliseconds, with the time of today added.
        le=10**11,
        group="records",
    )
    deletion_mode: Literal["hard", "soft"] = setting(
        "Deletion mode",
        6,
        default="hard",
        description="In append_dedup: hard removes the key of a row that the source deleted, soft keeps it as a record "
        "that says when it was deleted.",
        group="records",
    )
    search_index: bool = setting(
        "Search index",
        7,
        default=False,
        description="Whether to keep a search index of each stream, named <namespace>:<stream>, over its columns by "
        "their types (FT.CREATE). For cache_type json, or hash with record_format columns.",
        group="records",
    )
    stream_max_length: int | None = setting(
        "Stream length",
        9,
        default=None,
        description="With cache_type stream: the entries that are kept, the newest ones; all unless set.",
        ge=1,
        group="records",
    )
    overwrite_without_status: WithoutStatus = setting(
        "Overwrite without status",
        10,
        default="end_mark",
        description="When an overwrite replaces the old data if the platform sends no stream statuses, as for a custom "
        "connector. end_mark: when the source's last state says that the stream is complete. trailing_state: when any "
        "state follows the last record, for sources that send no such state; if the source fails right after a "
        "state, incomplete data then replaces the old.",
        group="records",
    )
    durability: Durability | None = setting(
        "Durability",
        8,
        default=None,
        description="What has to have the records beside the server that answered, before a state is acknowledged.",
        group="records",
    )

    @property
    def storage_format(self) -> StorageFormat:
        """The data type and format of records."""
        return StorageFormat(self.cache_type, self.record_format)

    @property
    def durable(self) -> Durability:
        """What has to confirm what was written."""
        return self.durability or Durability()

    @property
    def database(self) -> int:
        """The index of the logical database."""
        return self.deployment.database if isinstance(self.deployment, Standalone | Sentinel) else 0
