"""What the chart renders, tried on a real API server: strictly, and under the restricted Pod Security Standard.

Kinds of others (those of the Prometheus Operator and the Gateway API) are not known there; the table has their fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from mooring.domain.policy import parse_policy
from mooring.settings import Settings
from tests.cluster.chart.rendering import Documents, render
from tests.cluster.chart.trying import SYSTEM, VALUES, Places, places, refusals, tried
from tests.cluster.conftest import Kube


@pytest.fixture(scope="module")
def system(kube: Kube) -> Iterator[None]:
    """Make the namespaces, where nothing but restricted Pods is let in."""
    for name in (SYSTEM, "red", "blue"):
        status, body = kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        assert status in {201, 409}, body
    _enforce(kube, "restricted")
    yield
    _enforce(kube, None)


def _enforce(kube: Kube, level: str | None) -> None:
    labels = {"pod-security.kubernetes.io/enforce": level}
    body = {"metadata": {"labels": labels}}
    status, answer = kube.request("PATCH", f"/api/v1/namespaces/{SYSTEM}", body, "application/merge-patch+json")
    assert status == 200, answer


@pytest.fixture(scope="module")
def paths(kube: Kube) -> Places:
    """Return where each kind is served."""
    return places(kube)


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_the_api_server_takes_it(values: dict[str, Any], kube: Kube, system: None, paths: Places) -> None:
    assert refusals(kube, paths, render(values)) == {}


def _pods(documents: Documents) -> dict[str, dict[str, Any]]:
    return {
        name: document["spec"]["template"]
        for name, document in documents.items()
        if document["kind"] in {"Deployment", "Job"}
    }


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_its_pods_are_let_in_by_the_restricted_standard(
    values: dict[str, Any], kube: Kube, system: None, paths: Places
) -> None:
    for name, template in _pods(render(values)).items():
        # Accounts and priority classes are checked first, and are not there.
        left_out = ("serviceAccountName", "priorityClassName")
        spec = {key: value for key, value in template["spec"].items() if key not in left_out}
        metadata = {**template["metadata"], "name": "tried"}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        _account(kube)
        status, answer = tried(kube, paths, body)
        assert status == 201, f"{name}: {answer.get('message')}"
        # The standard is in force: it would have been refused.
        loose = {**body, "spec": {**spec, "hostNetwork": True}}
        status, answer = tried(kube, paths, loose)
        assert (status, "restricted" in answer["message"]) == (403, True)


def _account(kube: Kube) -> None:
    """Make the account that pods without one get, which nobody may have made yet."""
    body = {"metadata": {"name": "default"}}
    status, answer = kube.request("POST", f"/api/v1/namespaces/{SYSTEM}/serviceaccounts", body)
    assert status in {201, 409}, answer


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_the_processes_take_what_they_are_told(
    values: dict[str, Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = render(values)
    for template in _pods(documents).values():
        mounts = {mount["mountPath"] for one in template["spec"]["containers"] for mount in one["volumeMounts"]}
        for container in template["spec"]["containers"]:
            given = {each["name"]: each.get("value", SYSTEM) for each in container["env"]}
            for variable, value in list(given.items()):
                if value.startswith("/"):
                    # Nothing names a folder that is not mounted; here another one stands for it.
                    assert value in mounts or value.rpartition("/")[0] in mounts, (container["name"], variable)
                    given[variable] = str(tmp_path)
            given.pop("MOORING_GITHUB_CA_FILE", None)
            settings = Settings.load(given, command=container["args"][0])
            assert settings.namespace == SYSTEM
    if "ConfigMap/mooring-policy" in documents or "ConfigMap/ours" in documents:
        found = documents.get("ConfigMap/mooring-policy") or documents["ConfigMap/ours"]
        assert json.loads(parse_policy(found["data"]["policy.yaml"]).model_dump_json())
