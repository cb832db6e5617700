"""The children as a real API server keeps them: unchanged to our eyes, and allowed under the restricted standard."""

import copy
from typing import Any

import pytest

from mooring.domain.drift import differences
from mooring.domain.manifests import DeploymentInputs, children, deployment
from mooring.domain.resources import Project
from tests.cluster.conftest import Kube
from tests.unit.domain.manifests.cases import CASES, Case, revision

APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
PATHS = {
    "Secret": "/api/v1/namespaces/{}/secrets",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "Service": "/api/v1/namespaces/{}/services",
    "Ingress": "/apis/networking.k8s.io/v1/namespaces/{}/ingresses",
    "Pod": "/api/v1/namespaces/{}/pods",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Project": "/apis/mooring.dev/v1alpha1/namespaces/{}/projects",
}
ALL_CASES = pytest.mark.parametrize("case", [pytest.param(CASES[name], id=name) for name in sorted(CASES)])
PLAIN = Case({"workload": {"image": "registry.example.com/acme/shop:1"}}, DeploymentInputs(revision=revision()))


def create(kube: Kube, namespace: str, manifest: dict[str, Any]) -> dict[str, Any]:
    """Make an object by POST."""
    status, live = kube.request("POST", PATHS[manifest["kind"]].format(namespace), manifest)
    assert status == 201, live
    return live


def apply(kube: Kube, namespace: str, manifest: dict[str, Any]) -> dict[str, Any]:
    """Apply an object as Mooring does."""
    path = f"{PATHS[manifest['kind']].format(namespace)}/{manifest['metadata']['name']}?fieldManager=mooring&force=true"
    status, live = kube.request("PATCH", path, manifest, APPLY)
    assert status in {200, 201}, live
    return live


def stored(kube: Kube, namespace: str, case: Case) -> Project:
    """The case's Project, from the API server: without it the garbage collector would remove the children."""
    body = {
        "apiVersion": "mooring.dev/v1alpha1",
        "kind": "Project",
        "metadata": {"name": "shop", "namespace": namespace},
        "spec": case.spec,
    }
    return Project.model_validate(create(kube, namespace, body))


def restrict(kube: Kube, namespace: str) -> None:
    """Let the API server refuse whatever the restricted standard does not allow."""
    labels = {
        "pod-security.kubernetes.io/enforce": "restricted",
        "pod-security.kubernetes.io/enforce-version": "latest",
    }
    status, body = kube.request("PATCH", f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": labels}}, MERGE)
    assert status == 200, body


def accounts(kube: Kube, namespace: str) -> None:
    """The service accounts of the cases; a controller may have made the default one already."""
    for name in ("default", "shop"):
        body = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}
        status, answer = kube.request("POST", PATHS["ServiceAccount"].format(namespace), body)
        assert status in {201, 409}, answer


def pod_of(manifest: dict[str, Any]) -> dict[str, Any]:
    """A Pod made from a Deployment's template."""
    template = copy.deepcopy(manifest["spec"]["template"])
    template["metadata"]["name"] = "shop"
    return {"apiVersion": "v1", "kind": "Pod", **template}


@ALL_CASES
def test_what_was_sent_is_what_is_kept(kube: Kube, namespace: str, case: Case) -> None:
    for manifest in children(stored(kube, namespace, case), case.token, case.inputs):
        assert differences(manifest, create(kube, namespace, manifest)) == []


@ALL_CASES
def test_applying_the_same_again_changes_nothing(kube: Kube, namespace: str, case: Case) -> None:
    for manifest in children(stored(kube, namespace, case), case.token, case.inputs):
        created = create(kube, namespace, manifest)
        first = apply(kube, namespace, manifest)
        again = apply(kube, namespace, manifest)

        assert differences(manifest, first) == []
        # Controllers write beside us, so the version may move; what was asked for stays at one generation.
        assert again["metadata"].get("generation") == created["metadata"].get("generation")
        if manifest["kind"] == "Secret":
            assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


@ALL_CASES
def test_every_pod_is_allowed_under_the_restricted_standard(kube: Kube, namespace: str, case: Case) -> None:
    restrict(kube, namespace)
    accounts(kube, namespace)
    manifest = deployment(case.project(namespace=namespace), case.inputs)

    live = create(kube, namespace, pod_of(manifest))

    pod = manifest["spec"]["template"]["spec"]
    assert differences({"spec": pod}, live) == []
    # Nothing was mounted that we did not ask for, such as the account's token in the checkout.
    assert [volume["name"] for volume in live["spec"].get("volumes", [])] == [
        volume["name"] for volume in pod.get("volumes", [])
    ]


def test_a_pod_that_asks_for_more_is_refused_there(kube: Kube, namespace: str) -> None:
    restrict(kube, namespace)
    accounts(kube, namespace)
    pod = pod_of(deployment(PLAIN.project(namespace=namespace), PLAIN.inputs))
    del pod["spec"]["securityContext"]["runAsNonRoot"]

    status, answer = kube.request("POST", PATHS["Pod"].format(namespace), pod)

    assert status == 403
    assert "runAsNonRoot" in answer["message"]


def test_a_suspension_that_ends_leaves_the_default_of_one(kube: Kube, namespace: str) -> None:
    project = stored(kube, namespace, PLAIN)
    running = deployment(project, DeploymentInputs(revision=revision()))
    suspended = deployment(project, DeploymentInputs(revision=revision(), suspended=True))

    assert apply(kube, namespace, running)["spec"]["replicas"] == 1
    assert apply(kube, namespace, suspended)["spec"]["replicas"] == 0
    assert apply(kube, namespace, running)["spec"]["replicas"] == 1


def test_an_autoscaler_keeps_its_number(kube: Kube, namespace: str) -> None:
    manifest = deployment(stored(kube, namespace, PLAIN), PLAIN.inputs)
    apply(kube, namespace, manifest)
    scale = f"{PATHS['Deployment'].format(namespace)}/shop-default/scale?fieldManager=autoscaler"
    status, answer = kube.request("PATCH", scale, {"spec": {"replicas": 5}}, MERGE)
    assert status == 200, answer

    live = apply(kube, namespace, manifest)

    assert live["spec"]["replicas"] == 5
    assert differences(manifest, live) == []


def test_an_account_that_is_taken_away_does_not_come_back(kube: Kube, namespace: str) -> None:
    project = stored(kube, namespace, PLAIN)
    apply(kube, namespace, deployment(project, DeploymentInputs(revision=revision(), service_account="shop")))

    live = apply(kube, namespace, deployment(project, DeploymentInputs(revision=revision())))

    pod = live["spec"]["template"]["spec"]
    assert (pod["serviceAccountName"], pod["serviceAccount"]) == ("default", "default")
    assert not pod.get("volumes")
