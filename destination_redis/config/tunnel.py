"""The SSH tunnel settings: one model for each tunnel_method."""

from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, SecretStr

from destination_redis.config.base import Settings, setting
from destination_redis.config.hosts import remote_host

_RemoteHost = Annotated[str, AfterValidator(remote_host)]


class NoTunnel(Settings):
    """A direct connection."""

    model_config = ConfigDict(title="No Tunnel", frozen=True)
    tunnel_method: Literal["NO_TUNNEL"] = setting(
        "Tunnel method", 0, default="NO_TUNNEL", description="Connect directly."
    )


class _Tunnel(Settings):
    tunnel_host: _RemoteHost = setting(
        "SSH tunnel jump server host", 1, description="The host of the SSH jump server.", min_length=1
    )
    tunnel_port: int = setting(
        "SSH connection port", 2, default=22, description="Its SSH port.", ge=1, le=65535, examples=["22"]
    )
    tunnel_user: str = setting("SSH login user name", 3, description="The user to log in as.", min_length=1)
    tunnel_host_key: str | None = setting(
        "Public key of the jump server",
        5,
        default=None,
        description="As in its /etc/ssh/ssh_host_*_key.pub. If set, a server with any other key is refused.",
        examples=["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI…"],
    )


class SshKeyTunnel(_Tunnel):
    """A connection through a jump server, authenticated by key."""

    model_config = ConfigDict(title="SSH Key Authentication")
    tunnel_method: Literal["SSH_KEY_AUTH"] = setting(
        "Tunnel method", 0, default="SSH_KEY_AUTH", description="Connect through a jump server with an SSH key."
    )
    ssh_key: SecretStr = setting(
        "SSH private key",
        4,
        description="The user's private key, in PEM or OpenSSH format.",
        multiline=True,
        airbyte_secret=True,
    )


class SshPasswordTunnel(_Tunnel):
    """A connection through a jump server, authenticated by password."""

    model_config = ConfigDict(title="Password Authentication")
    tunnel_method: Literal["SSH_PASSWORD_AUTH"] = setting(
        "Tunnel method",
        0,
        default="SSH_PASSWORD_AUTH",
        description="Connect through a jump server with a password.",
    )
    tunnel_user_password: SecretStr = setting(
        "Password", 4, description="The user's password on the jump server.", airbyte_secret=True
    )
