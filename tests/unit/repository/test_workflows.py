"""What hosted runners are told: actions by their commit, the Makefile's own words, and no right that is not needed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from tests.suites import SETS
from tests.unit.repository.tree import ROOT, texts

PINNED = re.compile(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)


def workflows() -> dict[str, str]:
    return texts(".github/workflows/*.yml")


def loose(text: str) -> list[str]:
    """Find actions that somebody else could move under us."""
    return [line.strip() for line in text.splitlines() if "uses:" in line and not PINNED.search(line)]


def steps(workflow: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for job in workflow["jobs"].values():
        yield from job["steps"]


def test_every_action_is_pinned_by_its_commit() -> None:
    assert loose("- uses: a/b@v4\n- uses: a/b@0123 # v1.0.0\n") == ["- uses: a/b@v4", "- uses: a/b@0123 # v1.0.0"]
    found = workflows()
    assert sum(text.count("uses:") for text in found.values()) > 3
    assert {name: loose(text) for name, text in found.items() if loose(text)} == {}


def test_runners_run_what_the_makefile_has_and_may_only_read() -> None:
    known = set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    for name, text in workflows().items():
        workflow = yaml.safe_load(text)
        asked = {
            word
            for step in steps(workflow)
            if step.get("run", "").startswith("make ")
            for word in step["run"].split()[1:]
        }
        assert {"lint", "unit", "test", "test-kind"} <= asked, name
        assert asked <= known, name
        assert workflow["permissions"] == {"contents": "read"}, name
        assert all(job["timeout-minutes"] for job in workflow["jobs"].values()), name


def test_a_cluster_of_kind_is_made_only_when_it_is_asked_for() -> None:
    named = {name for name, suites in SETS.items() for suite in suites if "tests/kind" in str(suite.commands)}
    assert named == {"kind"}
