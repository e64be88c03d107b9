"""Commands for many records: their layout, their size, and how they are divided again."""

from hypothesis import given
from hypothesis import strategies as st

from destination_redis.errors import command_name
from destination_redis.resp import pack_arguments, pack_command, unpack_command
from destination_redis.transport.many_records import ManyRecords, divided

SHA = b"a" * 40
VALUES = st.binary(max_size=20)


#: The keys of each record and its own arguments.
Records = list[tuple[list[bytes], list[bytes]]]


@st.composite
def gathered(draw: st.DrawFn) -> tuple[int, list[bytes], Records]:
    """Return the keys of a record, the shared arguments, and records as their keys and their own arguments."""
    keys = draw(st.integers(1, 3))
    shared = draw(st.lists(VALUES, max_size=2))
    record = st.tuples(st.lists(VALUES, min_size=keys, max_size=keys), st.lists(VALUES, max_size=4))
    return keys, shared, draw(st.lists(record, min_size=1, max_size=8))


def commands(keys: int, shared: list[bytes], records: Records, *, alone: bool) -> list[bytes]:
    many = ManyRecords(SHA, keys, shared, alone=alone)
    for own_keys, arguments in records:
        many.add(pack_arguments(*own_keys), 1 + len(arguments), pack_arguments(b"%d" % len(arguments), *arguments))
    return many.take()


@given(gathered())
def test_a_command_for_many_records_is_divided_into_the_commands_of_each_alone(
    gathered: tuple[int, list[bytes], Records],
) -> None:
    (whole,) = commands(*gathered, alone=False)
    assert divided(whole) == commands(*gathered, alone=True)


@given(gathered())
def test_the_command_of_one_record_is_laid_out_as_its_script_expects(
    gathered: tuple[int, list[bytes], Records],
) -> None:
    keys, shared, records = gathered
    for command, (own_keys, arguments) in zip(commands(*gathered, alone=True), records, strict=True):
        layout = b"%d %d" % (keys, len(shared))
        expected = [b"EVALSHA", SHA, b"%d" % keys, *own_keys, layout, *shared, b"%d" % len(arguments), *arguments]
        assert list(unpack_command(command)) == expected
        assert divided(command) == [command]


@given(gathered(), st.sampled_from([b"default:users", b"a b:\r\n 1 2"]))
def test_the_streams_name_stands_in_the_layout_and_messages_show_it_in_place_of_the_key(
    gathered: tuple[int, list[bytes], Records], name: bytes
) -> None:
    keys, shared, records = gathered
    many = ManyRecords(SHA, keys, shared, name=name)
    for own_keys, arguments in records:
        many.add(pack_arguments(*own_keys), 1 + len(arguments), pack_arguments(b"%d" % len(arguments), *arguments))
    (whole,) = many.take()
    for command in (whole, *divided(whole)):
        assert command_name(command) == f"a script for {name.decode()}"
    assert len(divided(whole)) == len(records)


def test_without_a_name_messages_show_what_the_key_begins_with() -> None:
    (command,) = commands(1, [], [([b"airbyte:tmp:{default:users:secret}"], [])], alone=False)
    assert command_name(command) == "a script for default:users"


@given(st.lists(st.integers(0, 90_000), min_size=1, max_size=300))
def test_no_command_exceeds_64_kb_or_100_records_unless_it_has_one_record(sizes: list[int]) -> None:
    many = ManyRecords(SHA, 1)
    for size in sizes:
        many.add(pack_arguments(b"k"), 2, pack_arguments(b"1", b"v" * size))
    taken = many.take()
    counts = [len(divided(command)) for command in taken]
    assert sum(counts) == len(sizes)
    assert all(
        count == 1 or (count <= 100 and len(command) <= 64 * 1024) for command, count in zip(taken, counts, strict=True)
    )
    assert many.take() == []


def test_no_other_command_is_divided() -> None:
    others = [
        pack_command("HSET", "k", "1 0", "v"),
        pack_command("EVALSHA", SHA, 1, "k"),
        pack_command("EVALSHA", SHA, 2, "ledger", "list", "token", 1, 2, "a", "b"),
        pack_command("EVALSHA", SHA, 1, "watermark", 7, 60),
        pack_command("EVAL", "return 1", 0),
    ]
    assert [divided(command) for command in others] == [[command] for command in others]
