"""The connector as a program uses it that has the CDK's models at hand."""

import logging
from collections.abc import Iterable, Iterator
from typing import Any

from airbyte_cdk.models import AirbyteMessageSerializer, ConfiguredAirbyteCatalogSerializer, Status

from destination_redis.destination import DestinationRedis
from destination_redis.transport.retry import RETRY_SECONDS
from integration_tests.support.messages import Json, stream


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


def full(name: str = "users", **more: Any) -> Json:
    """Return a configured stream with all that the CDK's model asks for."""
    configured = stream(name, **more)
    configured["stream"]["supported_sync_modes"] = ["full_refresh"]
    return configured
