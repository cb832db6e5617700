"""The oldest Kubernetes that is supported: its own API server takes all that is shipped, and Mooring works with it.

Of that release there is the API server alone. Nothing runs workloads here, so the tests say of a Deployment what its
controller would. The file stands among those of `make test-scale` since its API server takes minutes to be built.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import Lab
from lab.binaries import API_SERVERS
from lab.kubernetes.kubeconfig import Access
from tests.cluster.accounts import Account
from tests.cluster.chart.rendering import build, render
from tests.cluster.chart.test_kustomize import OTHERS, OVERLAYS
from tests.cluster.chart.trying import VALUES, places, refusals
from tests.cluster.conftest import Kube, install_kinds
from tests.cluster.harness import Hub, Object, People
from tests.cluster.kinds.api import Objects
from tests.cluster.kinds.api import refusals as causes
from tests.cluster.kinds.cases import cases
from tests.cluster.kinds.objects import FULL, PLURALS, STATUS, patched
from tests.cluster.operator import hooking
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.operator.hooking import Site
from tests.cluster.operator.pushes import Shop
from tests.cluster.process import SYSTEM, gateway_kubeconfig, install_roles
from tests.cluster.rights.test_gateway import PUSH, patch, until_confined

pytestmark = pytest.mark.scale

OLDEST = list(API_SERVERS)[-1]
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
MERGE = "application/merge-patch+json"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Run a lab of the oldest release."""
    lab = Lab.up(tmp_path_factory.mktemp("oldest"), nodes="none", kubernetes=OLDEST)
    try:
        yield lab
    finally:
        lab.down()


@pytest.fixture(scope="module")
def kube(lab: Lab) -> Iterator[Kube]:
    """Return its API server with the three kinds, the Roles and the policy: these are applied, not only tried."""
    kube = Kube(Access.load(Path(lab.env["KUBECONFIG"])), lab.env["KUBECONFIG"])
    install_kinds(kube)
    install_roles(kube)
    for name in ("red", "blue", "team-a", "mooring-samples"):
        status, body = kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        assert status == 201, body
    yield kube
    kube.close()


@pytest.fixture(scope="module")
def hub(lab: Lab) -> Iterator[Hub]:
    """Return the lab's GitHub."""
    hub = Hub(lab.env)
    hub.seed(users=[{"login": "alice"}], organizations=[{"login": "acme", "members": {"alice": "admin"}}])
    yield hub
    hub.close()


# --- what is shipped ---


def test_it_is_that_release(kube: Kube) -> None:
    status, told = kube.request("GET", "/version")
    assert status == 200
    assert f"{told['major']}.{told['minor']}" == OLDEST
    assert told["gitVersion"].startswith(f"v{OLDEST}.")


def test_the_definitions_are_established_and_nothing_is_said_against_them(kube: Kube) -> None:
    for plural in PLURALS.values():
        status, found = kube.request("GET", f"{DEFINITIONS}/{plural}.mooring.dev")
        assert status == 200, found
        conditions = {entry["type"]: entry["status"] for entry in found["status"]["conditions"]}
        # A schema that is not structural, or whose rules may cost too much, would have a condition of its own.
        assert conditions == {"NamesAccepted": "True", "Established": "True"}, found["status"]


@pytest.fixture(scope="module")
def objects(kube: Kube) -> Objects:
    """Return the three kinds in a namespace of their own, where one of each is stored."""
    status, body = kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": "kinds"}})
    assert status == 201, body
    objects = Objects(kube, "kinds")
    for kind in PLURALS:
        status, body = objects.create(patched(FULL[kind][0], {"metadata.name": "stored"}))
        assert status == 201, body
    return objects


def test_the_rules_of_the_definitions_are_worked_out_as_they_are_today(objects: Objects) -> None:
    for kind, each in FULL.items():
        for number, full in enumerate(each):
            status, body = objects.create(patched(full, {"metadata.name": f"full-{number}"}), dry_run=True)
            assert status == 201, body
        status, body = objects.patch_status(kind, "stored", STATUS[kind])
        assert (status, body.get("status")) == (200, STATUS[kind]), body
    for case in cases():
        invalid = case.invalid()
        if case.in_status:
            status, body = objects.patch_status(case.kind, "stored", invalid["status"], dry_run=True)
        else:
            status, body = objects.create(invalid, dry_run=True)
        assert status == 422, (case.name, body)
        assert any(field == case.at and case.wants in message for field, message in causes(body)), (case.name, body)


@pytest.mark.parametrize("folder", sorted({*OVERLAYS, *OTHERS}))
def test_every_kustomization_is_taken(kube: Kube, folder: str) -> None:
    documents = build(folder)
    assert documents
    assert refusals(kube, places(kube), documents) == {}


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_the_chart_is_taken(kube: Kube, values: dict[str, Any]) -> None:
    documents = render(values, "--kube-version", OLDEST)
    assert {document["kind"] for document in documents.values()} > {"Deployment", "CustomResourceDefinition"}
    assert refusals(kube, places(kube), documents) == {}


def test_what_is_wrong_would_not_be_taken(kube: Kube) -> None:
    (name, deployment), *_ = [it for it in build("base").items() if it[0].startswith("Deployment/")]
    wrong = {**deployment, "spec": {**deployment["spec"], "relicas": 1}}
    found = refusals(kube, places(kube), {name: wrong})
    assert "relicas" in found[name]


# --- Mooring at work ---


@pytest.fixture(scope="module")
def site(lab: Lab, kube: Kube, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Run the operator under its Role, with an address for GitHub."""
    admin = hub.token("admin", "alice", scopes=["repo", "admin:repo_hook"])
    with hooking.running(lab, kube, hub, tmp_path_factory.mktemp("oldest-site"), admin) as found:
        yield found


def stand_in(people: People, name: str) -> Object:
    """Say of a Deployment what its controller would have said once its pods are ready."""

    def is_new(found: Object | None) -> bool:
        return found is not None and found.get("status", {}).get("observedGeneration") != _generation(found)

    found = people.until("Deployment", name, is_new, "something for its controller")
    assert found is not None
    counts = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), 1)
    told = {"status": {**counts, "observedGeneration": _generation(found)}}
    return people.patch("Deployment", name, told, subresource="status")


def _generation(obj: Object) -> int:
    return int(obj["metadata"]["generation"])


def until_ran(people: People, name: str, sha: str, trigger: str) -> Object:
    """Wait until a Project is Ready with a commit."""

    def there(obj: Object | None) -> bool:
        status = (obj or {}).get("status") or {}
        newest = (status.get("history") or [{}])[0]
        ready = next((one["status"] for one in status.get("conditions", ()) if one["type"] == "Ready"), None)
        return (newest.get("sha"), newest.get("trigger"), ready) == (sha, trigger, "True")

    found = people.until("Project", name, there, f"{trigger} of {sha[:7]}")
    assert found is not None
    return found


def test_from_apply_to_a_push_that_is_deployed(site: Site, kube: Kube, hub: Hub, namespace: str) -> None:
    people, token = People(kube, namespace), TokenMaker(hub)(scopes=["repo", "admin:repo_hook"])
    People(kube, SYSTEM).until("Secret", "mooring-webhook", lambda secret: secret is not None, "keys for the gateway")
    with site.gateway() as gateway:
        shop = Shop.make(people, hub, token)
        first = stand_in(people, "shop-default")
        until_ran(people, "shop", shop.last, "Create")
        assert people.workload_token("shop") == token

        hooking.until_hooked(people)
        pushed = shop.delivered()
        after = stand_in(people, "shop-default")
        project = until_ran(people, "shop", pushed.sha, "Push")

    assert after["metadata"]["uid"] == first["metadata"]["uid"]
    assert [entry["sha"] for entry in project["status"]["history"]] == [pushed.sha, pushed.before]
    assert project["status"]["push"]["sha"] == pushed.sha
    # The gateway itself wrote it, by its own account, past the policy.
    writers = {entry["manager"]: entry for entry in project["metadata"]["managedFields"]}
    assert "f:push" in writers["mooring-gateway"]["fieldsV1"]["f:status"]
    assert '"level":"error"' not in gateway.log + site.mooring.log


def test_the_gateway_is_held_to_its_fields_by_the_policy(lab: Lab, kube: Kube, namespace: str, tmp_path: Path) -> None:
    people = People(kube, namespace)
    people.apply("Project", "shop", {"workload": {"image": "nginx"}, "suspend": True})
    with Account(gateway_kubeconfig(lab, tmp_path)) as gateway:
        until_confined(kube, gateway)
        code, answer = patch(gateway, people, "Project", "shop", {"status": {"url": "https://example.com"}})
        assert (code, answer["reason"]) == (403, "Forbidden")
        assert "the gateway may change nothing of this status but push and deliveries" in answer["message"]
        code, answer = patch(gateway, people, "Project", "shop", {"status": {"push": PUSH}})
        assert code == 200, answer
        code, answer = gateway.kube.request("GET", people.path("Secret"))
        assert (code, answer["reason"]) == (403, "Forbidden")
    # What its expressions mean is known to that release as well: nothing in them is wrong for the kinds.
    status, policy = kube.request("GET", f"{POLICIES}/mooring-gateway")
    assert status == 200, policy
    assert "expressionWarnings" not in policy["status"].get("typeChecking", {}), policy["status"]
