"""What a status still says of a Project's source: nothing, where the spec means another one by now."""

from __future__ import annotations

from typing import Any

import pytest

from mooring.domain.origins import AllowedHosts
from mooring.domain.resources.project import Project
from mooring.services.sources import Sources
from tests.unit.objects import raw_project
from tests.unit.services.platforms import Nothing, platform

NOBODY: Any = Nothing()
SHA = "a" * 40
GIT = {"provider": "Git", "fullName": "git.example.com/team/shop", "branch": "main", "decidedSha": SHA}
GITHUB = {"provider": "GitHub", "fullName": "acme/shop", "branch": "main", "decidedSha": SHA}


def remembered(source: dict[str, Any], status: dict[str, Any]) -> Any:
    raw = raw_project()
    raw["spec"]["source"] = source
    hosts = AllowedHosts.of(("git.example.com",))
    return Sources(platform(allowed_hosts=hosts), NOBODY).remembered(Project.model_validate(raw), status)


@pytest.mark.parametrize("suffix", ["", ".git"])
def test_a_plain_repository_is_remembered_under_its_own_url(suffix: str) -> None:
    found = remembered({"git": {"url": f"https://git.example.com/team/shop{suffix}"}}, GIT)
    assert (found.decided_sha, found.branch) == (SHA, "main")


def test_a_commit_is_never_looked_for_in_another_repository() -> None:
    assert remembered({"git": {"url": "https://git.example.com/team/other"}}, GIT) is None
    assert remembered({"git": {"url": "https://git.example.com/team/shop"}}, GITHUB) is None
    assert remembered({"github": {"repository": "acme/shop"}}, GIT) is None
    assert remembered({"github": {"repository": "acme/shop"}}, GITHUB) is not None
