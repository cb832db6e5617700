"""A release's life at a real API server: install, upgrade, way back, uninstall. Pods only seem to run here."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.chart.rendering import CHART, helm
from tests.cluster.conftest import Kube, install_kinds

NAMESPACE = "charted"
OURS = "labelSelector=app.kubernetes.io/part-of%3Dmooring"
# Beside others in this cluster, who have installed the definitions by hand.
BESIDE = "serviceAccount.operatorName=charted-operator,serviceAccount.gatewayName=charted-gateway"
IN_NAMESPACE = (
    "/apis/apps/v1/namespaces/charted/deployments",
    "/apis/batch/v1/namespaces/charted/jobs",
    "/api/v1/namespaces/charted/services",
    "/api/v1/namespaces/charted/serviceaccounts",
    "/apis/networking.k8s.io/v1/namespaces/charted/networkpolicies",
    "/apis/policy/v1/namespaces/charted/poddisruptionbudgets",
    "/apis/rbac.authorization.k8s.io/v1/namespaces/charted/roles",
    "/apis/rbac.authorization.k8s.io/v1/namespaces/charted/rolebindings",
)
OF_THE_CLUSTER = (
    "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies",
    "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicybindings",
)
NEWER, OLDER = "image. Example: `registry", "image in an older release. Example: `registry"
Run = Callable[..., str]


@pytest.fixture
def run(kube: Kube) -> Iterator[Run]:
    """Return Helm for this cluster and namespace."""
    place = ("--kubeconfig", kube.kubeconfig, "--namespace", NAMESPACE)
    yield lambda *words: helm(*words, *place)
    kube.request("DELETE", f"/api/v1/namespaces/{NAMESPACE}")


def there(kube: Kube) -> set[str]:
    """Name all that the chart made."""
    found = set()
    for path in (*IN_NAMESPACE, *OF_THE_CLUSTER):
        status, body = kube.request("GET", f"{path}?{OURS}")
        assert status == 200, body
        names = (item["metadata"]["name"] for item in body["items"])
        found |= {f"{path.rpartition('/')[2]}/{name}" for name in names if path in IN_NAMESPACE or "charted" in name}
    return found


def templates(kube: Kube) -> list[str]:
    """Return how the Pods are made."""
    _, body = kube.request("GET", IN_NAMESPACE[0])
    return [str(item["spec"]["template"]) for item in body["items"]]


def definition(kube: Kube) -> dict[str, Any]:
    """Return the longest of the definitions."""
    status, body = kube.request("GET", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/projects.mooring.dev")
    assert status == 200, body
    return body


@pytest.fixture
def older(tmp_path: Path) -> str:
    """Return a chart whose definitions are others."""
    shutil.copytree(CHART, tmp_path / "mooring")
    file = tmp_path / "mooring" / "files" / "crds" / "mooring.dev_projects.yaml"
    text = file.read_text(encoding="utf-8")
    assert NEWER in text
    file.write_text(text.replace(NEWER, OLDER), encoding="utf-8")
    return str(tmp_path / "mooring")


def test_from_the_install_to_the_uninstall(kube: Kube, run: Run, older: str) -> None:
    chart = ("mooring", str(CHART))
    take = ("--take-ownership", "--force-conflicts")
    told = run("install", "mooring", older, "--create-namespace", *take, "--set", BESIDE, "--wait", "--timeout", "60s")
    assert OLDER in str(definition(kube))
    assert "docs/guide/first-project.md" in told
    first, made = templates(kube), there(kube)
    assert {"deployments/mooring-operator", "clusterroles/charted-operator"} <= made

    # Another value of one Deployment changes that one; the way back brings what was.
    run("upgrade", *chart, "--reuse-values", "--set", "settings.sweepInterval=5m", "--wait", "--timeout", "60s")
    (operator,) = set(templates(kube)) - set(first)
    assert "MOORING_SWEEP_INTERVAL" in operator
    assert OLDER not in str(definition(kube))
    run("rollback", "mooring", "--wait", "--timeout", "60s")
    assert templates(kube) == first

    # The Job before the uninstall ends, and goes as well.
    run("uninstall", "mooring", "--wait", "--timeout", "60s")
    assert there(kube) == set()
    # The definitions stay, and people's objects with them: those that the way back had brought.
    assert "deletionTimestamp" not in definition(kube)["metadata"]
    assert OLDER in str(definition(kube))
    install_kinds(kube)
