"""Growing waits: within their limits, spread, and short again after success."""

from __future__ import annotations

from itertools import pairwise
from random import Random

from mooring.cluster.backoff import Backoff


def test_waits_grow_to_the_longest_and_start_again() -> None:
    backoff = Backoff(1.0, 8.0, Random(1))  # noqa: S311 - spreads load, guards nothing
    limits = (1.0, 2.0, 4.0, 8.0, 8.0, 8.0)
    for limit in limits:
        assert limit * 0.1 <= backoff.next() <= limit
    backoff.reset()
    assert backoff.next() <= 1.0


def test_many_that_failed_at_once_come_back_spread() -> None:
    random = Random(1)  # noqa: S311 - spreads load, guards nothing
    waits = sorted(Backoff(10.0, 10.0, random).next() for _ in range(100))
    assert waits[0] < 2.5
    assert waits[-1] > 8.5
    assert max(later - earlier for earlier, later in pairwise(waits)) < 1.5
