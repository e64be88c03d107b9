"""A small sync of one mode and data type: what its source sends, and what is there at any instant and in the end."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from redis import Redis

from destination_redis.caches import CACHES
from integration_tests.support.data_types import (
    COLLECTED,
    FOLDING,
    HASH,
    SHAPES,
    UPSERTING,
    Shape,
    cache,
    settings_for,
    storable,
)
from integration_tests.support.expiries import BY_TTL, END, FOREVER, OWN, TTL, expiry
from integration_tests.support.messages import COMPLETE, Json, dedup, generation, record, state, stream
from integration_tests.support.stored import elements, ledger, rejected, rows, values

OLD = [-2, -1]
#: Records that a source sends, with a state after every second one.
RECORDS = 6
#: (primary key, cursor, whether it is deleted) of each record in append_dedup, the older ones late.
CHANGES = [("a", 1, False), ("b", 1, False), ("a", 1, False), ("b", 2, True), ("c", 3, False), ("a", 0, False)]
OLD_ROWS = [("b", 0, False), ("c", 0, False), ("z", 9, False)]

#: The expiry of each record, where it has its own; None for one that is past, which in append_dedup is a deletion.
EXPIRIES = {-3: FOREVER, -2: OWN, -1: BY_TTL, 1: OWN, 2: BY_TTL, 3: None, 4: FOREVER, 5: OWN, 6: BY_TTL}
_ENDS: dict[str | None, Any] = {OWN: END / 1000, BY_TTL: None, FOREVER: "infinity", None: 1}

#: A record without an element, where that is the "id".
_EMPTY = record(0, data={"id": None})

MODES = ("append", "overwrite", "refresh", "append_dedup", "refresh_dedup")
KEY = "default:users"


@dataclass(frozen=True)
class Scenario:
    """A stream that has old data, and the sync that comes next."""

    mode: str
    shape: Shape
    #: What left the old data, where that is kept in another way.
    was: "Scenario | None" = None
    #: The template of its keys, if it has one of its own.
    template: str = ""
    #: Whether an element is the "id" alone; then records without one come before and after every other record.
    valued: bool = False
    #: Whether every record is followed by one that cannot be stored, and is kept among the rejected ones.
    rejecting: bool = False
    #: Whether every second record is followed by one that the server refuses for its size, which it does not tell.
    refused: bool = False
    #: Whether every record has an expiry of its own.
    expiring: bool = False
    #: Whether a refresh was cancelled: the first records up to a state are staged, and the sync merges them.
    merging: bool = False

    def __str__(self) -> str:
        under = f" under {self.template}" if self.template else ""
        words = {" of a field": self.valued, ", rejecting": self.rejecting, ", refused": self.refused}
        words |= {", expiring": self.expiring, ", merging": self.merging}
        more = "".join(word for word, holds in words.items() if holds)
        return f"{self.mode} {'-'.join(self.shape)}{under}{more}{f', once {self.was}' if self.was else ''}"

    @property
    def collection(self) -> str:
        """The key of a collection."""
        return self.template or KEY

    @property
    def head(self) -> str:
        """What stands before a record's part of its key."""
        return self.template.partition("{key}")[0] if "{key}" in self.template else f"{KEY}:"

    @property
    def upserts(self) -> bool:
        return self.mode.endswith("dedup")

    @property
    def replaces(self) -> bool:
        return self.mode in ("overwrite", "refresh", "refresh_dedup")

    @property
    def may_double(self) -> bool:
        """Whether records come twice of which the source has not heard that they are acknowledged."""
        return not self.upserts and self.shape[0] not in FOLDING

    @property
    def commands(self) -> int:
        """Commands that a sync sends at least."""
        return 21 if self.shape in COLLECTED or not self.replaces else 34

    @property
    def staged(self) -> int:
        """The number of records that a refresh has staged before."""
        return 2 if self.merging else 0

    def streams(self, number: int = 2) -> list[Json]:
        """Return the catalog; with a higher number it is a refresh of what went wrong."""
        made = dedup(schema={}) if self.upserts else stream(mode="overwrite" if self.mode == "overwrite" else "append")
        if self.merging:
            return [made | generation(3, 0, 3)]
        replaces = self.replaces or number > 2
        return [made | generation(number, number if replaces else 0, number)]

    def config(self, port: int) -> Json:
        config = {"host": "127.0.0.1", "port": port, **settings_for(self.shape)}
        if self.template:
            config["record_key" if "{key}" in self.template else "collection_key"] = self.template
        if self.valued:
            config = {"value": "id"} | ({"score": "id"} if self.shape[0] == "sorted_set" else {}) | config
        if self.rejecting:
            config |= {"rejected_records": "keep"}
        if self.refused:
            config |= {"rejected_records": "keep", "username": "airbyte", "password": "password"}
        if self.expiring:
            config |= {"expire_at": "ends", "ttl_seconds": TTL}
        return config

    def before(self) -> tuple[list[Json], list[Json]]:
        """Return the catalog and the messages of the sync that left the old data."""
        old = [self._record(number) for number in (OLD if not self.upserts else range(-len(OLD_ROWS), 0))]
        if self.rejecting:
            old = [*map(_unreadable, OLD), *old, *map(_unreadable, OLD)]
        made = dedup(schema={}) if self.upserts else stream()
        return [made | generation(1, 0, 1)], [*old, state(0), COMPLETE]

    def cancelled(self) -> tuple[list[Json], list[Json]]:
        """Return the catalog and the messages of the refresh that was cancelled."""
        made = dedup(schema={}) if self.upserts else stream()
        first = [self._record(number) for number in range(1, self.staged + 1)]
        return [made | generation(2, 2, 2)], [*first, state(self.staged)]

    def messages(self, after: int = 0) -> list[list[Json]]:
        """Return what a source sends that resumes after so many records, step by step: each but the last has a state.

        The last says that all is complete.
        """
        first = range(max(after, self.staged) + 1, RECORDS + 1, 2)
        steps = [[self._record(n), self._record(n + 1), state(n + 1)] for n in first]
        if self.valued:
            steps = [[each for message in step for each in (_EMPTY, message)] for step in steps]
        if self.rejecting:
            steps = [
                [*step[:-1], _unreadable(n), _unreadable(n + 1), step[-1]] for n, step in zip(first, steps, strict=True)
            ]
            steps = [[step[-2], *step[:-2], step[-1]] for step in steps]
        if self.refused:
            steps = [[*step[:-1], _oversized(n), step[-1]] for n, step in zip(first, steps, strict=True)]
        return [*steps, [COMPLETE]]

    def expected(self, twice: Iterable[int] = (), *, anew: bool = False) -> Any:
        """Return what `found` returns in the end, with so many records doubled; `anew` is for without the old data."""
        if self.upserts:
            return self._rows(RECORDS, anew=anew)
        wanted = [*([] if self.replaces or anew else OLD), *range(1, RECORDS + 1), *twice]
        return sorted(number for number in wanted if not self._past(number))

    def found(self, client: Redis) -> Any:
        """Return what readers find: values, or key -> number of the record."""
        if not self.upserts:
            prefix = self.collection if self.shape in COLLECTED else self.head
            return sorted(values(client, prefix, self.shape))
        return {key: int(value) for key, value in rows(client, self.head, shape=self.shape).items()}

    def steps(self, client: Redis, cursor: int) -> list[str]:
        """Return what is wrong in the middle of a sync of which `cursor` records are acknowledged."""
        wrong = []
        if self.rejecting and (missing := set(range(1, cursor + 1)) - {number for _, number in _rejected(client)}):
            wrong.append(f"acknowledged as rejected and not there: {missing}")
        acknowledged = {number for number in range(1, max(cursor, self.staged) + 1) if not self._past(number)}
        if not self.upserts and (missing := acknowledged - {*self._live(client), *self._staged(client)}):
            wrong.append(f"acknowledged and not there: {missing}")
        wrong += self.expiries(client)
        if self.was:  # in a moment of its promotion it is of both kinds
            return wrong
        live = self.found(client)
        if not self.upserts:
            if self.replaces and not set(OLD) <= set(live) and not set(self.expected()) <= set(live):
                wrong.append(f"a gap in the data: {live}")
        elif not self.replaces:
            wrong += self._behind(live, cursor)
        elif "c" not in live:  # it is of both generations
            wrong.append(f"a gap in the data: {live}")
        return wrong

    def committed(self, client: Redis, cursor: int) -> int:
        """Return the number of the last record that the ledger says is committed, at least `cursor`."""
        held = ledger(client)
        if not self.may_double or "committed" not in held:
            return cursor
        staged = int(held["staged_first"]) > 0
        if self.shape in COLLECTED:
            key = f"airbyte:tmp:{{{self.collection}}}" if staged else self.collection
            there = elements(client, key, self.shape)
            last = held["staged_committed" if staged else "committed"]
            open_ones = int(held.get("sent", last)) - int(last)
            open_ones -= sum(int(number) > int(last) for number in held.get("passed", "").split())
            return max([cursor, *there[: len(there) - open_ones][-1:]])
        covered = int(held["staged_committed" if staged else "committed"])
        # The last id may be one that was passed over.
        keys = [f"airbyte:tmp:{{{KEY}:{at}}}" if staged else f"{KEY}:{at}" for at in (covered, covered - 1)]
        found = list(cache(self.shape).get_all(client, map(str.encode, keys)))
        return max([cursor, *(int(json.loads(each.data)["id"]) for each in found)])

    def untidy(self, client: Redis) -> list[str]:
        """Return what a sync that ended well has left and should not have."""
        held = ledger(client)
        wrong = [f"{name}={held[name]}" for name in ("task", "writer") if held[name] != ""]
        wrong += [f"{name}={held[name]}" for name in ("staged_first", "drop_last", "lost") if held[name] != "0"]
        wrong += [str(key) for key in client.scan_iter() if key.startswith((b"airbyte:tmp:", b"airbyte:watermark:"))]
        others = list(client.scan_iter(f"{self.head}*"))
        if len(others) != (0 if self.shape in COLLECTED else len(self.found(client))):
            wrong.append(f"strays among {others}")
        if self.was and self.was.template != self.template:
            wrong += [f"{key!r} is left" for key in client.scan_iter(f"{self.was.head}*") if not self._may_have(key)]
        if self.was and self.was.shape in COLLECTED and self.was.collection not in (self.collection, KEY):
            wrong += [f"{self.was.collection} is left"] if client.exists(self.was.collection) else []
        if self.template and client.exists(KEY):
            wrong.append("there is a counter")
        if (
            not self.template
            and self.shape not in COLLECTED
            and (counter := client.get(KEY)) != held["committed"].encode()
        ):
            wrong.append(f"the counter says {counter!r}, the ledger {held['committed']}")
        return wrong

    def _may_have(self, key: bytes) -> bool:
        return self.shape not in COLLECTED and key.startswith(self.head.encode())

    def expiries(self, client: Redis) -> list[str]:
        """Return which live records have another expiry than their own."""
        if not self.expiring:
            return []
        found = {}
        for key in client.scan_iter(f"{self.head}*"):
            for one in cache(self.shape).get_all(client, [key]):
                number = int(json.loads(one.data)["value" if self.upserts else "id"])
                found[number] = expiry(client, key)
        return [f"record {number} expires {got}" for number, got in found.items() if got != EXPIRIES[number]]

    def rejected_committed(self, client: Redis, cursor: int) -> list[int]:
        """Return the rejected records after `cursor` that the ledger says are committed."""
        last = int(ledger(client).get("rejected", 0))
        return [number for at, number in _rejected(client) if at <= last and number > cursor]

    def rejections(self, client: Redis, twice: Iterable[int] = ()) -> list[str]:
        """Return what is wrong, in the end, with the rejected records, of which so many may be there twice."""
        if not (self.rejecting or self.refused):
            return []
        if self.refused:
            wanted = sorted([*range(1, RECORDS + 1, 2), *twice])
        else:
            wanted = sorted([*([] if self.replaces else [*OLD, *OLD]), *range(1, RECORDS + 1), *twice])
        found = sorted(number for _, number in _rejected(client))
        return [] if found == wanted else [f"rejected {found}, expected {wanted}"]

    def _record(self, number: int) -> Json:
        message = storable(number)
        if self.upserts:
            key, at, deleted = CHANGES[number - 1] if number > 0 else OLD_ROWS[number]
            message["record"]["data"] = {"id": key, "at": at, "value": number}
            if deleted:
                message["record"]["data"]["_ab_cdc_deleted_at"] = "now"
        if self.expiring:
            message["record"]["data"]["ends"] = _ENDS[EXPIRIES[number]]
        return message

    def _past(self, number: int) -> bool:
        """Return whether a record expires at once."""
        return self.expiring and EXPIRIES[number] is None

    def _rows(self, last: int, *, anew: bool = False) -> dict[str, int]:
        """Return key -> number once the first records, up to `last`, are in."""
        held = (
            {}
            if self.replaces or anew
            else {key: (at, i - len(OLD_ROWS), False) for i, (key, at, _) in enumerate(OLD_ROWS)}
        )
        for number, (key, at, deleted) in enumerate(CHANGES[:last], 1):
            change = (at, number, deleted or self._past(number))
            held[key] = max(held.get(key, change), change)
        return {key: number for key, (_, number, deleted) in held.items() if not deleted}

    def _behind(self, live: dict[str, int], cursor: int) -> list[str]:
        least = self._rows(cursor)
        states = [self._rows(last) for last in range(cursor, RECORDS + 1)]
        keys = {*least, *live}
        return [
            f"row {key} is {live.get(key)}, acknowledged was {least.get(key)}"
            for key in sorted(keys)
            if live.get(key) not in [each.get(key) for each in states]
        ]

    def _live(self, client: Redis) -> list[int]:
        """Return the numbers of live records of this kind, whatever else there is."""
        if self.shape in COLLECTED:
            return elements(client, self.collection, self.shape)
        found = cache(self.shape).get_all(client, list(client.scan_iter(f"{KEY}:*")))
        return [int(number) for each in found if str(number := json.loads(each.data)["id"]).lstrip("-").isdigit()]

    def _staged(self, client: Redis) -> list[int]:
        held = ledger(client)
        if not held.get("staged_first") or held["staged_first"] == "0":
            return []
        if self.shape in COLLECTED:
            return elements(client, f"airbyte:tmp:{{{self.collection}}}", self.shape)
        keys = [
            f"airbyte:tmp:{{{KEY}:{number}}}".encode()
            for number in range(int(held["staged_first"]), int(held["staged_committed"]) + 1)
        ]
        return [int(json.loads(each.data)["id"]) for each in cache(self.shape).get_all(client, keys)]


def _unreadable(number: int) -> Json:
    """Return a record that cannot be stored in columns, by primary key, or as an element of a field."""
    return record(0, data=number)


def _oversized(number: int) -> Json:
    """Return a record of more than one megabyte; each is smaller than the last one."""
    return record(number, data={"id": "large", "at": 9, "value": number, "text": "x" * (1_200_000 - 10_000 * number)})


def _rejected(client: Redis) -> list[tuple[int, int]]:
    """Return (its number in the ledger's order, its number) of each rejected record."""
    found = []
    for at, entry in rejected(client):
        number = re.search(r'^(-?\d+)$|"value": (\d+)', entry["_airbyte_data"])
        assert number
        found.append((int(at.rpartition("-")[2]), int(number[1] or number[2])))
    return found


_LIST: Shape = ("list", "envelope")
_BITMAP: Shape = ("bitmap", "columns")
_HYPERLOGLOG: Shape = ("hyperloglog", "columns")
#: Data types whose elements can be a field of each record.
VALUED: list[Shape] = [
    shape for shape in COLLECTED if shape[1] == "columns" and "value" in CACHES[shape[0]].capabilities.settings
]
#: A refresh is the only sync that may change how records are kept.
CHANGES_OF_KIND = [
    Scenario("refresh", _LIST, was=Scenario("append", HASH)),
    Scenario("refresh", HASH, was=Scenario("append", _LIST)),
    Scenario("refresh", HASH, was=Scenario("append_dedup", HASH)),
    Scenario("refresh", ("stream", "columns"), was=Scenario("append_dedup", ("string", "envelope"))),
    Scenario("refresh", ("set", "columns"), was=Scenario("append", _LIST)),
    Scenario("refresh", ("list", "columns"), was=Scenario("append", ("list", "columns")), valued=True),
    Scenario("refresh_dedup", HASH, was=Scenario("append", HASH)),
    Scenario("refresh_dedup", ("string", "envelope"), was=Scenario("append", ("sorted_set", "columns"))),
    Scenario("refresh", ("geo", "columns"), was=Scenario("append", ("sorted_set", "columns"))),
]
#: The same with a collection that is a string, as a counter is.
CHANGES_OF_STRINGS = [
    Scenario("refresh", _BITMAP, was=Scenario("append", HASH)),
    Scenario("refresh", HASH, was=Scenario("append", _BITMAP)),
    Scenario("refresh", _HYPERLOGLOG, was=Scenario("append_dedup", HASH)),
    Scenario("refresh_dedup", HASH, was=Scenario("append", _HYPERLOGLOG)),
    Scenario("overwrite", _BITMAP, was=Scenario("append", _LIST)),
    Scenario("overwrite", _LIST, was=Scenario("append", _BITMAP)),
    Scenario("refresh", _HYPERLOGLOG, was=Scenario("append", _BITMAP)),
    Scenario("refresh", _BITMAP, was=Scenario("append", _HYPERLOGLOG)),
    Scenario("refresh", HASH, was=Scenario("append", _BITMAP, template="bits")),
    Scenario("refresh", _BITMAP, template="bits", was=Scenario("append", HASH)),
    Scenario("refresh", _BITMAP, template="bits", was=Scenario("append", _BITMAP)),
    Scenario("refresh", _BITMAP, was=Scenario("append", _BITMAP, template="bits")),
]
_USER = "user:{key}"
#: Records under a template of the settings, and refreshes that change the template.
TEMPLATES = [
    Scenario("append_dedup", HASH, template=_USER),
    Scenario("refresh_dedup", ("string", "envelope"), template="row-{key}"),
    Scenario("refresh_dedup", HASH, template=_USER, was=Scenario("append_dedup", HASH)),
    Scenario("refresh_dedup", HASH, was=Scenario("append_dedup", HASH, template=_USER)),
    Scenario("refresh_dedup", HASH, template="u:{key}", was=Scenario("append_dedup", HASH, template=_USER)),
    Scenario("refresh_dedup", HASH, template=_USER, was=Scenario("append", _LIST)),
    Scenario("refresh", HASH, was=Scenario("append_dedup", HASH, template=_USER)),
    Scenario("refresh", _LIST, was=Scenario("append_dedup", HASH, template=_USER)),
    Scenario("append", _LIST, template="queue"),
    Scenario("append", ("stream", "columns"), template="queue"),
    Scenario("overwrite", ("sorted_set", "columns"), template="queue"),
    Scenario("refresh", ("set", "columns"), template="queue"),
    Scenario("refresh", _LIST, template="queue", was=Scenario("append", _LIST)),
    Scenario("refresh", _LIST, was=Scenario("append", _LIST, template="queue")),
    Scenario("refresh", _LIST, template="queue:b", was=Scenario("append", _LIST, template="queue:a")),
    Scenario("refresh", _LIST, template="queue", was=Scenario("append", HASH)),
    Scenario("refresh", _LIST, template="queue", was=Scenario("append_dedup", HASH, template=_USER)),
    Scenario("refresh", HASH, was=Scenario("append", _LIST, template="queue")),
    Scenario("refresh_dedup", HASH, template=_USER, was=Scenario("append", _LIST, template="queue")),
    Scenario("refresh", ("geo", "columns"), template="queue", was=Scenario("append", HASH)),
]
_TEXT: Shape = ("string", "envelope")
#: Records with expiries of their own.
EXPIRING = [
    *(Scenario(mode, HASH, expiring=True) for mode in MODES),
    Scenario("append", ("hash", "columns"), expiring=True),
    Scenario("refresh_dedup", _TEXT, template=_USER, expiring=True),
]
#: A cancelled refresh of such records, which the sync merges.
MERGING = [
    Scenario("append", HASH, expiring=True, merging=True),
    Scenario("append_dedup", HASH, expiring=True, merging=True),
    Scenario("append_dedup", _TEXT, template=_USER, expiring=True, merging=True),
]
SCENARIOS = [
    *(Scenario(mode, shape) for mode in MODES for shape in (UPSERTING if mode.endswith("dedup") else SHAPES)),
    *(Scenario(mode, shape, valued=True) for mode in ("append", "overwrite", "refresh") for shape in VALUED),
    *CHANGES_OF_KIND,
    *CHANGES_OF_STRINGS,
    *TEMPLATES,
    *EXPIRING,
]
