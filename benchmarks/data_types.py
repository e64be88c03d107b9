"""Every data type and format: records per second beside `redis-cli --pipe` with the same commands, and their memory.

On one fresh server each, in interleaved rounds; the medians count, process start is left out as in bench.py.
"""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from benchmarks.bench import APPEND, EMPTY, INSERT, PIPE, Bench, prepare, server
from destination_redis.caches import CACHES, CollectionCache, KeyedCache, Layout


def shapes() -> Iterator[tuple[str, KeyedCache | CollectionCache]]:
    """Yield the name of every data type and format, and what writes it."""
    for cache_type, cache in CACHES.items():
        for record_format in cache.formats:
            yield f"{cache_type} {record_format}", cache(Layout(record_format))


@contextmanager
def bench(name: str, cache: KeyedCache | CollectionCache, records: int) -> Iterator[Bench]:
    cache_type, record_format = name.split()
    with tempfile.TemporaryDirectory() as temporary, server(folder := Path(temporary)) as client:
        prepare(folder, records, cache)
        yield Bench(folder, client, records, cache, {"cache_type": cache_type, "record_format": record_format})


def _said(rate: float | None, pipe: float | None = None) -> str:
    """Return a rate, and its part of the other one, in two columns."""
    return (f"{rate:12,.0f}" if rate else f"{'-':>12}") + (f"{rate / pipe:12.2f}" if rate and pipe else f"{'-':>12}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    records = arguments.records
    print(f"{records:,} records, {arguments.rounds} rounds\n")
    print(f"{'':18}{'--pipe/s':>12}{'append/s':>12}{'of --pipe':>12}{'upserts/s':>12}{'of --pipe':>12}{'bytes':>8}")
    for name, cache in shapes():
        with bench(name, cache, records) as one:
            commands = one.commands()
            piped = [] if isinstance(cache, CollectionCache) else [PIPE]
            cases = [*piped, APPEND, *([INSERT] if cache.lua.write else [])]
            seconds: dict[str, list[float]] = {case: [] for case in cases}
            for _ in range(arguments.rounds):
                for case in cases:
                    one.client.flushall()
                    idle = one.run(commands[case], EMPTY).seconds
                    one.client.flushall()
                    empty = one.client.info("memory")["used_memory"]
                    seconds[case].append(one.timed(case, commands[case]) - idle)
                    if case == APPEND:
                        memory = (one.client.info("memory")["used_memory"] - empty) / records
            rates = {case: records / median(times) for case, times in seconds.items()}
        said = [
            _said(rates.get(PIPE)),
            _said(rates[APPEND], rates.get(PIPE)),
            _said(rates.get(INSERT), rates.get(PIPE)),
        ]
        print(f"{name:18}{said[0][:12]}{said[1]}{said[2]}{memory:8,.0f}", flush=True)


if __name__ == "__main__":
    main()
