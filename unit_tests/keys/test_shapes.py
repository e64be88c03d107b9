"""The shapes of keys: templates that are accepted never give the same key, and those that are refused can."""

from itertools import product

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from destination_redis.keys import RECORD_KEY, StreamKeys, escape, templates, why_no_record_key
from destination_redis.keys.shapes import (
    OWN_KEYS,
    REST,
    KeyShape,
    Segment,
    Shapes,
    beginning_with,
    shape_of,
    shape_text,
)

#: Templates, names and values of so few characters meet each other far more often than longer ones do.
TEMPLATES = st.tuples(
    st.lists(st.sampled_from(["a", "b", ":", "{namespace}", "{stream}"]), max_size=4),
    st.lists(st.sampled_from(["a", "b", ":", "{namespace}", "{stream}"]), max_size=3),
).map(lambda both: f"{''.join(both[0])}{{key}}{''.join(both[1])}")
VALUES = ["".join(letters) for size in range(4) for letters in product("a:", repeat=size)]


@st.composite
def _streams(draw: st.DrawFn, names: tuple[str, ...] = ("", "a", "b", "a:", ":")) -> tuple[StreamKeys, str, int]:
    template = draw(st.one_of(TEMPLATES.filter(lambda text: why_no_record_key(text) is None), st.just(RECORD_KEY)))
    keys = StreamKeys(draw(st.sampled_from(names)), draw(st.sampled_from(names)))
    return keys, template, draw(st.integers(1, 2))


def shape(keys: StreamKeys, template: str, parts: int) -> KeyShape:
    return shape_of(shape_text(keys.expanded(template), parts))


def both(one: Segment, other: Segment) -> str:
    """Return a segment that both could be."""
    if isinstance(one, str) or isinstance(other, str):
        return one if isinstance(one, str) else str(other)
    return max(one[0], other[0], key=len) + max(one[1], other[1], key=len)


def every_key(keys: StreamKeys, template: str, parts: int, values: list[str]) -> set[bytes]:
    live = keys.data(template, parts).live
    return {live.key(":".join(map(escape, some)).encode()) for some in product(values, repeat=parts)}


@given(_streams(), _streams())
@example((StreamKeys("", "a"), "{stream}{key}", 1), (StreamKeys("", ""), "{stream}{key}a", 1))
@example((StreamKeys("", "a"), "a:{key}", 1), (StreamKeys("", "b"), "{key}:a", 1))
def test_streams_whose_templates_are_accepted_never_share_a_key(
    one: tuple[StreamKeys, str, int], other: tuple[StreamKeys, str, int]
) -> None:
    if not shape(*one).meets(shape(*other)):
        assert not every_key(*one, VALUES) & every_key(*other, VALUES)


@given(_streams(("", "a")), _streams(("", "a")))
@settings(max_examples=300)
def test_streams_whose_templates_are_refused_could_share_a_key(
    one: tuple[StreamKeys, str, int], other: tuple[StreamKeys, str, int]
) -> None:
    shapes = shape(*one), shape(*other)
    if not shapes[0].meets(shapes[1]):
        return
    common = ":".join(map(both, shapes[0].segments, shapes[1].segments)).encode()
    for keys, template, parts in (one, other):
        assert keys.data(template, parts).live.part(common) is not None


@given(_streams(("airbyte", "", "a")), st.sampled_from(["", "p:"]))
def test_a_template_that_is_accepted_reaches_no_key_of_the_connectors_own(
    one: tuple[StreamKeys, str, int], prefix: str
) -> None:
    names, template, parts = one
    keys = StreamKeys(names.namespace, names.name, prefix)
    reached = any(
        key.removeprefix(prefix.encode()).startswith(b"airbyte:")
        for key in every_key(keys, template, parts, ["airbyte", "", "a", "byte"])
    )
    assert not reached or shape(keys, template, parts).meets(OWN_KEYS)


@given(_streams(), st.sampled_from(["a", "a:", "b:a", "ab:", "a:b:", ""]))
def test_no_key_of_an_accepted_template_begins_like_the_keys_of_a_search_index(
    one: tuple[StreamKeys, str, int], head: str
) -> None:
    begin = any(key.startswith(head.encode()) for key in every_key(*one, VALUES))
    assert not begin or shape(*one).meets(beginning_with(head))


@given(_streams(), _streams())
def test_an_index_that_meets_another_one_meets_the_keys_of_a_template(
    one: tuple[StreamKeys, str, int], other: tuple[StreamKeys, str, int]
) -> None:
    indexes = [shape_of(keys.expanded(text).partition(templates.KEY)[0] + REST) for keys, text, _ in (one, other)]
    if indexes[0].meets(indexes[1]):
        assert indexes[0].meets(shape(*other)) or indexes[1].meets(shape(*one))


def test_what_an_index_covers_is_written_as_no_template_is() -> None:
    assert shape_of("user:{*}") == beginning_with("user:")
    assert shape_of("user:{*}").indexed
    assert not beginning_with("user:").indexed
    assert why_no_record_key("user:{key}{*}") is not None
    assert not shape_of("user:*").open


@given(st.lists(_streams(), max_size=8), st.booleans(), st.lists(st.sampled_from(["", "a", "a:", ":b:a"]), max_size=3))
def test_all_pairs_are_found_without_comparing_each_with_each(
    streams: list[tuple[StreamKeys, str, int]], own: bool, heads: list[str]
) -> None:
    shapes = [(shape(*one), number) for number, one in enumerate(streams)]
    shapes += [(beginning_with(head), len(shapes) + number) for number, head in enumerate(heads)]
    shapes += [(OWN_KEYS, -1)] if own else []
    expected = {frozenset({a, b}) for one, a in shapes for other, b in shapes if a < b and one.meets(other)}
    assert {frozenset({one[1], other[1]}) for one, other in Shapes(shapes).meeting()} == expected


def test_shapes_of_one_owner_may_meet() -> None:
    old, new = shape_of("user:{key}"), shape_of("{key}:user")
    assert list(Shapes([(old, "users"), (new, "users")]).meeting()) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("user:{key}", "user:{key}"),
        ("user:{key}", "user:7"),
        ("{key}", "counter"),
        ("user:{key}", "{key}:cart"),
        ("u{key}:cart", "{key}ser:cart"),
        ("user:{key}:{key}", "user:{key}:cart"),
    ],
)
def test_templates_that_could_meet(one: str, other: str) -> None:
    assert shape_of(one).meets(shape_of(other))
    assert shape_of(other).meets(shape_of(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("user:{key}", "user:{key}:cart"),
        ("user:{key}", "cart:{key}"),
        ("user:{key}:a", "user:{key}:b"),
        ("user-{key}", "users"),
        ("aa{key}aa", "aaa"),
    ],
)
def test_templates_that_never_meet(one: str, other: str) -> None:
    assert not shape_of(one).meets(shape_of(other))
    assert not shape_of(other).meets(shape_of(one))


def test_thousands_of_streams_under_one_template_are_compared_in_a_moment() -> None:
    shapes = [(shape_of(f"s{number}:{{key}}"), number) for number in range(5_000)]
    shapes += [(shape_of(f"default:s{number}"), number) for number in range(5_000)]
    shapes += [(beginning_with(f"s{number}:"), number) for number in range(5_000)]
    assert list(Shapes([*shapes, (OWN_KEYS, -1)]).meeting()) == []
