"""HyperLogLogs: they count what PFADD would count, merge as PFMERGE does, and say that they cannot be read back."""

from typing import Any

import pytest
from airbyte_cdk.models import FailureType
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.caches import HyperLogLogCache, RecordOptions
from destination_redis.destination import DestinationRedis
from destination_redis.errors import NotReadableError
from integration_tests.support.connector.library import check, config_of, full, refused, write, written
from integration_tests.support.data_types import Shape
from integration_tests.support.messages import COMPLETE, Json, generation, record, state
from integration_tests.support.servers.server import Server
from integration_tests.support.stored import LEDGER, ledger

COUNTED: Shape = ("hyperloglog", "columns")
KEY = "default:users"
VISITOR = {"value": "visitor"}


def row(visitor: Any, **more: Any) -> Json:
    return record(0, data={"visitor": visitor, **more})


def synced(server: Server, numbers: Json, *messages: Json, **more: Any) -> None:
    written(server, COUNTED, [full(**numbers)], *messages, **{**VISITOR, **more})


def by_hand(server: Server, *elements: Any) -> bytes:
    """Return what a key holds to which PFADD has added the elements, and PFMERGE nothing."""
    server.client.delete("by hand")
    for at in range(0, len(elements), 100):
        server.client.pfadd("by hand", *elements[at : at + 100])
    return dense(server, "by hand")


def dense(server: Server, key: str) -> bytes:
    """Return the registers of a HyperLogLog, whatever its encoding: those that PFMERGE makes of it."""
    full_one = [f"x{number}" for number in range(20_000)]
    server.client.delete("dense")
    server.client.pfadd("dense", *full_one)
    server.client.pfmerge("dense", key)
    content = server.client.execute_command("GETRANGE", "dense", 16, -1)
    server.client.delete("dense", "by hand")
    assert isinstance(content, bytes)
    return content


def test_it_counts_the_values_as_pfadd_does_each_of_them_once(server: Server) -> None:
    visitors = [*range(500), *range(500), "ann", "é", 1.5, None]
    synced(server, {}, *map(row, visitors), COMPLETE)
    assert server.client.pfcount(KEY) == pytest.approx(503, rel=0.02)
    assert dense(server, KEY) == by_hand(server, *map(str, range(500)), "ann", "é", "1.5")


def test_without_a_value_it_counts_the_data_byte_for_byte(server: Server) -> None:
    rows = [row(1), row(1), row(2), record(5, data={"visitor": 1})]
    written(server, COUNTED, [full()], *rows, COMPLETE, value=None)
    assert server.client.pfcount(KEY) == 2
    assert dense(server, KEY) == by_hand(server, '{"visitor":1}', '{"visitor":2}')


def test_what_a_cancelled_refresh_counted_is_merged_as_pfmerge_does(server: Server) -> None:
    synced(server, generation(1, 0, 1), *map(row, range(2000)), COMPLETE)
    with pytest.raises(AirbyteTracedException, match="Not complete"):
        synced(server, generation(2, 2, 2), *map(row, range(1000, 4000)), state(1), row(1))
    synced(server, generation(3, 0, 3), row(9999), COMPLETE)
    assert dense(server, KEY) == by_hand(server, *range(4000), 9999)
    assert sorted(server.client.scan_iter()) == [LEDGER.encode(), KEY.encode()]
    synced(server, generation(4, 4, 4), row(1), COMPLETE)
    assert server.client.pfcount(KEY) == 1


def test_an_append_of_records_without_a_value_creates_no_empty_key(server: Server) -> None:
    synced(server, {}, row(None), row(None), COMPLETE)
    assert list(server.client.scan_iter()) == [LEDGER.encode()]


def test_it_cannot_be_read_back_and_says_what_counts_it(server: Server) -> None:
    config = config_of(server, COUNTED, **VISITOR)
    synced(server, {}, row(1), COMPLETE)
    with pytest.raises(AirbyteTracedException) as caught:
        list(DestinationRedis().get_all(config, "users"))
    assert caught.value.failure_type is FailureType.config_error
    assert caught.value.message == "A HyperLogLog cannot be read back, only counted: use PFCOUNT default:users"
    with pytest.raises(NotReadableError, match=r"use PFCOUNT default:users$"):
        HyperLogLogCache(RecordOptions("columns")).get_all(server.client, [KEY.encode()])


def test_it_has_no_envelope_and_check_says_so(server: Server) -> None:
    said = "cache_type hyperloglog has no record_format envelope, only columns"
    assert check({**server.config, "cache_type": "hyperloglog"}) == said
    assert refused(server, ("hyperloglog", "envelope"), [full()], COMPLETE, value=None) == said
    assert check({**server.config, "cache_type": "hyperloglog", "value": "visitor"}) is None


def test_another_value_needs_a_refresh(server: Server) -> None:
    synced(server, generation(1, 0, 1), row(1, page=2), COMPLETE)
    for other in ({"value": "page"}, {"value": None}):
        said = refused(server, COUNTED, [full(**generation(1, 0, 2))], row(1), COMPLETE, **other)
        assert "refresh the stream" in said
    synced(server, generation(2, 2, 2), row(1, page=2), row(3, page=2), COMPLETE, value="page")
    assert server.client.pfcount(KEY) == 1


def test_a_stream_of_its_own_is_counted_under_a_key_of_a_persons_choice(server: Server) -> None:
    entry = {"stream": "users", "cache_type": "hyperloglog", "value": "visitor", "collection_key": "visitors"}
    config = {**server.config, "streams": [entry]}
    assert check(config) is None
    list(write(config, [full()], [*map(row, [1, 2, 2]), COMPLETE]))
    assert server.client.pfcount("visitors") == 2
    assert server.client.exists(KEY) == 0
    assert ledger(server.client)["template"] == "visitors"
