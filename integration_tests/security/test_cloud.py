"""In Airbyte Cloud: TLS or an SSH tunnel, for every kind of deployment, or no connection at all."""

import json
import logging
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from destination_redis.destination import DestinationRedis
from integration_tests.support.connector.process import Connector, Outcome
from integration_tests.support.messages import COMPLETE, Json, record, state, stream
from integration_tests.support.project import MAIN, PYTHON
from integration_tests.support.servers.certificates import SERVER, listening
from integration_tests.support.servers.deployments import KINDS
from integration_tests.support.servers.server import Server
from integration_tests.support.stored import values

REFUSAL = "Airbyte Cloud requires an encrypted connection: turn ssl on, or choose an SSH tunnel in tunnel_method"
ENCRYPTED = ("TLS verify-full", "sentinel and TLS", "cluster and TLS", "SSH key")


def in_cloud(variable: str, arguments: Iterable[str], messages: Iterable[Json] = ()) -> Outcome:
    """Run the command line as Airbyte Cloud does, which is told by `variable`."""
    name, value = variable.split("=")
    lines = "".join(json.dumps(message) + "\n" for message in messages)
    done = subprocess.run(
        [PYTHON, MAIN, *arguments],
        env={**os.environ, name: value},
        input=lines,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return Outcome(done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stdout + done.stderr)


def connections(server: Server) -> int:
    return int(server.client.info("stats")["total_connections_received"])


@pytest.mark.parametrize("kind", ENCRYPTED)
def test_check_takes_an_encrypted_deployment_and_refuses_the_same_without(kind: str, tmp_path: Path) -> None:
    def check(config: Json) -> tuple[str, str]:
        answer = DestinationRedis(cloud=True).check(logging.getLogger("airbyte"), config)
        return answer.status.value, answer.message or ""

    with KINDS[kind](tmp_path) as (config, _):
        assert check(config) == ("SUCCEEDED", "")
        status, message = check({**config, "ssl": False, "tunnel_method": None})
    assert status == "FAILED"
    assert message.startswith("Airbyte Cloud requires an encrypted connection")


def test_an_unencrypted_connection_is_refused_before_anything_is_sent(server: Server, tmp_path: Path) -> None:
    command = Connector(server.config, tmp_path).arguments([stream()])
    before = connections(server)
    checked = in_cloud("DEPLOYMENT_MODE=cloud", ["check", *command[1:3]])
    outcome = in_cloud("AIRBYTE_EDITION=CLOUD", command, [record(1), state(1), COMPLETE])
    assert connections(server) == before

    assert checked.code == 0
    assert [message["connectionStatus"] for message in checked.messages] == [{"status": "FAILED", "message": REFUSAL}]
    assert outcome.code == 1
    assert outcome.states == []
    assert (outcome.error["failure_type"], outcome.error["message"]) == ("config_error", REFUSAL)


def test_a_saved_mode_that_is_no_longer_offered_syncs_with_a_warning(tmp_path: Path) -> None:
    with listening(tmp_path, SERVER, "no") as (config, server):
        command = Connector({**config, "ssl_mode": {"mode": "require"}}, tmp_path).arguments([stream()])
        checked = in_cloud("DEPLOYMENT_MODE=cloud", ["check", *command[1:3]])
        outcome = in_cloud("DEPLOYMENT_MODE=cloud", command, [record(1), state(1), COMPLETE])
        assert values(server.client) == [1]
    (status,) = [each["connectionStatus"] for each in checked.messages if each["type"] == "CONNECTION_STATUS"]
    assert status["status"] == "SUCCEEDED"
    assert "ssl_mode require" in status["message"]
    assert outcome.code == 0
    logged = [message["log"] for message in outcome.messages if message["type"] == "LOG"]
    assert [log["level"] for log in logged if "ssl_mode require" in log["message"]] == ["WARN"]


@pytest.mark.parametrize("variable", ["DEPLOYMENT_MODE=cloud", "AIRBYTE_EDITION=CLOUD"])
def test_spec_leaves_out_what_the_cloud_does_not_offer(variable: str) -> None:
    (message,) = in_cloud(variable, ["spec"]).messages
    options = message["spec"]["connectionSpecification"]["properties"]["ssl_mode"]["oneOf"]
    assert [option["title"] for option in options] == ["verify-ca", "verify-full"]
