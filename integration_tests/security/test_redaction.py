"""What a server quotes of a command, in an error reply, is in none of the connector's outputs."""

import json
import logging
import traceback
from collections.abc import Callable, Iterator

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from integration_tests.support.connector.cli import CommandLine, Ran
from integration_tests.support.connector.library import full, write
from integration_tests.support.faults.proxy import Exchange, Proxy, proxy
from integration_tests.support.faults.quoting import PASSING, REFUSALS, replies, runs, texts
from integration_tests.support.faults.seed import FULL
from integration_tests.support.messages import Json, dedup, record, state, stream
from integration_tests.support.servers.server import Server

MARK = "Mark42"
#: What is tried: the data type, and the stream.
WAYS: list[tuple[str, Callable[[], Json]]] = [
    ("hash", stream),
    ("hash", dedup),
    ("string", stream),
    ("list", stream),
    ("stream", stream),
]
#: A failure is not made smaller: that takes as long as very many examples.
examples = settings(
    max_examples=2000 if FULL else 20,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
PASSWORD = "correct horse battery staple"


@pytest.fixture
def between(server: Server) -> Iterator[Proxy]:
    with proxy(server.port) as opened:
        yield opened


@pytest.fixture(scope="module")
def own() -> dict[object, str]:
    """Return what the connector itself says of a refused record, by the way it was written."""
    return {}


def refuse_records(between: Proxy, reply: str) -> None:
    """Have every command with a record answered so."""

    def act(exchange: Exchange) -> None:
        if MARK.encode() in exchange.command:
            exchange.answer(b"-%b\r\n" % reply.encode(errors="replace"))
        else:
            exchange.forward()

    between.act = act


def refuse_from(between: Proxy, number: int, reply: str) -> None:
    """Have every command from this one of a connection on answered so."""
    before = len(between.seen)

    def act(exchange: Exchange) -> None:
        if exchange.number - before >= number:
            exchange.answer(b"-%b\r\n" % reply.encode(errors="replace"))
        else:
            exchange.forward()

    between.act = act


def said(ran: Ran) -> str:
    """Return all text of an output but for states, in lower case."""
    return "\n".join(_texts([message for message in ran.messages if message["type"] != "STATE"])).lower()


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    elif isinstance(value, str):
        yield value


def message(values: list[str]) -> Json:
    data = {"id": f"{MARK}{values[0]}", "at": values[-1], **{f"c{number}": text for number, text in enumerate(values)}}
    return record(1, data=data)


@given(st.data())
@examples
def test_a_sync_shows_nothing_of_a_record_that_a_reply_quotes(
    cli: CommandLine, server: Server, between: Proxy, own: dict[object, str], data: st.DataObject
) -> None:
    cache_type, make = way = data.draw(st.sampled_from(WAYS))
    values = data.draw(st.lists(texts, min_size=1, max_size=3))
    written = message(values)
    sources = [*values, json.dumps(written["record"]["data"])]
    content = "".join(json.dumps(each) + "\n" for each in (written, state(1))).encode()

    def run(reply: str) -> Ran:
        server.client.flushall()  # a ledger of another data type would be refused before any record
        refuse_records(between, reply)
        config = {"host": "127.0.0.1", "port": between.port, "cache_type": cache_type}
        return cli.write(config, {"streams": [make()]}, content)

    ran = run(data.draw(replies(sources, REFUSALS)))
    assert ran.code == 1
    assert ran.error is not None
    assert ran.err == ""
    if way not in own:
        own[way] = "".join(said(run(code)) for code in ("ERR", "NOPERM", "NOPERM keys", "WRONGTYPE"))
    assert [each for each in runs(sources) if each in said(ran) and each not in own[way]] == []


@given(st.data())
@settings(examples, max_examples=200 if FULL else 4)
def test_a_sync_that_tries_again_shows_nothing_of_a_record_that_a_reply_quotes(
    between: Proxy, caplog: pytest.LogCaptureFixture, data: st.DataObject
) -> None:
    values = data.draw(st.lists(texts, min_size=1, max_size=3))
    reply = data.draw(replies(values, PASSING))

    def said(reply: str) -> str:
        """Return the log, and how Python prints the error."""
        refuse_records(between, reply)
        caplog.clear()
        with caplog.at_level(logging.INFO), pytest.raises(AirbyteTracedException) as raised:
            list(write({"host": "127.0.0.1", "port": between.port}, [full()], [message(values)], retry_seconds=1.2))
        return f"{caplog.text}{''.join(traceback.format_exception(raised.value))}".lower()

    own = said(reply.split(" ")[0])
    text = said(reply)
    assert [each for each in runs(values) if each in text and each not in own] == []


@given(st.data())
@examples
def test_check_shows_nothing_of_a_password_that_a_reply_quotes(
    cli: CommandLine, between: Proxy, data: st.DataObject
) -> None:
    number = data.draw(st.integers(1, 12))
    config = {"host": "127.0.0.1", "port": between.port, "username": "Zoë Longname", "password": PASSWORD}
    sources = ["Zoë Longname", PASSWORD]
    refuse_from(between, number, data.draw(replies(sources, REFUSALS)))
    ran = cli.check(config)
    assert ran.of("CONNECTION_STATUS")
    assert [each for each in runs(sources) if each in said(ran)] == []
