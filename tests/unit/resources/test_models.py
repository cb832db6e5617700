"""The models: what they accept, give back, ignore and refuse."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from mooring.domain.resources import KINDS, GitHubUser, Project
from mooring.domain.resources.project import ProjectSpec
from mooring.domain.resources.tokens import TokenSource
from tests.cluster.kinds.case import Case
from tests.cluster.kinds.cases import cases
from tests.cluster.kinds.constraints import constraints, place_of, root_schemas
from tests.cluster.kinds.objects import API_VERSION, FULL, MINIMAL, REMOVE, STATUS, Object, patched

MODELS = {model.info.kind: model for model in KINDS}
SCHEMAS = root_schemas()
SAMPLES = Path(__file__).parents[3] / "manifests" / "samples"
MESSAGES = {(each.kind, each.place, each.answer) for each in constraints() if each.sort == "rule"}


def _samples() -> list[Object]:
    files = sorted(SAMPLES.glob("*.yaml"))
    documents = [each for file in files for each in yaml.safe_load_all(file.read_text(encoding="utf-8"))]
    return [each for each in documents if each["apiVersion"] == API_VERSION]


def _valid() -> list[Any]:
    full = [{**each, "status": STATUS[kind]} for kind, objects in FULL.items() for each in objects]
    everything = [*_samples(), *MINIMAL.values(), *full]
    return [pytest.param(each, id=f"{number}-{each['kind']}") for number, each in enumerate(everything)]


@pytest.mark.parametrize("body", _valid())
def test_a_valid_object_comes_back_as_it_was(body: Object) -> None:
    model = MODELS[body["kind"]].model_validate(body)

    assert model.to_api() == body
    assert MODELS[body["kind"]].model_validate(model.to_api()) == model


def test_the_samples_are_there() -> None:
    kinds = [each["kind"] for each in _samples()]

    assert (kinds.count("GitHubUser"), kinds.count("GitHubInstallation"), kinds.count("Project")) == (1, 1, 6)


def test_the_samples_list_every_file() -> None:
    listed = yaml.safe_load((SAMPLES / "kustomization.yaml").read_text(encoding="utf-8"))["resources"]

    assert sorted([*listed, "kustomization.yaml"]) == sorted(file.name for file in SAMPLES.glob("*.yaml"))


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_what_the_api_server_refuses_the_models_refuse(case: Case) -> None:
    with pytest.raises(ValidationError) as refusal:
        MODELS[case.kind].model_validate(case.invalid())

    place = place_of(SCHEMAS[case.kind], case.at)
    for kind, where, message in MESSAGES:
        if (kind, where) == (case.kind, place) and case.wants in message:
            assert message in str(refusal.value)


@pytest.mark.parametrize("kind", list(MODELS))
def test_fields_of_a_newer_version_are_ignored(kind: str) -> None:
    body = patched(
        {**FULL[kind][0], "status": STATUS[kind]},
        {"spec.fromTheFuture": {"a": 1}, "status.fromTheFuture": 2, "metadata.fromTheFuture": 3, "fromTheFuture": 4},
    )

    model = MODELS[kind].model_validate(body)

    assert model.to_api() == {**FULL[kind][0], "status": STATUS[kind]}


def test_an_object_cannot_be_changed() -> None:
    user = GitHubUser.model_validate(MINIMAL["GitHubUser"])

    with pytest.raises(ValidationError, match="frozen"):
        user.spec.suspend = True  # type: ignore[misc]  # that it is an error is the point


def test_a_refusal_never_quotes_the_value() -> None:
    body = patched(FULL["Project"][0], {"spec.workload.env[0].name": "9 hunter2"})

    with pytest.raises(ValidationError) as refusal:
        Project.model_validate(body)

    assert "hunter2" not in str(refusal.value)
    assert "workload.env.0.name" in str(refusal.value)


def test_defaults_of_the_schema_are_the_models_own() -> None:
    body = patched(FULL["Project"][0], {"spec.token.secretRef.key": REMOVE, "spec.workload.ports[0].protocol": REMOVE})

    project = Project.model_validate(body)

    assert project.spec.token is not None
    assert project.spec.token.secret_ref is not None
    assert project.spec.token.secret_ref.key == "github-token"
    assert project.spec.workload.ports[0].protocol == "TCP"


def test_a_token_of_none_leaves_the_variable_to_the_workload() -> None:
    body = {
        "token": {"source": "none"},
        "workload": {"image": "a", "env": [{"name": "GITHUB_TOKEN", "value": "x"}]},
    }

    spec = ProjectSpec.model_validate(body)

    assert spec.token is not None
    assert spec.token.source is TokenSource.NONE


def test_a_user_without_an_id_goes_by_its_name() -> None:
    assert GitHubUser.model_validate(MINIMAL["GitHubUser"]).user_id == "sample"
    assert GitHubUser.model_validate(FULL["GitHubUser"][0]).user_id == "jane"


def test_a_status_can_be_built_by_hand() -> None:
    project = Project.model_validate({**FULL["Project"][0], "status": STATUS["Project"]})

    assert project.status is not None
    assert project.status.revision is not None
    assert project.status.revision.deployed_at == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert project.status.token is not None
    assert project.status.token.from_ == "GitHubUser default"
