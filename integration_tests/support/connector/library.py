"""The connector as a program uses it that has the CDK's models at hand."""

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from airbyte_cdk.models import AirbyteMessageSerializer, ConfiguredAirbyteCatalogSerializer, FailureType, Status
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.destination import DestinationRedis
from destination_redis.transport.retry import RETRY_SECONDS
from integration_tests.support.data_types import Shape, settings_for
from integration_tests.support.messages import Json, dedup, stream
from integration_tests.support.servers.server import Server


def check(config: Json) -> str | None:
    """Return what `check` says is wrong, None where all is well."""
    answer = DestinationRedis().check(logging.getLogger("airbyte"), config)
    assert answer.message or answer.status is Status.SUCCEEDED
    return answer.message if answer.status is Status.FAILED else None


def write(
    config: Json, streams: Iterable[Json], messages: Iterable[Json], retry_seconds: float = RETRY_SECONDS
) -> Iterator[Json]:
    """Yield the states that `write` yields; it gives up after so many seconds without any progress."""
    catalog = ConfiguredAirbyteCatalogSerializer.load({"streams": list(streams)})
    for answer in DestinationRedis(retry_seconds).write(config, catalog, map(AirbyteMessageSerializer.load, messages)):
        message = AirbyteMessageSerializer.dump(answer)
        assert message["type"] == "STATE"
        yield message["state"]


def failure(
    config: Json, streams: Iterable[Json], messages: Iterable[Json], retry_seconds: float = RETRY_SECONDS
) -> AirbyteTracedException:
    """Return the error with which a sync fails."""
    with pytest.raises(AirbyteTracedException) as caught:
        list(write(config, streams, messages, retry_seconds))
    return caught.value


def config_of(server: Server, shape: Shape, **more: Any) -> Json:
    """Return the config for a data type and format."""
    return {**server.config, **settings_for(shape), **more}


def written(server: Server, shape: Shape, streams: list[Json], *messages: Json, **more: Any) -> int:
    """Return the number of states that come back."""
    return len(list(write(config_of(server, shape, **more), streams, messages)))


def refused(server: Server, shape: Shape, streams: list[Json], *messages: Json, **more: Any) -> str:
    """Return the config error with which a sync fails."""
    error = failure(config_of(server, shape, **more), streams, messages)
    assert error.failure_type is FailureType.config_error, error
    return str(error)


def complete(configured: Json) -> Json:
    """Return a configured stream with all that the CDK's model asks for."""
    configured["stream"]["supported_sync_modes"] = ["full_refresh"]
    return configured


def full(name: str = "users", **more: Any) -> Json:
    return complete(stream(name, **more))


def full_dedup(name: str = "users", **more: Any) -> Json:
    return complete(dedup(name, **more))
