"""A window: what may be on its way after a connection was closed, and what is to blame for that."""

from collections.abc import Sequence

from destination_redis.resp import pack_command, unpack_command
from destination_redis.transport.window import CLOSES, LARGE, Batch, Window

LARGEST = pack_command("SET", "default:users:1", "x" * LARGE)
SMALL = pack_command("SET", "default:users:2", "x")


def window(*batches: Batch) -> Window:
    made = Window(("localhost", 6379))
    for batch in batches:
        made.add(batch)
    return made


def sent(window: Window) -> list[int]:
    """Send all that may be sent, and return the numbers of it."""
    return [batch.number for batch in iter(window.next, None)]


def blame(window: Window) -> list[int]:
    """Lose the connection until what is sent alone is the cause; return what is sent on the last one."""
    for _ in range(CLOSES - 1):
        assert len(close(window)) == 1
    return close(window)


def close(window: Window) -> list[int]:
    """Lose the connection; return what is sent on the next one."""
    window.lost()
    window.restart()
    return sent(window)


def test_until_a_connection_is_closed_all_are_on_their_way() -> None:
    assert sent(window(Batch(1, [SMALL]), Batch(2, [LARGEST]), Batch(3, [LARGEST]))) == [1, 2, 3]


def test_once_a_connection_is_closed_a_large_batch_is_sent_alone() -> None:
    opened = window(Batch(1, [SMALL]), Batch(2, [LARGEST]), Batch(3, [SMALL]), Batch(4, [SMALL]))
    sent(opened)
    steps = [close(opened)]
    while opened:
        opened.answered()
        steps.append(sent(opened))
    assert steps == [[1], [2], [3, 4], [], []]
    assert opened.rejected == []
    assert opened.size == 0


def test_a_large_batch_on_which_the_connection_is_closed_each_time_is_out_with_the_records_after_it() -> None:
    move = Batch(4, [SMALL], covers=True)
    opened = window(Batch(1, [SMALL]), Batch(2, [LARGEST]), Batch(3, [SMALL]), move, Batch(5, [SMALL], keyless=True))
    sent(opened)
    assert close(opened) == [1]
    opened.answered()
    assert sent(opened) == [2]
    assert opened.rejected == []
    assert blame(opened) == [4, 5]
    (found,) = opened.rejected
    assert (found.number, found.key, found.size) == (2, b"default:users:1", len(LARGEST))
    assert found.largest == LARGE
    opened.add(Batch(6, [SMALL]))
    opened.add(Batch(7, [SMALL], covers=True))
    assert sent(opened) == [7]


def test_what_is_older_than_a_batch_that_is_out_stays() -> None:
    opened = window(Batch(2, [LARGEST]), Batch(1, [SMALL]))
    sent(opened)
    assert close(opened) == [2]
    assert blame(opened) == [1]


def test_small_batches_are_never_to_blame() -> None:
    opened = window(Batch(1, [SMALL] * LARGE), Batch(2, [SMALL]))
    sent(opened)
    assert [close(opened) for _ in range(5)] == [[1, 2]] * 5
    assert opened.rejected == []


def test_a_batch_of_many_records_is_divided_and_its_like_too() -> None:
    def split(command: bytes) -> Sequence[bytes]:
        values = list(unpack_command(command))[2:]
        if len(values) == 1:
            return [command]
        return [pack_command("SET", "k", *values[:2]), pack_command("SET", "k", *values[2:])]

    records = ("w" * 20_000, "x" * 20_000, "y" * 20_000, "z" * 20_000)
    opened = window(Batch(1, [pack_command("SET", "k", *records)], split=split), Batch(2, [SMALL]))
    sent(opened)
    assert close(opened) == [1]
    assert close(opened) == [1]
    assert close(opened) == [1, 1, 2]
    assert [b"w" in batch.commands[0] for batch in opened.in_flight] == [True, False, False]
    assert opened.size == sum(len(command) for batch in opened.in_flight for command in batch.commands)
    opened.add(Batch(3, [pack_command("SET", "k", *records)], split=split))
    opened.add(Batch(4, [pack_command("SET", "k", "x", "y")], split=split))
    assert sent(opened) == [3, 3, 4]


def test_of_a_batch_of_many_records_only_one_that_is_alone_is_to_blame() -> None:
    def split(command: bytes) -> Sequence[bytes]:
        values = list(unpack_command(command))[2:]
        return [pack_command("SET", "k", value) for value in values] if values[1:] else [command]

    opened = window(Batch(1, [pack_command("SET", "k", "x" * LARGE, "y")], split=split))
    sent(opened)
    assert [close(opened) for _ in range(3)] == [[1]] * 3
    assert blame(opened) == []
    assert [found.largest for found in opened.rejected] == [LARGE]


def test_a_batch_that_was_answered_before_is_never_to_blame() -> None:
    answered = Batch(1, [LARGEST], uncovered=True)
    opened = window(answered)
    assert sent(opened) == [1]
    opened.answered()
    opened.restart([answered.for_resend])
    assert sent(opened) == [1]
    for _ in range(10):
        assert close(opened) == [1]
    assert opened.rejected == []


def test_once_a_rejected_batch_is_known_records_go_on_after_it() -> None:
    opened = window(Batch(1, [LARGEST]))
    sent(opened)
    close(opened)
    blame(opened)
    assert [found.number for found in opened.rejected] == [1]
    opened.add(Batch(2, [SMALL]))
    assert sent(opened) == []
    opened.reopen()
    opened.add(Batch(3, [SMALL]))
    assert sent(opened) == [3]


def test_what_was_counted_of_a_batch_counts_for_nothing_once_it_is_sent_again() -> None:
    batch = Batch(1, [SMALL] * 3)
    opened = window(batch)
    sent(opened)
    batch.answered, batch.zeros = 2, 1
    close(opened)
    assert (batch.answered, batch.zeros) == (0, 0)
