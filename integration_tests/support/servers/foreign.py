"""Keys of others in the same server, named much like those of streams under test: they stay what they are."""

from collections.abc import Sequence
from typing import Any

from integration_tests.support.servers.server import Server

#: Of an application, of another stream, and of nobody who can be thought of.
FOREIGN = (
    *("default:other:1", "default:other", "airbyte:{default:other}", "airbyte:tmp:{default:other:1}"),
    *("default:a0", "default:a0:1:cart", "default:a:1", "default", "default:", "a", "*", "default:*:1", "[a-z]", "{}"),
    *("airbyte:tmp:{x", "airbyte", "airbyte:", "airbyte:{}", "airbyte:{x", ":a0:1", "%null", "users:1", "a:1"),
)


class Foreign:
    """The keys of others in one server."""

    def __init__(self, server: Server, among: Sequence[str] = (), alike: Sequence[str] = ()) -> None:
        """Take the names of more keys: those `among` a stream's own hold no records, those `alike` do."""
        self._client: Any = server.client
        self._client.flushall()
        self._keys = (*FOREIGN, *among, *alike)
        for number, key in enumerate(self._keys):
            like_records: dict[Any, Any] = {"_airbyte_ab_id": number, "_airbyte_emitted_at": 1, "_airbyte_data": "{}"}
            self._client.hset(key, mapping={"of": "others"} if key in among else like_records)
            if number % 3 == 0:
                self._client.expire(key, 10_000_000)
        self._known = {key.encode() for key in self._keys}
        self._before = self._looked_at()

    def assert_untouched(self) -> None:
        assert self._looked_at() == self._before

    def others(self) -> list[bytes]:
        """Return all other keys."""
        return [key for key in self._client.scan_iter(count=10_000) if key not in self._known]

    def remove_others(self) -> None:
        if keys := self.others():
            self._client.unlink(*keys)

    def _looked_at(self) -> list[Any]:
        reading = self._client.pipeline()
        for key in self._keys:
            reading.dump(key)
            reading.pexpiretime(key)
        found: list[Any] = reading.execute()
        assert None not in found
        return found
