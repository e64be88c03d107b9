"""The configuration: pydantic models whose fields, titles and descriptions are the spec's."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError

from destination_redis.errors import config_error


def _field(title: str, order: int, **extra: Any) -> Any:  # noqa: ANN401 - what pydantic's Field takes and gives
    """Return a pydantic field; what pydantic does not know (group, pattern_descriptor …) goes into the schema."""
    known = {
        name: extra.pop(name)
        for name in ("default", "description", "examples", "ge", "le", "min_length", "pattern")
        if name in extra
    }
    return Field(title=title, json_schema_extra={"order": order, **extra}, **known)


class _Settings(BaseModel):
    # Input values stay out of validation errors: a mistyped secret must not be printed.
    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class SslDisable(_Settings):
    """No certificates of one's own."""

    model_config = ConfigDict(title="disable", frozen=True)
    mode: Literal["disable"] = _field(
        "Mode",
        0,
        default="disable",
        description="With SSL on: the server's certificate must come from an authority the system trusts.",
    )


class SslRequire(_Settings):
    """Encryption without identification."""

    model_config = ConfigDict(title="require", frozen=True)
    mode: Literal["require"] = _field(
        "Mode", 0, default="require", description="Encrypt; accept whatever certificate the server shows."
    )


class _Certificates(_Settings):
    ca_certificate: str | None = _field(
        "CA certificate",
        1,
        default=None,
        description="The authority's certificate (PEM). Without it the system's authorities are trusted.",
        multiline=True,
        airbyte_secret=True,
    )
    client_certificate: str | None = _field(
        "Client certificate",
        2,
        default=None,
        description="For a server that asks clients for one (PEM).",
        multiline=True,
        airbyte_secret=True,
    )
    client_key: SecretStr | None = _field(
        "Client key",
        3,
        default=None,
        description="The private key of the client certificate (PEM).",
        multiline=True,
        airbyte_secret=True,
    )
    client_key_password: SecretStr | None = _field(
        "Client key password",
        4,
        default=None,
        description="Where the client key is encrypted.",
        airbyte_secret=True,
    )


class SslVerifyCa(_Certificates):
    """The certificate must come from a trusted authority."""

    model_config = ConfigDict(title="verify-ca")
    mode: Literal["verify-ca"] = _field(
        "Mode", 0, default="verify-ca", description="Encrypt and verify the authority, not the host name."
    )


class SslVerifyFull(_Certificates):
    """The certificate must come from a trusted authority and name the host."""

    model_config = ConfigDict(title="verify-full")
    mode: Literal["verify-full"] = _field(
        "Mode", 0, default="verify-full", description="Encrypt and verify the authority and the host name."
    )


class NoTunnel(_Settings):
    """A direct connection."""

    model_config = ConfigDict(title="No Tunnel", frozen=True)
    tunnel_method: Literal["NO_TUNNEL"] = _field(
        "Tunnel method", 0, default="NO_TUNNEL", description="Connect directly."
    )


class _Tunnel(_Settings):
    tunnel_host: str = _field(
        "SSH tunnel jump server host", 1, description="The server that the tunnel goes through.", min_length=1
    )
    tunnel_port: int = _field(
        "SSH connection port", 2, default=22, description="Its SSH port.", ge=1, le=65535, examples=["22"]
    )
    tunnel_user: str = _field("SSH login user name", 3, description="The user to log in as.", min_length=1)


class SshKeyTunnel(_Tunnel):
    """Through a jump server, by key."""

    model_config = ConfigDict(title="SSH Key Authentication")
    tunnel_method: Literal["SSH_KEY_AUTH"] = _field(
        "Tunnel method", 0, default="SSH_KEY_AUTH", description="Connect through a jump server, by SSH key."
    )
    ssh_key: SecretStr = _field(
        "SSH private key",
        4,
        description="The user's private key, in PEM or OpenSSH form.",
        multiline=True,
        airbyte_secret=True,
    )


class SshPasswordTunnel(_Tunnel):
    """Through a jump server, by password."""

    model_config = ConfigDict(title="Password Authentication")
    tunnel_method: Literal["SSH_PASSWORD_AUTH"] = _field(
        "Tunnel method",
        0,
        default="SSH_PASSWORD_AUTH",
        description="Connect through a jump server, by password.",
    )
    tunnel_user_password: SecretStr = _field(
        "Password", 4, description="The user's password on the jump server.", airbyte_secret=True
    )


class Standalone(_Settings):
    """One server, or one address that leads to the primary."""

    model_config = ConfigDict(title="Standalone")
    deployment: Literal["standalone"] = _field(
        "Deployment",
        0,
        default="standalone",
        description="One server, or one address that leads to the primary.",
    )
    database: int = _field("Database", 1, default=0, description="The index of the logical database.", ge=0)


class RedisConfig(_Settings):
    """What a user sets; only `host` is required."""

    host: str = _field(
        "Host",
        0,
        description="The host name or address of the server.",
        examples=["localhost", "127.0.0.1"],
        min_length=1,
        group="connection",
    )
    port: int = _field(
        "Port", 1, default=6379, description="The port of the server.", ge=1, le=65535, group="connection"
    )
    username: str | None = _field(
        "Username",
        2,
        default=None,
        description="The ACL user; empty for the server's default user.",
        group="connection",
    )
    password: SecretStr | None = _field(
        "Password",
        3,
        default=None,
        description="The user's password; empty where the server asks for none.",
        airbyte_secret=True,
        group="connection",
    )
    ssl: bool = _field(
        "SSL connection",
        4,
        default=False,
        description="Whether to encrypt the connection with TLS.",
        group="connection",
    )
    ssl_mode: Annotated[SslDisable | SslRequire | SslVerifyCa | SslVerifyFull | None, Field(discriminator="mode")] = (
        _field(
            "SSL mode",
            5,
            default=None,
            description="How the server's certificate is verified; verify-full unless set.",
            group="connection",
        )
    )
    deployment: Annotated[Standalone | None, Field(discriminator="deployment")] = _field(
        "Deployment", 6, default=None, description="How the server is deployed.", group="connection"
    )
    tunnel_method: Annotated[
        NoTunnel | SshKeyTunnel | SshPasswordTunnel | None, Field(discriminator="tunnel_method")
    ] = _field(
        "SSH tunnel method",
        7,
        default=None,
        description="Whether to connect through an SSH jump server.",
        group="connection",
    )
    cache_type: Literal["hash"] = _field(
        "Cache type",
        0,
        default="hash",
        description="The Redis data type of a record: hash has one field each for id, time and data.",
        group="records",
    )
    default_namespace: str | None = _field(
        "Default namespace",
        1,
        default=None,
        description="Stands in keys for streams without a namespace; 'default' unless set.",
        group="records",
    )
    key_prefix: str = _field(
        "Key prefix",
        2,
        default="",
        description="Stands in front of every key, as it is. No braces.",
        pattern=r"^[^{}]*$",
        pattern_descriptor="text without { and }",
        examples=["staging:"],
        group="records",
    )

    deletion_mode: Literal["hard", "soft"] = _field(
        "Deletion mode",
        3,
        default="hard",
        description="In append_dedup: hard removes the key of a row that the source deleted, soft keeps it as a record "
        "that says when it was deleted.",
        group="records",
    )

    @property
    def database(self) -> int:
        """The index of the logical database."""
        return self.deployment.database if self.deployment else 0


def parse_config(config: Mapping[str, Any]) -> RedisConfig:
    """Return the settings in `config`; raises a config error that names each wrong one, never its value."""
    try:
        return RedisConfig.model_validate(config)
    except ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(str(part) for part in problem['loc']) or 'config'}: "
            # A wrong choice's own message quotes what was given.
            f"{'unknown choice' if problem['type'].startswith('union_tag') else problem['msg']}"
            for problem in error.errors(include_input=False, include_url=False, include_context=False)
        )
        raise config_error(f"The configuration is not valid: {wrong}") from None


def unknown_settings(config: Mapping[str, Any]) -> list[str]:
    """Return the names of top-level settings that mean nothing here, such as mistyped ones."""
    return sorted(set(config) - set(RedisConfig.model_fields))
