"""The guard: redacts secrets and data in everything this process logs, and in the error that ends it."""

import copy
import logging
import sys
import threading
import traceback
from functools import partial
from types import TracebackType
from typing import Any

import orjson
from airbyte_cdk.logger import AirbyteLogFormatter
from airbyte_cdk.models import AirbyteMessage, AirbyteMessageSerializer, FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.console.output import OutputError, discard, put
from destination_redis.console.terminal import INTERRUPTED, Warnings, attended, say
from destination_redis.errors import safe_text, traced
from destination_redis.redaction.secrets import Mask


def guard(mask: Mask, logger: logging.Logger) -> None:
    """Pass everything this process logs, and the errors that end it, through `mask` from now on."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_Sentence(mask) if isinstance(handler, Warnings) else _Formatter(mask))
    sys.excepthook = partial(_report, mask, logger)
    threading.excepthook = lambda thread: _log(logger, thread.exc_value)


def stack(error: BaseException) -> str:
    """Return the stack traces of `error` and its causes, each with the safe part of its text."""
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)
    parts = []
    for each in reversed(chain):
        parts += traceback.format_tb(each.__traceback__)
        kind = type(each)
        parts.append(f"{kind.__module__}.{kind.__qualname__}: {safe_text(each)}".rstrip(": ") + "\n")
    return "".join(parts)


class _Formatter(AirbyteLogFormatter):
    """The CDK's formatter, applied to redacted records."""

    def __init__(self, mask: Mask) -> None:
        super().__init__("%(message)s")
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        """Return the JSON of a LOG message."""
        masked = copy.copy(record)
        masked.msg, masked.args = self._mask(record.getMessage()), None
        for name in self.extract_extra_args_from_record(record):
            setattr(masked, name, self._mask(str(getattr(record, name))))
        error = record.exc_info[1] if record.exc_info else None
        masked.exc_info, masked.exc_text = None, self._mask(stack(error)) if error else None
        masked.stack_info = self._mask(record.stack_info) if record.stack_info else None
        return super().format(masked)


class _Sentence(logging.Formatter):
    """Formats a record as its redacted message only."""

    def __init__(self, mask: Mask) -> None:
        super().__init__()
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        """Return the sentence."""
        return self._mask(record.getMessage())


def _report(
    mask: Mask,
    logger: logging.Logger,
    kind: type[BaseException],
    error: BaseException,
    _where: TracebackType | None,
) -> None:
    """Report the error that ends the process: as LOG and TRACE messages, and on a terminal in one sentence.

    Errors that the user can fix or that a retry may avoid are reported without a stack trace.
    """
    if issubclass(kind, KeyboardInterrupt):
        say(INTERRUPTED)
        return
    if isinstance(error, OutputError):
        say(str(error))
        discard()
        return
    known = traced(error, "running") if isinstance(error, Exception) else AirbyteTracedException(message=kind.__name__)
    expected = known.failure_type is not FailureType.system_error
    sentence = mask(str(known))
    logger.fatal(safe_text(error) or kind.__name__, exc_info=None if expected else error)
    try:
        message = _trace(known, sentence, None if expected else mask(stack(error)))
        put(orjson.dumps(AirbyteMessageSerializer.dump(message), option=orjson.OPT_APPEND_NEWLINE))
    except OutputError as failed:
        say(sentence)
        say(str(failed))
        discard()
    else:
        if attended():
            say(sentence)


def _log(logger: logging.Logger, error: BaseException | None) -> None:
    if error is not None:
        logger.fatal(safe_text(error) or type(error).__name__, exc_info=error)


def _trace(known: AirbyteTracedException, sentence: str, stack_trace: str | None) -> AirbyteMessage:
    message = known.as_airbyte_message()
    body: Any = message.trace.error if message.trace else None
    body.message = body.internal_message = sentence
    body.stack_trace = stack_trace
    return message
