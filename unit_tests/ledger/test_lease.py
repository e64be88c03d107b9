"""A claim on its own: what it takes from answers."""

from types import SimpleNamespace
from typing import Any

from destination_redis.keys import StreamKeys
from destination_redis.ledger.lease import StreamLease
from destination_redis.ledger.ledger import Ledger
from destination_redis.protocol.catalog import Stream


def test_a_move_that_is_answered_after_a_newer_one_changes_nothing() -> None:
    answers: list[Any] = []

    pipeline: Any = SimpleNamespace(
        pack=lambda *_: b"",
        send=lambda _, on_reply, *__: answers.append(on_reply),
    )
    lease = StreamLease(pipeline, Stream("s", None, "append"), StreamKeys("n", "s", ""), "token")
    lease.update(Ledger(reserved=1))
    lease.update(Ledger(reserved=2))
    answers[1](b"ok")
    answers[0](b"ok")
    assert lease.answered.reserved == 2
