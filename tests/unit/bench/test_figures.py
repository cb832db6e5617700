"""The pure parts of the benchmark: medians, verdicts, the table and what is void."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench import __main__ as main_module
from bench.__main__ import SCENARIOS, Measure, Scenario, chosen
from bench.figures import BOUNDS, Book, Void, percentile, ratio, render, to_json
from bench.size import QUICK, Say, Size


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


def good(book: Book, size: Size, say: Say) -> None:
    """Measure something."""
    book.add("reconcile_2000", 1.5, "x", n=size.reconciled)


def too_quick(book: Book, size: Size, say: Say) -> None:
    """Come to nothing."""
    raise Void("it was quicker than its floor")


def broken(book: Book, size: Size, say: Say) -> None:
    """Fail as a measurement does where something does not come in time."""
    raise AssertionError("it did not come")


@dataclass(frozen=True, slots=True)
class Given(Scenario):
    """A scenario that is given here."""

    measure: Measure

    def load(self) -> Measure:
        """Return it."""
        return self.measure


def test_a_void_run_is_told_and_fails_and_what_was_measured_stays(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*measures: Measure) -> int:
        scenarios = [Given("here", measure.__name__, (measure.__name__,), measure) for measure in measures]
        monkeypatch.setattr(main_module, "SCENARIOS", scenarios)
        return main_module.main(["--quick"])

    monkeypatch.setattr(main_module, "RESULTS", tmp_path / "results.json")
    assert run(good) == 0
    assert run(too_quick, good) == 1
    assert "too_quick: VOID, it was quicker than its floor" in capsys.readouterr().out
    assert json.loads((tmp_path / "results.json").read_text())["reconcile_2000"]["n"] == QUICK.reconciled
    with pytest.raises(AssertionError):
        run(good, broken)
    assert "reconcile_2000" in json.loads((tmp_path / "results.json").read_text())
    assert "reconcile_2000  1.5" in capsys.readouterr().out
    with pytest.raises(SystemExit) as ended:
        main_module.main(["--only", "nonsense"])
    assert ended.value.code == 2
