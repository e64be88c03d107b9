"""The masks: no form of a secret passes, and no data."""

import io
import json
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from urllib.parse import quote, quote_plus

import orjson
import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException
from hypothesis import given
from hypothesis import strategies as st
from redis import exceptions as redis_errors

from destination_redis.config.spec import specification
from destination_redis.console.guard import guard, stack
from destination_redis.errors import config_error, system_error, traced, transient_error
from destination_redis.redaction.secrets import MASK, masking, secret_names, secrets_in

NAMES = secret_names(specification()["connectionSpecification"])
LOGGER = logging.getLogger("airbyte")
LINES = ["MIIEvQIBADANBgkqhkiG9w0B", "qhkiG9w0BAQEFAASCBKcwggSj", "Qw=="]
PEM = "-----BEGIN PRIVATE KEY-----\n" + "\n".join(LINES) + "\n-----END PRIVATE KEY-----\n"


def test_every_secret_setting_of_the_form_is_known_in_every_choice() -> None:
    assert {
        "password",
        "ca_certificate",
        "client_certificate",
        "client_key",
        "client_key_password",
        "ssh_key",
        "tunnel_user_password",
        "sentinel_password",
    } == NAMES


@pytest.mark.parametrize(
    ("config", "secrets"),
    [
        ({"host": "h", "password": "S3cret"}, ["S3cret"]),
        ({"ssl_mode": {"mode": "verify-full", "client_key": "K"}}, ["K"]),
        ({"password": ["S3cret", {"deep": 123456}]}, ["S3cret", "deep", "123456"]),
        ({"deployment": [{"sentinel_password": 1.5}]}, ["1.5"]),
        ({"anything": {"password": "S3cret"}}, ["S3cret"]),
        ({"host": "redis://me:S3c@ret@example.com:6379"}, ["S3c@ret"]),
        ({"deployment": {"nodes": ["rediss://:S3cret@example.com:1"]}}, ["S3cret"]),
        ({"host": "example.com", "password": None, "ssl": True}, []),
    ],
)
def test_a_secret_is_found_wherever_it_was_put(config: object, secrets: list[str]) -> None:
    assert list(secrets_in(config, NAMES)) == secrets


@given(st.text(min_size=4).filter(str.strip), st.text(max_size=20), st.text(max_size=20))
def test_no_form_of_a_secret_passes(secret: str, before: str, after: str) -> None:
    mask = masking([secret])
    for form in (secret, repr(secret)[1:-1], ascii(secret)[1:-1], json.dumps(secret)[1:-1]):
        assert form not in mask(f"{before} {form} {after}").replace(MASK, "") or form in before + after + MASK


@pytest.mark.parametrize("form", [PEM, PEM.replace("\n", "\\n"), json.dumps(PEM), repr(PEM), *LINES])
def test_no_line_of_a_key_passes(form: str) -> None:
    for given_as in (PEM, PEM.replace("\n", "\\n"), PEM.replace("\n", "\r\n")):
        masked = masking([given_as])(f"It is {form}!")
        assert [line for line in LINES if line in masked] == []


@pytest.mark.parametrize("form", ["p%20w%2F%C3%A9", "p+w%2F%C3%A9", "p w/é", "p w/\\xe9", "p w/\\u00e9"])
def test_a_secret_is_masked_as_a_url_or_python_or_json_has_it(form: str) -> None:
    assert masking(["p w/é"])(f"<{form}>") == f"<{MASK}>"


def test_of_two_secrets_one_in_the_other_the_longer_is_masked() -> None:
    assert masking(["S3cret", "S3cret-longer"])("S3cret-longer S3cret") == f"{MASK} {MASK}"


def test_a_short_secret_is_masked_as_a_word_and_leaves_words_readable() -> None:
    assert masking(["e"])("the user e, 'e'") == f"the user {MASK}, '{MASK}'"


@pytest.mark.parametrize("write", [str, repr, ascii, json.dumps, quote, quote_plus, lambda text: repr(text.encode())])
@pytest.mark.parametrize("between", [" ", "\r\n", "\t", "\0", "\u2028"])
def test_a_short_secret_is_a_word_too_after_what_stands_for_a_character(
    write: Callable[[str], str], between: str
) -> None:
    text = write(f"AUTH{between}Zq9{between}")
    assert "Zq9" in text
    assert "Zq9" not in masking(["Zq9"])(text)


def test_what_no_output_can_encode_is_written_as_its_escape() -> None:
    assert masking(())("a\ud800b") == "a\\ud800b"


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """Yield what is logged; what guards a process is taken back in the end."""
    root, hooks = logging.getLogger(), (sys.excepthook, threading.excepthook)
    former, out = list(root.handlers), io.StringIO()
    root.handlers[:] = [logging.StreamHandler(out)]
    yield out
    root.handlers[:] = former
    sys.excepthook, threading.excepthook = hooks


@pytest.mark.parametrize("secret", ['"', "type", "message", "S3cret", "a\nb-long-one", "ERROR"])
def test_logs_and_the_last_error_are_json_without_the_secret(
    logged: io.StringIO, capsys: pytest.CaptureFixture[str], secret: str
) -> None:
    guard(masking([secret]), LOGGER)
    LOGGER.warning("This is <%s>", secret)
    error = system_error(f"It is <{secret}>", redis_errors.ConnectionError(f"Error connecting to <{secret}>"))
    sys.excepthook(type(error), error, error.__traceback__)
    lines = [orjson.loads(line) for line in (logged.getvalue() + capsys.readouterr().out).splitlines()]
    assert [line["type"] for line in lines] == ["LOG", "LOG", "TRACE"]
    assert lines[0]["log"]["message"] == f"This is <{MASK}>"
    found = lines[2]["trace"]["error"]
    assert (found["message"], found["failure_type"]) == (f"It is <{MASK}>", "system_error")
    assert f"connecting to <{MASK}>" in found["stack_trace"]
    assert f"<{secret}>" not in found["stack_trace"]


@pytest.mark.parametrize("made", [config_error, transient_error])
def test_an_expected_error_is_told_without_a_stack(
    made: Callable[..., AirbyteTracedException], logged: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    guard(masking(()), LOGGER)
    try:
        raise made("It was refused", redis_errors.ConnectionError("refused"))
    except AirbyteTracedException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    log, trace = [orjson.loads(line) for line in (logged.getvalue() + capsys.readouterr().out).splitlines()]
    assert log["log"] == {"level": "FATAL", "message": "It was refused"}
    assert trace["trace"]["error"]["message"] == "It was refused"
    assert "stack_trace" not in trace["trace"]["error"]


def test_an_error_that_nobody_expected_is_told_by_its_kind_and_place_and_not_by_its_text(
    logged: io.StringIO, capsys: pytest.CaptureFixture[str]
) -> None:
    guard(masking(()), LOGGER)
    try:
        int("Jane Doe")
    except ValueError as error:
        sys.excepthook(type(error), error, error.__traceback__)
        with pytest.raises(Exception, match="The connector failed: ValueError"):
            raise traced(error, "writing") from error
    out = logged.getvalue() + capsys.readouterr().out
    assert "Jane" not in out.replace('int(\\"Jane Doe\\")', "")
    assert "builtins.ValueError" in orjson.loads(out.splitlines()[-1])["trace"]["error"]["stack_trace"]


def test_a_stack_tells_what_each_cause_may_tell() -> None:
    cause = redis_errors.ResponseError("ERR unknown command 'X', with args beginning with: 'Jane'")
    told = stack(config_error("A sentence", cause))
    assert "Jane" not in told
    assert told.index("ResponseError: ERR\n") < told.index("AirbyteTracedException: A sentence\n")
