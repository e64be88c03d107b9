"""The connector: the CDK's Destination with spec, check and write, and `get_all`."""

import argparse
import logging
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, nullcontext
from typing import Any

import orjson
from airbyte_cdk.destinations import Destination
from airbyte_cdk.models import (
    AirbyteConnectionStatus,
    AirbyteMessage,
    AirbyteMessageSerializer,
    ConfiguredAirbyteCatalog,
    ConfiguredAirbyteCatalogSerializer,
    ConnectorSpecification,
    ConnectorSpecificationSerializer,
    Status,
    Type,
)
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.caches import RedisRecord
from destination_redis.check import check
from destination_redis.config.cloud import require_encryption
from destination_redis.config.parse import parse_config, unknown_settings
from destination_redis.config.settings import RedisConfig
from destination_redis.config.spec import specification
from destination_redis.config.stream_configs import StreamConfigs
from destination_redis.connection.clients import CONNECT_TIMEOUT, connect
from destination_redis.console.arguments import parse, read_catalog, read_config
from destination_redis.console.guard import guard
from destination_redis.console.output import put, while_read
from destination_redis.console.terminal import attended, say
from destination_redis.errors import Terminated, config_error
from destination_redis.protocol.catalog import parse_catalog
from destination_redis.protocol.input import read_lines
from destination_redis.reader import read
from destination_redis.redaction.secrets import Mask, masking, secret_names, secrets_in
from destination_redis.shutdown import Stop
from destination_redis.sync.session import Session
from destination_redis.transport.retry import RETRY_SECONDS

logger = logging.getLogger("airbyte")

#: Bytes of messages in a batch, and the seconds after which the next message completes one.
_BATCH = 256 * 1024
_WAIT = 0.2


class DestinationRedis(Destination):
    """Airbyte's destination for Redis."""

    def __init__(self, retry_seconds: float = RETRY_SECONDS, *, cloud: bool = False) -> None:
        """Set the seconds without progress after which a sync gives up, and whether this is Airbyte Cloud."""
        super().__init__()
        self._retry_seconds = retry_seconds
        self._cloud = cloud

    def spec(self, logger: logging.Logger) -> ConnectorSpecification:  # noqa: ARG002 - the CDK's signature
        """Return the specification of the settings."""
        return ConnectorSpecificationSerializer.load(specification(cloud=self._cloud))

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:
        """Return whether a sync would work and, in one sentence, why not."""
        _warn_of_unknown(config)
        try:
            settings = parse_config(config)
            allowed = self._allowed(settings)
            for sentence in StreamConfigs(settings).left_out:
                logger.info(sentence)
            with connect(settings, answer_timeout=CONNECT_TIMEOUT + settings.durable.timeout_ms / 1000) as servers:
                wrong, warnings = check(servers, settings)
                warnings = [*allowed, *warnings]
        except AirbyteTracedException as error:
            wrong, warnings = str(error), []
        except (OSError, ValueError) as error:  # invalid certificates and keys
            wrong, warnings = f"The connection cannot be set up: {type(error).__name__}.", []
        if wrong is not None:
            return AirbyteConnectionStatus(status=Status.FAILED, message=_mask(config)(wrong))
        for warning in warnings:
            logger.warning(warning)
        return AirbyteConnectionStatus(status=Status.SUCCEEDED, message=" ".join(warnings) or None)

    def write(
        self,
        config: Mapping[str, Any],
        configured_catalog: ConfiguredAirbyteCatalog,
        input_messages: Iterable[AirbyteMessage],
    ) -> Iterable[AirbyteMessage]:
        """Write messages (CDK models) and yield each state once it is acknowledged, while more messages are read.

        Messages are written in batches of 256 KB or 0.2 seconds; a state ends a batch. Acknowledged states are yielded
        between batches or, if the source pauses, with its next message. To stop iterating before the end is like
        killing the sync. An error is raised after the last acknowledged state. The command line is about four times as
        fast, because here each message is encoded again. The CDK's model of a state has no count of rejected records.
        """
        catalog = orjson.dumps(ConfiguredAirbyteCatalogSerializer.dump(configured_catalog))
        states: deque[bytes] = deque()
        failure = None
        with Stop() as stop:
            lines = _lines(input_messages, stop)
            try:
                session = self._session(parse_config(config), catalog, stop)
                with closing(session.run(lines, states.append)) as steps:
                    for _ in steps:
                        with stop.aside() if states else nullcontext():
                            yield from _messages(states)
            except AirbyteTracedException as error:
                failure = error
        # Data acknowledged before a failure is not written again, so the caller must get these states.
        yield from _messages(states)
        if failure is not None:
            raise failure

    def get_all(self, config: Mapping[str, Any], stream: str, namespace: str | None = None) -> Iterator[RedisRecord]:
        """Yield the live records of a stream; with their data only if the data type stores nothing else.

        The stream is found as in a sync, and read in the type and format recorded in its ledger, whatever `config`
        says. A list or a Redis stream is read in the order of arrival, other types in no order. With columns in a
        hash, `data` holds each value as text. With `value`, `data` is the element: the text of that field, not JSON. In
        a geospatial index it is the element, too, by default the primary key. In a bitmap it is a position; these
        ascend. A HyperLogLog cannot be read back, which is a config error.
        """
        return read(parse_config(config), stream, namespace)

    def parse_args(self, args: list[str]) -> argparse.Namespace:
        """Return the parsed command line; exits if it is wrong or asks for help or the version."""
        return parse(args)

    def run(self, args: list[str]) -> None:
        """Run a command line and print its messages; raises OutputError if they cannot be printed."""
        for message in self.run_cmd(self.parse_args(args)):
            put(orjson.dumps(AirbyteMessageSerializer.dump(message), option=orjson.OPT_APPEND_NEWLINE))
            status = message.connectionStatus
            if status is not None and status.status is Status.FAILED and attended():
                say(status.message or "The check failed")

    def run_cmd(self, parsed_args: argparse.Namespace) -> Iterable[AirbyteMessage]:
        """Run one command; unlike the CDK, never print the value of an invalid setting."""
        guard(masking(()), logger)
        if parsed_args.command == "spec":
            yield AirbyteMessage(type=Type.SPEC, spec=self.spec(logger))
            return
        try:
            config = read_config(parsed_args.config)
        except AirbyteTracedException as error:
            if parsed_args.command != "check":
                raise
            status = AirbyteConnectionStatus(status=Status.FAILED, message=str(error))
            yield AirbyteMessage(type=Type.CONNECTION_STATUS, connectionStatus=status)
            return
        guard(_mask(config), logger)
        if parsed_args.command == "check":
            status = self.check(logger, config)
            yield AirbyteMessage(type=Type.CONNECTION_STATUS, connectionStatus=status)
        else:
            yield from self._run_write(config, parsed_args.catalog, sys.stdin)

    def _run_write(
        self,
        config: Mapping[str, Any],
        configured_catalog_path: str,
        input_stream: Any,  # noqa: ANN401 - the CDK's signature
    ) -> Iterable[AirbyteMessage]:
        _warn_of_unknown(config)
        settings = parse_config(config)
        catalog = read_catalog(configured_catalog_path)
        if input_stream is None:
            raise config_error("The standard input is closed: write reads messages from it")
        with Stop() as stop:
            lines = while_read(read_lines(input_stream.fileno(), stop))
            for _ in self._session(settings, catalog, stop).run(lines, put, watched=attended()):
                pass
        return iter(())

    def _session(self, config: RedisConfig, catalog: bytes, stop: Stop) -> Session:
        for warning in self._allowed(config):
            logger.warning(warning)
        return Session(config, parse_catalog(catalog), stop, self._retry_seconds)

    def _allowed(self, config: RedisConfig) -> list[str]:
        """Return warnings about the connection; raises a config error if this edition of Airbyte does not allow it."""
        return require_encryption(config) if self._cloud else []


def _mask(config: Mapping[str, Any]) -> Mask:
    return masking(secrets_in(config, secret_names(specification()["connectionSpecification"])))


def _lines(messages: Iterable[AirbyteMessage], stop: Stop) -> Iterator[bytes]:
    """Yield lines in batches; any message but a record ends one, so that no state waits for the next message."""
    batch: list[bytes] = []
    size, began = 0, time.monotonic()
    for message in messages:
        if stop.requested:
            raise Terminated
        line = orjson.dumps(AirbyteMessageSerializer.dump(message), option=orjson.OPT_APPEND_NEWLINE)
        batch.append(line)
        size += len(line)
        if message.type is not Type.RECORD or size > _BATCH or time.monotonic() - began > _WAIT:
            yield b"".join(batch)
            batch.clear()
            size, began = 0, time.monotonic()
    if batch:
        yield b"".join(batch)


def _messages(lines: deque[bytes]) -> Iterator[AirbyteMessage]:
    while lines:
        yield AirbyteMessageSerializer.load(orjson.loads(lines.popleft()))


def _warn_of_unknown(config: Mapping[str, Any]) -> None:
    """Warn about unknown settings before all else: a mistyped one may be why the rest fails."""
    for name in unknown_settings(config):
        logger.warning("The setting %s is unknown and has no effect", name)
