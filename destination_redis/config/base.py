"""The choices of a setting that has several forms: TLS modes, tunnels, deployments, as pydantic models."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from destination_redis.config.hosts import HOST_PORT, host, node, remote_host

NO_BRACES = r"^[^{}]*$"
#: What patterns ask for, in words.
PATTERNS = {NO_BRACES: "text without { and }", HOST_PORT: "host:port"}


def setting(title: str, order: int, **extra: Any) -> Any:  # noqa: ANN401 - what pydantic's Field takes and gives
    """Return a pydantic field; what pydantic does not know (group, pattern_descriptor …) goes into the schema."""
    known = {
        name: extra.pop(name)
        for name in ("default", "description", "examples", "ge", "le", "min_length", "pattern")
        if name in extra
    }
    return Field(title=title, json_schema_extra={"order": order, **extra}, **known)


#: What can be looked up; or the path of a socket.
Host = Annotated[str, AfterValidator(host)]
_RemoteHost = Annotated[str, AfterValidator(remote_host)]


class Settings(BaseModel):
    """Frozen settings; unknown ones are left out, and optional ones that are null or empty text count as absent."""

    # Input values stay out of validation errors: a mistyped secret must not be printed.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)
    #: Settings for which empty text is a value.
    may_be_empty: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _without_empty(cls, given: object) -> object:
        """Leave out what a form sends for a field that was left empty."""
        if not isinstance(given, Mapping):
            return given

        def empty(name: str, value: object) -> bool:
            field = cls.model_fields.get(name)
            optional = field is not None and not field.is_required()
            return optional and (value is None or (value == "" and name not in cls.may_be_empty))

        return {name: value for name, value in given.items() if not empty(name, value)}


class SslDisable(Settings):
    """No certificates of one's own."""

    model_config = ConfigDict(title="disable", frozen=True)
    mode: Literal["disable"] = setting(
        "Mode",
        0,
        default="disable",
        description="With SSL on: the server's certificate must come from an authority the system trusts.",
    )


class SslRequire(Settings):
    """Encryption without identification."""

    model_config = ConfigDict(title="require", frozen=True)
    mode: Literal["require"] = setting(
        "Mode", 0, default="require", description="Encrypt; accept whatever certificate the server shows."
    )


class _Certificates(Settings):
    ca_certificate: str | None = setting(
        "CA certificate",
        1,
        default=None,
        description="The authority's certificate (PEM). Without it the system's authorities are trusted.",
        multiline=True,
        airbyte_secret=True,
    )
    client_certificate: str | None = setting(
        "Client certificate",
        2,
        default=None,
        description="For a server that asks clients for one (PEM).",
        multiline=True,
        airbyte_secret=True,
    )
    client_key: SecretStr | None = setting(
        "Client key",
        3,
        default=None,
        description="The private key of the client certificate (PEM).",
        multiline=True,
        airbyte_secret=True,
    )
    client_key_password: SecretStr | None = setting(
        "Client key password",
        4,
        default=None,
        description="Where the client key is encrypted.",
        airbyte_secret=True,
    )


class SslVerifyCa(_Certificates):
    """The certificate must come from a trusted authority."""

    model_config = ConfigDict(title="verify-ca")
    mode: Literal["verify-ca"] = setting(
        "Mode", 0, default="verify-ca", description="Encrypt and verify the authority, not the host name."
    )


class SslVerifyFull(_Certificates):
    """The certificate must come from a trusted authority and name the host."""

    model_config = ConfigDict(title="verify-full")
    mode: Literal["verify-full"] = setting(
        "Mode", 0, default="verify-full", description="Encrypt and verify the authority and the host name."
    )


class NoTunnel(Settings):
    """A direct connection."""

    model_config = ConfigDict(title="No Tunnel", frozen=True)
    tunnel_method: Literal["NO_TUNNEL"] = setting(
        "Tunnel method", 0, default="NO_TUNNEL", description="Connect directly."
    )


class _Tunnel(Settings):
    tunnel_host: _RemoteHost = setting(
        "SSH tunnel jump server host", 1, description="The server that the tunnel goes through.", min_length=1
    )
    tunnel_port: int = setting(
        "SSH connection port", 2, default=22, description="Its SSH port.", ge=1, le=65535, examples=["22"]
    )
    tunnel_user: str = setting("SSH login user name", 3, description="The user to log in as.", min_length=1)
    tunnel_host_key: str | None = setting(
        "Public key of the jump server",
        5,
        default=None,
        description="As in its /etc/ssh/ssh_host_*_key.pub. Where it is set, a server with any other key is refused.",
        examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI…"],
    )


class SshKeyTunnel(_Tunnel):
    """Through a jump server, by key."""

    model_config = ConfigDict(title="SSH Key Authentication")
    tunnel_method: Literal["SSH_KEY_AUTH"] = setting(
        "Tunnel method", 0, default="SSH_KEY_AUTH", description="Connect through a jump server, by SSH key."
    )
    ssh_key: SecretStr = setting(
        "SSH private key",
        4,
        description="The user's private key, in PEM or OpenSSH form.",
        multiline=True,
        airbyte_secret=True,
    )


class SshPasswordTunnel(_Tunnel):
    """Through a jump server, by password."""

    model_config = ConfigDict(title="Password Authentication")
    tunnel_method: Literal["SSH_PASSWORD_AUTH"] = setting(
        "Tunnel method",
        0,
        default="SSH_PASSWORD_AUTH",
        description="Connect through a jump server, by password.",
    )
    tunnel_user_password: SecretStr = setting(
        "Password", 4, description="The user's password on the jump server.", airbyte_secret=True
    )


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
