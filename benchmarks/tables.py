"""The figures as the tables and the chart of the documentation: `python -m benchmarks.tables` writes them anew."""

import re
from collections.abc import Callable, Mapping

from benchmarks.chart import chart
from benchmarks.figures import DOCS, Figures, read

PAGES, CHART = (DOCS / "redis.md", DOCS.parent / "README.md"), DOCS / "benchmark.svg"
APPEND, INSERT, PIPE = "append", "upsert, inserts", "redis-cli --pipe"
FORMATS = ("envelope", "columns")


def types(figures: Figures) -> str:
    """Return a row for each data type, envelope and columns side by side."""
    rows = [
        "| `cache_type` | Bytes a record | | Append: records/s (of `--pipe`) | | Deduped, new rows: records/s | |",
        "| :--- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| | `envelope` | `columns` | `envelope` | `columns` | `envelope` | `columns` |",
    ]
    for name, formats in figures["rows"].items():
        shapes = [formats.get(each) for each in FORMATS]
        cells = [f"{shape['bytes']:,.0f}" if shape else "" for shape in shapes]
        cells += [_rate(shape, case) for case in (APPEND, INSERT) for shape in shapes]
        rows.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(rows)


def modes(figures: Figures) -> str:
    """Return a row for each sync mode, beside its rivals."""
    names = {
        PIPE: "`redis-cli --pipe`, the finished commands",
        f"{PIPE}, replacing": "`redis-cli --pipe`, the finished commands of a replacement",
        "plain connector": "a plain connector: the CDK's parser, pipelines of 1,000",
        APPEND: "Append",
        "overwrite": "Overwrite, with the replacement",
        INSERT: "Append + Deduped, new rows",
        "upsert, updates": "Append + Deduped, rows replaced",
        "append, 10 streams in turn": "Append, ten interleaved streams",
    }
    rates = figures["rates"]
    rows = ["| | Records/s | Of `redis-cli --pipe` | Of the plain connector |", "| :--- | ---: | ---: | ---: |"]
    for case, name in names.items():
        against = [f"{rates[case] / rates[rival]:.2f}" for rival in (PIPE, "plain connector")]
        rows.append(f"| {name} | {_thousands(rates[case])} | {' | '.join(against)} |")
    return "\n".join(rows)


def cluster(figures: Figures) -> str:
    """Return a row for each number of primaries."""
    rows = [
        "| Primaries | Append: records/s | Connector busy | Each server busy | Append + Deduped: records/s |",
        "| ---: | ---: | ---: | ---: | ---: |",
    ]
    for primaries, of in figures["rows"].items():
        busy = f"{of['connector']:.0%} | {of['server']:.0%}"
        rows.append(f"| {primaries} | {_thousands(of['rate'])} | {busy} | {_thousands(of['upserts'])} |")
    return "\n".join(rows)


TABLES: Mapping[str, Callable[[Figures], str]] = {"types": types, "modes": modes, "cluster": cluster}


def filled(page: str, figures: Figures) -> str:
    """Return the page with its tables made from the figures: each stands between two marks."""

    def table(mark: re.Match[str]) -> str:
        name = mark[2]
        of = figures[name]
        measured = f"Records: {of['records']:,}; rounds: {of['rounds']}; machine: {of['machine']}."
        return f"{mark[1]}\n{measured}\n\n{TABLES[name](of)}\n{mark[3]}"

    return re.sub(r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)", table, page, flags=re.DOTALL)


def _rate(shape: Figures | None, case: str) -> str:
    """Return a rate, and in brackets its part of what `--pipe` does with the same commands."""
    if not shape or case not in shape:
        return ""
    return f"{_thousands(shape[case])} ({shape[case] / shape[f'{case}, {PIPE}']:.2f})"


def _thousands(rate: float) -> str:
    return f"{round(rate, -3):,.0f}"


def main() -> None:
    figures = read()
    for page in PAGES:
        page.write_text(filled(page.read_text(), figures))
    CHART.write_text(chart(figures["types"]))


if __name__ == "__main__":
    main()
