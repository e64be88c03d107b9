"""Sending again what came back: elsewhere if the reply names another server, later if it was refused for now."""

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

from redis import exceptions as redis_errors

from destination_redis.connection.slots import Address, host_of
from destination_redis.errors import Superseded, Verdict, config_error, explain, verdict
from destination_redis.transport.node import ASKING, Lane, Returned
from destination_redis.transport.retry import Patience
from destination_redis.transport.router import Lanes

if TYPE_CHECKING:
    from destination_redis.transport.window import Batch


def send_again(returned: Sequence[Returned], lanes: Lanes, patience: Patience, *, in_vain: bool) -> None:
    """Send commands again, after a pause where they were refused, or redirected `in_vain` before."""
    refused = [each.error for each in returned if not _redirected(each)]
    if refused or in_vain:
        patience.wait(refused[0] if refused else returned[-1].error)
    for lane in lanes.all:
        if lane.suspicion is not None:
            lane.recover(lane.suspicion)
    _follow(returned, lanes, patience)
    batches: dict[tuple[Lane, int, bool], Batch] = {}
    for each in returned:
        ahead = _importing(each, lanes)
        target = ahead or _lane(each, lanes)
        if target is None:
            continue
        key = (target, id(each.batch), ahead is not None)
        empty = dataclasses.replace(each.batch, commands=[], witness=None, covers=False, closed=0)
        batch = batches.setdefault(key, empty)
        assert isinstance(batch.commands, list)
        batch.commands += [ASKING, each.command] if ahead else [each.command]
    for (lane, _, _), batch in batches.items():
        lane.send(dataclasses.replace(batch, answered=0))


def _follow(returned: Sequence[Returned], lanes: Lanes, patience: Patience) -> None:
    """Learn where slots are: from any node, then, since that one may not know yet, from those that gave them away."""
    if not lanes.clustered:
        for each in returned:
            if verdict(each.error) is Verdict.REDIRECT:
                raise config_error(explain(each.error), each.error)
        return
    moved = [each for each in returned if isinstance(each.error, redis_errors.MovedError)]
    if moved or any(isinstance(each.error, redis_errors.ClusterDownError) for each in returned):
        patience.do(lanes.refresh)
    for each in moved:
        assert isinstance(each.error, redis_errors.MovedError)
        lanes.move(each.error.slot_id, _named(each))


def _lane(each: Returned, lanes: Lanes) -> Lane | None:
    """Return the lane for a command; None where it was meant for a server that serves no slots any more."""
    if each.batch.keyless:
        return None if each.lane.over else each.lane
    if each.command is ASKING:
        return None
    return lanes.of(each.command)


def _named(each: Returned) -> Address:
    error = each.error
    assert isinstance(error, redis_errors.AskError)
    return host_of(error.host, each.lane.address[0]), error.port


def _importing(each: Returned, lanes: Lanes) -> Lane | None:
    """Return the lane to the server that takes a slot over and has the key already, if that is what was said."""
    if not isinstance(each.error, redis_errors.AskError) or isinstance(each.error, redis_errors.MovedError):
        return None
    try:
        return lanes.at(_named(each))
    except Superseded:
        return None


def _redirected(each: Returned) -> bool:
    return each.lane.over or verdict(each.error) is Verdict.REDIRECT
