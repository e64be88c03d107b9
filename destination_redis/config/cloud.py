"""Airbyte Cloud: whether the connector runs there, and its requirements on connections."""

from collections.abc import Mapping

from destination_redis.config.deployment import Cluster, Sentinel
from destination_redis.config.settings import RedisConfig
from destination_redis.config.tunnel import NoTunnel
from destination_redis.errors import config_error

#: TLS modes missing from the form on Airbyte Cloud -> the warning about a saved configuration that has one.
NOT_OFFERED = {
    "disable": "Airbyte Cloud no longer offers ssl_mode disable, which encrypts but does not verify the host name: "
    "choose verify-full, or verify-ca, which does the same as disable.",
    "require": "Airbyte Cloud no longer offers ssl_mode require, which accepts any certificate, even an attacker's: "
    "choose verify-full or verify-ca.",
}
#: The environment variables with Airbyte's edition. Which one is set, and its case, differ between versions.
_EDITION = ("DEPLOYMENT_MODE", "AIRBYTE_EDITION")


def in_cloud(environment: Mapping[str, str]) -> bool:
    """Return whether these environment variables indicate Airbyte Cloud."""
    return any(environment.get(name, "").strip().lower() == "cloud" for name in _EDITION)


def require_encryption(config: RedisConfig) -> list[str]:
    """Return warnings about a connection that Airbyte Cloud allows; raises a config error if it does not."""
    if config.host.startswith("/"):
        raise config_error("Airbyte Cloud cannot reach a Unix socket: set host to a host name or an address")
    if not config.ssl and isinstance(config.tunnel_method, NoTunnel | None):
        raise config_error(f"Airbyte Cloud requires an encrypted connection: {_remedy(config)}")
    # Without ssl the mode has no effect: the tunnel encrypts.
    mode = config.ssl_mode.mode if config.ssl and config.ssl_mode else ""
    return [NOT_OFFERED[mode]] if mode in NOT_OFFERED else []


def _remedy(config: RedisConfig) -> str:
    match config.deployment:
        case Sentinel():
            return "turn ssl on; the sentinels must support it too"
        case Cluster():
            return "turn ssl on"
    return "turn ssl on, or choose an SSH tunnel in tunnel_method"
