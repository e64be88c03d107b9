"""A server that compares text by its locale, as Redis and Valkey do where they are started with one."""

import os
import subprocess
from collections.abc import Iterator

import pytest

from integration_tests.support.connector.library import full_dedup, written
from integration_tests.support.data_types import UPSERTING, Shape
from integration_tests.support.faults.seed import FULL, report, rng
from integration_tests.support.messages import COMPLETE, Json, generation, record
from integration_tests.support.servers.server import Server, json_module, needs_json, running
from integration_tests.support.stored import rows

pytestmark = pytest.mark.stress

LOCALE = "en_US.UTF-8"
RECORDS = 20_000 if FULL else 1000
#: Beginnings on which a locale and the bytes disagree.
ALPHABET = ["a", "B", "Z", "z", "_", "-", " ", "é", "É", "ß", "0", "9", "~", "я"]


@pytest.fixture(scope="module")
def collating(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("locale")
    made = subprocess.run(["localedef", "-i", "en_US", "-f", "UTF-8", str(folder / LOCALE)], check=False)
    if made.returncode != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("the locales are missing")
        pytest.skip("the locales are missing")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCPATH", str(folder))
        patch.setenv("LC_ALL", LOCALE)
        with running("redis-7.0", *json_module(folder)) as server:
            yield server


def words(count: int) -> Iterator[str]:
    chance = rng("locale")
    for _ in range(count):
        yield "".join(chance.choices(ALPHABET, k=chance.randint(0, 3)))


def upserted(server: Server, shape: Shape, number: int, messages: list[Json]) -> dict[str, int]:
    """Return the rows after an append_dedup of these records."""
    schema = {"properties": {"id": {"type": "string"}, "at": {"type": "string"}}}
    assert written(server, shape, [full_dedup(schema=schema, **generation(1, 0, number))], *messages, COMPLETE) == 0
    return {key: int(value) for key, value in rows(server.client, shape=shape).items()}


@pytest.mark.parametrize("shape", UPSERTING, ids="-".join)
def test_a_server_with_a_locale_orders_upserts_by_their_bytes(collating: Server, shape: Shape) -> None:
    collating.client.flushall()
    needs_json(collating, shape)
    # By its bytes "a" comes after "B", and "~" after both.
    compared = collating.client.eval("return {'a' < 'B', '~' < 'a', '_' < 'Z'}", 0)
    assert compared == [1, 1, 1]

    held: dict[str, tuple[bytes, int]] = {}
    messages = []
    for number, word in enumerate(words(RECORDS)):
        key = str(number % 100)
        message = record(number)
        message["record"]["data"] = {"id": key, "at": word, "value": number}
        messages.append(message)
        held[key] = max(held.get(key, (b"", 0)), (word.encode(), number))
    first, second = messages[: RECORDS // 2], messages[RECORDS // 2 :]
    upserted(collating, shape, 1, first)
    assert upserted(collating, shape, 2, second) == {key: number for key, (_, number) in held.items()}
    report(f"locale {'-'.join(shape)}", inputs_tried=RECORDS, records_compared=len(held))
