"""Raw replies in which a server reports about itself, and tolerant parsers for them.

Other servers leave values empty, or have words where Redis has numbers. What cannot be read counts as missing, so
none of these replies goes through redis-py's parsers, which raise on some of them.
"""

from collections.abc import Iterator, Mapping

from redis import Redis
from redis import exceptions as redis_errors

from destination_redis.connection.refusals import closed, closed_at, name_of

#: No valid number has this many digits.
_DIGITS = 20
#: A connection whose id and address the server does not report.
UNTOLD = ("", "")


def ask(client: Redis, *command: str | bytes | int) -> object:
    """Return the raw reply to one command, sent on a connection of the client's pool; raises redis-py's errors.

    If the connection is closed instead of a reply, the error is a ClosedAtCommandError.
    """
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        connection.send_command(*command, check_health=False)
        return connection.read_response()
    except redis_errors.ResponseError:
        raise
    except Exception as error:
        connection.disconnect()
        if closed(error):
            raise closed_at(name_of(*command)) from error
        raise
    except BaseException:
        connection.disconnect()
        raise
    finally:
        pool.release(connection)


def lines(reply: object) -> Iterator[str]:
    """Yield the lines of a text reply; nothing for any other reply."""
    if isinstance(reply, bytes):
        yield from reply.decode(errors="replace").splitlines()


def info(reply: object) -> Mapping[str, str]:
    """Return the fields of INFO."""
    pairs = (line.partition(":") for line in lines(reply))
    return {name: value.strip() for name, _, value in pairs}


def number(text: object) -> int:
    """Return a non-negative number from an integer or text in a reply; 0 if it is not one."""
    if isinstance(text, bytes):
        text = text.decode(errors="replace")
    if isinstance(text, str):
        return int(text) if text.isascii() and text.isdigit() and len(text) < _DIGITS else 0
    return max(text, 0) if isinstance(text, int) else 0


def clients(reply: object) -> Iterator[tuple[str, str]]:
    """Yield the id and address of each connection in CLIENT LIST or CLIENT INFO, UNTOLD if either is missing."""
    for line in lines(reply):
        # A part without a name belongs to the value before it.
        fields: dict[str, str] = {}
        name = ""
        for part in line.split(" "):
            before, found, value = part.partition("=")
            name = before if found else name
            fields[name] = value if found else f"{fields.get(name, '')} {part}"
        own_id, address = fields.get("id", ""), fields.get("addr", "")
        yield (own_id, address) if own_id.isascii() and own_id.isdigit() and address else UNTOLD
