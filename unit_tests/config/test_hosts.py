"""Hosts: what is too much in them is named by its kind, never quoted."""

from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from hypothesis import given
from hypothesis import strategies as st

from destination_redis.config.parse import parse_config

ALONE = "Input should be only a host name or an address, without "
NODE = "Input should be only host:port, without "
SOCKET = "Input should be only the path of the Unix socket, which begins with /"

#: A host with more than it should have, and what that is called.
SURPLUS = [
    ("redis://h", "a scheme"),
    ("rediss://h:6379", "a scheme and a port"),
    ("http://h", "a scheme"),
    ("redis://:S3cret@h:6379/0", "a scheme, a user or a password, a path and a port"),
    ("user:S3cret@h", "a user or a password"),
    ("user:S3/cr#et@h", "a user or a password"),
    ("h:6379", "a port"),
    ("h:", "a port"),
    ("127.0.0.1:6379", "a port"),
    ("[::1]", "brackets"),
    ("[::1]:6379", "brackets and a port"),
    ("[h]", "brackets"),
    ("h ", "whitespace"),
    (" h", "whitespace"),
    ("h\n", "whitespace"),
    ("\u00a0h", "whitespace"),
    (" ", "whitespace"),
    ("h/0", "a path"),
    ("h?db=1", "a path"),
    ("h,i", "additional hosts"),
    ("h:1,i:2", "additional hosts and a port"),
    ('"h"', "quotation marks"),
]
HOSTS = ["h", "localhost", "redis_1", "redis.example.com", "redis.example.com.", "münchen.de", "127.0.0.1"]
ADDRESSES = ["::1", "2001:db8::1", "::ffff:10.0.0.1", "fe80::1%eth0"]


def tunnel(host: str) -> dict[str, Any]:
    ssh_server = {"tunnel_host": host, "tunnel_user": "u", "tunnel_user_password": "p"}
    return {"host": "h", "tunnel_method": {"tunnel_method": "SSH_PASSWORD_AUTH", **ssh_server}}


def nodes(node: str, deployment: str = "cluster") -> dict[str, Any]:
    return {"host": "h", "deployment": {"deployment": deployment, "service_name": "s", "nodes": [node]}}


def complaint(config: dict[str, Any]) -> str:
    with pytest.raises(AirbyteTracedException) as caught:
        parse_config(config)
    assert caught.value.failure_type is FailureType.config_error
    assert "S3" not in f"{caught.value} {caught.value!r} {caught.value.__cause__}"
    return str(caught.value)


@pytest.mark.parametrize(("host", "surplus"), SURPLUS)
def test_what_is_too_much_in_a_host_is_said(host: str, surplus: str) -> None:
    assert complaint({"host": host}) == f"The configuration is not valid: host: {ALONE}{surplus}"
    assert complaint(tunnel(host)).endswith(f".tunnel_host: {ALONE}{surplus}")


@pytest.mark.parametrize("host", HOSTS + ADDRESSES)
def test_a_name_and_an_address_are_taken_as_they_are(host: str) -> None:
    assert parse_config({"host": host}).host == host
    assert parse_config(tunnel(host)).tunnel_method.tunnel_host == host  # type: ignore[union-attr]
    for deployment in ("cluster", "sentinel"):
        bracketed = f"[{host}]:6379" if host in ADDRESSES else f"{host}:6379"
        assert parse_config(nodes(bracketed, deployment)).deployment.nodes == (bracketed,)  # type: ignore[union-attr]


def test_the_path_of_a_unix_socket_is_a_host_but_none_of_an_ssh_server() -> None:
    for path in ("/run/redis.sock", "/run/my redis:6379/a@b,c.sock"):
        assert parse_config({"host": path}).host == path
        complaint(tunnel(path))
    for url in (
        "unix:///run/redis.sock",
        "unix:/run/redis.sock",
        "file:///run/redis.sock",
        "UNIX://S3cret@/redis.sock",
    ):
        assert complaint({"host": url}).endswith(SOCKET)


@pytest.mark.parametrize(
    ("node", "says"),
    [
        ("redis://h:6379", f"{NODE}a scheme"),
        ("redis://h", f"{NODE}a scheme"),
        ("user:S3cret@h:6379", f"{NODE}a user or a password"),
        ("h:6379 ", f"{NODE}whitespace"),
        ("h:6379/0", f"{NODE}a path"),
        ("h:1,i:2", f"{NODE}additional hosts"),
        ("h", "Input should be host:port"),
        (":6379", "Input should be host:port"),
        ("[::1]", "Input should be host:port"),
        ("h:1:2", "Input should be host:port with one port"),
        ("h:0", "Input should be host:port with a port from 1 to 65535"),
        ("h:65536", "Input should be host:port with a port from 1 to 65535"),
    ],
)
def test_what_is_wrong_with_a_node_is_said(node: str, says: str) -> None:
    for deployment in ("cluster", "sentinel"):
        assert complaint(nodes(node, deployment)).endswith(f"deployment.{deployment}.nodes.0: {says}")


@given(
    st.sampled_from(["redis://", "", "x+y:/"]),
    st.text(alphabet="ab:/@#?%[], \"'", max_size=10).map("S3{}".format),
    st.sampled_from(["h", "[::1]", "h:1", ""]),
)
def test_no_host_with_a_password_is_taken_or_quoted(scheme: str, password: str, host: str) -> None:
    for config in ({"host": f"{scheme}u:{password}@{host}"}, nodes(f"{scheme}u:{password}@{host}:1")):
        complaint(config)
