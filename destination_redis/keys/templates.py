"""The templates of keys: as text in the settings, expanded for a stream, and matched against keys.

A template is text with ``{namespace}``, ``{stream}`` and ``{key}``, the primary key. What is put in is escaped, and so
has no ``:``, ``{`` or ``}`` of its own; the text around it stays as it is.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

#: The default templates of a record's key, and of the key of a collection.
RECORD_KEY = "{namespace}:{stream}:{key}"
COLLECTION_KEY = "{namespace}:{stream}"
#: Stands for the primary key or, in an expanded template, for each of its parts.
KEY = "{key}"

_PLACEHOLDER = re.compile(r"\{(?:namespace|stream|key)\}")
_GLOB = str.maketrans({character: f"\\{character}" for character in "\\*?[]^-"})

Item = TypeVar("Item")


def why_no_record_key(text: str) -> str | None:
    """Return why `text` is no template for the keys of records, None if it is one."""
    return _why_not(text) or (None if text.count(KEY) == 1 else f"Input should contain {KEY} exactly once")


def why_no_collection_key(text: str) -> str | None:
    """Return why `text` is no template for the key of a collection, None if it is one."""
    return _why_not(text) or (f"Input should not contain {KEY}" if KEY in text else None)


def _why_not(text: str) -> str | None:
    if not text:
        return "Input should not be empty"
    if re.search("[{}]", _PLACEHOLDER.sub("", text)):
        return "Input should have no braces but those of {namespace}, {stream} and {key}"
    if any(text.count(each) > 1 for each in ("{namespace}", "{stream}")):
        return "Input should contain {namespace} and {stream} at most once each"
    return None


def expand(text: str, namespace: str, stream: str) -> str:
    """Return a template with a stream's names put in, which are escaped."""
    return text.replace("{namespace}", namespace).replace("{stream}", stream)


@dataclass(frozen=True, slots=True)
class KeyTemplate:
    """Keys that differ only in the record's part, which is between `head` and `tail`.

    The part is a sequential id, or a primary key of so many `parts`, separated by colons; None is for any number.
    """

    head: bytes
    tail: bytes = b""
    parts: int | None = None

    def key(self, part: bytes) -> bytes:
        """Return the key of a record."""
        return self.head + part + self.tail

    def packer(self) -> Callable[[bytes], bytes]:
        """Return a function from a record's part to its key, packed as an argument."""
        head, tail = self.head.replace(b"%", b"%%"), self.tail.replace(b"%", b"%%")
        text, size = b"$%%d\r\n%b%%b%b\r\n" % (head, tail), len(self.head) + len(self.tail)
        return lambda part: text % (size + len(part), part)

    def part(self, key: bytes) -> bytes | None:
        """Return the record's part of `key`, or None if `key` has another form."""
        head, tail = self.head, self.tail
        if len(key) < len(head) + len(tail) or not (key.startswith(head) and key.endswith(tail)):
            return None
        part = key[len(head) : len(key) - len(tail)]
        if any(byte in b"{}" for byte in part) or self.parts not in (None, part.count(b":") + 1):
            return None
        return part

    @property
    def pattern(self) -> bytes:
        """The SCAN pattern of these keys, with glob characters escaped."""
        head, tail = (text.decode().translate(_GLOB) for text in (self.head, self.tail))
        return f"{head}*{tail}".encode()


class Matcher(Generic[Item]):
    """Finds the templates that a key matches; one template may begin like another."""

    def __init__(self, places: Iterable[tuple[KeyTemplate, Item]]) -> None:
        """Set the templates, each with what it stands for."""
        self._by_head: dict[bytes, list[tuple[KeyTemplate, Item]]] = {}
        for template, item in places:
            self._by_head.setdefault(template.head, []).append((template, item))
        self._lengths = sorted({len(head) for head in self._by_head})

    def match(self, key: bytes) -> Iterator[tuple[Item, bytes]]:
        """Yield what each matching template stands for, with the record's part of the key."""
        for length in self._lengths:
            for template, item in self._by_head.get(key[:length], ()):
                if (part := template.part(key)) is not None:
                    yield item, part
