"""How append's rate grows from one primary to three, and what bounds it: who is busy for how much of the time."""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from subprocess import DEVNULL, Popen
from typing import NamedTuple

from benchmarks import figures
from benchmarks.inputs import ENDED, MESSAGES, ROOT, catalog, prepare
from integration_tests.support.servers.cluster import ClusterServers, cluster


class Run(NamedTuple):
    seconds: float
    connector: float
    """Seconds of CPU time."""
    servers: tuple[float, ...]


def timed(servers: ClusterServers, folder: Path, source: str) -> Run:
    config, configured = folder / "config.json", folder / "catalog.json"
    config.write_text(json.dumps(servers.config))
    configured.write_text(catalog("append", 1, 0, 1))
    command = [sys.executable, str(ROOT / "main.py"), "write", "--config", str(config), "--catalog", str(configured)]
    before = [_busy(servers, number) for number in range(len(servers.primaries))]
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    with (folder / source).open("rb") as stdin:
        process = Popen(command, stdin=stdin, stdout=DEVNULL)
        code = process.wait()
    seconds = time.perf_counter() - began
    if code:
        raise SystemExit(f"The connector ended with {code}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    connector = used.ru_utime + used.ru_stime - own.ru_utime - own.ru_stime
    after = [_busy(servers, number) for number in range(len(servers.primaries))]
    return Run(seconds, connector, tuple(b - a for a, b in zip(before, after, strict=True)))


def _busy(servers: ClusterServers, number: int) -> float:
    cpu = servers.primaries[number].client.info("cpu")
    return float(cpu["used_cpu_user"]) + float(cpu["used_cpu_sys"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        prepare(folder, arguments.records)
        rates: dict[int, float] = {}
        shares: dict[int, tuple[float, float]] = {}
        print(f"append into a cluster, {arguments.records:,} records, {os.cpu_count()} cores\n")
        print(f"{'primaries':>9}{'records/s':>12}{'connector busy':>16}{'each server busy':>18}")
        for primaries in (1, 2, 3):
            with cluster(primaries=primaries) as servers:
                runs = []
                for _ in range(arguments.rounds):
                    servers.flush()
                    idle = timed(servers, folder, ENDED)
                    servers.flush()
                    run = timed(servers, folder, MESSAGES)
                    there = sum(node.client.dbsize() for node in servers.primaries)
                    if there != arguments.records + 2:  # a counter and a ledger beside them
                        raise SystemExit(f"{there} keys arrived")
                    runs.append(
                        Run(
                            run.seconds - idle.seconds,
                            run.connector - idle.connector,
                            tuple(a - b for a, b in zip(run.servers, idle.servers, strict=True)),
                        )
                    )
            seconds = median(run.seconds for run in runs)
            rates[primaries] = arguments.records / seconds
            busy = median(run.connector / run.seconds for run in runs)
            server = median(max(run.servers) / run.seconds for run in runs)
            shares[primaries] = busy, server
            print(f"{primaries:9}{rates[primaries]:12,.0f}{busy:16.0%}{server:18.0%}")
        rows = {str(each): {"rate": rates[each], "connector": of[0], "server": of[1]} for each, of in shares.items()}
        said = {"records": arguments.records, "rounds": arguments.rounds, "cores": os.cpu_count(), "rows": rows}
        figures.keep("cluster", said)
        print(f"\nthree primaries: {rates[3] / rates[1]:.2f} of one")


if __name__ == "__main__":
    main()
