"""What is known to be refused: by the server's own words, or because the like of it was refused before."""

from dataclasses import replace

import msgspec

from destination_redis.caches.extent import Extent
from destination_redis.protocol.messages import Record
from destination_redis.sync.known_limits import KnownLimits
from destination_redis.transport.too_large import SizeLimit, TooLarge

CLOSED = TooLarge(1, ("localhost", 6379), b"key", 0, 0)
SAID = replace(CLOSED, reply_text="ERR request too large")
DEEP = replace(SAID, deep=True)


def record(*extent: int) -> Record:
    """Return a record whose data is its extent."""
    return Record("users", msgspec.Raw(msgspec.json.encode(extent)), msgspec.Raw(b"1"))


def known(limit: SizeLimit | None = None) -> KnownLimits:
    return KnownLimits(lambda each: Extent(*msgspec.json.decode(each.data)), limit)


def test_without_a_limit_or_a_refusal_nothing_is_known() -> None:
    assert known().why_refused(record(10**9, 10**9, 10**9)) is None


def test_the_limit_that_the_server_tells_is_for_values_and_for_keys() -> None:
    limits = known(SizeLimit("proto-max-bulk-len", 1000))
    assert limits.why_refused(record(10**9, 1000, 1000)) is None
    assert (
        limits.why_refused(record(1, 1001)) == "one of its values has 1,001 bytes, and proto-max-bulk-len allows 1,000"
    )
    assert limits.why_refused(record(1, 5, 1001)) == "its key has 1,001 bytes, and proto-max-bulk-len allows 1,000"


def test_what_is_no_smaller_than_a_refused_record_in_any_respect_is_refused_too() -> None:
    limits = known()
    limits.learn(record(5000, 400), SAID)
    assert (
        limits.why_refused(record(5000, 400)) == "its 5,000 bytes are not fewer than those of a record that was refused"
    )
    assert limits.why_refused(record(6000, 500, 10))
    assert limits.why_refused(record(4999, 10**6)) is None
    assert limits.why_refused(record(10**6, 399)) is None


def test_a_smaller_one_that_is_refused_replaces_a_larger_one_but_not_the_other_way_round() -> None:
    limits = known()
    limits.learn(record(5000, 400), SAID)
    limits.learn(record(4000, 300), SAID)
    limits.learn(record(9000, 900), SAID)
    assert limits.why_refused(record(4000, 300))
    assert limits.why_refused(record(3999, 300)) is None


def test_one_closed_connection_may_be_a_coincidence() -> None:
    limits = known()
    limits.learn(record(5000, 400), CLOSED)
    assert limits.why_refused(record(9000, 900)) is None
    limits.learn(record(6000, 600), CLOSED)
    assert limits.why_refused(record(9000, 900))


def test_a_long_key_may_be_why_but_a_short_one_is_not() -> None:
    limits = known()
    limits.learn(record(5000, 400, 1024), SAID)
    assert limits.why_refused(record(5000, 400, 1))
    other = known()
    other.learn(record(5000, 400, 1025), SAID)
    assert other.why_refused(record(9000, 900, 1024)) is None
    assert other.why_refused(record(9000, 900, 1025))


def test_a_depth_that_is_refused_says_nothing_of_sizes() -> None:
    limits = known()
    limits.learn(Record("users", msgspec.Raw(b"[[[]]]"), msgspec.Raw(b"1")), DEEP)
    assert limits.why_refused(record(10**9, 10**9)) is None
    deeper = Record("users", msgspec.Raw(b"[[[[]]]]"), msgspec.Raw(b"1"))
    assert limits.why_refused(deeper) == "its JSON has 4 levels, and one with 3 was refused"
