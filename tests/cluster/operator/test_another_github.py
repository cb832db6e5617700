"""The operator's own GitHub is another one than before: until that one answers, what runs goes on as it is."""

from __future__ import annotations

from pathlib import Path

from lab import Lab
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub, People
from tests.cluster.process import running_operator

NOWHERE = "https://127.0.0.1:9/api/v3"


def test_another_github_rolls_nothing_until_it_has_the_repository(
    lab: Lab, kube: Kube, hub: Hub, namespace: str, tmp_path: Path
) -> None:
    """Such as while a release is installed anew, whose values do not say yet where GitHub is."""
    people = People(kube, namespace)
    hub.seed(
        users=[{"login": "olga"}],
        repositories=[{"owner": "olga", "name": "moved", "private": True, "files": {"a": "1"}}],
    )
    people.secret("user-default-global-secrets", hub.token(f"olga-{namespace}", "olga"))
    people.apply("GitHubUser", "default", {"displayName": "Olga"})
    people.apply(
        "Project", "moved", {"source": {"github": {"repository": "olga/moved"}}, "workload": {"image": "nginx"}}
    )
    for name in ("before", "after"):
        (tmp_path / name).mkdir()
    with running_operator(lab, kube, tmp_path / "before"):
        people.settled("moved")
        before = people.get("Deployment", "moved-default")

    with running_operator(lab, kube, tmp_path / "after", MOORING_GITHUB_API_URL=NOWHERE, MOORING_GITHUB_CA_FILE=""):
        people.until_condition("moved", "SourceResolved", "Unknown", "GitHubUnavailable")
    after = people.get("Deployment", "moved-default")
    assert before
    assert after
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert hub.web_url in str(after["spec"]["template"])
