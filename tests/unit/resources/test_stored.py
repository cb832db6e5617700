"""What every release stored in a cluster is still understood: objects of the three kinds, and the marks on children.

How the files come to be is told in CONTRIBUTING.md; that nothing rolls for them is shown on a real API server by
`tests/cluster/operator/test_upgrade.py`.
"""

from __future__ import annotations

from typing import Any

import pytest

from mooring.domain import names
from mooring.domain.projects import token_of
from mooring.domain.resources import KINDS
from mooring.domain.revisions import recover, running
from mooring.domain.status import without_nothing
from tests.fixtures import kept

OBJECTS: list[tuple[str, dict[str, Any]]] = [
    (release, obj) for release in kept.releases() for obj in kept.load(release)
]
MODELS = {model.info.kind: model for model in KINDS}
OWN = [(release, obj) for release, obj in OBJECTS if obj["kind"] in MODELS]
DEPLOYMENTS = [(release, obj) for release, obj in OBJECTS if obj["kind"] == "Deployment"]


def named(found: list[tuple[str, dict[str, Any]]]) -> list[Any]:
    return [pytest.param(obj, id=f"{release} {obj['kind']} {obj['metadata']['name']}") for release, obj in found]


def test_every_release_stored_all_kinds_with_their_status() -> None:
    releases = kept.releases()
    assert releases
    assert {(release, obj["kind"]) for release, obj in OWN if obj["status"]["conditions"]} == {
        (release, kind) for release in releases for kind in MODELS
    }


@pytest.mark.parametrize("obj", named(OWN))
def test_an_object_that_was_stored_is_read_whole(obj: dict[str, Any]) -> None:
    read = MODELS[obj["kind"]].model_validate(obj).to_api()
    for part in ("spec", "status"):
        assert read[part] == without_nothing(obj[part])


@pytest.mark.parametrize("deployment", named(DEPLOYMENTS))
def test_the_marks_of_a_deployment_that_was_stored_are_read(deployment: dict[str, Any]) -> None:
    read, recovered = running(deployment), recover(deployment)
    assert read.generation
    assert read.template
    assert read.applied
    assert recovered is not None
    has_token = names.EFFECTIVE_TOKEN_KEY in repr(deployment["spec"]["template"]["spec"]["containers"][0].get("env"))
    assert (read.checksum is not None) is has_token


def test_tokens_of_workloads_are_read_from_the_secrets_that_were_stored() -> None:
    secrets = [
        obj for _, obj in OBJECTS if obj["kind"] == "Secret" and obj["metadata"]["name"].endswith("-default-token")
    ]
    assert secrets
    assert all(token_of(secret) for secret in secrets)
