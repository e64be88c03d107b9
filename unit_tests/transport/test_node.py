"""A node pipeline on its own: what it says is open."""

from types import SimpleNamespace
from typing import Any

from destination_redis.transport.node import NodePipeline
from destination_redis.transport.retry import RetryPolicy
from destination_redis.transport.window import Batch


def node() -> NodePipeline:
    """Return a node pipeline that keeps what is answered; its server answers everything with OK."""
    connection: Any = SimpleNamespace(
        send_packed_command=lambda *_, **__: None, replies=SimpleNamespace(read=lambda most: [b"OK"] * most)
    )
    link: Any = SimpleNamespace(live=lambda: connection, pack=None, ask=None, close=None)
    return NodePipeline(("", 0), link, RetryPolicy(), replaceable=False, until_confirmed=True)


def test_an_older_batch_that_is_sent_again_after_a_newer_one_stays_open_until_it_is_released() -> None:
    kept = node()
    for number in (10, 3, 5):
        kept.send(Batch(number, [b"command"]))
        kept.collect()
    assert kept.open_since == 3
    kept.release(11)
    assert kept.open_since is None
