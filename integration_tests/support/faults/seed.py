"""How hard the stress tests try: all cases where STRESS=full, and by which random numbers."""

import os
import random

FULL = os.environ.get("STRESS") == "full"
#: The same numbers again where STRESS_SEED is set.
SEED = int(os.environ.get("STRESS_SEED") or random.randrange(1 << 32))
os.environ["STRESS_SEED"] = str(SEED)  # inherited by every process of this run


def rng(name: str) -> random.Random:
    """Return the random numbers of one test, which are the same whatever other tests run."""
    return random.Random(f"{SEED} {name}")


def report(what: str, **counts: int) -> None:
    """Print the seed and the counts of a test, such as `instants_tried=12`."""
    told = [f"{name.replace('_', ' ')} {count:,}" for name, count in counts.items()]
    print(f"stress: {what}: {', '.join([f'seed {SEED}', *told])}")
