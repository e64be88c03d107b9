"""The session of a sync: connect, open the streams, write the input, and close the connections."""

import logging
from collections.abc import Callable, Generator, Iterable

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.config.settings import RedisConfig
from destination_redis.connection.clients import connect
from destination_redis.console.output import OutputError
from destination_redis.console.terminal import has_live_line
from destination_redis.errors import Terminated, traced, transient_error
from destination_redis.protocol.catalog import Stream
from destination_redis.shutdown import Stop
from destination_redis.sync.loop import Sync
from destination_redis.sync.progress import Progress
from destination_redis.sync.startup import open_streams
from destination_redis.sync.summary import Summary
from destination_redis.transport.pipeline import Pipeline
from destination_redis.transport.retry import RETRY_SECONDS

logger = logging.getLogger("airbyte")


class Session:
    """One run of `write`."""

    def __init__(
        self, config: RedisConfig, streams: tuple[Stream, ...], stop: Stop, retry_seconds: float = RETRY_SECONDS
    ) -> None:
        """Set what to write to and which streams; `retry_seconds` without progress end the sync."""
        self._config = config
        self._streams = streams
        self._stop = stop
        self._retry_seconds = retry_seconds

    def run(
        self, lines: Iterable[bytes], acknowledge: Callable[[bytes], None], *, watched: bool = False
    ) -> Generator[None]:
        """Write a chunk of `lines` at each step; raises traced errors and OutputError.

        `acknowledge` prints a state at once. `watched` is for a person at a terminal: it shows the progress there.
        """
        try:
            yield from self._run(lines, acknowledge, watched=watched)
        except (AirbyteTracedException, OutputError):
            raise
        except Terminated as error:
            raise transient_error("The sync was asked to end before it was complete", error) from error
        except Exception as error:
            raise traced(error, "writing") from error

    def _run(self, lines: Iterable[bytes], acknowledge: Callable[[bytes], None], *, watched: bool) -> Generator[None]:
        config = self._config
        with connect(config) as servers:
            pipeline = Pipeline(servers, self._stop.pause, self._retry_seconds, config.durable, config.key_prefix)
            pipeline.open()
            try:
                streams = open_streams(config, self._streams, pipeline, servers)
                summary = Summary(streams.all) if watched else None
                with Progress(logger, streams.all, live=watched and has_live_line()) as progress:
                    sync = Sync(streams, pipeline, acknowledge, progress, config.overwrite_without_status)
                    yield from sync.run(lines)
                if summary:
                    summary.tell(servers)
            finally:
                pipeline.close()
