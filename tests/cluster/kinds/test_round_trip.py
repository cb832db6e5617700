"""Nothing valid is refused, dropped or changed: samples, and full objects that set every field of spec and status."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.kinds.api import Objects
from tests.cluster.kinds.objects import API_VERSION, FULL, MINIMAL, STATUS, Object, patched

SAMPLES = Path(__file__).parents[3] / "manifests" / "samples"
FULL_OBJECTS = [(kind, number) for kind, each in FULL.items() for number in range(len(each))]


def samples() -> list[Any]:
    """Every object of the three kinds in the samples."""
    documents = [
        document
        for file in sorted(SAMPLES.glob("*.yaml"))
        for document in yaml.safe_load_all(file.read_text(encoding="utf-8"))
    ]
    ours = [document for document in documents if document["apiVersion"] == API_VERSION]
    assert len(ours) >= 7, "the samples are not where they are expected"
    return [pytest.param(each, id=f"{each['kind']}-{each['metadata']['name']}") for each in ours]


@pytest.mark.parametrize("sample", samples())
def test_a_sample_comes_back_as_it_was_applied(objects: Objects, sample: Object) -> None:
    name = sample["metadata"]["name"]
    body = {**sample, "metadata": {"name": name}}

    status, answer = objects.apply(body, "sample")

    assert status == 201, answer
    wanted = _with_defaults(sample["spec"])
    assert objects.read(sample["kind"], name)["spec"] == wanted


def _with_defaults(node: Any) -> Any:
    """The sample with the defaults that the schema has: the protocol of a port, the key of a token."""
    if isinstance(node, list):
        return [_with_defaults(item) for item in node]
    if not isinstance(node, dict):
        return node
    full = {key: _with_defaults(value) for key, value in node.items()}
    if "containerPort" in full:
        full.setdefault("protocol", "TCP")
    if "secretRef" in full:
        full["secretRef"].setdefault("key", "github-token")
    return full


@pytest.mark.parametrize(("kind", "number"), FULL_OBJECTS)
def test_a_full_object_comes_back_as_it_was_created(objects: Objects, kind: str, number: int) -> None:
    full = patched(FULL[kind][number], {"metadata.name": f"full-{number}"})

    status, answer = objects.create(full)

    assert status == 201, answer
    assert objects.read(kind, f"full-{number}")["spec"] == full["spec"]


@pytest.mark.parametrize("kind", list(STATUS))
def test_a_full_status_comes_back_and_leaves_the_spec_alone(objects: Objects, kind: str) -> None:
    status, created = objects.create(patched(FULL[kind][0], {"metadata.name": "status"}))
    assert status == 201, created

    status, answer = objects.patch_status(kind, "status", STATUS[kind])

    assert status == 200, answer
    stored = objects.read(kind, "status")
    assert stored["status"] == STATUS[kind]
    assert stored["spec"] == created["spec"]
    assert stored["metadata"]["generation"] == created["metadata"]["generation"]


@pytest.mark.parametrize("kind", list(MINIMAL))
def test_a_policy_of_the_operator_is_never_written_into_the_object(objects: Objects, kind: str) -> None:
    status, created = objects.create(patched(MINIMAL[kind], {"metadata.name": "minimal"}))

    assert status == 201, created
    assert created["spec"] == MINIMAL[kind]["spec"]
    assert "status" not in created


@pytest.mark.parametrize("kind", list(MINIMAL))
def test_a_status_given_at_creation_is_dropped(objects: Objects, kind: str) -> None:
    body = {**patched(MINIMAL[kind], {"metadata.name": "no-status"}), "status": STATUS[kind]}

    status, created = objects.create(body)

    assert status == 201, created
    assert "status" not in created
