"""How hard the tests of torture try: all cases where TORTURE=full, and by which random numbers."""

import os
import random

FULL = os.environ.get("TORTURE") == "full"
#: The same numbers again where TORTURE_SEED is set.
SEED = int(os.environ.get("TORTURE_SEED") or random.randrange(1 << 32))
os.environ["TORTURE_SEED"] = str(SEED)  # inherited by every process of this run


def rng(name: str) -> random.Random:
    """Return the random numbers of one test, which are the same whatever other tests run."""
    return random.Random(f"{SEED} {name}")


def report(what: str, **counts: int) -> None:
    """Print the seed and the counts of a test, such as `instants_tried=12`."""
    told = [f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items()]
    print(f"torture: {what}: {', '.join([f'seed {SEED}', *told])}")
