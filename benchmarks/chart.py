"""The figures of the data types as an SVG bar chart: rates beside `redis-cli --pipe`, and memory."""

from collections.abc import Iterator

from benchmarks.figures import Figures

_SVG = "http://www.w3.org/2000/svg"  # ignore-https-check: a name, not an address
_STYLE = """
.ground{fill:#ffffff}text{fill:#1f2937;font:13px system-ui,sans-serif}.head{font-weight:600;font-size:15px}
.soft{fill:#4b5563;font-size:12px}.number{font-size:12px}.envelope{fill:#2563eb}.columns{fill:#0d9488}
.pipe{stroke:#dc2626;stroke-width:2}
@media (prefers-color-scheme:dark){.ground{fill:#0d1117}text{fill:#e5e7eb}.soft{fill:#9ca3af}
.envelope{fill:#3b82f6}.columns{fill:#14b8a6}.pipe{stroke:#f87171}}
"""
_FORMATS = ("envelope", "columns")
#: Pixels: the picture, where the bars of both halves begin and how long they may be, a bar and what lies between types.
_WIDTH, _RATES, _BYTES, _LONGEST = 900, 100, 560, 260
_BAR, _ROW, _TOP = 15, 46, 86


def chart(figures: Figures) -> str:
    """Return the SVG."""
    rows = figures["rows"]
    height = _TOP + _ROW * len(rows) + 10
    shapes = [shape for formats in rows.values() for shape in formats.values()]
    fastest = max(max(shape["append"], shape["append, redis-cli --pipe"]) for shape in shapes)
    largest = max(shape["bytes"] for shape in shapes)
    lines = [
        f'<svg xmlns="{_SVG}" viewBox="0 0 {_WIDTH} {height}" role="img" aria-labelledby="title">',
        '<title id="title">Records a second and bytes a record, by data type and format</title>',
        f"<style>{_STYLE}</style>",
        f'<rect class="ground" width="{_WIDTH}" height="{height}" rx="12"/>',
        f'<text class="head" x="{_RATES}" y="30">append, records/s</text>',
        f'<text class="head" x="{_BYTES}" y="30">bytes a record</text>',
        *_legend(),
    ]
    for number, (name, formats) in enumerate(rows.items()):
        y = _TOP + _ROW * number
        lines.append(f'<text x="{_RATES - 10}" y="{y + _BAR + 5}" text-anchor="end">{name}</text>')
        for form, shape in formats.items():
            at = y + _FORMATS.index(form) * (_BAR + 2) if len(formats) > 1 else y + _BAR // 2
            rate, pipe, size = shape["append"], shape["append, redis-cli --pipe"], shape["bytes"]
            lines += _bar(form, _RATES, at, rate / fastest, f"{round(rate, -3):,.0f}", pipe / fastest)
            lines += _bar(form, _BYTES, at, size / largest, f"{size:,.0f}")
    return "\n".join([*lines, "</svg>", ""])


def _legend() -> Iterator[str]:
    for form, x in (("envelope", _RATES), ("columns", _RATES + 100)):
        yield f'<rect class="{form}" x="{x}" y="46" width="12" height="12" rx="2"/>'
        yield f'<text class="soft" x="{x + 18}" y="57">{form}</text>'
    x = _RATES + 190
    yield f'<path class="pipe" d="M{x} 44v16"/>'
    yield f'<text class="soft" x="{x + 10}" y="57">redis-cli --pipe, the same bytes</text>'


def _bar(form: str, x: int, y: int, part: float, label: str, rival: float | None = None) -> Iterator[str]:
    """Yield a bar with its label: behind it, or where a rival has a mark there, behind the longest."""
    end = part * _LONGEST
    yield f'<rect class="{form}" x="{x}" y="{y}" width="{end:.1f}" height="{_BAR}" rx="2"/>'
    if rival is not None:
        yield f'<path class="pipe" d="M{x + rival * _LONGEST:.1f} {y - 1}v{_BAR + 2}"/>'
        end = _LONGEST
    yield f'<text class="number" x="{x + end + 10:.1f}" y="{y + 12}">{label}</text>'
