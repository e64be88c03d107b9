"""The permissions that docs/redis.md tells users to grant, for tests to grant the same."""

import re

from destination_redis.caches import CACHES, RecordOptions
from integration_tests.support.docs.page import BLOCKS, TEXT, rows

#: The user that the connector needs, and what else it may be allowed, and what a cluster needs.
LEAST, MORE, OF_CLUSTER = (block.text for block in BLOCKS if block.language == "acl")
#: What a user of the sentinels' own may do.
(SENTINELS_RIGHTS,) = re.findall(r"the sentinels' user needs `(.+?)`", TEXT)
#: By the data type: what it needs instead of some of that.
FOR_TYPE = {cells[0].strip("`"): cells[4].strip("`") for cells in rows("Data type map") if len(cells) == 5 and cells[4]}
#: The same by the data type or the setting, which may need something beside the rest.
FOR_SETTING = FOR_TYPE | {cells[0].strip("`"): cells[1].strip("`") for cells in rows("Permissions")}
#: What of the least is for hashes alone.
OF_HASHES = "+hlen +hkeys"


def for_type(cache_type: str) -> str:
    """Return the permissions that a data type's own commands need beside those that every type has."""
    every = set(LEAST.replace(OF_HASHES, "").split())
    cache = CACHES[cache_type](RecordOptions(CACHES[cache_type].capabilities.formats[0]))
    return " ".join(dict.fromkeys(rule for name, *_ in cache.probes(b"") if (rule := rule_of(name)) not in every))


def rule_of(name: str | bytes) -> str:
    """Return what an ACL says to allow a command."""
    return f"+{name.decode() if isinstance(name, bytes) else name}".lower()
