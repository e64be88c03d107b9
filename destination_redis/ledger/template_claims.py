"""The claims of templates: a stream with a template of its own claims it before its ledger first says so.

Two streams whose keys could be the same would remove each other's records. So every sync compares the keys of its
streams with each other, and with the templates that other connections claimed. The claim of a stream that has no ledger
is void. For that, a sync with a new ledger always writes its claims: it may have been taken for void a moment ago.

A search index over the keys of a template covers all keys that begin like them. So the stream claims these, too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.errors import config_error
from destination_redis.keys.shapes import OWN_KEYS, REST, KeyShape, Shapes, beginning_with, shape_of, shape_text
from destination_redis.keys.templates import KEY, RECORD_KEY
from destination_redis.ledger.lease import StreamLease
from destination_redis.ledger.ledger import Ledger
from destination_redis.ledger.storage import Storage
from destination_redis.ledger.stored import parse
from destination_redis.ledger.template_registry import Claimed, TemplateRegistry, Texts
from destination_redis.protocol.catalog import COLLECTION, PRIMARY_KEY
from destination_redis.transport.pipeline import Pipeline

#: The owner of the connector's own keys.
_NOBODY = ""

Promote = Callable[[Sequence[StreamLease]], None]


class TemplateClaims:
    """The templates of a sync's streams, whose leases are held."""

    def __init__(
        self, leases: Sequence[StreamLease], pipeline: Pipeline, prefix: str, indexed: Sequence[StreamLease]
    ) -> None:
        """Set the streams; those that are `indexed` have a search index over all keys that begin like their own."""
        self._leases = {lease.keys.base: lease for lease in leases}
        self._registry = TemplateRegistry(pipeline, prefix)
        self._prefix = prefix
        #: What the search indexes cover, by the names of their streams. Only those with a template are claimed.
        self._indexes = {lease.keys.base: _index(lease) for lease in indexed}
        claimed = {lease.keys.base: {_index(lease)} for lease in indexed if lease.stream.template}
        self._ours = {
            base: tuple(sorted(_texts(lease, _storages(lease)) | claimed.get(base, set())))
            for base, lease in self._leases.items()
        }

    def claim(self) -> None:
        """Claim all templates; raises a config error if keys of two streams could be the same."""
        claimed = self._registry.read()
        if not claimed.texts and not any(self._ours.values()):
            return
        tried: dict[str, Texts] = {}
        while True:
            void = self._refuse_meeting(claimed)
            changes = self._changes(claimed) | dict.fromkeys(void, ())
            tried |= changes
            if not changes or self._registry.write(claimed.version, changes):
                break
            claimed = self._registry.read()
        self._refuse_defaults(tried)

    def _changes(self, claimed: Claimed) -> dict[str, Texts]:
        return {
            base: texts
            for base, texts in self._ours.items()
            if texts != claimed.texts.get(base, ()) or (texts and self._leases[base].value.new)
        }

    def _refuse_meeting(self, claimed: Claimed) -> set[str]:
        """Raise a config error if two shapes could meet; return the owners of claims that are void."""
        shapes = [(OWN_KEYS, _NOBODY)]
        for base, lease in self._leases.items():
            shapes += [(shape_of(text), base) for text in self._ours[base]]
            shapes += [(shape, base) for storage in _storages(lease) for shape in _defaults(base, storage)]
        shapes += [(shape_of(text), base) for base, text in self._indexes.items() if text not in self._ours[base]]
        others = {base: texts for base, texts in claimed.texts.items() if base not in self._leases}
        shapes += [(shape_of(text), base) for base, texts in others.items() for text in texts]
        void: set[str] = set()
        for one, other in Shapes(shapes).meeting():
            bases = {one[1], other[1]}
            foreign = bases & others.keys()
            if foreign == bases or bases & void:  # not a matter of this sync
                continue
            if one[0].indexed and other[0].indexed:  # then one index meets the other's template, too
                continue
            gone = {base for base in foreign if not self._registry.hashes([self._ledger(base)])[0]}
            if not gone:
                raise self._refusal(one, other)
            void |= gone
        return void

    def _refuse_defaults(self, claimed: Mapping[str, Texts]) -> None:
        """Raise a config error, and withdraw the claims, if a stream without a template has keys of their shapes.

        Such a stream claims nothing, but its ledger has the name with which the keys begin. Its sync takes the ledger
        first and then reads the claims, so one of two syncs at the same time sees the other.
        """
        shapes = [(base, shape) for base, texts in claimed.items() for shape in map(shape_of, texts)]
        all_streams = self._registry.streams() if any(_anywhere(shape) for _, shape in shapes) else set()
        pairs = [
            (base, shape, other)
            for base, shape in shapes
            for other in ([shape.stream] if shape.stream else all_streams if _anywhere(shape) else ())
            if other not in self._leases
        ]
        others = list(dict.fromkeys(other for _, _, other in pairs))
        ledgers = zip(others, self._registry.hashes([self._ledger(other) for other in others]), strict=True)
        defaults = {other: list(_defaults_in(other, ledger)) for other, ledger in ledgers}
        for base, shape, other in pairs:
            for default in defaults[other]:
                if shape.meets(default):
                    self._release(refused=True)
                    raise self._refusal((shape, base), (default, other))

    def around(self, promote: Promote) -> Promote:
        """Return `promote`, after which the templates of the old records are no longer claimed."""

        def promote_and_release(leases: Sequence[StreamLease]) -> None:
            promote(leases)
            self._release()

        return promote_and_release if any(self._ours.values()) else promote

    def _release(self, *, refused: bool = False) -> None:
        """Give up what this sync claimed and no ledger of it names; if it is `refused`, its search indexes as well."""
        kept = set() if refused else set(self._indexes.values())
        unused = {
            base: set(self._ours[base]) - _texts(lease, list(_stored(lease.value))) - kept
            for base, lease in self._leases.items()
        }
        while True:
            claimed = self._registry.read()
            changes = {
                base: tuple(text for text in claimed.texts[base] if text not in texts)
                for base, texts in unused.items()
                if not texts.isdisjoint(claimed.texts.get(base, ()))
            }
            if not changes or self._registry.write(claimed.version, changes):
                return

    def _refusal(self, one: tuple[KeyShape, str], other: tuple[KeyShape, str]) -> AirbyteTracedException:
        if other[1] == _NOBODY or (other[0].indexed and one[1] != _NOBODY):
            one, other = other, one
        text, name = other[0].text.replace(REST, "*"), self._name(other[1])
        if one[1] == _NOBODY:
            return config_error(
                f"Keys of the stream {name} ({text}) could begin with airbyte:, as the connector's own do: choose "
                "another template"
            )
        if one[0].indexed:
            return config_error(
                f"Keys of the stream {name} ({text}) could begin with {one[0].text.removesuffix(REST)}, and the search "
                f"index of the stream {self._name(one[1])} covers all such keys: choose a record_key that begins with "
                "other text, or turn search_index off"
            )
        return config_error(
            f"Keys of the streams {self._name(one[1])} ({one[0].text}) and {name} ({text}) could be the same: choose "
            "another template for one of them, or another key_prefix"
        )

    def _name(self, base: str) -> str:
        return str(self._leases[base].stream) if base in self._leases else base

    def _ledger(self, base: str) -> bytes:
        return f"{self._prefix}airbyte:{{{self._prefix}{base}}}".encode()


def _storages(lease: StreamLease) -> list[Storage]:
    """Return every storage of a stream's records: of this sync, and of those that its ledger names."""
    return [lease.wanted, *_stored(lease.value)]


def _stored(ledger: Ledger) -> Iterator[Storage]:
    if not ledger.new:
        yield ledger.live.storage
    if ledger.staged:
        yield ledger.staged.storage


def _index(lease: StreamLease) -> str:
    """Return what the search index of a stream covers, by the template of this sync."""
    return lease.keys.expanded(lease.stream.template or RECORD_KEY).partition(KEY)[0] + REST


def _anywhere(shape: KeyShape) -> bool:
    """Return whether these keys could be those of any stream without a template.

    With two parts they could not: a counter or a collection is of another type than a record, or has no record's id.
    """
    return not shape.stream and (shape.open or len(shape.segments) > 2)


def _texts(lease: StreamLease, storages: Sequence[Storage]) -> set[str]:
    """Return the templates of a stream that are not the default, with its names put in."""
    templates = [(storage.template, storage.key_parts) for storage in storages]
    if dropped := lease.value.dropped:
        templates.append((dropped.template, dropped.key_parts))
    return {shape_text(lease.keys.expanded(template), parts or 1) for template, parts in templates if template}


def _defaults(base: str, storage: Storage) -> Iterator[KeyShape]:
    """Yield the shapes of a stream's keys without a template: of its records, and of its counter or collection."""
    if storage.template:
        return
    yield shape_of(base)
    if storage.key_parts is None:
        yield beginning_with(f"{base}:")
    elif storage.placement != COLLECTION:
        yield shape_of(shape_text(f"{base}:{KEY}", storage.key_parts))


def _defaults_in(base: str, stored: Sequence[bytes]) -> Iterator[KeyShape]:
    """Yield the same for the ledger of another connection; if its first sync has just begun, all that it could use."""
    ledger = parse(stored, b"")
    for storage in _stored(ledger):
        yield from _defaults(base, storage)
    writer = dict(zip(stored[::2], stored[1::2], strict=True)).get(b"writer")
    if ledger.new and writer:
        yield from _defaults(base, Storage(PRIMARY_KEY))
