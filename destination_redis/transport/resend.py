"""The resending of returned commands: to another node if they were redirected, after a pause if they were refused."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from redis import exceptions as redis_errors

from destination_redis.connection.slots import Address, host_of
from destination_redis.errors import NodeRemoved, RetryDecision, config_error, explain, retry_decision
from destination_redis.transport.node import ASKING, NodePipeline
from destination_redis.transport.retry import RetryPolicy
from destination_redis.transport.router import Router
from destination_redis.transport.window import Returned

if TYPE_CHECKING:
    from destination_redis.transport.window import Batch


def send_again(returned: Sequence[Returned], router: Router, retry: RetryPolicy, *, repeated: bool) -> None:
    """Send commands again; after a pause if any was refused, or if resending was `repeated` without success."""
    refused = [each.error for each in returned if not _redirected(each)]
    if refused or repeated:
        retry.wait(refused[0] if refused else returned[-1].error)
    for node in router.all:
        if node.suspicion is not None:
            node.recover(node.suspicion)
    _follow(returned, router, retry)
    batches: dict[tuple[NodePipeline, int, bool], Batch] = {}
    for each in returned:
        ahead = _importing(each, router)
        target = ahead or _node_of(each, router)
        if target is None:
            continue
        key = (target, id(each.batch), ahead is not None)
        empty = dataclasses.replace(each.batch, commands=[], watermark=None, covers=False, closed=0)
        batch = batches.setdefault(key, empty)
        assert isinstance(batch.commands, list)
        batch.commands += [ASKING, each.command] if ahead else [each.command]
    for (node, _, _), batch in batches.items():
        node.send(dataclasses.replace(batch, answered=0, zeros=0))


def _follow(returned: Sequence[Returned], router: Router, retry: RetryPolicy) -> None:
    """Update the slot map from any node; then from the MOVED replies, since that node may not know of them yet."""
    if not router.clustered:
        for each in returned:
            if retry_decision(each.error) is RetryDecision.REDIRECT:
                raise config_error(explain(each.error), each.error)
        return
    moved = [each for each in returned if isinstance(each.error, redis_errors.MovedError)]
    if moved or any(isinstance(each.error, redis_errors.ClusterDownError) for each in returned):
        retry.do(router.refresh)
    for each in moved:
        assert isinstance(each.error, redis_errors.MovedError)
        router.move(each.error.slot_id, _named(each))


def _node_of(each: Returned, router: Router) -> NodePipeline | None:
    """Return the node pipeline for a command; None if it was for one server, which no longer serves any slots."""
    if each.batch.keyless:
        return None if each.node.removed else each.node
    if each.command is ASKING:
        return None
    return router.of(each.command)


def _named(each: Returned) -> Address:
    error = each.error
    assert isinstance(error, redis_errors.AskError)
    return host_of(error.host, each.node.address[0]), error.port


def _importing(each: Returned, router: Router) -> NodePipeline | None:
    """Return the node pipeline that ASK names: its server is importing the slot and already has the key."""
    if not isinstance(each.error, redis_errors.AskError) or isinstance(each.error, redis_errors.MovedError):
        return None
    try:
        return router.at(_named(each))
    except NodeRemoved:
        return None


def _redirected(each: Returned) -> bool:
    return each.node.removed or retry_decision(each.error) is RetryDecision.REDIRECT
