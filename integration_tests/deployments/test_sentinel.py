"""A primary found by asking sentinels, and a failover in the middle of a sync."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from integration_tests.support.connector.library import check
from integration_tests.support.connector.process import Connector
from integration_tests.support.docs.permissions import SENTINELS_RIGHTS
from integration_tests.support.messages import COMPLETE, Json, dedup, record, state, status, stream
from integration_tests.support.servers.certificates import AUTHORITY, CLIENT, OTHER_AUTHORITY, SERVER, listening
from integration_tests.support.servers.sentinel import SERVICE, Sentinel, watched
from integration_tests.support.servers.server import Server, free_port
from integration_tests.support.stored import rows, values
from integration_tests.support.waiting import wait_until

PASSWORD = "S3cret-of-the-sentinels"


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[Callable[..., Sentinel]]:
    started: list[Sentinel] = []

    def start(server: Server, *lines: str, **more: int) -> Sentinel:
        started.append(Sentinel(tmp_path, more.pop("primary", server.port), 1, *lines, **more))
        return started[-1]

    yield start
    for one in started:
        one.close()


def by(one: Sentinel, **more: str | list[str]) -> Json:
    deployment = {"deployment": "sentinel", "service_name": SERVICE, **more}
    return {"host": "127.0.0.1", "port": one.port, "deployment": deployment}


def wait_until_checked(config: Json) -> None:
    """Return once a sentinel that has just been started has found its primary, and `check` is content."""
    wait_until(lambda: check(config) is None)


def row(number: int) -> Json:
    return record(number, "rows", data={"id": number % 10, "at": number, "value": number})


def test_a_failover_in_the_middle_of_a_sync_is_survived_though_a_sentinel_died_too(tmp_path: Path) -> None:
    with watched() as group:
        connector = Connector(group.config, tmp_path)
        running = connector.start([stream(), dedup("rows")])
        for number in range(1, 1001):
            running.send(record(number), row(number))
        running.send(state(1000), state(1000, "rows"))
        running.wait_for_states(2)
        group.sentinels[0].close()
        group.lose_primary()
        for number in range(1001, 2001):
            running.send(record(number), row(number))
        running.send(state(2000), state(2000, "rows"), COMPLETE, status("COMPLETE", "rows"))
        outcome = running.finish()
        client = group.replica.client

        assert outcome.code == 0, outcome.text
        assert len(outcome.states) == 4
        assert values(client) == list(range(1, 2001))
        assert rows(client, "default:rows:") == {str(number % 10): number for number in range(1991, 2001)}
        assert check(group.config) is None


def test_a_failover_that_lost_acknowledged_data_fails_the_sync_which_asks_for_a_refresh(tmp_path: Path) -> None:
    with watched() as group:
        connector = Connector(group.config, tmp_path)
        running = connector.start([stream()])
        running.send(record(1), state(1))
        running.wait_for_states(1)
        group.part()
        running.send(record(2), state(2))
        running.wait_for_states(2)
        group.lose_primary()
        running.send(record(3), state(3), COMPLETE)
        outcome = running.finish()

    assert outcome.code != 0
    assert outcome.error["failure_type"] == "config_error"
    assert "lost acknowledged data of the stream users: refresh it" in outcome.error["message"]
    assert len(outcome.states) == 2


def test_sentinels_have_credentials_of_their_own(
    start_server: Callable[..., Server], sentinel: Callable[..., Sentinel]
) -> None:
    server = start_server()
    server.client.config_set("requirepass", "of-the-server")
    one = sentinel(server, f"sentinel auth-pass {SERVICE} of-the-server", f"requirepass {PASSWORD}")
    own = {"password": "of-the-server"}
    wait_until_checked({**by(one, sentinel_password=PASSWORD), **own})
    wrong = check({**by(one, sentinel_password="another"), **own})
    assert wrong == "No sentinel can be queried for the primary: The user name or the password is wrong"
    missing = check({**by(one), **own})
    assert missing == "No sentinel can be queried for the primary: The server requires a password"
    assert check(by(one, sentinel_password=PASSWORD)) == "The server requires a password."


def test_the_sentinels_user_is_not_the_servers_and_needs_one_permission_alone(
    start_server: Callable[..., Server], sentinel: Callable[..., Sentinel], tmp_path: Path
) -> None:
    server = start_server()
    server.client.execute_command("ACL", "SETUSER", "writer", "on", ">of-the-server", "~*", "+@all")
    lines = [f"user scout on >{PASSWORD} {SENTINELS_RIGHTS}", f"user other on >{PASSWORD}", "user default off"]
    one = sentinel(server, *lines)
    own = {"username": "writer", "password": "of-the-server"}
    right = {**by(one, sentinel_username="scout", sentinel_password=PASSWORD), **own}
    wait_until_checked(right)
    outcome = Connector(right, tmp_path).write([stream()], [record(1), COMPLETE])
    assert outcome.code == 0, outcome.text
    assert values(server.client) == [1]

    asked = "No sentinel can be queried for the primary: "
    wrong = f"{asked}The user name or the password is wrong"
    assert check({**by(one, sentinel_username="writer", sentinel_password="of-the-server"), **own}) == wrong
    assert check({**by(one, sentinel_username="scout", sentinel_password="another"), **own}) == wrong
    assert check({**by(one), **own}) == f"{asked}The server requires a password"
    lacks = f"{asked}The user has no permission for the command SENTINEL MASTERS"
    assert check({**by(one, sentinel_username="other", sentinel_password=PASSWORD), **own}) == lacks
    scout = {"username": "scout", "password": PASSWORD}
    assert check({**right, **scout}) == "The user name or the password is wrong."


def test_tls_holds_for_the_sentinels_and_the_primary(tmp_path: Path, sentinel: Callable[..., Sentinel]) -> None:
    with listening(tmp_path, SERVER, "yes") as (config, server):
        files = {"cert": "tls-cert-file", "key": "tls-key-file", "ca": "tls-ca-cert-file"}
        port = free_port()
        lines = [f"{option} {tmp_path / name}" for name, option in files.items()]
        lines += ["port 0", f"tls-port {port}", "tls-auth-clients yes", "tls-replication yes"]
        sentinel(server, *lines, primary=config["port"], port=port)
        shown = {"client_certificate": CLIENT.pem, "client_key": CLIENT.key_pem()}
        full = {"mode": "verify-full", "ca_certificate": AUTHORITY.pem, **shown}
        deployment = {"deployment": "sentinel", "service_name": SERVICE}
        config |= {"port": port, "ssl_mode": full, "deployment": deployment}
        wait_until_checked(config)
        plain = check({**config, "ssl": False})
        closed = "The server closed the connection; it speaks TLS on this port: turn ssl on"
        assert plain == f"No sentinel can be queried for the primary ({closed})."
        stranger = {**config, "ssl_mode": {**full, "ca_certificate": OTHER_AUTHORITY.pem}}
        unknown = "No sentinel can be queried for the primary: The server's certificate is not signed by a trusted"
        assert (check(stranger) or "").startswith(unknown)


def test_check_says_in_one_sentence_what_is_wrong_with_sentinels(
    start_server: Callable[..., Server], sentinel: Callable[..., Sentinel]
) -> None:
    server = start_server()
    one = sentinel(server)
    wait_until_checked(by(one))
    unknown = check(by(one, service_name="another"))
    assert unknown == "The sentinels do not know a service named another"
    dead = {**by(one), "port": free_port()}
    refused = "The connection was refused: no server listens there"
    assert check(dead) == f"No sentinel can be queried for the primary ({refused})."
    nodes = [f"127.0.0.1:{one.port}"]
    assert check({**dead, "deployment": {**dead["deployment"], "nodes": nodes}}) is None
    no_tls = "No sentinel can be queried for the primary: The server does not speak TLS on this port"
    assert (check({**by(one), "ssl": True}) or "").startswith(no_tls)
    assert check({**by(one), "port": server.port}) == "The host and port belong to a server that is not a sentinel"


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            {
                "tunnel_method": {
                    "tunnel_method": "SSH_PASSWORD_AUTH",
                    "tunnel_host": "h",
                    "tunnel_user": "u",
                    "tunnel_user_password": "p",
                }
            },
            "Sentinels cannot be reached through an SSH tunnel: set tunnel_method to NO_TUNNEL",
        ),
        ({"host": "/run/redis.sock"}, "Sentinels cannot be reached over a Unix socket: set the host and port of one"),
    ],
)
def test_ways_that_do_not_lead_to_sentinels_are_refused(more: Json, says: str) -> None:
    deployment = {"deployment": "sentinel", "service_name": SERVICE}
    assert check({"host": "h", "deployment": deployment, **more}) == says
