"""The figures that were measured, in docs/benchmark.json: what the documentation says about speed and memory."""

import json
from pathlib import Path
from typing import Any

DOCS = Path(__file__).resolve().parent.parent / "docs"
FIGURES = DOCS / "benchmark.json"

Figures = dict[str, Any]


def read() -> Figures:
    """Return all figures by the benchmark that measured them."""
    figures: Figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    return figures


def keep(benchmark: str, figures: Figures) -> None:
    """Keep what a benchmark measured in the place of what it measured before."""
    FIGURES.write_text(json.dumps({**read(), benchmark: figures}, indent=2) + "\n")
