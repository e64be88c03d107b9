"""The names of all keys.

::

    <namespace>:<stream>:<record>            one record
    <namespace>:<stream>                     the last committed id, a plain number; or the collection of all records
    airbyte:{<namespace>:<stream>}           the stream's ledger, a hash
    airbyte:tmp:{<the final key>}            a staged record or collection
    airbyte:tmp:{<the final key>}:1          a part of a collection (or :2), within a script that merges it
    airbyte:tombstone:{<the final key>}      a deletion, kept for a day
    airbyte:templates                        the templates in use, a hash: of each stream that has one
    airbyte:rejected:{<namespace>:<stream>}  records that cannot be stored, a Redis stream
    airbyte:index:{<namespace>:<stream>}:1   a search index (or :2), not a key; its alias is <namespace>:<stream>

``<record>`` is a sequential id, or the primary key: its parts joined by ``:``, null as ``%null``. With a template from
the settings a record or collection has the key that the template gives, and there is no key of the last committed id.
``key_prefix`` precedes each of them, verbatim. In namespaces, stream names and parts of primary keys ``%``, ``:``,
``{`` and ``}`` are percent-encoded, and the namespace ``airbyte`` is written ``%61irbyte``: so a key can be split
again, two streams never share one, and no name interferes with a hash tag or the connector's own keys.
The hash tag of a staged key is its whole final key, so both are in one cluster slot.
"""

import re
from dataclasses import dataclass

import msgspec

from destination_redis.keys.templates import COLLECTION_KEY, KEY, RECORD_KEY, KeyTemplate, expand

DEFAULT_NAMESPACE = "default"

_ESCAPES = str.maketrans({"%": "%25", ":": "%3A", "{": "%7B", "}": "%7D"})
#: Matches JSON text that needs no escapes in a key.
_PLAIN = re.compile(rb'[^"\\%:{}]*').fullmatch
NULL = b"%null"


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
class DataKeys:
    """The keys of a stream's records under one template: final, while staged, and of deletions."""

    live: KeyTemplate
    staged: KeyTemplate
    tombstone: KeyTemplate
    #: The key of a collection of all records, and the one under which it is staged.
    collection: bytes
    staged_collection: bytes

    @property
    def parts(self) -> tuple[bytes, bytes]:
        """Two keys in the slot of the collection for parts of it, which exist within a script only."""
        return b"%b:1" % self.staged_collection, b"%b:2" % self.staged_collection

    def owns(self, key: bytes) -> bool:
        """Return whether a key is of this form."""
        if key in (self.collection, self.staged_collection):
            return True
        return any(template.part(key) is not None for template in (self.live, self.staged, self.tombstone))


@dataclass(frozen=True, slots=True)
class StreamKeys:
    """The keys of one stream; `namespace` is the effective one, possibly ""."""

    namespace: str
    name: str
    prefix: str = ""

    @property
    def base(self) -> str:
        """The escaped names, by which the stream's own keys are called; without the prefix."""
        return self.expanded(COLLECTION_KEY)

    @property
    def counter(self) -> bytes:
        """The key of the last committed id, the same as in the Java connector; with a template there is none."""
        return f"{self.prefix}{self.base}".encode()

    @property
    def ledger(self) -> bytes:
        """The key of the stream's ledger, in the counter's cluster slot."""
        return b"%bairbyte:{%b}" % (self.prefix.encode(), self.counter)

    def data(self, template: str = "", parts: int | None = None) -> DataKeys:
        """Return the keys of records under a template from the settings; "" is for the default.

        `parts` is the number of parts in a record's key, None if it is not known.
        """
        prefix = self.prefix
        head, _, tail = self.expanded(template if KEY in template else RECORD_KEY).partition(KEY)
        own = template and KEY not in template
        collection = f"{prefix}{self.expanded(template if own else COLLECTION_KEY)}".encode()
        start, end = f"{{{prefix}{head}".encode(), f"{tail}}}".encode()
        return DataKeys(
            live=KeyTemplate(f"{prefix}{head}".encode(), tail.encode(), parts),
            staged=KeyTemplate(f"{prefix}airbyte:tmp:".encode() + start, end, parts),
            tombstone=KeyTemplate(f"{prefix}airbyte:tombstone:".encode() + start, end, parts),
            collection=collection,
            staged_collection=staged_key(collection, prefix),
        )

    @property
    def rejected(self) -> bytes:
        """The key of the stream's rejected records, in the ledger's cluster slot."""
        return b"%bairbyte:rejected:{%b}" % (self.prefix.encode(), self.counter)

    def expanded(self, template: str) -> str:
        """Return a template with the stream's names in it, without the prefix."""
        namespace = "%61irbyte" if self.namespace == "airbyte" else escape(self.namespace)
        return expand(template, namespace, escape(self.name))

    def index(self, number: int) -> bytes:
        """Return the name of search index 1 or 2; ACLs treat it as a key."""
        return f"{self.prefix}airbyte:index:{{{self.prefix}{self.base}}}:{number}".encode()


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


def registry_key(prefix: str) -> bytes:
    """Return the key of the hash that has the templates in use."""
    return f"{prefix}airbyte:templates".encode()


def staged_key(key: bytes, prefix: str) -> bytes:
    """Return the key under which `key` is staged."""
    return b"%bairbyte:tmp:{%b}" % (prefix.encode(), key)
