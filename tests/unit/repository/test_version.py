"""One version everywhere: pyproject.toml has it, and whatever else names one agrees; pages name the newest release."""

from __future__ import annotations

import re
import tomllib
from datetime import date

import pytest

from tests.fixtures import kept
from tests.unit.repository.tree import ROOT, texts

NUMBER = r"(\d+\.\d+\.\d+[\w.-]*\w|\d+\.\d+\.\d+)"
# By files: what names the version of this checkout.
OWN = {
    "helm/mooring/Chart.yaml": rf"^(?:version|appVersion): {NUMBER}$",
    "Dockerfile": rf"^ARG VERSION={NUMBER}$",
    "manifests/*.yaml": rf"(?:\bmooring:|newTag: ){NUMBER}",
    "manifests/*/*.yaml": rf"(?:\bmooring:|newTag: ){NUMBER}",
    "tests/cluster/chart/*.py": rf"(?:/m:|\"tag\": \"){NUMBER}",
}
# What pages tell people to install, which is there already.
TOLD = {
    "*.md": rf"(?:mooring:|image\.tag=|\btag: v?|targetRevision: v|\bVERSION=){NUMBER}",
    "Dockerfile": rf"# .*\bVERSION={NUMBER}",
}
RELEASE = re.compile(r"^## (\S+)(?: - (\S+))?$", re.MULTILINE)


def named(places: dict[str, str]) -> list[tuple[str, str]]:
    """Return every version that is named, with the file."""
    return [
        (file, version)
        for pattern, what in places.items()
        for file, text in texts(pattern).items()
        if not file.startswith("tests/fixtures/")
        for version in re.findall(what, text, re.MULTILINE)
    ]


@pytest.fixture(scope="module")
def version() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return str(project["version"])


@pytest.fixture(scope="module")
def entries() -> list[tuple[str, str]]:
    """Return the headings of the changelog with their dates."""
    return RELEASE.findall((ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))


def semantic(version: str) -> str:
    """Write a version as Helm and image tags do: 0.2.0.dev0 is 0.2.0-dev.0 there."""
    return re.sub(r"\.dev(\d+)$", r"-dev.\1", version)


def test_whatever_names_the_version_agrees(version: str) -> None:
    assert semantic("0.2.0.dev3") == "0.2.0-dev.3"
    found = named(OWN)
    assert {file.split("/")[0] for file, _ in found} == {"helm", "Dockerfile", "manifests", "tests"}
    assert len(found) > 9
    fitting = {version, semantic(version)}
    assert [place for place in found if place[1] not in fitting] == []


def test_pages_name_the_newest_release(entries: list[tuple[str, str]]) -> None:
    newest = entries[1][0]
    found = named(TOLD)
    assert {"README.md", "docs/guide/install.md", "docs/guide/gitops.md", "Dockerfile"} <= {file for file, _ in found}
    assert [place for place in found if place[1] != newest] == []


def test_the_changelog_has_each_release_with_its_day(version: str, entries: list[tuple[str, str]]) -> None:
    (first, nothing), *releases = entries
    assert (first, nothing) == ("Unreleased", "")
    days = [date.fromisoformat(day) for _, day in releases]
    assert days == sorted(days, reverse=True)
    numbers = [[int(part) for part in number.split(".")] for number, _ in releases]
    assert numbers == sorted(numbers, reverse=True)
    # A release has an entry, what is on the way to one has none yet.
    assert (".dev" in version) is (version not in {number for number, _ in releases})
    assert {f"v{number}" for number, _ in releases} == set(kept.releases("chart"))
