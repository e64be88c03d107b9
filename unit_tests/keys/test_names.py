"""Key names: none is shared, each can be taken apart."""

import re
from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from destination_redis.keys import StreamKeys, check_key, escape, key_part, staged_key

# Short names of the characters that matter meet each other far more often than random text does.
NAMES = st.one_of(
    st.text(alphabet=":{}%ab25", max_size=4),
    st.sampled_from(["", "airbyte", "%61irbyte", "tmp", "airbyte:tmp", "check"]),
    st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12),
)
RECORDS = st.sampled_from([b"1", b"2", b"12"])


def every_key(keys: StreamKeys, record: bytes) -> set[bytes]:
    data = keys.data()
    templates = (data.live, data.staged, data.tombstone)
    return {keys.counter, keys.ledger, keys.rejected, *(template.key(record) for template in templates)}


def hash_tag(key: bytes) -> bytes:
    """Return what a cluster takes the slot from."""
    found = re.search(rb"\{([^}]+)\}", key)
    return found[1] if found else key


def test_a_record_lives_under_namespace_stream_and_id() -> None:
    assert StreamKeys("public", "users").data().live.key(b"7") == b"public:users:7"


def test_the_counter_is_namespace_and_stream() -> None:
    assert StreamKeys("public", "users").counter == b"public:users"


def test_the_ledger_is_the_connectors_own_and_tagged_with_the_counter() -> None:
    assert StreamKeys("public", "users").ledger == b"airbyte:{public:users}"


def test_a_staged_record_is_tagged_with_its_whole_final_key() -> None:
    assert StreamKeys("public", "users").data().staged.key(b"7") == b"airbyte:tmp:{public:users:7}"


def test_the_empty_namespace_gives_the_java_connectors_key() -> None:
    assert StreamKeys("", "stream").data().live.key(b"1") == b":stream:1"


def test_a_prefix_stands_in_front_of_every_key_and_inside_every_tag() -> None:
    keys = StreamKeys("ns", "stream", "p:")
    assert keys.data().live.key(b"1") == b"p:ns:stream:1"
    assert keys.counter == b"p:ns:stream"
    assert keys.ledger == b"p:airbyte:{p:ns:stream}"
    assert keys.data().staged.key(b"1") == b"p:airbyte:tmp:{p:ns:stream:1}"


def test_a_colon_in_a_name_is_escaped() -> None:
    assert StreamKeys("a:b", "c:d").counter == b"a%3Ab:c%3Ad"


def test_braces_in_a_name_are_escaped() -> None:
    assert StreamKeys("{a}", "b{").counter == b"%7Ba%7D:b%7B"


def test_a_percent_sign_in_a_name_is_escaped_once() -> None:
    assert StreamKeys("50%", "%3A").counter == b"50%25:%253A"


def test_every_other_character_of_a_name_stays_as_it_is() -> None:
    assert StreamKeys("Grüße *?[x]", "a b/c-é").counter == "Grüße *?[x]:a b/c-é".encode()


def test_a_namespace_that_is_exactly_airbyte_cannot_reach_the_connectors_own_keys() -> None:
    assert StreamKeys("airbyte", "users").counter == b"%61irbyte:users"


@pytest.mark.parametrize("namespace", ["airbyte2", "Airbyte", "my-airbyte"])
def test_a_namespace_that_only_resembles_airbyte_stays(namespace: str) -> None:
    assert StreamKeys(namespace, "users").counter == f"{namespace}:users".encode()


def test_a_stream_named_airbyte_stays() -> None:
    assert StreamKeys("public", "airbyte").counter == b"public:airbyte"


@given(NAMES)
def test_an_escaped_name_can_be_read_back(name: str) -> None:
    assert unquote(escape(name)) == name


@given(st.tuples(NAMES, NAMES), st.tuples(NAMES, NAMES), RECORDS, RECORDS, st.sampled_from(["", "p:", "airbyte:"]))
def test_two_streams_never_share_a_key(
    one: tuple[str, str], other: tuple[str, str], record: bytes, other_record: bytes, prefix: str
) -> None:
    assume(one != other)
    mine, theirs = StreamKeys(*one, prefix), StreamKeys(*other, prefix)
    assert not every_key(mine, record) & every_key(theirs, other_record)


@given(NAMES, NAMES, RECORDS)
def test_the_six_kinds_of_key_of_a_stream_differ(namespace: str, name: str, record: bytes) -> None:
    assert len(every_key(StreamKeys(namespace, name), record)) == 6


@given(NAMES, NAMES, RECORDS)
def test_a_key_and_its_companion_share_a_cluster_slot(namespace: str, name: str, record: bytes) -> None:
    keys = StreamKeys(namespace, name)
    assert hash_tag(keys.data().staged.key(record)) == keys.data().live.key(record)
    assert hash_tag(keys.data().tombstone.key(record)) == keys.data().live.key(record)
    assert hash_tag(keys.ledger) == keys.counter


@given(NAMES, NAMES)
def test_no_name_makes_a_hash_tag_in_a_live_key(namespace: str, name: str) -> None:
    assert not {b"{"[0], b"}"[0]} & set(StreamKeys(namespace, name).data().live.key(b"1"))


@given(NAMES, NAMES, RECORDS)
def test_the_record_can_be_taken_out_of_its_key_again(namespace: str, name: str, record: bytes) -> None:
    keys = StreamKeys(namespace, name)
    assert keys.data().live.part(keys.data().live.key(record)) == record
    assert keys.data().staged.part(keys.data().staged.key(record)) == record


@pytest.mark.parametrize("key", [b"public:users:42:cart", b"public:users", b"public:orders:42", b"public:users:{42}"])
def test_a_key_of_an_application_is_not_taken_for_a_record(key: bytes) -> None:
    assert StreamKeys("public", "users").data(parts=1).live.part(key) is None


def test_a_primary_key_has_as_many_parts_as_fields_and_may_be_an_empty_text() -> None:
    one, two, any_number = (StreamKeys("public", "users").data(parts=parts).live for parts in (1, 2, None))
    assert two.part(b"public:users:42:cart") == b"42:cart"
    assert any_number.part(b"public:users:42:cart") == b"42:cart"
    assert two.part(b"public:users:42") is None
    assert one.part(b"public:users:") == b""


@given(st.lists(st.one_of(st.none(), st.text(alphabet=':{}%ab1\\"é')), min_size=1, max_size=3))
def test_parts_of_a_primary_key_can_be_taken_apart_and_read_back(values: list[str | None]) -> None:
    parts = b":".join(key_part(msgspec.Raw(msgspec.json.encode(value))) for value in values).split(b":")
    assert len(parts) == len(values)
    assert [None if part == b"%null" else unquote(part.decode()) for part in parts] == values


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("null", "%null"),
        ('"%null"', "%25null"),
        ('"a:b{c}"', "a%3Ab%7Bc%7D"),
        ('"\\u00e9"', "é"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("1.50", "1.50"),
        ("true", "true"),
        ('{"a":[1]}', '%7B"a"%3A[1]%7D'),
    ],
)
def test_a_part_is_the_text_or_the_json_text_of_its_value(value: str, part: str) -> None:
    assert key_part(msgspec.Raw(value.encode())) == part.encode()


def test_a_live_key_is_not_taken_for_a_staged_one() -> None:
    keys = StreamKeys("public", "users")
    assert keys.data().staged.part(b"public:users:1") is None
    assert keys.data().live.part(b"airbyte:tmp:{public:users:1}") is None


def test_a_pattern_finds_all_records_of_a_stream() -> None:
    assert StreamKeys("public", "users").data().live.pattern == b"public:users:*"
    assert StreamKeys("public", "users").data().staged.pattern == b"airbyte:tmp:{public:users:*}"


@pytest.mark.parametrize("glob", ["*", "?", "[", "]", "\\", "^"])
def test_a_glob_character_in_a_name_is_escaped_in_a_pattern(glob: str) -> None:
    assert StreamKeys("a", f"x{glob}y").data().live.pattern == f"a:x\\{glob}y:*".encode()


def test_the_probe_of_a_check_is_one_of_the_connectors_own_keys_and_renames_within_a_slot() -> None:
    key = check_key("p:", "token") + b"1"
    assert key == b"p:airbyte:check:token:1"
    staged = staged_key(key, "p:")
    assert staged == b"p:airbyte:tmp:{p:airbyte:check:token:1}"
    assert hash_tag(staged) == key
