"""Refusals: the command is named, whatever the server says."""

import pytest
from airbyte_cdk.models import FailureType
from redis import exceptions as redis_errors
from redis.connection import DefaultParser

from destination_redis.connection.refusals import about, closed, name_of, packed_name
from destination_redis.errors import CommandError, explain, traced
from destination_redis.resp import pack_command


def said(line: str, command: str = "HSET") -> Exception:
    """Return the error for a server's line that begins behind the "-"."""
    return about(DefaultParser.parse_error(line), command, ())  # type: ignore[no-untyped-call] # redis-py's


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("ERR unknown command 'HSET', with args beginning with: ", "The server does not know the command HSET"),
        ("ERR Unknown or disabled command 'hset'", "The server does not know the command HSET"),
        ("ERR unsupported command", "The server refuses the command HSET: unsupported command"),
        ("ERR not today.", "The server refuses the command HSET: not today"),
        ("ERR", "The server refuses the command HSET"),
        ("FORBIDDEN no writes", "The server refuses the command HSET: FORBIDDEN no writes"),
        ("NOPERM no", "The user has no permission for the command HSET"),
        ("NOPERM User a has no permissions to run the 'client|list' command", "… the command CLIENT LIST"),
        ("NOPERM No permissions to access a key", "… one of the command's keys"),
    ],
)
def test_a_refusal_names_the_command_and_is_for_the_user_to_mend(line: str, says: str) -> None:
    error = said(line)
    assert explain(error) == says.replace("…", "The user has no permission for")
    assert traced(error, "writing").failure_type is FailureType.config_error


@pytest.mark.parametrize(
    "line",
    [
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "LOADING Redis is loading the dataset in memory",
        "READONLY You can't write against a read only replica.",
        "CLUSTERDOWN Hash slot not served",
        "NOAUTH Authentication required.",
        "MOVED 1 127.0.0.1:7000",
        "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
        "ERR max number of clients reached",
        "NOSCRIPT No matching script. Please use EVAL.",
    ],
)
def test_a_reply_that_says_something_else_stays_what_it_is(line: str) -> None:
    error = DefaultParser.parse_error(line)  # type: ignore[no-untyped-call] # redis-py's
    assert about(error, "HSET") is error


@pytest.mark.parametrize("command", ["EVAL", "EVALSHA"])
def test_a_script_itself_is_told_from_what_it_calls(command: str) -> None:
    assert str(said("ERR unknown command 'EVAL'", command)) == f"The server does not know the command {command}"
    inside = said("ERR Unknown Redis command called from script script: f, on @user_script:1.", command)
    assert isinstance(inside, CommandError)
    assert "the connector's scripts" in str(inside)
    assert not isinstance(said("ERR user_script:1: attempt to index a nil value script: f", command), CommandError)


def test_a_search_module_without_vectors_is_told_from_one_that_refuses_something_else() -> None:
    error = DefaultParser.parse_error("Invalid field type for field `v0`")  # type: ignore[no-untyped-call] # redis-py's
    sentence = "The server's search module has no vector fields, which vectors needs"
    assert explain(about(error, "FT.CREATE", ("FT.CREATE", b"i", "SCHEMA", "v0", "VECTOR", "HNSW"))) == sentence
    assert "refuses the command" in explain(about(error, "FT.CREATE", ("FT.CREATE", b"i", "SCHEMA", "v0", "GEO")))
    assert "refuses the command" in explain(about(error, "FT.CREATE"))


def test_a_command_is_named_as_one_types_it() -> None:
    assert name_of("client", b"list") == "CLIENT LIST"
    assert name_of("HSET", "secret") == "HSET"
    assert name_of("SCRIPT") == "SCRIPT"
    assert packed_name(pack_command("HSET", "key", "field", "value")) == "HSET"
    assert packed_name(pack_command("SCRIPT", "LOAD", "return 1")) == "SCRIPT LOAD"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (redis_errors.ConnectionError("Connection closed by server."), True),
        (redis_errors.ConnectionError("Error while reading from h:1 : (104, 'Connection reset by peer')"), True),
        (redis_errors.ConnectionError("Error 32 while writing to socket. Broken pipe."), True),
        (redis_errors.ConnectionError("Error 111 connecting to h:1. Connection refused."), False),
        (redis_errors.ConnectionError("max number of clients reached"), False),
        (redis_errors.ConnectionError("The previous master is now a slave"), False),
        (redis_errors.AuthenticationError("Connection closed by server."), False),
        (redis_errors.TimeoutError("Timeout reading from socket"), False),
    ],
)
def test_a_connection_that_the_server_closed_is_told_from_one_never_made(error: Exception, expected: bool) -> None:
    assert closed(error) is expected
