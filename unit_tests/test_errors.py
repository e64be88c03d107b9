"""Errors: their failure types and their sentences."""

import socket
import traceback

import pytest
from airbyte_cdk.models import FailureType
from redis import exceptions as redis_errors

from destination_redis.errors import (
    RetryDecision,
    TlsError,
    config_error,
    explain,
    retry_decision,
    system_error,
    traced,
    transient_error,
)

REPLY = redis_errors.ResponseError
#: How Redis before 7 begins an error that a command inside a script met.
SCRIPT = "Error running script (call to f_bf8d): @user_script:1: @user_script: 1: "


@pytest.mark.parametrize(
    "error",
    [
        redis_errors.ConnectionError("Connection closed by server."),
        redis_errors.TimeoutError("Timeout reading from socket"),
        redis_errors.BusyLoadingError("Redis is loading the dataset in memory"),
        redis_errors.ReadOnlyError("You can't write against a read only replica."),
        REPLY(f"{SCRIPT}-READONLY You can't write against a read only replica."),
        BrokenPipeError("Broken pipe"),
        socket.gaierror("Name or service not known"),
    ],
)
def test_a_lost_or_useless_connection_is_made_anew(error: Exception) -> None:
    assert retry_decision(error) is RetryDecision.RECONNECT


@pytest.mark.parametrize(
    "error",
    [
        redis_errors.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        redis_errors.TryAgainError("Multiple keys request during rehashing of slot"),
        redis_errors.ClusterDownError("The cluster is down"),
        REPLY("OOM command not allowed when used memory > 'maxmemory'."),
        REPLY(f"{SCRIPT}-OOM command not allowed when used memory > 'maxmemory'."),
        REPLY("BUSY Redis is busy running a script."),
        REPLY("NOREPLICAS Not enough good replicas to write."),
        REPLY("MISCONF Redis is configured to save RDB snapshots"),
    ],
)
def test_a_reply_that_passes_is_tried_again(error: Exception) -> None:
    assert retry_decision(error) is RetryDecision.RETRY


@pytest.mark.parametrize(
    "error",
    [
        redis_errors.AuthenticationError("invalid username-password pair"),
        redis_errors.AuthorizationError("no"),
        redis_errors.NoPermissionError("no permissions"),
        REPLY("WRONGTYPE Operation against a key holding the wrong kind of value"),
        REPLY("ERR syntax error"),
        REPLY(f"{SCRIPT}attempt to index a nil value"),
        ValueError("anything"),
    ],
)
def test_what_trying_again_cannot_mend_fails(error: Exception) -> None:
    assert retry_decision(error) is RetryDecision.FAIL


def test_a_wrong_password_is_not_taken_for_a_lost_connection() -> None:
    assert issubclass(redis_errors.AuthenticationError, redis_errors.ConnectionError)
    assert retry_decision(redis_errors.AuthenticationError("WRONGPASS")) is RetryDecision.FAIL


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (redis_errors.AuthenticationError("WRONGPASS invalid username-password pair"), FailureType.config_error),
        (redis_errors.NoPermissionError("no permissions to run the 'hset' command"), FailureType.config_error),
        (REPLY("WRONGTYPE Operation against a key"), FailureType.config_error),
        (REPLY("DB index is out of range"), FailureType.config_error),
        (redis_errors.ConnectionError("Connection refused"), FailureType.transient_error),
        (redis_errors.OutOfMemoryError("maxmemory"), FailureType.transient_error),
        (OSError("Broken pipe"), FailureType.transient_error),
        (REPLY("ERR something new"), FailureType.system_error),
        (ValueError("a mistake"), FailureType.system_error),
    ],
)
def test_an_error_has_the_failure_type_of_who_can_mend_it(error: Exception, expected: FailureType) -> None:
    assert traced(error, "writing").failure_type is expected


def test_an_error_says_what_was_being_done_and_keeps_its_cause() -> None:
    cause = redis_errors.ConnectionError("Connection refused")
    error = traced(cause, "writing default:users:1")
    assert "while writing default:users:1" in str(error.message)
    assert error.__cause__ is cause


def test_an_error_already_explained_stays_as_it_is() -> None:
    error = config_error("said already")
    assert traced(error, "writing") is error


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (config_error, FailureType.config_error),
        (transient_error, FailureType.transient_error),
        (system_error, FailureType.system_error),
    ],
)
def test_each_maker_gives_its_own_failure_type(make: type, expected: FailureType) -> None:
    error = make("a sentence")
    assert (error.message, error.failure_type) == ("a sentence", expected)


@pytest.mark.parametrize(
    "text",
    [
        "User alice has no permissions to run the 'hset' command",
        "this user has no permissions to run the 'hset' command or its subcommand",
        "ACL failure in script: User alice has no permissions to run the 'hset' command",
    ],
)
def test_a_missing_permission_names_the_command(text: str) -> None:
    assert explain(redis_errors.NoPermissionError(text)).endswith("for the command HSET")


def test_a_missing_permission_names_a_subcommand_as_one_types_it() -> None:
    error = redis_errors.NoPermissionError("User alice has no permissions to run the 'client|list' command")
    assert explain(error).endswith("for the command CLIENT LIST")


def test_a_missing_permission_for_a_key_says_so() -> None:
    error = redis_errors.NoPermissionError("No permissions to access a key")
    assert "one of the command's keys" in explain(error)


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (redis_errors.AuthenticationError("WRONGPASS invalid username-password pair"), "password is wrong"),
        (redis_errors.AuthenticationError("Authentication required."), "requires a password"),
        (redis_errors.AuthenticationError("AUTH called without any password configured"), "requires none"),
        (redis_errors.AuthenticationWrongNumberOfArgsError("wrong number"), "too old for user names"),
        (REPLY("DB index is out of range"), "database index"),
        (redis_errors.ConnectionError("Error -2 connecting to x:1. Name or service not known."), "not found"),
        (redis_errors.ConnectionError("Error 111 connecting to x:1. Connection refused."), "refused"),
        (redis_errors.TimeoutError("Timeout connecting to server"), "timed out"),
        (redis_errors.ReadOnlyError("You can't write against a read only replica."), "read-only replica"),
        (redis_errors.OutOfMemoryError("command not allowed"), "out of memory"),
        (redis_errors.BusyLoadingError("loading"), "still loading"),
        (redis_errors.ConnectionError("[SSL: UNEXPECTED_EOF_WHILE_READING] EOF"), "closed the TLS connection"),
        (TlsError("The server's certificate, or its authority's, has expired"), "has expired"),
        (REPLY("WRONGTYPE Operation against a key"), "another data type"),
    ],
)
def test_an_error_is_explained_to_the_person_at_the_settings(error: Exception, word: str) -> None:
    assert word in explain(error)


@pytest.mark.parametrize("text", ["Authentication required", "Connection refused", "anything else"])
def test_an_explanation_has_no_closing_period(text: str) -> None:
    assert not explain(redis_errors.ConnectionError(text)).endswith(".")


def test_what_was_sent_is_left_out_of_a_reply_and_the_servers_own_words_stay() -> None:
    text = "ERR daily request limit exceeded by 'default:users:1' Jane Smith"
    sent = [b"*3\r\n$3\r\nSET\r\n$15\r\ndefault:users:1\r\n$10\r\nJane Smith\r\n"]
    assert explain(REPLY(text), sent) == "The server answered: ERR daily request limit exceeded by …"


def test_of_a_reply_to_nobody_knows_what_the_code_alone_is_shown() -> None:
    assert explain(REPLY("ERR Jane Smith")) == "The server answered: ERR"
    assert explain(REPLY("JANE Smith")) == "The server answered with an error"


def test_a_reply_that_an_error_was_made_of_is_not_in_a_python_traceback_either() -> None:
    cause = REPLY("ERR Jane Smith")
    error = traced(cause, "writing")
    assert error.__cause__ is cause
    assert "Jane" not in "".join(traceback.format_exception(error))


@pytest.mark.parametrize("name", ["jane", "hset|jane", "smith jane"])
def test_a_missing_permission_names_no_command_that_is_none(name: str) -> None:
    error = redis_errors.NoPermissionError(f"User alice has no permissions to run the '{name}' command")
    assert "JANE" not in explain(error).upper()


@pytest.mark.parametrize(
    "error",
    [
        "Error running script (call to f_bf8d): @user_script:1: WRONGTYPE Operation against a key holding the wrong",
        SCRIPT + "-WRONGTYPE Operation against a key holding the wrong kind of value",
        SCRIPT + "The user executing the script can't run this command or subcommand",
        SCRIPT + "The user executing the script can't access at least one of the keys mentioned",
    ],
)
def test_what_a_script_met_before_redis_7_is_told_from_the_scripts_own_errors(error: str) -> None:
    found = traced(redis_errors.ResponseError(error), "writing")
    assert found.failure_type is FailureType.config_error
    assert "script" not in str(found.message) or "permission" in str(found.message)
