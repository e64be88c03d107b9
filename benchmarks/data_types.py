"""Every data type and format: records per second beside `redis-cli --pipe` with the same commands, and their memory.

On one fresh server each, in interleaved rounds; the medians count, process start is left out as in bench.py. The
commands are the bytes that the connector sends to an empty server, its ledger's included, written down beforehand.
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path

from benchmarks import figures
from benchmarks.bench import APPEND, INSERT, PIPE, Bench, server
from benchmarks.inputs import EMPTY, ENDED, MESSAGES, prepare
from benchmarks.recording import recording
from benchmarks.tables import types
from destination_redis.caches import CACHES, RecordFormat

#: The settings without which a data type cannot store the records: fields with numbers of a place's size, or positions.
NEEDED = {"geo": {"longitude": "age", "latitude": "height"}, "bitmap": {"value": "id"}}
#: The least that records in columns should reach of `redis-cli --pipe` with the same commands.
COLUMNS = 0.75


def rates(folder: Path, cache_type: str, record_format: RecordFormat, records: int, rounds: int) -> figures.Figures:
    """Return the rates of the connector and of `--pipe`, and the bytes a record takes."""
    with server(folder) as client:
        settings = {"cache_type": cache_type, "record_format": record_format, **NEEDED.get(cache_type, {})}
        one = Bench(folder, client, records, settings)
        upserts = record_format in CACHES[cache_type].capabilities.upserts
        cases = (APPEND, INSERT) if upserts else (APPEND,)
        for case in cases:
            client.flushall()
            with recording(client.get_connection_kwargs()["port"], folder / case) as port:
                one.run(dataclasses.replace(one, settings={**one.settings, "port": port}).commands()[case], MESSAGES)
        commands = one.commands()
        runs = {case: (commands[case], MESSAGES) for case in cases}
        runs |= {f"{case}, {PIPE}": (commands[PIPE], case) for case in cases}
        idle: dict[str, list[float]] = {name: [] for name in runs}
        seconds: dict[str, list[float]] = {name: [] for name in runs}
        for _ in range(rounds):
            for name, (command, source) in runs.items():
                client.flushall()
                idle[name].append(one.run(command, EMPTY if name.endswith(PIPE) else ENDED).seconds)
                client.flushall()
                empty = client.info("memory")["used_memory"]
                seconds[name].append(one.timed(name, command, source))
                if name == APPEND:
                    used = client.info("memory")["used_memory"] - empty
        return {name: one.rate(seconds[name], idle[name]) for name in runs} | {"bytes": used / records}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rows: figures.Figures = {}
    with tempfile.TemporaryDirectory() as temporary:
        prepare(folder := Path(temporary), arguments.records)
        for cache_type, cache in CACHES.items():
            for record_format in cache.capabilities.formats:
                each = rates(folder, cache_type, record_format, arguments.records, arguments.rounds)
                print(f"{cache_type} {record_format}:", {name: round(rate) for name, rate in each.items()}, flush=True)
                rows.setdefault(cache_type, {})[record_format] = each
    measured = figures.measured(arguments.records, arguments.rounds)
    found = {**measured, "rows": rows}
    figures.keep("types", found)
    print(f"\n{arguments.records:,} records, {arguments.rounds} rounds, {measured['machine']}\n\n{types(found)}\n")
    columns = rows["hash"]["columns"]
    figures.judge("hash in columns", columns[APPEND] / columns[f"{APPEND}, {PIPE}"], PIPE, COLUMNS)


if __name__ == "__main__":
    main()
