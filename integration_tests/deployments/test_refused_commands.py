"""Commands that a server or a proxy in between does not know, does not allow, or closes the connection at."""

import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airbyte_cdk.models import FailureType

from destination_redis.connection.optional import LOST
from integration_tests.support.connector.library import check, failure, full, write
from integration_tests.support.connector.process import Connector
from integration_tests.support.faults.proxy import Act, Exchange, Proxy, proxy
from integration_tests.support.messages import COMPLETE, Json, record, state, stream
from integration_tests.support.servers.other_servers import changing, closing, refusing
from integration_tests.support.servers.server import Server
from integration_tests.support.stored import ledger, values
from integration_tests.support.waiting import wait_until

#: What envoy and twemproxy do not know.
OF_PROXIES = ("CLIENT", "INFO", "WAIT", "MEMORY")
#: How servers say that they do not know a command, or do not allow it.
UNKNOWN = (
    b"-ERR unknown command 'X', with args beginning with: 'a' 'b' \r\n",
    b"-ERR unknown command `X`, with args beginning with: `a`, \r\n",
    b"-ERR Unknown or disabled command 'X'\r\n",
    b"-ERR unknown command\r\n",
)
REFUSED = (
    b"-ERR command 'X' is not supported\r\n",
    b"-ERR unsupported command\r\n",
    b"-ERR unsupported\r\n",
    b"-ERR This command is not available\r\n",
    b"-ERR invalid command\r\n",
    b"-ERR syntax error\r\n",
    b"-FORBIDDEN\r\n",
)
NO_PERMISSION = (
    b"-NOPERM this user has no permissions to run the 'x' command or its subcommand\r\n",
    b"-NOPERM User alice has no permissions to run the 'x' command\r\n",
    b"-NOPERM not yours\r\n",
)
SAMPLE = [record(1), state(1), record(2), COMPLETE]


@pytest.fixture
def behind(server: Server) -> Iterator[Proxy]:
    """Yield a proxy in front of the server, which forwards all as long as it is told nothing else."""
    with proxy(server.port) as opened:
        yield opened


def config(behind: Proxy, act: Act = Exchange.forward) -> Json:
    behind.act = act
    return {"host": "127.0.0.1", "port": behind.port}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]


@pytest.mark.parametrize("command", ["HSET", "EVAL", "EVALSHA", "SCRIPT LOAD", "TIME", "PERSIST"])
def test_check_names_a_command_that_is_needed_whatever_words_refuse_it(behind: Proxy, command: str) -> None:
    for reply in UNKNOWN:
        assert check(config(behind, refusing(reply, command))) == f"The server does not know the command {command}."
    for reply in REFUSED:
        words = reply.decode().strip().removeprefix("-").removeprefix("ERR ").replace("'X'", "…")  # maybe a quote
        says = f"The server refuses the command {command}: {words}."
        assert check(config(behind, refusing(reply, command))) == says
    for reply in NO_PERMISSION[2:]:
        says = f"The user has no permission for the command {command}."
        assert check(config(behind, refusing(reply, command))) == says
    says = f"The server closed the connection on the command {command}; a proxy in between may refuse it."
    assert check(config(behind, closing(command))) == says


@pytest.mark.parametrize("reply", [*UNKNOWN, *REFUSED, *NO_PERMISSION])
def test_a_sync_names_a_command_that_is_needed_and_its_error_is_for_the_user(behind: Proxy, reply: bytes) -> None:
    for command in ("HSET", "EVAL"):
        error = failure(config(behind, refusing(reply, command)), [full()], SAMPLE, 0.5)
        assert error.failure_type is FailureType.config_error
        assert f"the command {command}" in str(error)


@pytest.mark.parametrize("reply", [*UNKNOWN, *REFUSED, *NO_PERMISSION])
def test_check_warns_of_a_command_that_a_guarantee_hangs_on_whatever_words_refuse_it(
    behind: Proxy, reply: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    assert check(config(behind, refusing(reply, "SCAN", *OF_PROXIES))) is None
    begins = "permission for" if reply in NO_PERMISSION else "the command"
    rest = "" if reply in NO_PERMISSION else ", which the server does not know or refuses"
    assert warnings(caplog) == [f"Without {begins} {name}{rest}, {lost}." for name, lost in LOST.items()]


def test_check_warns_of_a_command_at_which_the_connection_is_closed(
    behind: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    assert check(config(behind, closing("SCAN", *OF_PROXIES))) is None
    closed = "on which the connection is closed, maybe by a proxy in between"
    assert warnings(caplog) == [f"Without the command {name}, {closed}, {lost}." for name, lost in LOST.items()]


def test_check_warns_of_a_reply_that_leaves_out_what_a_guarantee_hangs_on(
    behind: Proxy, caplog: pytest.LogCaptureFixture
) -> None:
    names = ("CLIENT LIST", "CLIENT INFO", "INFO")
    assert check(config(behind, changing(lambda _: b"nothing:1\r\n", *names))) is None
    told = "Without the information missing from the server's reply to {}, {}."
    assert warnings(caplog) == [told.format(name, LOST[name]) for name in names]


@pytest.mark.parametrize("by", [refusing(UNKNOWN[0], *OF_PROXIES), closing(*OF_PROXIES)], ids=["refused", "closed"])
def test_a_sync_does_without_what_proxies_do_not_know(behind: Proxy, server: Server, by: Act) -> None:
    assert len(list(write(config(behind, by), [full()], SAMPLE))) == 1
    assert values(server.client) == [1, 2]
    assert ledger(server.client)["committed"] == "2"


def test_a_sync_that_leaves_out_commands_says_what_is_lost_and_leaves_them_out_of_later_connections(
    behind: Proxy, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    def messages() -> Iterator[Json]:
        yield from (record(1), state(1))
        wait_until(lambda: values(server.client) == [1])
        behind.seen.clear()
        behind.reset()
        yield from (record(2), state(2), COMPLETE)

    assert len(list(write(config(behind, closing(*OF_PROXIES)), [full()], messages()))) == 2
    assert values(server.client) == [1, 2]
    assert {one for one in behind.seen if one.startswith(OF_PROXIES)} <= {"INFO memory"}
    for name in ("CLIENT INFO", "INFO"):
        assert len([one for one in warnings(caplog) if f"Without the command {name}, on which" in one]) == 1


@pytest.mark.parametrize("command", ["CLIENT INFO", "INFO server", "INFO replication"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_server_that_closes_connections_by_chance_is_asked_again(
    behind: Proxy, server: Server, caplog: pytest.LogCaptureFixture, command: str, times: int
) -> None:
    """Twice in a row it is no chance, unless the connection is lost at another command too."""

    def act(exchange: Exchange) -> None:
        closed = behind.seen.count(command) <= times and exchange.name == command
        if closed or (behind.seen.count("TIME") == 1 and exchange.name == "TIME"):
            exchange.reset()
        exchange.forward()

    assert len(list(write(config(behind, act), [full()], SAMPLE))) == 1
    assert values(server.client) == [1, 2]
    assert not [one for one in warnings(caplog) if "Without" in one]


def test_the_connections_of_a_paused_writer_are_taken_over_where_a_proxy_closes_at_client_kill(
    behind: Proxy, server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    own = server.client.client_info()
    seconds, _ = server.client.time()
    held: dict[Any, Any] = {
        "writer": "another",
        "writer_connection": f"{own['id']} {own['addr']}",
        "writer_until": int(seconds) * 1000 + 1000,
    }
    server.client.hset("airbyte:{default:users}", mapping=held)
    began = time.monotonic()
    assert len(list(write(config(behind, closing("CLIENT KILL")), [full()], SAMPLE))) == 1
    assert time.monotonic() - began < 15
    assert [one for one in warnings(caplog) if "CLIENT KILL" in one]


@pytest.mark.parametrize(
    "script",
    [
        b"-ERR Unknown Redis command called from script script: 5f, on @user_script:1.\r\n",
        b"-ERR Error running script (call to f_5f): @user_script:1: Unknown Redis command called from Lua script\r\n",
        b"-ERR This Redis command is not allowed from script script: 5f, on @user_script:1.\r\n",
        b"-ERR Error running script (call to f_5f): @user_script:1: ERR unsupported command\r\n",
    ],
)
def test_a_command_that_is_refused_inside_scripts_is_told_from_the_script(behind: Proxy, script: bytes) -> None:
    says = "The server does not know a command of the connector's scripts, maybe a module's, or refuses it in scripts"
    for command in ("EVAL", "EVALSHA"):
        assert check(config(behind, refusing(script, command))) == f"{says}."
    error = failure(config(behind, refusing(script, "EVAL")), [full()], SAMPLE, 0.5)
    assert error.failure_type is FailureType.config_error
    assert says in str(error)


def test_a_script_that_is_wrong_is_the_connectors_fault(behind: Proxy) -> None:
    reply = b"-ERR user_script:12: Script attempted to access nonexistent global variable 'x' script: 5f\r\n"
    error = failure(config(behind, refusing(reply, "EVAL")), [full()], SAMPLE, 0.5)
    assert error.failure_type is FailureType.system_error


@pytest.mark.parametrize("cache_type", ["json", "hash"])
@pytest.mark.parametrize("reply", UNKNOWN)
def test_a_missing_module_is_named(behind: Proxy, cache_type: str, reply: bytes) -> None:
    settings = config(behind, refusing(reply, "JSON.SET", "JSON.GET", "FT.DROPINDEX", "FT.CREATE"))
    more = {"cache_type": cache_type} if cache_type == "json" else {"record_format": "columns", "search_index": True}
    module = (
        "JSON module (RedisJSON), which cache_type json"
        if cache_type == "json"
        else ("search module (RediSearch), which search_index")
    )
    assert check({**settings, **more}) == f"The server has no {module} needs."


@pytest.mark.parametrize("reply", UNKNOWN)
def test_durability_speaks_of_what_it_needs(behind: Proxy, reply: bytes) -> None:
    settings = config(behind, refusing(reply, "WAIT", "WAITAOF"))
    assert check({**settings, "durability": {"replicas": 1}}) == (
        "The server cannot wait for replicas, since it does not know WAIT: set replicas (durability) to 0."
    )
    assert check({**settings, "durability": {"fsync": True}}) == (
        "The server cannot confirm writes to disk: fsync (durability) needs Redis 7.2 or Valkey."
    )


@pytest.mark.parametrize("reply", [None, b"2", b"OK", [], [1], [b"x", b"y"], [None, None, None]])
def test_an_odd_reply_to_wait_counts_as_nobody_that_confirmed(behind: Proxy, reply: object) -> None:
    settings = {**config(behind, changing(lambda _: reply, "WAIT")), "durability": {"replicas": 1}}
    assert str(check(settings)).startswith("0 of 1 replicas confirmed")
    error = failure(settings, [full()], SAMPLE, 0.5)
    assert error.failure_type is FailureType.transient_error
    assert str(error).startswith("0 of 1 replicas confirmed")


def test_a_port_of_no_sentinel_is_said_to_be_none_whatever_words_refuse_the_question(behind: Proxy) -> None:
    deployment = {"deployment": "sentinel", "service_name": "mymaster"}
    for reply in (*UNKNOWN, *REFUSED):
        settings = {**config(behind, refusing(reply, "SENTINEL")), "deployment": deployment}
        assert check(settings) == "The host and port belong to a server that is not a sentinel"


def test_a_server_of_no_cluster_is_said_to_be_none_whatever_words_refuse_the_question(behind: Proxy) -> None:
    settings = {**config(behind), "deployment": {"deployment": "cluster"}}
    assert check(settings) == "The server does not belong to a cluster: set deployment to standalone"
    for reply in (*UNKNOWN, *REFUSED, b"-ERR Cluster is disabled. Use --cluster_mode=yes to enable.\r\n"):
        behind.act = refusing(reply, "CLUSTER")
        answer = str(check(settings))
        assert "the command CLUSTER SLOTS" in answer
        assert answer.endswith("If it does not belong to a cluster, set deployment to standalone")


def test_a_killed_sync_is_followed_by_one_that_waits_where_its_connection_is_not_told(
    behind: Proxy, server: Server, tmp_path: Path
) -> None:
    connector = Connector(config(behind, closing(*OF_PROXIES)), tmp_path)
    first = connector.start([stream()])
    first.send(record(1), state(1))
    first.wait_for_states(1)
    first.kill()
    server.client.hset("airbyte:{default:users}", "writer_until", json.dumps(1))
    outcome = connector.write([stream()], [record(2), state(2), COMPLETE])
    assert outcome.code == 0, outcome.text
    assert values(server.client) == [1, 2]
