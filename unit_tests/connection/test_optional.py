"""Optional commands: left out only where it is proved that the server closes connections at them."""

import pytest
from redis import exceptions as redis_errors

from destination_redis.connection.optional import ClosedAtOptionalError, OptionalCommands
from destination_redis.errors import ClosedAtCommandError


def closes(*_: str) -> object:
    raise ClosedAtCommandError("closed")


def answers(*_: str) -> object:
    return b"OK"


def ask_in_vain(optional: OptionalCommands, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ClosedAtOptionalError):
            optional.ask(closes, "CLIENT", "INFO")


def test_a_command_is_left_out_for_good_once_a_connection_without_it_was_made() -> None:
    optional = OptionalCommands()
    ask_in_vain(optional, 2)
    assert optional.ask(closes, "CLIENT", "INFO") is None
    assert optional.made() == ["CLIENT INFO"]
    assert optional.ask(answers, "CLIENT", "INFO") is None
    assert optional.ask(answers, "CLIENT", "LIST") == b"OK"
    assert optional.made() == []


def test_a_command_at_which_one_connection_was_closed_is_asked_again() -> None:
    optional = OptionalCommands()
    ask_in_vain(optional, 1)
    assert optional.suspected
    assert optional.ask(answers, "CLIENT", "INFO") == b"OK"
    assert optional.made() == []
    ask_in_vain(optional, 1)
    assert optional.made() == []


def test_nothing_is_proved_where_a_connection_is_lost_in_another_way_too() -> None:
    optional = OptionalCommands()
    ask_in_vain(optional, 2)
    optional.failed()
    assert not optional.suspected
    assert optional.ask(answers, "CLIENT", "INFO") == b"OK"


def test_a_refusal_is_no_reply_and_a_reply_that_passes_is_raised() -> None:
    def refuses(*_: str) -> object:
        raise redis_errors.ResponseError("unknown command")

    def loads(*_: str) -> object:
        raise redis_errors.BusyLoadingError("loading")

    optional = OptionalCommands()
    assert optional.ask(refuses, "INFO") is None
    with pytest.raises(redis_errors.BusyLoadingError):
        optional.ask(loads, "INFO")
    assert not optional.suspected
