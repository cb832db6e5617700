"""The pure parts of the benchmark: medians, verdicts, the table and what is void."""

from __future__ import annotations

import pytest

from bench.__main__ import SCENARIOS, chosen
from bench.figures import BOUNDS, Book, Void, percentile, ratio, render, to_json


def test_a_figure_is_the_median_of_its_runs_and_judged_by_its_bound() -> None:
    book = Book()
    book.add("reconcile_2000", [2.4, 1.9, 1.7], "x", n=2000, floor=4.5)
    book.add("push_burst", [5.9], "x", n=3000, floor=600.0)
    book.void["tokens_500"] = "it was faster than the floor"
    lines = render(book).splitlines()
    assert lines[1].split() == ["reconcile_2000", "1.9", "x", "<=", "2", "2000", "4.5", "2.4", "1.9", "1.7", "ok"]
    assert lines[2].split()[-1] == "SHORT"
    assert lines[3] == "tokens_500: VOID, it was faster than the floor"
    assert to_json(book)["reconcile_2000"] == {
        "value": 1.9,
        "unit": "x",
        "n": 2000,
        "floor": 4.5,
        "runs": [2.4, 1.9, 1.7],
    }


def test_what_is_quicker_than_its_floor_is_void() -> None:
    assert ratio(3.0, 2.0, "it") == 1.5
    with pytest.raises(Void, match="less than"):
        ratio(1.9, 2.0, "it")


def test_percentiles_are_values_that_were_there() -> None:
    values = [float(number) for number in range(1, 201)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1.0)] == [100.0, 198.0, 200.0]


def test_every_bound_is_measured_and_every_key_is_known() -> None:
    keys = [key for scenario in SCENARIOS for key in scenario.keys]
    assert set(BOUNDS) <= set(keys)
    assert len(keys) == len(set(keys))
    assert [scenario.function for scenario in chosen("reconcile_10000_growth, reconcile_2000")] == [
        "reconcile",
        "growth",
    ]
    with pytest.raises(ValueError, match="no such key: nonsense"):
        chosen("reconcile_2000,nonsense")
