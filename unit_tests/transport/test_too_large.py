"""Records that are too large: which replies say so, and what the user is told."""

import pytest
from redis import exceptions as redis_errors

from destination_redis.connection.clients import Replies
from destination_redis.resp import pack_command
from destination_redis.transport.too_large import (
    RecordTooLarge,
    SizeLimit,
    reason,
    says_too_deep,
    says_too_large,
    too_large,
)

HERE = ("localhost", 6379)
COMMAND = pack_command("HSET", "default:users:1", "v", "x" * 2_000_000)


@pytest.mark.parametrize(
    "reply",
    [
        "ERR Protocol error: invalid bulk length",
        "Protocol error: invalid multibulk length",
        "ERR Protocol error: too big bulk count string",
        "ERR string exceeds maximum allowed size (proto-max-bulk-len)",
        "ERR string exceeds maximum allowed size (512MB)",
        "ERR max request size exceeded. Limit: 1048576 bytes, Actual: 2000000 bytes",
        "ERR request too large",
        "ERR value is too big",
        "ERR key is too long",
        "Request size exceeds the limit",
        "ERR command exceeds the maximum request length",
        "LIMIT Document size limit is exceeded",
    ],
)
def test_a_reply_that_refuses_a_size_is_known(reply: str) -> None:
    assert says_too_large(Replies.parse_error(reply))


@pytest.mark.parametrize(
    "reply",
    [
        "ERR max number of clients reached",
        "ERR max daily request limit exceeded. Limit: 10000, Usage: 10000",
        "ERR max database size exceeded",
        "ERR max total data size exceeded",
        "OOM command not allowed when used memory > 'maxmemory'.",
        "ERR Protocol error: unbalanced quotes in request",
        "ERR value is not an integer or out of range",
        "ERR unknown command 'HSET', with args beginning with: 'it is too large'",
        "WRONGTYPE Operation against a key holding the wrong kind of value",
    ],
)
def test_a_reply_that_refuses_something_else_blames_no_record(reply: str) -> None:
    assert not says_too_large(Replies.parse_error(reply))


@pytest.mark.parametrize(
    "reply",
    [
        "recursion limit exceeded at line 1 column 128",
        "ERR recursion limit exceeded at line 1 column 128",
        "recursion limit exceeded at line 1 column 128 script: 6e16, on @user_script:2.",
        "ERR Error running script (call to f_6e16): @user_script:2: @user_script: 2: recursion limit exceeded at",
        "ERR Error running script (call to f_6e16): @user_script:2: -ERR recursion limit exceeded at line 1 column 128",
        "LIMIT Document path nesting limit is exceeded",
        "LIMIT Parser recursion depth is exceeded",
    ],
)
def test_a_reply_that_refuses_a_depth_is_known(reply: str) -> None:
    error = Replies.parse_error(reply)
    assert says_too_deep(error)
    found = too_large(1, HERE, COMMAND, error, [COMMAND])
    assert found.deep
    assert reason(found, SizeLimit("proto-max-bulk-len", 1)) == "its JSON is nested too deeply for the server"
    assert RecordTooLarge(found, "users").message == (
        "A record of the stream users cannot be stored: its JSON is nested too deeply for the server; acknowledged "
        "records are kept"
    )


@pytest.mark.parametrize(
    "reply", ["ERR expected value: 'recursion limit exceeded'", "OOM recursion limit exceeded", "ERR value is too big"]
)
def test_a_reply_that_only_quotes_such_words_refuses_no_depth(reply: str) -> None:
    assert not says_too_deep(Replies.parse_error(reply))


@pytest.mark.parametrize(
    ("reply", "limit"),
    [
        ("ERR max request size exceeded. Limit: 1048576 bytes, Actual: 2000000 bytes", 1_048_576),
        ("ERR request too large, limit is 1048576", 1_048_576),
        ("ERR request too large, limit is 9999999", None),
        ("ERR request too large", None),
    ],
)
def test_the_limit_that_a_reply_names_is_found(reply: str, limit: int | None) -> None:
    assert too_large(1, HERE, COMMAND, redis_errors.ResponseError(reply), [COMMAND]).limit == limit


def test_a_number_that_was_sent_is_no_limit() -> None:
    command = pack_command("HSET", "default:users:1", "v", "4711 " + "x" * 10_000)
    reply = redis_errors.ResponseError("ERR too large: limit 4711")
    assert too_large(1, HERE, command, reply, [command]).limit is None


def test_an_error_names_the_stream_the_size_and_the_limit_and_tells_what_to_do() -> None:
    found = too_large(1, HERE, COMMAND, None, [])
    error = RecordTooLarge(found, "users", "proto-max-bulk-len", 1_048_576)
    assert (error.stream, error.size) == ("users", 2_000_000)
    assert (error.setting, error.limit) == ("proto-max-bulk-len", 1_048_576)
    assert str(error.message) == (
        "A record of the stream users is too large for the server: one of its values has 2,000,000 bytes, and "
        "proto-max-bulk-len allows 1,048,576. Raise that setting, or leave the record out; "
        "acknowledged records are kept"
    )


def test_a_redirection_that_names_no_server_is_any_other_error_reply() -> None:
    for reply in ("MOVED", "MOVED x", "ASK 1 x", "MOVED 1 x:y"):
        assert type(Replies.parse_error(reply)) is redis_errors.ResponseError
