"""The templates of keys: which are valid, what they expand to, and that a key can be taken apart again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_redis.keys import KeyTemplate, Matcher, StreamKeys, why_no_collection_key, why_no_record_key

NAMES = st.text(alphabet=":{}%ab*", max_size=3)
PARTS = st.lists(st.sampled_from([b"", b"a", b"7", b"%3A", b"%null", b"cart"]), min_size=1, max_size=3)
LITERALS = st.text(alphabet="ab:%*-", max_size=4)


@pytest.mark.parametrize(
    "text", ["{namespace}:{stream}:{key}", "user:{key}", "{key}", "{stream}{key}x", "{key}{namespace}"]
)
def test_a_record_key_may_leave_out_the_names_and_put_them_in_any_order(text: str) -> None:
    assert why_no_record_key(text) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "Input should not be empty"),
        ("user", "Input should contain {key} exactly once"),
        ("{key}:{key}", "Input should contain {key} exactly once"),
        ("{stream}:{stream}:{key}", "Input should contain {namespace} and {stream} at most once each"),
        ("{id}:{key}", "Input should have no braces but those of {namespace}, {stream} and {key}"),
        ("{{key}}", "Input should have no braces but those of {namespace}, {stream} and {key}"),
        ("{key", "Input should have no braces but those of {namespace}, {stream} and {key}"),
    ],
)
def test_any_other_record_key_is_refused_with_the_reason(text: str, why: str) -> None:
    assert why_no_record_key(text) == why


def test_a_collection_key_has_no_primary_key() -> None:
    assert why_no_collection_key("queue") is None
    assert why_no_collection_key("{stream}") is None
    assert why_no_collection_key("{stream}:{key}") == "Input should not contain {key}"
    assert why_no_collection_key("{stream}:{id}") is not None


def test_a_record_has_the_key_that_its_template_gives_and_its_companions_are_tagged_with_it() -> None:
    data = StreamKeys("shop", "users", "p:").data("user:{key}", 1)
    assert data.live.key(b"7") == b"p:user:7"
    assert data.staged.key(b"7") == b"p:airbyte:tmp:{p:user:7}"
    assert data.tombstone.key(b"7") == b"p:airbyte:tombstone:{p:user:7}"


def test_a_collection_has_the_key_that_its_template_gives() -> None:
    data = StreamKeys("shop", "jobs", "p:").data("queue:{stream}")
    assert (data.collection, data.staged_collection) == (b"p:queue:jobs", b"p:airbyte:tmp:{p:queue:jobs}")


def test_names_are_escaped_in_a_template_and_its_own_text_stays() -> None:
    data = StreamKeys("a:b", "{c}").data("x%:{stream}-{namespace}:{key}", 1)
    assert data.live.key(b"1") == b"x%:%7Bc%7D-a%3Ab:1"
    assert StreamKeys("airbyte", "users").data("{namespace}:{key}").live.key(b"1") == b"%61irbyte:1"


def test_a_stream_whose_name_looks_like_a_placeholder_is_not_taken_for_one() -> None:
    assert (
        StreamKeys("{stream}", "{key}").data("{namespace}:{stream}:{key}").live.key(b"1") == b"%7Bstream%7D:%7Bkey%7D:1"
    )


@pytest.mark.parametrize("key", [b"user:42:cart", b"user:", b"users:42", b"user", b"user:{42}", b"x:user:42"])
def test_a_key_of_an_application_that_looks_alike_is_not_a_records(key: bytes) -> None:
    template = StreamKeys("", "users").data("user:{key}", 1).live
    assert template.part(key) == (b"" if key == b"user:" else None)


@given(NAMES, NAMES, LITERALS, LITERALS, PARTS)
def test_the_primary_key_can_be_taken_out_of_any_key_again(
    namespace: str, name: str, before: str, after: str, parts: list[bytes]
) -> None:
    data = StreamKeys(namespace, name).data(f"{before}{{stream}}{{key}}{{namespace}}{after}", len(parts))
    part = b":".join(parts)
    for template in (data.live, data.staged, data.tombstone):
        assert template.part(template.key(part)) == part
        assert template.packer()(part) == b"$%d\r\n%b\r\n" % (len(template.key(part)), template.key(part))


def test_glob_characters_of_a_template_are_escaped_in_its_pattern() -> None:
    assert StreamKeys("", "a*").data("[u]:{stream}?{key}^").live.pattern == rb"\[u\]:a\*\?*\^"


def test_a_key_is_matched_by_every_template_not_only_the_first_that_begins_like_it() -> None:
    users, carts, all_of = KeyTemplate(b"user:", parts=1), KeyTemplate(b"user:", b":cart", 1), KeyTemplate(b"us")
    matcher = Matcher([(users, "users"), (carts, "carts"), (all_of, "all")])
    assert list(matcher.match(b"user:7")) == [("all", b"er:7"), ("users", b"7")]
    assert list(matcher.match(b"user:7:cart")) == [("all", b"er:7:cart"), ("carts", b"7")]
    assert list(matcher.match(b"other")) == []


def test_a_stream_owns_the_keys_of_its_template_and_no_others() -> None:
    data = StreamKeys("shop", "users").data("user:{key}", 1)
    for key in (b"user:7", b"airbyte:tmp:{user:7}", b"airbyte:tombstone:{user:7}"):
        assert data.owns(key)
    for key in (b"user:7:cart", b"shop:users:7", b"airbyte:tmp:{user:7:cart}", b"airbyte:{shop:users}"):
        assert not data.owns(key)
