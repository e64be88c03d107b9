"""How append's rate grows from one primary to three, what bounds it, and what upserts reach of it.

What bounds it shows in who is busy for how much of the time.
"""

import argparse
import json
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

#: The least that upserts should reach of append, with three primaries.
UPSERTS = 0.45


class Run(NamedTuple):
    seconds: float
    connector: float
    """Seconds of CPU time."""
    servers: tuple[float, ...]


def timed(servers: ClusterServers, folder: Path, source: str, mode: str = "append") -> Run:
    config, configured = folder / "config.json", folder / "catalog.json"
    config.write_text(json.dumps(servers.config))
    configured.write_text(catalog(mode, 1, 0, 1))
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


def measured(servers: ClusterServers, folder: Path, records: int, rounds: int, mode: str) -> tuple[float, float, float]:
    """Return the records a second, and the share of the time in which the connector and a server were busy."""
    runs = []
    for _ in range(rounds):
        servers.flush()
        idle = timed(servers, folder, ENDED, mode)
        servers.flush()
        run = timed(servers, folder, MESSAGES, mode)
        there = sum(node.client.dbsize() for node in servers.primaries)
        if there != records + 2:  # a counter and a ledger beside them
            raise SystemExit(f"{there} keys arrived")
        server = max(a - b for a, b in zip(run.servers, idle.servers, strict=True))
        runs.append((run.seconds - idle.seconds, run.connector - idle.connector, server))
    rate = records / median(seconds for seconds, _, _ in runs)
    busy = median(connector / seconds for seconds, connector, _ in runs)
    return rate, busy, median(server / seconds for seconds, _, server in runs)


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
        rows: dict[str, dict[str, float]] = {}
        records, rounds = arguments.records, arguments.rounds
        how = figures.measured(records, rounds)
        print(f"{records:,} records into a cluster, {rounds} rounds, {how['machine']}\n")
        print(f"{'primaries':>9}{'append/s':>12}{'connector busy':>16}{'each server busy':>18}{'upserts/s':>12}")
        for primaries in (1, 2, 3):
            with cluster(primaries=primaries) as servers:
                rate, connector, server = measured(servers, folder, records, rounds, "append")
                upserts, _, _ = measured(servers, folder, records, rounds, "append_dedup")
            rows[str(primaries)] = {"rate": rate, "connector": connector, "server": server, "upserts": upserts}
            print(f"{primaries:9}{rate:12,.0f}{connector:16.0%}{server:18.0%}{upserts:12,.0f}", flush=True)
        figures.keep("cluster", {**how, "rows": rows})
        print(f"\nthree primaries: {rows['3']['rate'] / rows['1']['rate']:.2f} of one")
        figures.judge("upserts into three primaries", rows["3"]["upserts"] / rows["3"]["rate"], "append", UPSERTS)


if __name__ == "__main__":
    main()
