"""The retry policy: how often and for how long a sync retries without progress."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from redis import exceptions as redis_errors

from destination_redis.errors import RetryDecision, explain, retry_decision, traced, transient_error

#: Seconds without progress after which a sync fails.
RETRY_SECONDS = 180.0
#: Seconds without progress after which a sync logs what it waits for.
WARN_AFTER = 1.0
#: Seconds; each pause is twice the one before.
_FIRST_PAUSE, _LAST_PAUSE = 0.05, 5.0

Result = TypeVar("Result")

logger = logging.getLogger("airbyte")


class RetryPolicy:
    """Pauses that grow until there is progress, up to a deadline."""

    def __init__(self, pause: Callable[[float], None] = time.sleep, seconds: float = RETRY_SECONDS) -> None:
        """Set the pause, and the seconds without progress that are allowed."""
        #: Waits for that many seconds; may raise to end the waiting.
        self.pause = pause
        self._seconds = seconds
        self._stalled_since: float | None = None
        self._next = _FIRST_PAUSE
        self._warned = False

    def wait(self, error: Exception) -> None:
        """Pause before a retry; raises `error`, traced, if a retry does not help or the deadline has passed."""
        self.check_deadline(error)
        self.pause(self._next)
        self._next = min(2 * self._next, _LAST_PAUSE)

    def check_deadline(self, error: Exception) -> None:
        """Raise as `wait` does, without a pause."""
        if retry_decision(error) is RetryDecision.FAIL:
            raise traced(error, "connecting to the server") from error
        now = time.monotonic()
        self._stalled_since = self._stalled_since or now
        if now - self._stalled_since > self._seconds:
            raise transient_error(f"{explain(error)}; tried again for {self._seconds:.0f} seconds", error) from error
        if now - self._stalled_since > WARN_AFTER and not self._warned:
            self._warned = True
            logger.warning("%s; trying again for %.0f seconds", explain(error), self._seconds)

    def do(self, work: Callable[[], Result]) -> Result:
        """Return the result of `work`, which is retried after each of redis-py's errors."""
        while True:
            try:
                return work()
            except (redis_errors.RedisError, OSError) as error:
                self.wait(error)

    def progressed(self) -> None:
        """Note that there was progress: the deadline and the pauses start again."""
        self._stalled_since = None
        self._warned = False
        self._next = _FIRST_PAUSE
