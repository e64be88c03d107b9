"""A data type of one's own beside those that are there."""

import pytest

from destination_redis.caches import CACHES, HashCache, Lua, StorageFormat
from destination_redis.placements import record_lua
from integration_tests.support.servers.server import Server


class Numbered(HashCache):
    """Hashes too, but with the id under another name."""

    lua = Lua(kind="hash", read="return tonumber(redis.call('HGET', key, 'number')), ''\n")


def test_records_of_two_data_types_of_one_kind_are_told_apart(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_lua, "CACHES", {**CACHES, "numbered": Numbered})
    remove = record_lua.remove(record_lua.read_any(StorageFormat("numbered")))
    for key, name in (("ours", "_airbyte_ab_id"), ("other", "number"), ("foreign", "id")):
        server.client.hset(key, name, "5")
    removed = {key: server.client.eval(remove, 1, key, "1 0", "2", "5", "5") for key in ("ours", "other", "foreign")}
    assert removed == {"ours": 1, "other": 1, "foreign": 0}
