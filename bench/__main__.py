"""`python -m bench [--quick] [--only key,key]`: measure, print a table, write bench/results.json.

Exit codes: 0 all was measured, 1 a run is void or failed, 2 the arguments are wrong.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from bench.figures import Book, Void, render, to_json
from bench.size import FULL, QUICK, Say, Size
from bench.vast import close as close_vast

RESULTS = Path(__file__).parent / "results.json"
Measure = Callable[[Book, Size, Say], None]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is measured together. Its module is imported when it is its turn: a part alone starts at once."""

    module: str
    function: str
    keys: tuple[str, ...]

    def load(self) -> Measure:
        """Return the function that measures it."""
        found: Measure = getattr(import_module(f"bench.{self.module}"), self.function)
        return found


# In the order in which they run. Each has a lab of its own but those of ten thousand Projects, which share one: what
# writes comes last there.
SCENARIOS = (
    Scenario("starting", "measure", ("cold_start_operator",)),
    Scenario("operating", "reconcile", ("reconcile_2000", "reconcile_2000_with_start")),
    Scenario("operating", "reconcile_image", ("reconcile_2000_image", "reconcile_2000_image_with_start")),
    Scenario("minting", "measure", ("tokens_500",)),
    Scenario("operating", "growth", ("reconcile_10000_growth",)),
    Scenario("pushing", "measure", ("push_burst", "push_burst_p99", "push_spread", "push_spread_at_work")),
    Scenario(
        "resting",
        "measure",
        (
            "rss_operator_10000",
            "rss_operator_10000_peak",
            "restart_10000_seconds",
            "restart_10000_writes",
            "restart_10000_mints",
            "idle_10000_writes",
            "idle_10000_requests",
            "idle_10000_cpu_percent",
            "push_to_rollout",
            "push_to_rollout_p99",
            "github_calls",
        ),
    ),
    Scenario(
        "unmatched",
        "measure",
        ("push_unmatched", "rss_gateway_10000", "rss_gateway_10000_peak", "cold_start_gateway"),
    ),
    Scenario("peers", "measure", ("peer_flux_burst", "peer_flux_spread", "peer_eso_tokens")),
)


def chosen(only: str | None) -> list[Scenario]:
    """Return the scenarios that have one of some keys; raise ValueError where there is no such key."""
    if only is None:
        return list(SCENARIOS)
    wanted = {key.strip() for key in only.split(",")}
    known = {key for scenario in SCENARIOS for key in scenario.keys}
    if unknown := wanted - known:
        raise ValueError(f"no such key: {', '.join(sorted(unknown))}. There are: {', '.join(sorted(known))}")
    return [scenario for scenario in SCENARIOS if wanted & set(scenario.keys)]


def measure_all(scenarios: list[Scenario], size: Size, say: Say) -> Book:
    """Measure one after the other; what is void is noted. The table and the file are written also after a failure."""
    book = Book()
    try:
        for number, scenario in enumerate(scenarios, 1):
            began = time.monotonic()
            say(f"[{number}/{len(scenarios)}] {', '.join(scenario.keys)}")
            try:
                scenario.load()(book, size, say)
            except Void as reason:
                book.void[scenario.keys[0]] = str(reason)
                say(f"VOID: {reason}")
            say(f"[{number}/{len(scenarios)}] took {time.monotonic() - began:.0f} s")
    finally:
        close_vast()
        RESULTS.write_text(json.dumps(to_json(book), indent=2) + "\n")
        say(f"\n{render(book)}\n\nwritten to {RESULTS.parent.name}/{RESULTS.name}")
    return book


def main(arguments: list[str]) -> int:
    """Run what the arguments say."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer objects: under five minutes in all")
    parser.add_argument("--only", metavar="KEY,KEY", help="only what these figures need")
    given = parser.parse_args(arguments)
    try:
        scenarios = chosen(given.only)
    except ValueError as problem:
        parser.error(str(problem))
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {line}" if not line.startswith("\n") else line, flush=True)

    book = measure_all(scenarios, QUICK if given.quick else FULL, say)
    return 1 if book.void else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
