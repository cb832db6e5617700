"""How much is measured: all that the figures' names say, or a part of it for a quick look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

# Shows progress: one line.
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Size:
    """Counts of objects and requests, and how often each short measurement is made."""

    reconciled: int = 2_000
    # Such a run is long enough for one of them to tell; the points of the picture tell it again.
    reconciled_runs: int = 1
    reconciled_image: int = 1_000
    # The points of the picture: the last over the one before is the growth.
    growth: tuple[int, ...] = (100, 1_000, 10_000)
    installations: int = 500
    vast: int = 10_000
    idle_seconds: float = 180.0
    rollouts: int = 60
    burst: int = 3_000
    spread: int = 1_000
    spread_projects: int = 1_000
    unmatched: int = 60_000
    runs: int = 3
    # Of floor and product, where one takes little longer than the other: short ones, because a machine's speed changes.
    turns: int = 9


FULL = Size()
QUICK = Size(
    reconciled=200,
    reconciled_runs=1,
    reconciled_image=150,
    growth=(100, 250),
    installations=40,
    vast=300,
    idle_seconds=10.0,
    rollouts=20,
    burst=400,
    spread=200,
    spread_projects=150,
    unmatched=10_000,
    runs=1,
    turns=3,
)
