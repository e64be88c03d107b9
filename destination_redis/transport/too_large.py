"""The error for a record that is too large or too deep: how servers report it, and the message for the user."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import NamedTuple

from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from redis import Redis
from redis import exceptions as redis_errors

from destination_redis.connection.slots import Address
from destination_redis.redaction.replies import reply_of, shown
from destination_redis.resp import first_key, unpack_command

#: Settings of Redis that limit the bytes of one value; Redis closes the connection on a larger one.
_SETTINGS = ("proto-max-bulk-len", "client-query-buffer-limit")

# Only the beginning of a reply is the server's own text: what follows may quote the command.
_SAID = re.compile(
    r"(?:ERR )?(?:Protocol error: (?:invalid (?:multi)?bulk length|too big )"
    r"|(?!.*\b(?:database|memory|storage|total|clients|connections)\b)[a-z (_-]{0,80}?"
    r"(?:too (?:large|big|long)\b|exceed[a-z]*\b[a-z ]{0,40}\b(?:size|length)|\b(?:size|length)\b[a-z ]{0,20} exceed))",
    re.IGNORECASE,
)
# RedisJSON's words, and those of Valkey's module; before Redis 7 the script's error comes before them.
_SAID_DEEP = re.compile(
    r"(?:ERR )?(?:Error running script .{0,80}@user_script: ?\d+: (?:@user_script: ?\d+: )?-?(?:ERR )?)?"
    r"(?:recursion limit exceeded|LIMIT Document path nesting limit|LIMIT Parser recursion depth)",
)
_LIMIT = re.compile(r"\b(?:limit|max|maximum)\b[^\d]{0,20}(\d{4,12})\b", re.IGNORECASE)


@dataclass(eq=False)
class TooLarge(Exception):  # noqa: N818 - a finding, not an error yet
    """A batch that a server refuses for the size of a command, or for the depth of the JSON in it."""

    #: The batch's number.
    number: int
    address: Address
    #: The command's first key.
    key: bytes
    #: Bytes of the command, and of its largest argument.
    size: int
    largest: int
    #: The part of the reply that may be shown; empty if the connection was closed instead.
    reply_text: str = ""
    #: The limit in the reply, in bytes.
    limit: int | None = None
    #: Whether the server refuses the depth.
    deep: bool = False


class SizeLimit(NamedTuple):
    """A setting of a server that limits the bytes of one value."""

    setting: str
    limit: int


class RecordTooLarge(AirbyteTracedException):
    """A record that cannot be stored for its size: the stream, its bytes, and the limit and its setting if known."""

    def __init__(self, found: TooLarge, stream: str, setting: str = "", limit: int | None = None) -> None:
        self.stream = stream
        self.setting = setting
        self.size = found.largest if setting else found.size
        self.limit = limit if setting else found.limit
        if setting:
            advice = "Raise that setting"
        elif found.reply_text:
            advice = "Raise the limit"
        else:
            advice = "Raise the limit of the server or of a proxy before it"
        why = reason(found, SizeLimit(setting, limit or 0) if setting else None, server="that")
        message = (
            f"A record of the stream {stream} is too large for the server: {why}. {advice}, or leave the record out"
        )
        if found.deep:
            message = f"A record of the stream {stream} cannot be stored: {why}"
        message += "; acknowledged records are kept"
        super().__init__(message=message, internal_message=message, failure_type=FailureType.config_error)


def reason(found: TooLarge, exceeded: SizeLimit | None, server: str = "the server") -> str:
    """Return why a record is refused, without any of its data; `exceeded` is the setting that it exceeds, if known."""
    if found.deep:
        return "its JSON is nested too deeply for the server"
    if exceeded:
        return f"one of its values has {found.largest:,} bytes, and {exceeded.setting} allows {exceeded.limit:,}"
    if not found.reply_text:
        return f"the connection is closed whenever its {found.size:,} bytes are sent"
    allowed = f" and allows {found.limit:,}" if found.limit else ""
    return f"{server} refuses its {found.size:,} bytes{allowed} ({found.reply_text})"


def limit_on(client: Redis, found: TooLarge) -> SizeLimit | None:
    """Return the server setting that the largest value of a command exceeds, and its limit; None if unknown."""
    return next((each for each in _limits(client) if found.largest > each.limit), None)


def lowest_limit(clients: Iterable[Redis]) -> SizeLimit | None:
    """Return the lowest limit of the servers; None if no server tells it."""
    limits = [each for client in clients for each in _limits(client)]
    return min(limits, key=lambda each: each.limit, default=None)


def _limits(client: Redis) -> Iterator[SizeLimit]:
    """Yield the limits of a server, as far as it tells them."""
    for name in _SETTINGS:
        with suppress(redis_errors.RedisError, OSError, KeyError, ValueError, TypeError):
            yield SizeLimit(name, int(client.config_get(name)[name] or ""))


def says_too_large(error: Exception) -> bool:
    """Return whether an error reply refuses a command for its size."""
    return _SAID.match(reply_of(error)) is not None


def says_too_deep(error: Exception) -> bool:
    """Return whether an error reply refuses a command for the depth of its JSON."""
    return _SAID_DEEP.match(reply_of(error)) is not None


def too_large(
    number: int, address: Address, command: bytes, refusal: Exception | None, sent: Iterable[bytes]
) -> TooLarge:
    """Return the finding for a command in the batch `number`; `refusal` may quote what was `sent`."""
    largest = max(map(len, unpack_command(command)))
    found = TooLarge(number, address, first_key(command), len(command), largest)
    if refusal is None:
        return found
    reply = reply_of(refusal)
    named = _LIMIT.search(reply)
    # A number that is in the command may be a quote of it.
    limit = int(named[1]) if named and named[1].encode() not in command and int(named[1]) < len(command) else None
    return replace(found, reply_text=shown(reply, sent), limit=limit, deep=says_too_deep(refusal))
