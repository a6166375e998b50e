"""A measured model as a drawing (SVG): bars of the stages' medians, thin lines to p95 and p99."""

from __future__ import annotations

import math
from pathlib import Path
from xml.sax.saxutils import escape

from vitrine.zoo.bench import Bench, Row

WIDTH, LEFT, RIGHT, TOP, ROW, FOOT = 720, 120, 90, 64, 34, 56
COLOURS = {"preprocess": "#7aa6c2", "detect": "#1f4e79", "decode": "#c98a3d", "embed": "#1f4e79"}
FONT = 'font-family="system-ui, sans-serif"'


def draw(bench: Bench) -> str:
    """The drawing, readable on light and dark pages."""
    longest = max((row.p99_ms for row in bench.rows), default=1.0) or 1.0
    step = _step(longest)
    top_ms = math.ceil(longest / step) * step
    scale = (WIDTH - LEFT - RIGHT) / top_ms
    height = TOP + ROW * len(bench.rows) + FOOT
    title = f"{Path(bench.path).name}: {bench.family or bench.kind}, {bench.provider}, {bench.threads} thread"
    title += "" if bench.threads == 1 else "s"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" {FONT} font-size="13">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="16" y="26" font-size="15" font-weight="600" fill="#222">{escape(title)}</text>',
        '<text x="16" y="46" fill="#666">milliseconds a run: medians by stage, '
        "thin lines to p95 and p99</text>",
        *_axis(top_ms, step, scale, height),
    ]
    for at, row in enumerate(bench.rows):
        parts += _bar(row, TOP + ROW * at, scale)
    parts += _legend(bench.rows, height)
    return "\n".join([*parts, "</svg>", ""])


def save(bench: Bench, path: Path) -> Path:
    """Write the drawing; returns `path`.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(draw(bench), encoding="utf-8")
    return path


def _step(longest: float) -> float:
    """A round distance between lines of the axis: 1, 2 or 5 times a power of ten, at most eight of them."""
    power = 10.0 ** math.floor(math.log10(longest / 8)) if longest > 0 else 1.0
    return next(power * factor for factor in (1, 2, 5, 10) if longest / (power * factor) <= 8)


def _axis(top_ms: float, step: float, scale: float, height: int) -> list[str]:
    parts = []
    for index in range(round(top_ms / step) + 1):
        x = LEFT + index * step * scale
        parts.append(f'<path d="M{x:.1f} {TOP} V{height - FOOT}" stroke="#dddddd"/>')
        parts.append(
            f'<text x="{x:.1f}" y="{height - FOOT + 18}" text-anchor="middle" fill="#666">'
            f"{index * step:g}</text>"
        )
    return parts


def _bar(row: Row, top: float, scale: float) -> list[str]:
    middle = top + ROW / 2
    parts = [
        f'<text x="{LEFT - 10}" y="{middle + 4:.1f}" text-anchor="end" fill="#222">'
        f"{escape(row.subject)}</text>"
    ]
    x = float(LEFT)
    for stage, took in row.stages_ms.items():
        wide = took * scale
        parts.append(
            f'<rect x="{x:.1f}" y="{top + 7:.1f}" width="{wide:.1f}" height="{ROW - 14}" '
            f'fill="{COLOURS.get(stage, "#888888")}"><title>{escape(stage)} {took:g} ms</title></rect>'
        )
        x += wide
    end = LEFT + row.p99_ms * scale
    near = LEFT + row.p95_ms * scale
    parts.append(
        f'<path d="M{x:.1f} {middle:.1f} H{end:.1f} M{near:.1f} {middle - 5:.1f} v10 M{end:.1f} '
        f'{middle - 3:.1f} v6" stroke="#444444" fill="none"/>'
    )
    parts.append(f'<text x="{end + 8:.1f}" y="{middle + 4:.1f}" fill="#222">{row.p50_ms:.1f} ms</text>')
    return parts


def _legend(rows: tuple[Row, ...], height: int) -> list[str]:
    parts, x = [], LEFT
    for stage in dict.fromkeys(stage for row in rows for stage in row.stages_ms):
        colour = COLOURS.get(stage, "#888888")
        parts.append(f'<rect x="{x}" y="{height - 22}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="{x + 18}" y="{height - 11}" fill="#444">{escape(stage)}</text>')
        x += 30 + 8 * len(stage)
    return parts
