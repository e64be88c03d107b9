"""What README.md tells users to set, for tests to set the same."""

import re
from pathlib import Path

_README = (Path(__file__).parent.parent / "README.md").read_text()

#: The user that the connector needs, and what else it may be allowed, and what a cluster needs.
LEAST, MORE, OF_CLUSTER = re.findall(r"```acl\n(.+?)\n```", _README)
#: What a user of the sentinels' own may do.
(SENTINELS_RIGHTS,) = re.findall(r"the sentinels' user needs `(.+?)`", _README)
#: By the data type or setting: what it needs instead of, or beside, some of that.
FOR_SETTING = dict(re.findall(r"^\| `(\w+)` \| `(\+.+?)` \|$", _README, re.MULTILINE))
