"""Run the suites one after the other, and print what each took beside what it may take.

A budget is part of a suite's design, printed so that growth is seen; a slow machine is not a failure. The standard
library is enough here, so that this runs before anything else is known to work.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOT_ON_LINUX = sys.platform == "linux" and os.geteuid() == 0
PYTEST = (sys.executable, "-m", "pytest", "-q")
CODE = ("operator", "lab", "tests", "bench")


@dataclass(frozen=True)
class Suite:
    """Commands that belong together, and the seconds that they may take on two cores with a warm cache."""

    name: str
    budget: int
    commands: tuple[tuple[str, ...], ...]
    # Runs meanwhile, in a lab of its own; what it wrote is shown when it has ended. Most of both is waiting.
    meanwhile: tuple[str, ...] = ()
    root: bool = False  # it needs root on Linux, and is not run without; the last line says so


LINT = Suite(
    "lint",
    75,
    (
        (sys.executable, "-m", "ruff", "check", "--quiet", *CODE),
        (sys.executable, "-m", "ruff", "format", "--check", "--quiet", *CODE),
        (sys.executable, "-m", "mypy", *CODE),
        (str(Path(sys.executable).with_name("lint-imports")), "--no-logo"),
    ),
)
# The half of the cluster suite that takes as long as the other.
HALF = (
    "tests/cluster/operator/pages",
    *sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("tests/cluster/operator/test_[a-p]*.py")),
)
ORDINARY = ("-m", "not scale and not vast")
NODE = Suite("node", 260, ((*PYTEST, "-m", "not scale", "tests/node"),), root=True)
TEST = (
    LINT,
    Suite("verify", 10, (("make", "verify"),)),
    Suite("unit", 80, ((*PYTEST, "tests/unit"),)),
    Suite("lab", 260, ((*PYTEST, "-m", "not scale", "tests/lab"),)),
    Suite(
        "cluster",
        1000,
        ((*PYTEST, *ORDINARY, *HALF),),
        meanwhile=(*PYTEST, *ORDINARY, *(f"--ignore={path}" for path in HALF), "tests/cluster"),
    ),
    NODE,
    Suite("demo", 60 if ROOT_ON_LINUX else 30, ((sys.executable, "-m", "lab.demo", "--once", "--dir", "build/demo"),)),
)
# What is a figure has a lab of its own: after thousands of other objects the API server is half as fast.
ROTATION = "tests/cluster/scale/test_rotation.py"
SCALE = (
    Suite(
        "scale",
        1800,
        (
            (*PYTEST, "-s", "-m", "scale", ROTATION),
            (*PYTEST, "-m", "scale", f"--ignore={ROTATION}", "tests/lab", "tests/cluster"),
        ),
    ),
)
SPEED = Suite("speed", 120, ((*PYTEST, "-s", "-m", "scale", "tests/node"),), root=True)
VAST = (Suite("vast", 900, ((*PYTEST, "-s", "-m", "vast", "tests/cluster"),)),)
# On somebody's own Docker, so only when it is asked for.
KIND = Suite("kind", 900, ((*PYTEST, "tests/kind"),))
SETS = {"test": TEST, "lint": (LINT,), "scale": (*SCALE, SPEED, *VAST), "vast": VAST, "node": (NODE,), "kind": (KIND,)}

COUNTS = re.compile(r"(\d+) (passed|failed|errors?|skipped)\b")


def run(command: tuple[str, ...], totals: dict[str, int]) -> bool:
    """Run one command with its output passed through, and add up what pytest counted in its last line."""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as process:
        last = show(process.stdout or ())
    count(command, last, totals)
    return process.returncode == 0


def show(lines: Iterable[str]) -> str:
    """Pass lines through, and return the last one that says something."""
    last = ""
    for line in lines:
        sys.stdout.write(line)
        sys.stdout.flush()
        last = line.strip() or last
    return last


def count(command: tuple[str, ...], last: str, totals: dict[str, int]) -> None:
    """Add up what pytest counted."""
    if "pytest" in command:
        for number, what in COUNTS.findall(last):
            totals[what.rstrip("s")] = totals.get(what.rstrip("s"), 0) + int(number)


def run_suite(suite: Suite, totals: dict[str, int]) -> bool:
    """Run all commands of a suite, also after one that failed."""
    if not suite.meanwhile:
        return all([run(command, totals) for command in suite.commands])  # noqa: C419 - each one runs
    with tempfile.TemporaryFile("w+") as written:
        with subprocess.Popen(suite.meanwhile, cwd=ROOT, stdout=written, stdin=subprocess.DEVNULL) as process:
            passed = all([run(command, totals) for command in suite.commands])  # noqa: C419
        written.seek(0)
        sys.stdout.write(f"\n-- {suite.name}, what ran meanwhile\n")
        count(suite.meanwhile, show(written), totals)
    return passed and process.returncode == 0


def main(arguments: list[str]) -> int:
    """Run a set of suites; every suite runs, also after one that failed."""
    name = arguments[0] if arguments else "test"
    if len(arguments) > 1 or name not in SETS:
        sys.stderr.write(f"usage: suites.py [{' | '.join(SETS)}]\n")
        return 2
    totals: dict[str, int] = {}
    rows: list[tuple[str, float, int, bool]] = []
    left_out = [suite.name for suite in SETS[name] if suite.root and not ROOT_ON_LINUX]
    for suite in SETS[name]:
        if suite.name in left_out:
            continue
        sys.stdout.write(f"\n== {suite.name}\n")
        sys.stdout.flush()
        started = time.monotonic()
        passed = run_suite(suite, totals)
        rows.append((suite.name, time.monotonic() - started, suite.budget, passed))
    sys.stdout.write(f"\n{'suite':<10}{'seconds':>9}{'budget':>9}\n")
    for suite_name, seconds, budget, passed in rows:
        verdict = ("ok" if seconds <= budget else "ok, over its budget") if passed else "FAILED"
        sys.stdout.write(f"{suite_name:<10}{seconds:>9.1f}{budget:>9}  {verdict}\n")
    spent, allowed = sum(row[1] for row in rows), sum(row[2] for row in rows)
    sys.stdout.write(f"{'all':<10}{spent:>9.1f}{allowed:>9}\n")
    if totals:
        failed = totals.get("failed", 0) + totals.get("error", 0)
        missing = f"; not run, since it needs root on Linux: {', '.join(left_out)}" if left_out else ""
        skipped = f", {totals['skipped']} skipped" if totals.get("skipped") else ""
        sys.stdout.write(f"{totals.get('passed', 0)} passed, {failed} failed{skipped}{missing}\n")
    return 0 if all(row[3] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
