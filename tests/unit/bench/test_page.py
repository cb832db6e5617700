"""The page's figures and its picture, from a file of results."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bench.page import BEGIN, END, PAGE, filled, picture


def one(value: float, floor: float | None, *runs: float) -> dict[str, Any]:
    """Return a figure as it stands in the file."""
    return {"value": value, "unit": "ms", "n": 100, "floor": floor, "runs": [*runs]}


RESULTS = {
    "reconcile_2000": one(1.9, 4.5, 1.8, 1.9, 2.2),
    "reconcile_ms_100": one(10.0, 5.0, 10.0),
    "reconcile_ms_1000": one(10.0, 5.0, 10.0),
    "reconcile_ms_10000": one(20.0, 5.0, 20.0),
}


def test_figures_are_put_between_the_marks_and_nowhere_else() -> None:
    page = filled(f"before {BEGIN} old {END} after", RESULTS)
    assert page.startswith(f"before {BEGIN}")
    assert page.endswith(f"{END} after")
    assert "| `reconcile_2000` | 1.9 ms | <= 2 | 4.5 | 100 | 1.8, 1.9, 2.2 |" in page
    assert "old" not in page
    assert filled(page, RESULTS) == page
    with pytest.raises(ValueError, match="lost its marks"):
        filled("no marks", RESULTS)


def test_the_page_has_its_marks() -> None:
    assert filled(PAGE.read_text(), RESULTS)


def test_the_picture_has_a_point_for_each_number_higher_where_it_is_more() -> None:
    circles = re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', picture(RESULTS))
    points = [(float(x), float(y)) for x, y in circles]
    (few, few_y), (some, some_y), (many, many_y), *floor = points
    # Ten times as many is the same way again.
    assert some - few == pytest.approx(many - some, abs=0.2) != 0
    assert many_y < some_y == few_y < floor[0][1] == floor[2][1]
    with pytest.raises(ValueError, match="no points"):
        picture({"reconcile_2000": RESULTS["reconcile_2000"]})
