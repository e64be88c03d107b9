"""The code blocks of README.md do what it says of them."""

import re
from collections.abc import Iterator

import pytest

from destination_redis import CACHES, RecordOptions
from integration_tests.support.docs.markdown import block, section
from integration_tests.support.servers.server import SERVERS, Server, running


@pytest.fixture(scope="module", params=SERVERS)
def _server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with running(request.param) as server:
        yield server


def test_the_use_as_a_library_runs_as_it_stands(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    text = section("README.md", "As a library")
    code = block(text, "python")
    assert code.count("6379") == 1
    exec(compile(code.replace("6379", str(server.port)), "README.md", "exec"), {})
    said = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("{")]
    assert said == ["acknowledged 2.0", """[b'{"name":"Ann"}', b'{"name":"Bob"}']"""]
    # The way with a client of one's own stands in the text.
    (call,) = re.findall(r"`(CACHES.+?)`", text, re.DOTALL)
    found = eval(call, {"CACHES": CACHES, "RecordOptions": RecordOptions, "client": server.client})
    assert sorted(each.data for each in found) == [b'{"name":"Ann"}', b'{"name":"Bob"}']
