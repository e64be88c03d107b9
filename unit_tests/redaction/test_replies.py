"""Redaction: no part of what was sent passes, in whatever form a reply quotes it; the server's own words do."""

import json
import re
import traceback
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis import exceptions as redis_errors

import destination_redis
from destination_redis import errors
from destination_redis.console.guard import stack
from destination_redis.errors import explain, safe_text, traced
from destination_redis.redaction.replies import CODES, COMMANDS, shown
from destination_redis.resp import pack_command
from integration_tests.support.faults.quoting import PASSING, REFUSALS, replies, runs, texts

#: The connector's own words, and Python's.
SENTENCES = [module.read_text() for module in Path(errors.__path__[0]).glob("*.py")]
OWN = " ".join((*SENTENCES, *(f"The server answered: {code} (while writing)" for code in CODES), *COMMANDS))
OWN += "".join(traceback.format_exception(traced(redis_errors.ResponseError("ERR"), "writing")))


@st.composite
def quotations(draw: st.DrawFn) -> tuple[list[str], list[bytes], str]:
    """Return the values of some records, the commands that wrote them, and a reply that quotes any of them."""
    values = draw(st.lists(texts, min_size=1, max_size=4))
    commands = [
        pack_command("HSET", f"default:users:{value}", "_airbyte_data", json.dumps({"v": value})) for value in values
    ]
    commands += [pack_command("HSET", "default:users:1", "v", value) for value in values]
    sources = [*values, *(command.decode() for command in commands)]
    return values, commands, draw(replies(sources, (*REFUSALS, *PASSING)))


def errors_of(reply: str) -> list[Exception]:
    """Return what redis-py makes of error replies."""
    code, _, rest = reply.partition(" ")
    return [
        redis_errors.ResponseError(reply),
        redis_errors.NoPermissionError(rest, status_code=code),
        redis_errors.AuthenticationError(rest, status_code=code),
        redis_errors.ConnectionError(rest, status_code=code),
    ]


@given(quotations())
@settings(deadline=None)  # a stack is slow to make
def test_no_run_of_what_was_sent_is_among_the_words_that_are_shown(case: tuple[list[str], list[bytes], str]) -> None:
    values, commands, reply = case
    seen = shown(reply, commands).lower()
    assert [run for run in runs(values) if run in seen] == []


@given(quotations())
@settings(deadline=None)  # a stack is slow to make
def test_no_run_of_what_was_sent_is_in_a_message_or_a_stack(case: tuple[list[str], list[bytes], str]) -> None:
    values, commands, reply = case
    for error in errors_of(reply):
        kind = f"{type(error).__module__}.{type(error).__qualname__}"
        own = f"{OWN} {kind} writing".lower()
        secret = [run for run in runs(values) if run not in own]
        texts = [explain(error), explain(error, commands), safe_text(error)]
        found = traced(error, "writing", commands)
        texts += [str(found), str(found.internal_message), stack(found), "".join(traceback.format_exception(found))]
        assert [(run, text) for run in secret for text in texts if run in text.lower()] == []


@pytest.mark.parametrize(
    ("reply", "seen"),
    [
        ("ERR max daily request limit exceeded. Limit: 10000", "ERR max daily request limit exceeded. Limit: …"),
        ("ERR unknown command `GETX`, quoted: `Jane`", "ERR unknown command … quoted: …"),
        ("ERR bad value Jane Smith", "ERR bad value …"),
        ("ERR bad value jane smi...", "ERR bad value …"),
        ("ERR bad value SMITH!", "ERR bad value …"),
        ("ERR bad value 4a616e6520536d697468", "ERR bad value …"),
        ("ERR bad value SmFuZSBTbWl0aA==", "ERR bad value …"),
    ],
)
def test_the_servers_own_words_are_shown_and_quotes_are_not(reply: str, seen: str) -> None:
    assert shown(reply, [pack_command("SET", "k", "Jane Smith went with us")]) == seen


def test_a_letter_that_json_escapes_is_known_all_the_same() -> None:
    assert (
        shown("ERR bad value password", [pack_command("SET", "k", r'{"v":"p\u0061ss\u0077ord"}')]) == "ERR bad value …"
    )


def test_where_too_much_was_sent_to_be_searched_nothing_is_shown_but_the_code() -> None:
    assert shown("ERR refused", [b"x" * 9_000_000]) == "ERR"


def test_every_command_that_the_connector_sends_may_be_named() -> None:
    source = "".join(path.read_text() for path in Path(destination_redis.__path__[0]).rglob("*.py"))
    called = set(re.findall(r"redis\.call\('([A-Z.]+)'", source)) | set(re.findall(r"chunked\(\"([A-Z]+)\"", source))
    page = Path("docs/redis.md").read_text()
    allowed = {rule[1:].upper() for rule in re.findall(r"(?<=[ `])\+[a-z]+[a-z.|]*(?=[ `\n])", page)}
    assert len(called) > 20
    assert len(allowed) > 20
    assert called | allowed <= COMMANDS
