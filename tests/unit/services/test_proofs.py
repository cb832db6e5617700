"""The operator makes a proof of what it read, and believes a status only with one that is about the spec of now."""

from typing import Any

import pytest

from mooring.domain.webhooks.keys import from_master
from mooring.services.platform import Platform
from mooring.services.proofs import is_proven, proof_of
from tests.unit.objects import raw, raw_project
from tests.unit.services.platforms import platform

KEYS = from_master({1: bytes(range(32))})
GITHUB = {"source": {"github": {"repository": "acme/shop"}}}
LENT = {**GITHUB, "installationRef": {"name": "ours", "namespace": "team-b"}}


def lender(**metadata: Any) -> dict[str, Any]:
    return raw("GitHubInstallation", "ours", {"installationId": 7}, **{"namespace": "team-b", **metadata})


def world(*objects: dict[str, Any], **changes: Any) -> Platform:
    found = platform(webhook_keys=KEYS, **changes)
    for obj in objects:
        found.store.put(obj)
    return found


def with_proof(at: Platform, project: dict[str, Any], branch: str = "main") -> dict[str, Any]:
    proof = proof_of(at, project, repository_id=7, branch=branch)
    assert proof is not None
    return {**project, "status": {"source": {"repositoryId": 7, "branch": branch, "proof": proof}}}


@pytest.mark.parametrize("spec", [GITHUB, LENT])
def test_what_was_proven_is_believed(spec: dict[str, Any]) -> None:
    at = world(lender())
    proven = with_proof(at, raw_project(spec=spec))

    assert is_proven(at, proven)
    for edited in ({"source": {**GITHUB["source"], "branch": "next"}}, {"installationRef": {"name": "others"}}):
        assert not is_proven(at, {**proven, "spec": {**proven["spec"], **edited}})


def test_a_status_without_a_proof_or_with_that_of_another_is_not_believed() -> None:
    at = world()
    proven = with_proof(at, raw_project(spec=GITHUB))
    source = {**proven["status"]["source"], "proof": None}

    assert not is_proven(at, raw_project(spec=GITHUB))
    assert not is_proven(at, {**proven, "status": {"source": source}})
    assert not is_proven(at, {**raw_project("other", GITHUB), "status": proven["status"]})


def test_a_proof_is_for_the_git_hub_that_the_operator_is_at() -> None:
    proven = with_proof(world(), raw_project(spec=GITHUB))

    assert not is_proven(world(api_url="https://ghes.example.com/api/v3"), proven)


def test_an_installation_that_is_gone_or_made_again_proves_nothing() -> None:
    proven = with_proof(world(lender()), raw_project(spec=LENT))

    assert not is_proven(world(), proven)
    assert not is_proven(world(lender(uid="uid-anew")), proven)
    assert not is_proven(world(lender(namespace="team-a")), proven)
    assert proof_of(world(), raw_project(spec=LENT), repository_id=7, branch="main") is None


@pytest.mark.parametrize("source", [{"git": {"url": "https://git.example.com/a.git"}}, None, {}])
def test_what_no_webhook_tells_of_needs_no_proof(source: dict[str, Any] | None) -> None:
    project = raw_project(spec={"source": source})

    assert proof_of(world(), project, repository_id=7, branch="main") is None
    assert is_proven(world(), project)


def test_without_keys_there_are_no_proofs_and_all_is_as_it_was() -> None:
    without = platform()

    assert proof_of(without, raw_project(spec=GITHUB), repository_id=7, branch="main") is None
    assert is_proven(without, raw_project(spec=GITHUB))
