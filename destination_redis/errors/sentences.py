"""The sentences: what an error means, in words that a user can act on."""

import re
from collections.abc import Iterable

from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from redis import exceptions as redis_errors

from destination_redis.errors.decision import NO_CONNECTION, error_code
from destination_redis.errors.exceptions import CommandError, NotWrittenError, RefusedError, UnreachableError
from destination_redis.redaction.replies import COMMANDS, is_reply, reply_code, reply_of, shown

#: What was sent: commands, or the arguments of one.
Sent = Iterable[str | bytes | int]
#: The reply of a server whose ACL refuses a command inside a script.
NOT_IN_SCRIPT = "The user executing the script can't"
# Their text already is a sentence for the user.
_SENTENCES = (UnreachableError, RefusedError, CommandError, NotWrittenError)


def explain(error: Exception, sent: Sent | None = None) -> str:
    """Return one sentence, without a period, that explains `error` to the user.

    `sent` is what a reply may quote; if that is unknown, only the reply's code is shown.
    """
    if sentence := known(error):
        return sentence
    if not isinstance(error, redis_errors.RedisError | OSError):
        return f"The connector failed: {type(error).__name__}"
    reply = safe_text(error) if sent is None or not is_reply(error) else shown(reply_of(error), sent)
    return f"The server answered: {reply}" if reply else "The server answered with an error"


def known(error: Exception) -> str | None:
    """Return the sentence for an error with a known class or text; None for any other."""
    text = str(error)
    if isinstance(error, _SENTENCES):
        return text
    for found, sentence in _EXPLAINED:
        if isinstance(error, found):
            return sentence
    refused = isinstance(error, redis_errors.NoPermissionError) or error_code(error) == "NOPERM"
    if refused or any(mark in text for mark in ("ACL failure", NOT_IN_SCRIPT)):
        return _permission(text)
    if (code := error_code(error)) in _BY_CODE:
        return _BY_CODE[code]
    return next((sentence for mark, sentence in _SAYINGS if mark in text), None)


def safe_text(error: BaseException) -> str:
    """Return the part of the text of `error` that is safe to show whatever was sent: of a reply, at most its code."""
    if is_reply(error):
        return reply_code(error)
    return str(error) if isinstance(error, AirbyteTracedException | redis_errors.RedisError | OSError) else ""


def command_name(command: bytes) -> str:
    """Return a packed command's name and key, never its data; a key that may hold a primary key is cut short."""
    parts = command[:2000].split(b"\r\n")[2::2]
    if parts[:1] == [b"EVAL"]:
        return "a script for the ledger"
    if parts[:1] == [b"EVALSHA"]:
        named = _name_in(command)
        return f"a script for {(_stream_of(parts[3]) if named is None else named).decode(errors='replace')}"
    return b" ".join(parts[:2]).decode(errors="replace")


def _name_in(command: bytes) -> bytes | None:
    """Return the stream's name in the argument after the keys of a script, None if it has none there.

    It has one if the keys have a template: then they may begin with a primary key.
    """
    parts: list[bytes] = []
    at = command.index(b"\n") + 1
    while at < len(command) and (len(parts) < 3 or len(parts) < 4 + int(parts[2])):
        end = command.index(b"\r", at)
        size = int(command[at + 1 : end])
        parts.append(command[end + 2 : end + 2 + size])
        at = end + 4 + size
    layout = re.fullmatch(rb"\d+ \d+ (.*)", parts[-1], re.DOTALL)
    return layout[1] if layout else None


def _stream_of(key: bytes) -> bytes:
    """Return what precedes the record's part in a key, or less if the key's prefix has colons."""
    return b":".join(key.rpartition(b"{")[2].rstrip(b"}").split(b":")[:2])


def _permission(text: str) -> str:
    if (command := re.search(r"run the '([^']+)' command", text)) and command[1].upper() in COMMANDS:
        return f"The user has no permission for the command {command[1].upper().replace('|', ' ')}"
    if NOT_IN_SCRIPT in text:
        return "The user has no permission for a command or a key that the connector's scripts use"
    if "keys" in text or "key" in text:
        return "The user has no permission for one of the command's keys"
    return "The user lacks a permission"


NOT_REDIS = "The server on this port is not Redis: it speaks another protocol"
#: Prefix of unknown commands -> the sentence for the missing module.
NO_MODULE = {
    "JSON.": "The server has no JSON module (RedisJSON), which cache_type json needs",
    "FT.": "The server has no search module (RediSearch), which search_index needs",
}
#: The sentence for a search module that is too old for vectors.
NO_VECTORS = "The server's search module has no vector fields, which vectors needs"
_FULL = "The server is out of memory and refuses writes: raise maxmemory or remove data"

_EXPLAINED: tuple[tuple[type[Exception], str], ...] = (
    (
        redis_errors.AuthenticationWrongNumberOfArgsError,
        "The server is too old for user names: leave username empty",
    ),
    (redis_errors.ClusterDownError, "The cluster is down: not all of its slots are served"),
    (redis_errors.TryAgainError, "A slot of the cluster is being migrated between nodes"),
    (redis_errors.AskError, "The server belongs to a cluster and does not have all keys: set deployment to cluster"),
    (redis_errors.BusyLoadingError, "The server is still loading its data into memory"),
    (redis_errors.ReadOnlyError, "The server is a read-only replica: use the primary instead"),
    (redis_errors.OutOfMemoryError, _FULL),
    (redis_errors.MaxConnectionsError, "The server accepts no more connections (maxclients)"),
    (redis_errors.InvalidResponse, NOT_REDIS),
)

_BY_CODE = {
    "BUSY": "The server is busy with another client's script",
    "MISCONF": "The server cannot save to its disk and refuses writes until it can (stop-writes-on-bgsave-error)",
    "NOREPLICAS": "The server has too few replicas and refuses writes (min-replicas-to-write)",
}

_FOREIGN = "The key holds another data type, or a value that the connector did not write"

_SAYINGS: tuple[tuple[str, str], ...] = (
    ("WRONGPASS", "The user name or the password is wrong"),
    ("invalid username-password", "The user name or the password is wrong"),
    ("invalid password", "The password is wrong"),
    ("without any password configured", "A password is set, but the server requires none"),
    ("Authentication required", "The server requires a password"),
    ("NOAUTH", "The server requires a password"),
    ("DB index is out of range", "The database index is out of range on this server"),
    ("invalid DB index", "The database index is out of range on this server"),
    ("Name or service not known", "The host was not found"),
    ("No address associated", "The host was not found"),
    ("Temporary failure in name resolution", "The host was not found"),
    ("nodename nor servname", "The host was not found"),
    ("Connection refused", "The connection was refused: no server listens there"),
    ("No such file or directory", "There is no Unix socket at this path"),
    ("Permission denied", "The user who runs the connector has no permission for the Unix socket"),
    ("[SSL", "The server closed the TLS connection; it may require a client certificate"),
    ("imeout", "The connection timed out"),
    ("timed out", "The connection timed out"),
    ("unreachable", "The host cannot be reached"),
    ("No route to host", "The host cannot be reached"),
    (NO_CONNECTION, "The server accepts no more connections (maxclients)"),
    (
        "protected mode",
        (
            "The server is in protected mode, so it refuses connections from other machines: "
            "set a password on it, or turn its protected-mode off"
        ),
    ),
    (
        "XADD is equal or smaller",
        "The Redis stream has entries of other clients with higher ids than the connector's",
    ),
    (
        "bit offset is not an integer",
        "The server allows no position as high as one in the bitmap (proto-max-bulk-len): lower bitmap_max_position",
    ),
    ("GAP ", "The server lacks records that were sent before these: it lost them, or keeps refusing them"),
    ("OOM ", _FULL),
    ("READONLY", "The server is a read-only replica: use the primary instead"),
    ("LOADING", "The server is still loading its data into memory"),
    ("can't run this command", "The user has no permission for a command that a script uses"),
    ("WRONGTYPE", _FOREIGN),
    ("wrong Redis type", _FOREIGN),
    ("Operation against a key holding the wrong kind", _FOREIGN),
    ("unknown command 'JSON.", NO_MODULE["JSON."]),
    ("unknown command 'FT.", NO_MODULE["FT."]),
    ("unknown command `FT.", NO_MODULE["FT."]),
    ("Connection closed by server", "The server closed the connection"),
    ("Connection reset", "The server closed the connection"),
    ("Broken pipe", "The server closed the connection"),
)
