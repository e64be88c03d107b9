"""The names of all keys.

::

    <namespace>:<stream>:<record>            one record
    <namespace>:<stream>                     the last committed id, a plain number; or the collection of all records
    airbyte:{<namespace>:<stream>}           the stream's ledger, a hash
    airbyte:tmp:{<the final key>}            a staged record or collection
    airbyte:tombstone:{<the final key>}      a deletion, kept for a day
    airbyte:index:{<namespace>:<stream>}:1   a search index (or :2), not a key; its alias is <namespace>:<stream>

``<record>`` is a sequential id, or the primary key: its parts joined by ``:``, null as ``%null``.
``key_prefix`` precedes each of them, verbatim. In namespaces, stream names and parts of primary keys ``%``, ``:``,
``{`` and ``}`` are percent-encoded, and the namespace ``airbyte`` is written ``%61irbyte``: so a key can be split
again, two streams never share one, and no name interferes with a hash tag or the connector's own keys.
The hash tag of a staged key is its whole final key, so both are in one cluster slot.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

DEFAULT_NAMESPACE = "default"

_ESCAPES = str.maketrans({"%": "%25", ":": "%3A", "{": "%7B", "}": "%7D"})
#: Matches JSON text that needs no escapes in a key.
_PLAIN = re.compile(rb'[^"\\%:{}]*').fullmatch
NULL = b"%null"
_GLOB = str.maketrans({character: f"\\{character}" for character in "\\*?[]^-"})


def escape(name: str) -> str:
    """Return `name`, escaped for a key."""
    return name.translate(_ESCAPES)


def namespace_in_keys(namespace: str | None, default: str | None, *, in_empty: bool) -> str:
    """Return the namespace in a stream's keys, from its own one and the setting `default_namespace`.

    `in_empty` means that it has keys in the Java connector's empty namespace: without the other two, it stays there.
    """
    if namespace:
        return namespace
    if default is not None:
        return default
    return "" if in_empty else DEFAULT_NAMESPACE


@dataclass(frozen=True, slots=True)
class KeyTemplate:
    """Keys that differ only in the record's part, which is between `head` and `tail`."""

    head: bytes
    tail: bytes = b""

    def key(self, part: bytes) -> bytes:
        """Return the key of a record."""
        return self.head + part + self.tail

    def packer(self) -> Callable[[bytes], bytes]:
        """Return a function from a record's part to its key, packed as an argument."""
        head, tail = self.head.replace(b"%", b"%%"), self.tail.replace(b"%", b"%%")
        text, size = b"$%%d\r\n%b%%b%b\r\n" % (head, tail), len(self.head) + len(self.tail)
        return lambda part: text % (size + len(part), part)

    def part(self, key: bytes, parts: int | None = None) -> bytes | None:
        """Return the record's part of `key`, or None if `key` has another form.

        A primary key of several fields has that many `parts`, separated by colons; None accepts any number.
        """
        head, tail = self.head, self.tail
        if len(key) < len(head) + len(tail) or not (key.startswith(head) and key.endswith(tail)):
            return None
        part = key[len(head) : len(key) - len(tail)]
        if any(byte in b"{}" for byte in part) or parts not in (None, part.count(b":") + 1):
            return None
        return part

    @property
    def pattern(self) -> bytes:
        """The SCAN pattern of these keys, with glob characters escaped."""
        head, tail = (text.decode().translate(_GLOB) for text in (self.head, self.tail))
        return f"{head}*{tail}".encode()


@dataclass(frozen=True, slots=True)
class StreamKeys:
    """The keys of one stream; `namespace` is the effective one, possibly ""."""

    namespace: str
    name: str
    prefix: str = ""

    @property
    def _base(self) -> str:
        namespace = "%61irbyte" if self.namespace == "airbyte" else escape(self.namespace)
        return f"{self.prefix}{namespace}:{escape(self.name)}"

    @property
    def counter(self) -> bytes:
        """The key of the last committed id, the same as in the Java connector."""
        return self._base.encode()

    @property
    def ledger(self) -> bytes:
        """The key of the stream's ledger, in the counter's cluster slot."""
        return f"{self.prefix}airbyte:{{{self._base}}}".encode()

    @property
    def live(self) -> KeyTemplate:
        """The keys of live records."""
        return KeyTemplate(f"{self._base}:".encode())

    @property
    def staged(self) -> KeyTemplate:
        """The keys of staged records."""
        return KeyTemplate(f"{self.prefix}airbyte:tmp:{{{self._base}:".encode(), b"}")

    @property
    def collection(self) -> bytes:
        """The key of a collection of all records: that of the counter, which such a stream does not have."""
        return self.counter

    @property
    def staged_collection(self) -> bytes:
        """The key under which a collection is staged, in the ledger's cluster slot."""
        return f"{self.prefix}airbyte:tmp:{{{self._base}}}".encode()

    @property
    def tombstone(self) -> KeyTemplate:
        """The keys of deletions."""
        return KeyTemplate(f"{self.prefix}airbyte:tombstone:{{{self._base}:".encode(), b"}")

    def owns(self, key: bytes) -> bool:
        """Return whether a key belongs to the stream or to one of its records."""
        if key in (self.counter, self.ledger, self.staged_collection):
            return True
        return any(template.part(key) is not None for template in (self.live, self.staged, self.tombstone))

    def index(self, number: int) -> bytes:
        """Return the name of search index 1 or 2; ACLs treat it as a key."""
        return f"{self.prefix}airbyte:index:{{{self._base}}}:{number}".encode()


def key_part(value: msgspec.Raw) -> bytes:
    """Return a primary key's value as its part of a key: strings escaped, null as `NULL`, others as JSON text."""
    text = bytes(value)
    if text.isdigit():
        return text
    if text[:1] == b'"':
        if _PLAIN(text, 1, len(text) - 1):
            return text[1:-1]
        return escape(msgspec.json.decode(text, type=str)).encode()
    if text == b"null":
        return NULL
    return escape(text.decode()).encode() if text[:1] in b"{[" else text


def check_key(prefix: str, token: str) -> bytes:
    """Return the beginning of the key on which `check` tries commands; `token` makes it unique."""
    return f"{prefix}airbyte:check:{token}:".encode()


def staged_key(key: bytes, prefix: str) -> bytes:
    """Return the key under which `key` is staged."""
    return b"%bairbyte:tmp:{%b}" % (prefix.encode(), key)
