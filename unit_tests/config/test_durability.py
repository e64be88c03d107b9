"""Durability: which command asks for it, and which replies say that it was met."""

import re

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.config.durability import Durability

REPLICAS = Durability(replicas=2, timeout_ms=100)
DISK = Durability(fsync=True, timeout_ms=100)
BOTH = Durability(replicas=2, fsync=True, timeout_ms=100)


def test_nothing_is_asked_for_by_default() -> None:
    assert not Durability()
    assert all((REPLICAS, DISK, BOTH))


@pytest.mark.parametrize(
    ("durability", "command"),
    [(REPLICAS, ("WAIT", 2, 100)), (DISK, ("WAITAOF", 1, 0, 100)), (BOTH, ("WAITAOF", 1, 2, 100))],
)
def test_replicas_alone_need_no_command_that_only_newer_servers_have(
    durability: Durability, command: tuple[str | int, ...]
) -> None:
    assert durability.command == command


@pytest.mark.parametrize(("durability", "reply"), [(REPLICAS, 2), (REPLICAS, 3), (DISK, [1, 0]), (BOTH, [1, 2])])
def test_a_reply_of_at_least_what_was_asked_for_is_no_error(durability: Durability, reply: object) -> None:
    durability.check_reply(reply)


@pytest.mark.parametrize(
    ("durability", "reply", "confirmed"),
    [
        (REPLICAS, 1, "1 of 2 replicas confirmed"),
        (DISK, [0, 0], "0 of 0 replicas and 0 of 1 disks confirmed"),
        (BOTH, [1, 1], "1 of 2 replicas and 1 of 1 disks confirmed"),
        (BOTH, [0, 2], "2 of 2 replicas and 0 of 1 disks confirmed"),
    ],
)
def test_a_reply_of_less_is_an_error_that_a_retry_may_mend_and_says_what_is_missing(
    durability: Durability, reply: object, confirmed: str
) -> None:
    with pytest.raises(AirbyteTracedException, match=re.escape(confirmed)) as caught:
        durability.check_reply(reply)
    assert caught.value.failure_type is FailureType.transient_error


@pytest.mark.parametrize("durability", [REPLICAS, DISK, BOTH])
@pytest.mark.parametrize("reply", [None, b"OK", [], [None, None]], ids=str)
def test_a_number_that_is_not_in_the_reply_counts_as_zero(durability: Durability, reply: object) -> None:
    with pytest.raises(AirbyteTracedException):
        durability.check_reply(reply)
