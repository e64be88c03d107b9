"""The figures that were measured, in docs/benchmark.json: what the documentation says about speed and memory."""

import json
import os
import platform
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent.parent / "docs"
FIGURES = DOCS / "benchmark.json"
CPUS = Path("/proc/cpuinfo")

Figures = dict[str, Any]


def read() -> Figures:
    """Return all figures by the benchmark that measured them."""
    figures: Figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    return figures


def measured(records: int, rounds: int) -> Figures:
    """Return how figures were measured: with how many records and rounds, and on which machine."""
    model = re.search(r"model name\s*:\s*(.+)", CPUS.read_text() if CPUS.exists() else "")
    machine = f"{os.cpu_count()} cores, {model[1] if model else platform.machine()}"
    return {"records": records, "rounds": rounds, "machine": machine}


def judge(case: str, ratio: float, rival: str, target: float) -> None:
    """Print whether a target was met."""
    print(f"{'met' if ratio >= target else 'MISSED'}: {case} {ratio:.2f} of {rival}, target {target}")


def keep(benchmark: str, figures: Figures) -> None:
    """Keep what a benchmark measured in the place of what it measured before."""
    FIGURES.write_text(json.dumps({**read(), benchmark: figures}, indent=2) + "\n")
