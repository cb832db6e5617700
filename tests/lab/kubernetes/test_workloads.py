"""What a lab's Kubernetes does with objects: pods that seem to run, garbage that goes, rights that bind."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from lab import Lab, binaries
from lab.errors import LabError
from lab.kubernetes.api import Api
from lab.kubernetes.identity import service_account_kubeconfig
from lab.kubernetes.kubeconfig import Access
from tests.lab.kubernetes.support import api, deployment, until

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
PODS = "/api/v1/namespaces/default/pods"
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def conditions(found: dict[str, Any] | None) -> dict[str, str]:
    return {one["type"]: one["status"] for one in (found or {}).get("status", {}).get("conditions", [])}


def pods(client: Api, app: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (client.get(f"{PODS}?labelSelector=app%3D{app}") or {})["items"]
    return items


def test_a_deployment_becomes_available_through_its_init_containers(simulated: Lab) -> None:
    client = api(simulated)
    steps = [{"name": name, "image": "example.test/step:1"} for name in ("first", "second")]
    client.create(DEPLOYMENTS, deployment("web", initContainers=steps))
    path = f"{DEPLOYMENTS}/web"
    until(lambda: conditions(client.get(path)).get("Available") == "True", "the Deployment is Available")
    for pod in pods(client, "web"):
        status = pod["status"]
        assert status["phase"] == "Running"
        assert conditions(pod)["Ready"] == "True"
        assert [one["state"]["terminated"]["exitCode"] for one in status["initContainerStatuses"]] == [0, 0]
        assert [one["ready"] for one in status["containerStatuses"]] == [True]
        assert list(status["containerStatuses"][0]["state"]) == ["running"]
        assert status["podIP"]
        assert status["hostIP"]

    client.request("DELETE", f"{path}?propagationPolicy=Foreground")
    until(lambda: client.get(path) is None and not pods(client, "web"), "the Deployment and its pods are gone")


def test_a_pod_with_a_finalizer_stays_until_it_is_lifted(simulated: Lab) -> None:
    client = api(simulated)
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "held", "finalizers": ["example.test/hold"]},
        "spec": {"containers": [{"name": "main", "image": "example.test/main:1"}]},
    }
    path = f"{PODS}/held"
    client.create(PODS, body)
    until(lambda: conditions(client.get(path)).get("Ready") == "True", "the pod is Ready")
    client.request("DELETE", path)
    held = client.get(path)
    assert held is not None
    assert held["metadata"]["deletionTimestamp"]
    held["metadata"]["finalizers"] = []
    client.request("PUT", path, held)
    until(lambda: client.get(path) is None, "the pod is gone")


def test_a_job_completes(simulated: Lab) -> None:
    client = api(simulated)
    jobs = "/apis/batch/v1/namespaces/default/jobs"
    spec = {"restartPolicy": "Never", "containers": [{"name": "main", "image": "example.test/main:1"}]}
    body = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": {"template": {"spec": spec}}}
    client.create(jobs, body)
    until(lambda: conditions(client.get(f"{jobs}/once")).get("Complete") == "True", "the Job is Complete")


def test_rights_are_checked(simulated: Lab, tmp_path: Path) -> None:
    client = api(simulated)
    accounts = "/api/v1/namespaces/default/serviceaccounts"
    client.create(accounts, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody"}})
    path = service_account_kubeconfig(simulated.env, "default", "nobody", tmp_path / "nobody")
    assert path.stat().st_mode & 0o777 == 0o600
    nobody = Api(Access.load(path))
    assert nobody.request("GET", CONFIG_MAPS)[0] == 403

    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
    version = "rbac.authorization.k8s.io/v1"
    client.create(
        f"{rbac}/roles", {"apiVersion": version, "kind": "Role", "metadata": {"name": "reader"}, "rules": [rule]}
    )
    binding = {
        "apiVersion": version,
        "kind": "RoleBinding",
        "metadata": {"name": "reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "nobody", "namespace": "default"}],
    }
    client.create(f"{rbac}/rolebindings", binding)
    until(lambda: nobody.request("GET", CONFIG_MAPS)[0] == 200, "the new right is in force")
    assert nobody.request("GET", PODS)[0] == 403


def test_a_token_for_nobody_is_refused_with_the_reason(simulated: Lab, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r'404.*"ghost" not found'):
        service_account_kubeconfig(simulated.env, "default", "ghost", tmp_path / "ghost")


def test_strangers_are_not_let_in(simulated: Lab) -> None:
    admin = Access.load(Path(simulated.env["KUBECONFIG"]))
    assert Api(Access(admin.server, admin.ca, "guessed")).request("GET", CONFIG_MAPS)[0] == 401


def test_kubectl_works_with_the_env(simulated: Lab) -> None:
    kubectl = binaries.find("kubectl")
    done = subprocess.run(
        [kubectl, "get", "nodes", "-o", "name"],
        env={**simulated.env, "KUBECACHEDIR": str(simulated.folder.path / "kubectl")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["node/simulated-1", "node/simulated-2", "node/simulated-3"]


def test_the_audit_log_tells_who_asked(simulated: Lab) -> None:
    api(simulated).get(f"{CONFIG_MAPS}/not-there-for-the-audit")
    # The last line may just be written.
    whole = simulated.folder.audit_log.read_text().rpartition("\n")[0]
    entries = [json.loads(line) for line in whole.splitlines()]
    mine = [entry for entry in entries if entry["requestURI"].endswith("/not-there-for-the-audit")]
    assert [(entry["user"]["username"], entry["verb"], entry["stage"]) for entry in mine] == [
        ("lab:admin", "get", "ResponseComplete")
    ]
    assert simulated.env["LAB_ADMIN_TOKEN"] not in simulated.folder.audit_log.read_text()


def test_without_nodes_garbage_goes_and_nothing_else_happens(nodeless: Lab) -> None:
    client = api(nodeless)
    owner = client.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner"}})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    metadata = {"name": "owned", "ownerReferences": [reference]}
    client.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})
    client.create(DEPLOYMENTS, deployment("still"))
    client.request("DELETE", f"{CONFIG_MAPS}/owner")
    until(lambda: client.get(f"{CONFIG_MAPS}/owned") is None, "the owned object is collected")
    found = client.get(f"{DEPLOYMENTS}/still")
    assert found is not None
    assert "observedGeneration" not in found["status"]


def test_without_nodes_namespaces_come_with_an_account_and_go(nodeless: Lab) -> None:
    client = api(nodeless)
    client.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}})
    path = "/api/v1/namespaces/team"
    until(lambda: client.get(f"{path}/serviceaccounts/default"), "the default service account exists")
    until(lambda: client.get(f"{path}/configmaps/kube-root-ca.crt"), "the CA's ConfigMap exists")
    client.request("DELETE", path)
    until(lambda: client.get(path) is None, "the namespace is gone")
