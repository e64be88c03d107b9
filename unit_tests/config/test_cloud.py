"""Airbyte Cloud: how the connector knows it, and which connections it refuses there."""

from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.config.cloud import in_cloud, require_encryption
from destination_redis.config.parse import parse_config
from destination_redis.config.spec import specification

Json = dict[str, Any]

SSH_SERVER = {"tunnel_host": "ssh.example.com", "tunnel_user": "me"}
TUNNELS: list[Json] = [
    {"tunnel_method": "SSH_KEY_AUTH", **SSH_SERVER, "ssh_key": "K"},
    {"tunnel_method": "SSH_PASSWORD_AUTH", **SSH_SERVER, "tunnel_user_password": "P"},
]
CLUSTER = {"deployment": "cluster"}
SENTINEL = {"deployment": "sentinel", "service_name": "s"}
DEPLOYMENTS: list[Json | None] = [None, {"deployment": "standalone"}, CLUSTER, SENTINEL]


def warnings(**config: Any) -> list[str]:
    return require_encryption(parse_config({"host": "h", **config}))


def refusal(**config: Any) -> str:
    with pytest.raises(AirbyteTracedException) as caught:
        warnings(**config)
    assert caught.value.failure_type is FailureType.config_error
    message = str(caught.value.message)
    assert ". " not in message  # one sentence
    return message


def modes(*, cloud: bool) -> list[str]:
    options = specification(cloud=cloud)["connectionSpecification"]["properties"]["ssl_mode"]["oneOf"]
    return [option["properties"]["mode"]["const"] for option in options]


@pytest.mark.parametrize("name", ["DEPLOYMENT_MODE", "AIRBYTE_EDITION"])
@pytest.mark.parametrize("value", ["cloud", "CLOUD", "Cloud", " cloud "])
def test_either_variable_tells_the_cloud_in_any_case(name: str, value: str) -> None:
    assert in_cloud({name: value})


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"DEPLOYMENT_MODE": ""},
        {"DEPLOYMENT_MODE": "OSS"},
        {"AIRBYTE_EDITION": "COMMUNITY"},
        {"AIRBYTE_EDITION": "ENTERPRISE", "DEPLOYMENT_MODE": "OSS"},
        {"CLOUD": "cloud"},
    ],
)
def test_any_other_edition_is_not_the_cloud(environment: dict[str, str]) -> None:
    assert not in_cloud(environment)


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
@pytest.mark.parametrize("mode", [None, "disable", "require", "verify-ca", "verify-full"])
def test_a_connection_without_tls_and_tunnel_is_refused_whatever_the_tls_mode(
    deployment: Json | None, mode: str | None
) -> None:
    for tunnel in (None, {"tunnel_method": "NO_TUNNEL"}):
        config = {"deployment": deployment, "ssl_mode": mode and {"mode": mode}, "tunnel_method": tunnel}
        assert refusal(**config).startswith("Airbyte Cloud requires an encrypted connection: turn ssl on")


def test_a_tunnel_is_proposed_only_where_there_can_be_one() -> None:
    assert "tunnel_method" in refusal()
    assert "tunnel_method" not in refusal(deployment=CLUSTER)
    assert refusal(deployment=SENTINEL).endswith("turn ssl on; the sentinels must support it too")


@pytest.mark.parametrize("deployment", DEPLOYMENTS)
@pytest.mark.parametrize("mode", [None, {"mode": "verify-ca"}, {"mode": "verify-full"}])
def test_tls_that_verifies_the_server_is_allowed_in_every_deployment(deployment: Json | None, mode: Json) -> None:
    assert warnings(ssl=True, ssl_mode=mode, deployment=deployment) == []


@pytest.mark.parametrize("mode", ["disable", "require"])
def test_a_saved_mode_that_is_no_longer_offered_goes_on_with_a_warning(mode: str) -> None:
    (warning,) = warnings(ssl=True, ssl_mode={"mode": mode})
    assert f"ssl_mode {mode}" in warning
    assert mode not in modes(cloud=True)


@pytest.mark.parametrize("tunnel", TUNNELS)
def test_a_tunnel_is_allowed_without_tls_whose_mode_has_no_effect_then(tunnel: Json) -> None:
    assert warnings(tunnel_method=tunnel, ssl_mode={"mode": "disable"}) == []


@pytest.mark.parametrize("more", [{}, {"ssl": True}, {"tunnel_method": TUNNELS[0]}])
def test_a_unix_socket_is_refused(more: Json) -> None:
    assert "Unix socket" in refusal(host="/run/redis/redis.sock", **more)


def test_the_form_of_the_cloud_lacks_these_modes_and_nothing_else() -> None:
    assert modes(cloud=False) == ["disable", "require", "verify-ca", "verify-full"]
    assert modes(cloud=True) == ["verify-ca", "verify-full"]
    cloud, other = specification(cloud=True), specification()
    other["connectionSpecification"]["properties"]["ssl_mode"]["oneOf"][:2] = []
    assert cloud == other
