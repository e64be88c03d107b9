"""The registry of templates: one hash with those that the streams of all connections have claimed.

A change names the version of the hash that it was compared with. So of two syncs that claim at the same time one is
refused and compares again, and a change that is sent twice, or late, does nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from destination_redis.keys.names import registry_key
from destination_redis.keys.templates import KeyTemplate
from destination_redis.resp import pack_command
from destination_redis.transport.pipeline import Pipeline
from destination_redis.transport.window import Kind

#: Keys per SCAN step.
_COUNT = 2000
#: The field with the number of changes; a stream's field has a colon.
_VERSION = "version"

# KEYS: the hash; ARGV: the version that was read, the next one, and field, value …, with no value for a void claim.
_CLAIM = f"""
if (redis.call('HMGET', KEYS[1], '{_VERSION}')[1] or '0') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'none')
redis.call('HSET', KEYS[1], '{_VERSION}', ARGV[2])
for i = 3, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', KEYS[1], ARGV[i])
  else
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
return 1
"""

#: Templates with a stream's names put in, and `KEY` for each part of its primary key.
Texts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Claimed:
    """What the registry holds: its version, and the templates of each stream."""

    version: int
    texts: Mapping[str, Texts]


class TemplateRegistry:
    """The hash on the server."""

    def __init__(self, pipeline: Pipeline, prefix: str) -> None:
        self._pipeline = pipeline
        self._key = registry_key(prefix)
        self._prefix = prefix.encode()

    def read(self) -> Claimed:
        """Return what is claimed."""
        (reply,) = self.hashes([self._key])
        fields = {reply[i].decode(): reply[i + 1] for i in range(0, len(reply), 2)}
        version = int(fields.pop(_VERSION, b"0"))
        return Claimed(version, {base: tuple(json.loads(texts)) for base, texts in fields.items()})

    def write(self, version: int, changes: Mapping[str, Texts]) -> bool:
        """Replace claims, and remove those without any template; return False if the version is another by now."""
        values = [
            part
            for base, texts in changes.items()
            for part in (base, json.dumps(texts, ensure_ascii=False) if texts else "")
        ]
        replies: list[object] = []
        command = pack_command("EVAL", _CLAIM, 1, self._key, str(version), str(version + 1), *values)
        self._pipeline.send([command], replies.append, Kind.OTHER)
        self._pipeline.flush()
        return replies[-1] == 1

    def streams(self) -> set[str]:
        """Return the names of all streams that have a ledger, as their counters are called without the key prefix."""
        ledgers = KeyTemplate(b"%bairbyte:{%b" % (self._prefix, self._prefix), b"}")
        found: set[str] = set()
        for server in self._pipeline.servers:
            cursor: bytes | None = None
            while cursor != b"0":
                command = ("SCAN", cursor or b"0", "MATCH", ledgers.pattern, "COUNT", _COUNT)
                reply = self._pipeline.call(*command, at=server)
                assert isinstance(reply, list)
                cursor, keys = reply
                found.update(part.decode() for key in keys if (part := ledgers.part(key)) is not None)
        return found

    def hashes(self, keys: Sequence[bytes]) -> list[list[bytes]]:
        """Return the fields and values of hashes, such as other ledgers."""
        found: list[list[bytes]] = [[] for _ in keys]

        def on_reply(number: int, reply: object) -> None:
            assert isinstance(reply, list)
            found[number] = reply

        for number, key in enumerate(keys):
            self._pipeline.send([pack_command("HGETALL", key)], partial(on_reply, number), Kind.OTHER)
        self._pipeline.flush()
        return found
