"""What was measured, what must be reached, and the table of both. Pure: nothing here measures anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from statistics import median
from typing import Any, Literal

Sense = Literal["<=", ">="]


class Void(Exception):
    """The run says nothing: the floor was slower than what stands upon it."""


@dataclass(frozen=True, slots=True)
class Bound:
    """What a figure must reach."""

    sense: Sense
    limit: float

    def holds(self, value: float) -> bool:
        """Tell whether a value reaches it."""
        return value <= self.limit if self.sense == "<=" else value >= self.limit

    def __str__(self) -> str:
        return f"{self.sense} {self.limit:g}"


def _most(limit: float) -> Bound:
    return Bound("<=", limit)


def _least(limit: float) -> Bound:
    return Bound(">=", limit)


# What a sweep interval of ten minutes may ask GitHub for in three minutes of rest, ten thousand Projects over
# a thousand repositories in each of ten namespaces: see "What it costs" in docs/guide/missed-pushes.md.
IDLE_REQUESTS = 120

BOUNDS: Mapping[str, Bound] = {
    "reconcile_2000": _most(2.0),
    "reconcile_2000_with_start": _most(2.4),
    "reconcile_10000_growth": _most(1.15),
    "tokens_500": _most(1.6),
    "push_burst": _least(6),
    "push_burst_p99": _most(0.3),
    "push_spread": _least(0.9),
    "push_unmatched": _least(0.5),
    "push_to_rollout": _most(8),
    "rss_operator_10000": _most(250),
    "rss_gateway_10000": _most(150),
    "restart_10000_seconds": _most(20),
    "restart_10000_writes": _most(0),
    "restart_10000_mints": _most(0),
    "idle_10000_writes": _most(0),
    "idle_10000_requests": _most(IDLE_REQUESTS),
    "idle_10000_cpu_percent": _most(2),
    "cold_start_operator": _most(3),
    "cold_start_gateway": _most(1.5),
}


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure: the median of its runs, of `n` objects or requests, over a floor where it has one."""

    key: str
    value: float
    unit: str
    n: int
    # In the unit that the ratio is made of; None where the figure is no ratio.
    floor: float | None
    runs: tuple[float, ...]


@dataclass
class Book:
    """All figures of a run, in the order in which they came, and what made some of them void."""

    figures: dict[str, Figure] = field(default_factory=dict)
    void: dict[str, str] = field(default_factory=dict)

    def add(self, key: str, runs: float | Sequence[float], unit: str, *, n: int, floor: float | None = None) -> Figure:
        """Enter the median of what several runs came to, or what the only one came to."""
        several = tuple(runs) if isinstance(runs, Sequence) else (float(runs),)
        figure = Figure(key, median(several), unit, n, floor, several)
        self.figures[key] = figure
        return figure


def ratio(product: float, floor: float, what: str) -> float:
    """Return how many times as long as the floor the product took; raise Void where it took less."""
    if product < floor:
        raise Void(f"{what} took {product:.2f} s, less than the {floor:.2f} s of the floor")
    return product / floor


def verdict(figure: Figure) -> str:
    """Say whether a figure reaches what it must."""
    bound = BOUNDS.get(figure.key)
    if bound is None:
        return ""
    return "ok" if bound.holds(figure.value) else "SHORT"


def render(book: Book) -> str:
    """Return the table: a line for each figure, and one for each key that is void."""
    rows: list[tuple[str, ...]] = [("key", "value", "unit", "must", "n", "floor", "runs", "")]
    rows += [_row(figure) for figure in book.figures.values()]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"{key}: VOID, {reason}" for key, reason in book.void.items()]
    return "\n".join(lines)


def _row(figure: Figure) -> tuple[str, ...]:
    bound = BOUNDS.get(figure.key)
    runs = " ".join(_short(run) for run in figure.runs) if len(figure.runs) > 1 else ""
    return (
        figure.key,
        _short(figure.value),
        figure.unit,
        str(bound or ""),
        str(figure.n),
        "" if figure.floor is None else _short(figure.floor),
        runs,
        verdict(figure),
    )


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def to_json(book: Book) -> dict[str, dict[str, Any]]:
    """Return what is written into the file of results."""
    return {
        key: {"value": it.value, "unit": it.unit, "n": it.n, "floor": it.floor, "runs": list(it.runs)}
        for key, it in book.figures.items()
    }


def percentile(values: Iterable[float], share: float) -> float:
    """Return the smallest value that a share of all does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)]
