"""Sending again what came back: elsewhere if the reply names another server, later if it was refused for now."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from redis import exceptions as redis_errors

from destination_redis.connection.slots import Address, host_of
from destination_redis.errors import NodeRemoved, RetryDecision, config_error, explain, retry_decision
from destination_redis.transport.node import ASKING, NodePipeline, Returned
from destination_redis.transport.retry import RetryPolicy
from destination_redis.transport.router import Router

if TYPE_CHECKING:
    from destination_redis.transport.window import Batch


def send_again(returned: Sequence[Returned], router: Router, retry: RetryPolicy, *, in_vain: bool) -> None:
    """Send commands again, after a pause where they were refused, or redirected `in_vain` before."""
    refused = [each.error for each in returned if not _redirected(each)]
    if refused or in_vain:
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
        node.send(dataclasses.replace(batch, answered=0))


def _follow(returned: Sequence[Returned], router: Router, retry: RetryPolicy) -> None:
    """Learn where slots are: from any node, then, since that one may not know yet, from those that gave them away."""
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
    """Return the lane for a command; None where it was meant for a server that serves no slots any more."""
    if each.batch.keyless:
        return None if each.node.over else each.node
    if each.command is ASKING:
        return None
    return router.of(each.command)


def _named(each: Returned) -> Address:
    error = each.error
    assert isinstance(error, redis_errors.AskError)
    return host_of(error.host, each.node.address[0]), error.port


def _importing(each: Returned, router: Router) -> NodePipeline | None:
    """Return the lane to the server that takes a slot over and has the key already, if that is what was said."""
    if not isinstance(each.error, redis_errors.AskError) or isinstance(each.error, redis_errors.MovedError):
        return None
    try:
        return router.at(_named(each))
    except NodeRemoved:
        return None


def _redirected(each: Returned) -> bool:
    return each.node.over or retry_decision(each.error) is RetryDecision.REDIRECT
