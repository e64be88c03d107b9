"""A claim on its own: what it takes from answers."""

from types import SimpleNamespace
from typing import Any

from destination_redis.keys import StreamKeys
from destination_redis.ledger.lease import Claim
from destination_redis.ledger.ledger import Ledger
from destination_redis.protocol.catalog import Stream


def test_a_move_that_is_answered_after_a_newer_one_changes_nothing() -> None:
    answers: list[Any] = []

    lane: Any = SimpleNamespace(
        pack=lambda *_: b"",
        send=lambda _, judge, **__: answers.append(judge),
    )
    claim = Claim(lane, Stream("s", None, "append"), StreamKeys("n", "s", ""), "token")
    claim.move(Ledger(reserved=1))
    claim.move(Ledger(reserved=2))
    answers[1](b"ok")
    answers[0](b"ok")
    assert claim.answered.reserved == 2
