"""The shapes of keys: which templates could give the same key.

A part of a key never holds a colon of its own. So every key of one template has the same number of segments between
colons, and a segment is either constant, or any text between a beginning and an end. Two shapes could meet if they have
the same number of segments, and each segment of one could be that of the other.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations_with_replacement
from typing import Generic, NamedTuple, TypeVar

from destination_redis.keys.templates import KEY

Owner = TypeVar("Owner", bound=Hashable)

#: A constant segment; or the beginning and the end of one that varies.
Segment = str | tuple[str, str]


@dataclass(frozen=True, slots=True)
class KeyShape:
    """The segments of keys, without the key prefix; `open` shapes may have any segments after these."""

    segments: tuple[Segment, ...]
    open: bool = False
    #: As messages show it.
    text: str = field(default="", compare=False)

    @property
    def constants(self) -> tuple[int, ...]:
        """The numbers of the segments that do not vary."""
        return tuple(number for number, segment in enumerate(self.segments) if isinstance(segment, str))

    @property
    def indexed(self) -> bool:
        """Whether these are the keys that a search index covers."""
        return self.text.endswith(REST)

    @property
    def stream(self) -> str:
        """The stream with whose names these keys begin, as its counter is called; empty if the beginning varies."""
        names = [segment for segment in self.segments[:2] if isinstance(segment, str)]
        return ":".join(names) if len(names) == 2 else ""

    def meets(self, other: "KeyShape") -> bool:
        """Return whether a key could be of both shapes."""
        here, there = len(self.segments), len(other.segments)
        if (here < there and not self.open) or (there < here and not other.open):
            return False
        return all(map(_meet, self.segments, other.segments))


#: Ends the text of a search index, which covers all keys that begin with what precedes it. No template has it.
REST = "{*}"
#: The keys of the connector's own.
OWN_KEYS = KeyShape(("airbyte", ("", "")), open=True, text="airbyte:")


def shape_text(expanded: str, parts: int) -> str:
    """Return an expanded template in which a primary key of several parts is written as that many keys."""
    return expanded.replace(KEY, ":".join([KEY] * parts))


def shape_of(text: str) -> KeyShape:
    """Return the shape of an expanded template, with `KEY` for each part of a primary key, or of an index's keys."""
    if text.endswith(REST):
        return replace(beginning_with(text.removesuffix(REST)), text=text)
    return KeyShape(tuple(map(_segment, text.split(":"))), text=text)


def beginning_with(head: str) -> KeyShape:
    """Return the shape of all keys that begin with `head`."""
    *whole, last = head.split(":")
    return KeyShape((*whole, (last, "")), open=True, text=f"{head}*")


class _Form(NamedTuple):
    """What shapes are grouped by."""

    size: int
    constants: tuple[int, ...]
    open: bool


class Shapes(Generic[Owner]):
    """The shapes of several owners, arranged so that few pairs have to be compared."""

    def __init__(self, shapes: Iterable[tuple[KeyShape, Owner]]) -> None:
        """Set the shapes; one owner may have several, which may be the same."""
        self._groups: dict[_Form, list[tuple[KeyShape, Owner]]] = defaultdict(list)
        for shape, owner in shapes:
            self._groups[_Form(len(shape.segments), shape.constants, shape.open)].append((shape, owner))

    def meeting(self) -> Iterator[tuple[tuple[KeyShape, Owner], tuple[KeyShape, Owner]]]:
        """Yield the pairs of shapes that could meet and have different owners, each with its owner."""
        for one, other in self._pairs():
            if one[1] != other[1] and one[0].meets(other[0]):
                yield one, other

    def _pairs(self) -> Iterator[tuple[tuple[KeyShape, Owner], tuple[KeyShape, Owner]]]:
        for form, another in combinations_with_replacement(self._groups, 2):
            short, long = sorted((form, another))
            if short.size < long.size and not short.open:
                continue
            # Only shapes with the same text in all segments that are constant in both could meet.
            both = [number for number in form.constants if number in another.constants]
            candidates: dict[tuple[Segment, ...], list[tuple[KeyShape, Owner]]] = defaultdict(list)
            for other in self._groups[another]:
                candidates[_at(other[0].segments, both)].append(other)
            for one in self._groups[form]:
                yield from ((one, other) for other in candidates.get(_at(one[0].segments, both), ()))


def _segment(text: str) -> Segment:
    before, found, after = text.partition(KEY)
    return (before, after) if found else text


def _at(segments: Sequence[Segment], numbers: Sequence[int]) -> tuple[Segment, ...]:
    return tuple(segments[number] for number in numbers)


def _meet(one: Segment, other: Segment) -> bool:
    if isinstance(one, str):
        return one == other if isinstance(other, str) else _fits(one, *other)
    if isinstance(other, str):
        return _fits(other, *one)
    (head, tail), (other_head, other_tail) = one, other
    begins = head.startswith(other_head) or other_head.startswith(head)
    return begins and (tail.endswith(other_tail) or other_tail.endswith(tail))


def _fits(constant: str, head: str, tail: str) -> bool:
    return len(constant) >= len(head) + len(tail) and constant.startswith(head) and constant.endswith(tail)
