"""What README.md tells users to set, for tests to set the same."""

import re
from pathlib import Path

from destination_redis.caches import CACHES, RecordOptions

_README = (Path(__file__).parents[3] / "README.md").read_text()

#: The user that the connector needs, and what else it may be allowed, and what a cluster needs.
LEAST, MORE, OF_CLUSTER = re.findall(r"```acl\n(.+?)\n```", _README)
#: What a user of the sentinels' own may do.
(SENTINELS_RIGHTS,) = re.findall(r"the sentinels' user needs `(.+?)`", _README)
#: By the data type or setting: what it needs instead of, or beside, some of that.
FOR_SETTING = dict(re.findall(r"^\| `(\w+)` \| `(\+.+?)` \|$", _README, re.MULTILINE))
#: What of the least is for hashes alone.
OF_HASHES = "+hlen +hkeys"


def section(title: str) -> str:
    """Return what stands under a title, up to the next one."""
    (found,) = re.findall(rf"^#+ {title}\n(.+?)(?=^##|\Z)", _README, re.MULTILINE | re.DOTALL)
    return str(found)


def for_type(cache_type: str) -> str:
    """Return the permissions that a data type's own commands need beside those that every type has."""
    every = set(LEAST.replace(OF_HASHES, "").split())
    cache = CACHES[cache_type](RecordOptions(CACHES[cache_type].formats[0]))
    return " ".join(dict.fromkeys(rule for name, *_ in cache.probes(b"") if (rule := rule_of(name)) not in every))


def rule_of(name: str | bytes) -> str:
    """Return what an ACL says to allow a command."""
    return f"+{name.decode() if isinstance(name, bytes) else name}".lower()
