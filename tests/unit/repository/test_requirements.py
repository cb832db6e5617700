"""The pins: within the bounds of pyproject.toml, the same in all files, and each with a hash."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.unit.repository.tree import ROOT

PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;\\]+)(?:\s*;\s*([^\\]*?))?\s*\\?$", re.MULTILINE)
Pins = dict[str, set[tuple[str, str]]]


def pins(text: str) -> Pins:
    """Return the versions of each package, each with its marker."""
    found: Pins = {}
    for name, version, marker in PIN.findall(text):
        found.setdefault(canonicalize_name(name), set()).add((version, marker))
    return found


def out_of_bounds(bounds: list[str], pinned: Pins) -> list[str]:
    """Find requirements that no pin meets."""
    problems = []
    for bound in map(Requirement, bounds):
        versions = {version for version, _ in pinned.get(canonicalize_name(bound.name), set())}
        if not versions or not all(bound.specifier.contains(version, prereleases=True) for version in versions):
            problems.append(f"{bound}: pinned {sorted(versions) or 'nowhere'}")
    return problems


def differing(part: Pins, whole: Pins) -> list[str]:
    """Find packages that two files pin differently."""
    return [name for name, found in part.items() if whole.get(name) != found]


def without_hash(text: str) -> list[str]:
    """Find pins that any file of that version would meet."""
    entries = re.split(r"\n(?=\S)", re.sub(r"(?m)^\s*#.*\n?", "", text))
    return [entry.split()[0] for entry in entries if "==" in entry and "--hash=sha256:" not in entry]


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def read(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")


def test_the_checks_find_what_is_wrong() -> None:
    text = "a==1.0 \\\n  --hash=sha256:00\n  # via x\nB_c[d, e]==2 ; os_name == 'nt' \\\n  --hash=sha256:11\ne==3\n"
    found = pins(text)
    assert found == {"a": {("1.0", "")}, "b-c": {("2", "os_name == 'nt'")}, "e": {("3", "")}}
    assert out_of_bounds(["a>=1,<2", "b_c<2", "missing"], found) == [
        "b_c<2: pinned ['2']", "missing: pinned nowhere",
    ]  # fmt: skip
    assert differing({"a": {("1.0", "")}, "e": {("4", "")}}, found) == ["e"]
    assert without_hash(text) == ["e==3"]


def test_the_runtime_is_pinned_within_its_bounds(project: dict[str, Any]) -> None:
    assert out_of_bounds(project["project"]["dependencies"], pins(read("runtime"))) == []


def test_the_tools_are_pinned_within_their_bounds(project: dict[str, Any]) -> None:
    assert out_of_bounds(project["dependency-groups"]["dev"], pins(read("dev"))) == []
    for group in ("go", "node"):
        assert out_of_bounds(project["dependency-groups"][group], pins(read(group))) == []


def test_what_is_tested_is_what_is_shipped() -> None:
    assert differing(pins(read("runtime")), pins(read("dev"))) == []


@pytest.mark.parametrize("name", ["runtime", "dev", "go", "node"])
def test_every_pin_has_a_hash(name: str) -> None:
    text = read(name)
    assert len(pins(text)) >= 1
    assert without_hash(text) == []
