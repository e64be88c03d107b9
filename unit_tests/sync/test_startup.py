"""The streams of a catalog, as their settings place them."""

import logging

import pytest
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_redis.config.parse import parse_config
from destination_redis.config.rules import check_stream
from destination_redis.protocol.catalog import COLLECTION, PRIMARY_KEY, SEQUENCE, Stream
from destination_redis.sync.startup import settings_of


def test_each_stream_is_placed_and_expires_as_its_own_settings_say() -> None:
    entries = [{"stream": "queue", "cache_type": "list"}, {"stream": "carts", "ttl_seconds": 60}]
    config = parse_config({"host": "h", "ttl_seconds": 900, "streams": entries})
    streams = [Stream("queue", None, "append"), Stream("carts", "shop", "overwrite"), Stream("others", None, "append")]
    found = settings_of(config, streams)
    assert [(each.name, each.placement, each.expiry) for each in found] == [
        ("queue", COLLECTION, 900),
        ("carts", SEQUENCE, 60),
        ("others", SEQUENCE, 900),
    ]
    assert [own.cache_type for own in found.values()] == ["list", "hash", "hash"]


def test_three_thousand_streams_have_the_settings_of_twenty_entries_and_no_copies_of_them() -> None:
    entries = [{"stream": f"s{number}_*", "ttl_seconds": 1 + number} for number in range(20)]
    config = parse_config({"host": "h", "streams": entries})
    found = settings_of(config, [Stream(f"s{number % 21}_{number}", None, "append") for number in range(3000)])
    assert len(found) == 3000
    assert len({id(own) for own in found.values()}) == 21
    assert all(own is config for stream, own in found.items() if stream.name.startswith("s20_"))


def test_the_log_says_what_an_entry_leaves_out_and_which_has_no_effect(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "airbyte")
    entries = [{"stream": "members", "cache_type": "set"}, {"stream": "orders_*"}]
    config = parse_config({"host": "h", "record_metadata": "full", "streams": entries})
    settings_of(config, [Stream("members", None, "append"), Stream("users", None, "append")])
    assert [(each.levelname, each.message.partition(":")[0]) for each in caplog.records] == [
        ("INFO", "streams.0 (members) leaves out the global record_format"),
        ("INFO", "streams.0 (members) leaves out the global record_metadata"),
        ("WARNING", "streams.1 (orders_*) has no effect"),
    ]
    assert caplog.messages[0].endswith(": cache_type set has no record_format envelope, only columns")


def test_a_stream_whose_data_type_cannot_deduplicate_is_refused_by_its_own_settings() -> None:
    keyed = Stream("members", None, "append_dedup", primary_key=(("id",),))
    config = parse_config({"host": "h", "streams": [{"stream": "members", "cache_type": "set"}]})
    [(stream, own)] = settings_of(config, [keyed]).items()
    assert stream.placement == PRIMARY_KEY
    with pytest.raises(AirbyteTracedException, match="The stream members has the sync mode append_dedup"):
        check_stream(own, stream)
    check_stream(config, stream)
