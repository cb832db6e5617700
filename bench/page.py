"""`python -m bench.page`: put the figures of bench/results.json into docs/performance.md, and draw how cost grows.

The page's words are a person's; only what stands between its two marks is written here, and the picture beside it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log10
from pathlib import Path
from typing import Any

from bench.figures import BOUNDS

RESULTS = Path(__file__).parent / "results.json"
DOCS = Path(__file__).parent.parent / "docs"
PAGE, PICTURE = DOCS / "performance.md", DOCS / "performance-growth.svg"
BEGIN, END = "<!-- figures of bench/results.json, by `python -m bench.page` -->", "<!-- end of figures -->"
POINT = re.compile(r"reconcile_ms_(\d+)")
# The picture, in pixels.
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 640, 340, 60, 40, 150, 50
Results = Mapping[str, Mapping[str, Any]]
Points = Sequence[tuple[int, float]]


def table(results: Results) -> str:
    """Return the figures as a table in Markdown."""
    lines = ["| key | measured | must reach | floor | objects | runs |", "|---|---|---|---|---|---|"]
    for key, one in results.items():
        floor = "" if one["floor"] is None else short(one["floor"])
        runs = ", ".join(map(short, one["runs"])) if len(one["runs"]) > 1 else ""
        value = f"{short(one['value'])} {one['unit']}".strip()
        lines.append(
            f"| `{key}` | {value} | {BOUNDS.get(key, '')} | {floor} | {one['n']} | {runs} |".replace("  ", " ")
        )
    return "\n".join(lines)


def short(value: float) -> str:
    """Return a number with three digits that count."""
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def filled(page: str, results: Results) -> str:
    """Return the page with these figures between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    if not rest or not after:
        raise ValueError(f"the page has lost its marks: {BEGIN} and {END}")
    shown = f"![Milliseconds for each new Project, by their number]({PICTURE.name})"
    return f"{before}{BEGIN}\n\n{table(results)}\n\n{shown}\n\n{END}{after}"


def picture(results: Results) -> str:
    """Draw the milliseconds that a new Project takes, of the product and of the floor, over their number."""
    found = {int(match[1]): one for key, one in results.items() if (match := POINT.fullmatch(key))}
    if not found:
        raise ValueError("there are no points to draw: measure reconcile_10000_growth first")
    product = [(count, float(found[count]["value"])) for count in sorted(found)]
    floor = [(count, float(found[count]["floor"])) for count in sorted(found)]
    return draw({"Mooring": product, "the floor": floor})


COLORS = ("#0b6bcb", "#8a8a8a")


@dataclass(frozen=True, slots=True)
class Axes:
    """Where a point is drawn: counts on a logarithmic scale, values on a plain one."""

    low: float
    span: float
    top: float

    @classmethod
    def around(cls, lines: Iterable[Points]) -> Axes:
        """Return axes on which all points have room."""
        points = [point for line in lines for point in line]
        low, high = (log10(pick(count for count, _ in points)) for pick in (min, max))
        return cls(low, high - low or 1.0, 1.15 * max(value for _, value in points))

    def x(self, count: int) -> float:
        """Return how far to the right a count is."""
        return LEFT + (log10(count) - self.low) / self.span * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Return how far down a value is."""
        return HEIGHT - BOTTOM - value / self.top * (HEIGHT - TOP - BOTTOM)


def draw(lines: Mapping[str, Points]) -> str:
    """Draw some lines, each with its name at its end."""
    axes = Axes.around(lines.values())
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22" font-weight="bold">Milliseconds for each new Project, by their number</text>',
        f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="#444444"/>',
        *_marks(axes, sorted({count for points in lines.values() for count, _ in points})),
    ]
    for color, (name, points) in zip(COLORS, lines.items(), strict=True):
        parts += _line(axes, points, name, color)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _marks(axes: Axes, counts: Sequence[int]) -> Iterator[str]:
    for value in (axes.top * part / 4 for part in range(5)):
        yield f'<text x="{LEFT - 8}" y="{axes.y(value) + 4:.1f}" text-anchor="end">{short(value)}</text>'
    for count in counts:
        yield f'<text x="{axes.x(count):.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{count:,}</text>'


def _line(axes: Axes, points: Points, name: str, color: str) -> Iterator[str]:
    places = " ".join(f"{axes.x(count):.1f},{axes.y(value):.1f}" for count, value in points)
    yield f'<polyline points="{places}" fill="none" stroke="{color}" stroke-width="2"/>'
    for count, value in points:
        x, y = axes.x(count), axes.y(value)
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{color}"/>'
        yield f'<text x="{x:.1f}" y="{y - 10:.1f}" text-anchor="middle" fill="{color}">{short(value)}</text>'
    count, value = points[-1]
    yield f'<text x="{axes.x(count) + 30:.1f}" y="{axes.y(value) + 4:.1f}" fill="{color}">{name}</text>'


def main() -> int:
    """Write the page and the picture."""
    try:
        results = json.loads(RESULTS.read_text())
        page, drawn = filled(PAGE.read_text(), results), picture(results)
    except (OSError, ValueError) as problem:
        sys.stderr.write(f"nothing was written: {problem}\nmake bench measures all that is needed\n")
        return 2
    PAGE.write_text(page)
    PICTURE.write_text(drawn)
    print(f"{PAGE.name} and {PICTURE.name} have the figures of {RESULTS.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
