"""The redaction of error replies, which may quote anything that was sent.

Services, modules and proxies quote commands in many ways: whole or cut short, escaped, encoded, in upper case. So this
does not search for quotes. A word is shown only if it looks like an English word and shares no run of letters with what
was sent. If it is unknown what was sent, only the error code is shown.
"""

import re
from collections.abc import Iterable, Iterator

from redis import exceptions as redis_errors

#: Consecutive letters that a word must not share with what was sent; a shorter word must not occur in it.
_RUN = 6
#: Words of up to this many letters occur inside other words by chance: they are compared as whole words.
_SHORT = 3
#: Bytes of commands to search; of an error reply to more, only the code is shown.
_SEARCHED = 8 * 1024 * 1024
#: Replaces omitted words.
_CUT = "…"

# No digits, quotation marks, brackets, escapes or changes of case: so no JSON, URLs, hexadecimal or base64.
_LETTERS = r"(?:[A-Z]?[a-z]{1,19}|[A-Z]{1,20})"
_WORD = re.compile(rf"\(?{_LETTERS}(?:['_-]{_LETTERS})*\)?[.,;:!?]?")
_LETTERS_IN = re.compile("[A-Za-z]+").findall
_HEXADECIMAL = re.compile(rf"[a-f]{{{_RUN},}}", re.IGNORECASE)
#: A letter as JSON may escape it.
_ESCAPED = re.compile(rb"\\u00([4-7][0-9a-f])")

_CODES = """
    ASK BUSY BUSYGROUP BUSYKEY CLUSTERDOWN CROSSSLOT DENIED ERR EXECABORT GAP INPROG INVALIDOBJ IOERR LOADING
    MASTERDOWN MISCONF MOVED NOADDR NOAUTH NOGOODSLAVE NOGROUP NOMASTERLINK NOPERM NOPROTO NOREPLICAS NOSCRIPT
    NOTBUSY NOTREADY OOM READONLY SEARCH_INDEX_NOT_FOUND TIMEOUT TRYAGAIN UNBLOCKED UNKILLABLE WRONGPASS WRONGTYPE
"""
_COMMANDS = """
    APPEND ASKING AUTH BITCOUNT BITFIELD BITFIELD_RO BITOP BITPOS CLIENT CLIENT|GETNAME CLIENT|INFO CLIENT|KILL
    CLIENT|LIST CLIENT|SETINFO CLIENT|SETNAME CLUSTER CLUSTER|NODES CLUSTER|SLOTS CONFIG CONFIG|GET COPY DECR DECRBY
    DEL DUMP EVAL EVALSHA EXISTS EXPIRE EXPIREAT FT.ALIASUPDATE FT.ALTER FT.CREATE FT.DROPINDEX FT.INFO FT.SEARCH
    GEOADD GEODIST GEOHASH GEOPOS GEOSEARCH GEOSEARCHSTORE GET GETBIT GETDEL GETEX GETRANGE GETSET HDEL HELLO
    HEXISTS HEXPIRE HEXPIREAT HGET HGETALL HINCRBY HINCRBYFLOAT HKEYS HLEN HMGET HMSET HPERSIST HPEXPIRE HPEXPIREAT
    HPTTL HRANDFIELD HSCAN HSET HSETNX HSTRLEN HTTL HVALS INCR INCRBY INCRBYFLOAT INFO JSON.DEL JSON.GET JSON.MGET
    JSON.SET LINDEX LINSERT LLEN LMOVE LMPOP LPOP LPOS LPUSH LPUSHX LRANGE LREM LSET LTRIM MEMORY MEMORY|USAGE MGET
    MSET MSETNX PERSIST PEXPIRE PEXPIREAT PFADD PFCOUNT PFMERGE PING PSETEX PTTL RENAME RENAMENX RESTORE RPOP RPUSH
    RPUSHX SADD SCAN SCARD SCRIPT SCRIPT|LOAD SDIFF SDIFFSTORE SELECT SENTINEL SENTINEL|MASTERS SET SETBIT SETEX
    SETNX SETRANGE SINTER SINTERSTORE SISMEMBER SMEMBERS SMISMEMBER SMOVE SPOP SRANDMEMBER SREM SSCAN STRLEN SUNION
    SUNIONSTORE TIME TOUCH TTL TYPE UNLINK WAIT WAITAOF XACK XADD XAUTOCLAIM XCLAIM XDEL XGROUP XINFO XLEN XPENDING
    XRANGE XREAD XREADGROUP XREVRANGE XSETID XTRIM ZADD ZCARD ZCOUNT ZDIFFSTORE ZINCRBY ZINTERSTORE ZLEXCOUNT ZMPOP
    ZMSCORE ZPOPMAX ZPOPMIN ZRANGE ZRANGEBYLEX ZRANGEBYSCORE ZRANGESTORE ZRANK ZREM ZREMRANGEBYLEX ZREMRANGEBYRANK
    ZREMRANGEBYSCORE ZREVRANGE ZREVRANK ZSCAN ZSCORE ZUNIONSTORE
"""
#: Error codes of Redis, Valkey and modules, with which replies begin. GAP is the connector's own.
CODES = frozenset(_CODES.split())
#: Commands that the connector, its scripts or redis-py send, and all those for keys and for Redis's own data types.
COMMANDS = frozenset(_COMMANDS.split())


def shown(reply: str, sent: Iterable[str | bytes | int]) -> str:
    """Return the code of an error reply, if it has one, and the words that do not quote `sent`.

    `sent` are commands or arguments. Omitted words become one "…". The result shares no six consecutive characters with
    `sent`, in any case.
    """
    code, _, rest = reply.partition(" ")
    kept, words = ([code], rest.split()) if code in CODES else ([], reply.split())
    parts = [part if isinstance(part, bytes) else str(part).encode(errors="replace") for part in sent]
    if sum(map(len, parts)) > _SEARCHED:
        return " ".join(kept)
    # A NUL, which no word contains, separates the end of one part from the beginning of the next.
    searched = _ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode()), b"\0".join(parts).lower()).lower()
    known = set(re.findall(rb"[a-z]+", searched))
    for word in words:
        if _WORD.fullmatch(word) and not any(_quoted(run, known, searched) for run in _LETTERS_IN(word)):
            kept.append(word)
        elif kept[-1:] != [_CUT]:
            kept.append(_CUT)
    text = " ".join(kept)
    # Words that quote nothing alone may do so side by side, or with the spaces of the surrounding sentence.
    if any(run in searched for run in _runs(f" {text} ".lower().encode())):
        return code if code in CODES else ""
    return text


def is_reply(error: BaseException) -> bool:
    """Whether the text of an error comes from a server, not from redis-py, the system or the connector."""
    if getattr(error, "own_words", False):
        return False
    replies = redis_errors.ResponseError | redis_errors.InvalidResponse
    return isinstance(error, replies) or getattr(error, "status_code", None) is not None


def reply_of(error: BaseException) -> str:
    """Return the whole reply from which redis-py made `error`."""
    # redis-py stores the code of some replies separately.
    code = getattr(error, "status_code", None)
    return f"{code} {error}" if code else str(error)


def reply_code(error: BaseException) -> str:
    """Return the code with which a reply begins, empty if it is not one of `CODES`."""
    code = reply_of(error).split(" ", 1)[0]
    return code if code in CODES else ""


def redact(error: BaseException | None) -> None:
    """Reduce the replies among `error` and its causes to their codes, in case a Python traceback is printed."""
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        if is_reply(error):
            error.args = (reply_code(error),)
        error = error.__cause__ or error.__context__


def _quoted(run: str, words: set[bytes], searched: bytes) -> bool:
    """Return whether a run of letters may be quoted from what was sent."""
    letters = run.lower().encode()
    if len(letters) <= _SHORT:
        return letters in words
    return bool(_HEXADECIMAL.fullmatch(run)) or any(each in searched for each in _runs(letters))


def _runs(text: bytes) -> Iterator[bytes]:
    """Yield all runs of six characters in a text; a shorter text itself."""
    return (text[at : at + _RUN] for at in range(max(len(text) - _RUN, 0) + 1))
