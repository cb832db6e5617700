"""What each version of the template renders is as it was released, for Projects that use every option there is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from mooring.crds import definition
from mooring.domain.manifests import versions
from mooring.domain.resources import Project
from tests.unit.domain.manifests.projects import EXAMPLES, GOLDEN, place

RULE = (
    "changing what version {} renders rolls every workload of every user; add version N+1 instead"
    " (operator/mooring/domain/manifests/versions.py)"
)


@pytest.mark.parametrize("version", sorted(versions.RENDERERS))
@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_a_released_version_renders_what_it_always_did(name: str, version: int) -> None:
    path = place(version, name)
    assert path.exists(), f"{path.name} of version {version} is missing: python -m tests.unit.domain.manifests.projects"
    assert EXAMPLES[name].render(version) == path.read_text(encoding="utf-8"), RULE.format(version)


def test_every_golden_file_is_one_of_a_project_and_a_version_that_are_there() -> None:
    found = {path.relative_to(GOLDEN) for path in GOLDEN.rglob("*.yaml")}
    assert found == {place(version, name).relative_to(GOLDEN) for version in versions.RENDERERS for name in EXAMPLES}
    assert len(EXAMPLES) >= 12


def unused(part: str, specs: Iterable[Mapping[str, Any]]) -> set[str]:
    """Find the options of a part of the spec that none of these specs has."""
    schema = definition(Project)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    return set(schema["properties"][part]["properties"]).difference(*(spec.get(part) or {} for spec in specs))


def test_every_option_of_what_is_rendered_is_in_a_golden_file() -> None:
    specs = [example.spec for example in EXAMPLES.values()]
    assert "host" in unused("expose", [{"expose": {"className": "nginx"}}])
    assert unused("workload", specs) == set()
    assert unused("expose", specs) == set()
    # These say which commit is run, and when; of the source itself nothing else is rendered.
    assert unused("source", specs) == {"branch", "include", "exclude"}
