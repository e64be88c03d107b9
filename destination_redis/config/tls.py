"""The TLS settings: one model for each ssl_mode."""

from typing import Literal

from pydantic import ConfigDict, SecretStr

from destination_redis.config.base import Settings, setting


class SslDisable(Settings):
    """Verification against the system's certificate authorities only."""

    model_config = ConfigDict(title="disable", frozen=True)
    mode: Literal["disable"] = setting(
        "Mode",
        0,
        default="disable",
        description="With SSL on: the server's certificate must be signed by an authority that the system trusts.",
    )


class SslRequire(Settings):
    """Encryption without verification."""

    model_config = ConfigDict(title="require", frozen=True)
    mode: Literal["require"] = setting(
        "Mode", 0, default="require", description="Encrypt, but accept any certificate of the server."
    )


class _Certificates(Settings):
    ca_certificate: str | None = setting(
        "CA certificate",
        1,
        default=None,
        description="The certificate of the authority (PEM). If empty, the system's authorities are trusted.",
        multiline=True,
        airbyte_secret=True,
    )
    client_certificate: str | None = setting(
        "Client certificate",
        2,
        default=None,
        description="Needed if the server requires one (PEM).",
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
        description="Needed if the client key is encrypted.",
        airbyte_secret=True,
    )


class SslVerifyCa(_Certificates):
    """The certificate must be signed by a trusted authority."""

    model_config = ConfigDict(title="verify-ca")
    mode: Literal["verify-ca"] = setting(
        "Mode", 0, default="verify-ca", description="Encrypt and verify the authority, not the host name."
    )


class SslVerifyFull(_Certificates):
    """The certificate must be signed by a trusted authority and valid for the host."""

    model_config = ConfigDict(title="verify-full")
    mode: Literal["verify-full"] = setting(
        "Mode", 0, default="verify-full", description="Encrypt and verify the authority and the host name."
    )
