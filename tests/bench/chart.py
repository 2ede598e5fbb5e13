"""A small bar chart in SVG: each rate beside the reference's, which is 1."""

from xml.sax.saxutils import escape

from tests.bench.report import ROWS, ratio, reference
from tests.bench.rounds import Figures
from tests.bench.systems import REFERENCE

WIDTH, LEFT, RIGHT, TOP = 760, 210, 60, 56
BAR, GAP = 14, 12
COLOURS = ("#1f5fa8", "#e0892b", "#5b8c5a")
GREY = "#8a8a8a"


def chart(all_figures: list[Figures]) -> str | None:
    """This will draw the rows in which more is better, or answer None where the reference is missing."""
    base = reference(all_figures)
    compared = [one for one in all_figures if one is not base]
    rows = [row for row in ROWS if row.more_is_better and any(ratio(row, one, base) for one in compared)]
    if not rows:
        return None
    values = {(row.key, i): ratio(row, one, base) or 0 for row in rows for i, one in enumerate(compared)}
    scale = (WIDTH - LEFT - RIGHT) / max(1.0, *values.values())
    parts = []
    for i, one in enumerate(compared):
        x = LEFT + i * 160
        parts.append(f'<rect x="{x}" y="14" width="12" height="12" fill="{COLOURS[i]}"/>')
        parts.append(_text(x + 18, 24, one.system.name))
    y = TOP
    for row in rows:
        parts.append(_text(LEFT - 10, y + BAR * len(compared) / 2 + 4, row.title, "end"))
        for i, _ in enumerate(compared):
            value = values[row.key, i]
            width = value * scale
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 2}" fill="{COLOURS[i]}"/>')
            parts.append(_text(LEFT + width + 5, y + BAR - 4, f"{value:.2f}"))
            y += BAR
        y += GAP
    line = LEFT + scale
    parts.append(f'<path d="M{line:.1f} {TOP - 8}V{y - GAP + 4}" stroke="{GREY}" stroke-dasharray="4 3"/>')
    parts.append(_text(line, TOP - 12, f"{REFERENCE} = 1", "middle"))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y}" font-family="sans-serif" '
        f'font-size="12" role="img" aria-label="Rates of Lading divided by those of {REFERENCE}">\n'
        f'<rect width="{WIDTH}" height="{y}" fill="#fff"/>\n{body}\n</svg>\n'
    )


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#222">{escape(text)}</text>'
