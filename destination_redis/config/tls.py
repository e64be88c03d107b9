"""The settings for TLS: one model for each ssl_mode."""

from typing import Literal

from pydantic import ConfigDict, SecretStr

from destination_redis.config.base import Settings, setting


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
