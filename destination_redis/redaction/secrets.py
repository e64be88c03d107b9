"""The masks: text that leaves this process, without the secrets of its configuration, and without data.

Libraries put a secret into their messages as it is, as Python, JSON or a URL write it, or a line of it. So all of these
are looked for, the longest first, in plain text: what is masked is never JSON already, or a short secret would tear it.
Errors of which nobody knows the text may quote what they were given, and so data: of them only the kind is told.
"""

import copy
import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from types import TracebackType
from typing import Any
from urllib.parse import quote, quote_plus

import orjson
from airbyte_cdk.logger import AirbyteLogFormatter
from airbyte_cdk.models import AirbyteMessage, AirbyteMessageSerializer, FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.console.output import OutputError, discard, put
from destination_redis.console.terminal import INTERRUPTED, Warnings, attended, say
from destination_redis.errors import told, traced

MASK = "****"
#: A secret of fewer characters is masked where it is a word of its own: in every word it would be readable by the gaps.
_SHORT = 4
#: What may stand before such a word: no letter or digit, but for one that ends what stands for a character.
_BEFORE = r"(?:(?<!\w)|(?<=%[\dA-Fa-f]{2})|(?<=\\[abfnrtv])|(?<=\\x[\da-f]{2})|(?<=\\u[\da-f]{4}))"
#: The password in what someone took for a host: redis://user:password@host.
_IN_HOST = re.compile(r"^(?:[a-z+]+://)?[^/@\s:]*:(\S+)@")

Mask = Callable[[str], str]


def masking(secrets: Iterable[str]) -> Mask:
    """Return what takes `secrets` out of a text, and whatever no output can encode."""
    forms = sorted({form for secret in secrets for form in _forms(secret)}, key=len, reverse=True)
    found = re.compile("|".join(map(_searched, forms))) if forms else None

    def mask(text: str) -> str:
        text = found.sub(MASK, text) if found else text
        return text.encode(errors="backslashreplace").decode()

    return mask


def secrets_in(config: object, names: frozenset[str]) -> Iterator[str]:
    """Yield every secret in `config`: what stands under one of `names`, wherever and of whatever type it is."""
    if isinstance(config, dict):
        for name, value in config.items():
            yield from _texts(value) if name in names else secrets_in(value, names)
    elif isinstance(config, list):
        for value in config:
            yield from secrets_in(value, names)
    elif isinstance(config, str):
        yield from _IN_HOST.findall(config)


def secret_names(schema: object) -> frozenset[str]:
    """Return the names of all settings that `schema`, a JSON schema, calls secret."""
    if isinstance(schema, list):
        return frozenset().union(*map(secret_names, schema))
    if not isinstance(schema, dict):
        return frozenset()
    properties = schema.get("properties")
    own = properties.items() if isinstance(properties, dict) else ()
    here = {name for name, form in own if isinstance(form, dict) and form.get("airbyte_secret") is True}
    return frozenset(here).union(*map(secret_names, schema.values()))


def guard(mask: Mask, logger: logging.Logger) -> None:
    """Let what this process logs, and the errors that it ends with, go through `mask` from now on."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_Sentence(mask) if isinstance(handler, Warnings) else _Formatter(mask))
    sys.excepthook = partial(_report, mask, logger)
    threading.excepthook = lambda thread: _log(logger, thread.exc_value)


def stack(error: BaseException) -> str:
    """Return where `error` and its causes were raised, and of each what may be told."""
    chain: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in chain:
        chain.append(following)
        following = following.__cause__ or (None if following.__suppress_context__ else following.__context__)
    parts = []
    for each in reversed(chain):
        parts += traceback.format_tb(each.__traceback__)
        kind = type(each)
        parts.append(f"{kind.__module__}.{kind.__qualname__}: {told(each)}".rstrip(": ") + "\n")
    return "".join(parts)


class _Formatter(AirbyteLogFormatter):
    """The CDK's, of what is masked already."""

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
    """Formats a record as its message alone, masked."""

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
    """Tell how the process ends: as LOG and TRACE messages, and to a person in one sentence.

    What the user can mend, or what another try may not meet, is told without a stack.
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
    logger.fatal(told(error) or kind.__name__, exc_info=None if expected else error)
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
        logger.fatal(told(error) or type(error).__name__, exc_info=error)


def _trace(known: AirbyteTracedException, sentence: str, stack_trace: str | None) -> AirbyteMessage:
    message = known.as_airbyte_message()
    body: Any = message.trace.error if message.trace else None
    body.message = body.internal_message = sentence
    body.stack_trace = stack_trace
    return message


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield str(value)


def _forms(secret: str) -> Iterator[str]:
    """Yield what may stand for `secret` in a text."""
    for part in (secret, secret.strip(), *_lines(secret)):
        if not part.strip():
            continue
        raw = part.encode(errors="surrogatepass")
        yield from (part, ascii(part)[1:-1], repr(part)[1:-1], repr(raw)[2:-1])
        yield from (json.dumps(part)[1:-1], json.dumps(part, ensure_ascii=False)[1:-1])
        yield from (quote(raw), quote(raw, safe=""), quote_plus(raw))


def _lines(secret: str) -> Sequence[str]:
    """Return the lines of `secret` that are worth a mask; PEM in a form of one line has their ends as characters."""
    lines = [line.strip() for line in secret.replace("\\n", "\n").splitlines()]
    return [line for line in lines if len(line) >= _SHORT and not line.startswith("-----")] if len(lines) > 1 else []


def _searched(form: str) -> str:
    return re.escape(form) if len(form) >= _SHORT else rf"{_BEFORE}{re.escape(form)}(?!\w)"
