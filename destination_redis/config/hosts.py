"""Hosts in the settings: validation that rejects pasted URLs, ports and the like."""

import ipaddress
import re
from collections.abc import Sequence

from pydantic_core import PydanticCustomError

HOST_PORT = r"^\S+:[0-9]{1,5}$"
_PORTS = range(1, 65536)
_QUOTATION_MARKS = "\"'`\u2018\u2019\u201c\u201d"


def host(text: str) -> str:
    """Return a server's host, or the path of its Unix socket, unchanged; raises pydantic's error if there is more."""
    if re.match(r"(unix|file):/", text, re.IGNORECASE):
        raise _error("Input should be only the path of the Unix socket, which begins with /")
    return text if text.startswith("/") else remote_host(text)


def remote_host(text: str) -> str:
    """Do as `host`, but reject Unix sockets."""
    surplus, rest = _surplus(text)
    if "[" in rest or "]" in rest:
        surplus.append("brackets")
        rest = re.sub(r"^\[([^]]*)\]?$", r"\1", rest)
    if ":" in rest and not _is_address(rest):
        surplus.append("a port")
    if surplus:
        raise _error(f"Input should be only a host name or an address, without {_listed(surplus)}")
    return _named(text)


def node(text: str) -> str:
    """Return a node's "host:port" unchanged; raises pydantic's error if there is more."""
    surplus, rest = _surplus(text)
    if surplus:
        raise _error(f"Input should be only host:port, without {_listed(surplus)}")
    if not re.fullmatch(HOST_PORT, rest):
        raise _error("Input should be host:port")
    name, _, port = rest.rpartition(":")
    if int(port) not in _PORTS:
        raise _error("Input should be host:port with a port from 1 to 65535")
    if ":" in (name := name.removeprefix("[").removesuffix("]")) and not _is_address(name):
        raise _error("Input should be host:port with one port")
    _named(name)
    return text


def _surplus(text: str) -> tuple[list[str], str]:
    """Return the kinds of surplus parts, never the parts themselves, which may hold a password; and the rest."""
    surplus = []
    if any(each.isspace() for each in text):
        surplus.append("whitespace")
        text = "".join(text.split())
    if set(text) & set(_QUOTATION_MARKS):
        surplus.append("quotation marks")
        text = text.strip(_QUOTATION_MARKS)
    if scheme := re.match(r"[A-Za-z][A-Za-z0-9+.-]*:/+", text):
        surplus.append("a scheme")
        text = text[scheme.end() :]
    before, found, after = text.rpartition("@")
    if found:
        surplus.append("a user or a password" if before else "an @")
        text = after
    if parts := re.match(r"([^/?#\\]*)[/?#\\]", text):
        surplus.append("a path")
        text = parts[1]
    if "," in text or ";" in text:
        surplus.append("additional hosts")
        text = re.split("[,;]", text)[0]
    return surplus, text


def _listed(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _named(text: str) -> str:
    try:
        text.encode("idna")  # as a DNS lookup does
    except UnicodeError:
        text = "\0"
    if "\0" in text:
        raise _error("Input should be a host name or an address")
    return text


def _error(text: str) -> PydanticCustomError:
    return PydanticCustomError("host", "{text}", {"text": text})
