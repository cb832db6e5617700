"""How what is rendered is tried on an API server: strictly, and without being kept."""

from __future__ import annotations

from typing import Any

from tests.cluster.chart.rendering import Documents, merged
from tests.cluster.chart.table import SIDECAR, everything
from tests.cluster.conftest import Kube

SYSTEM = "mooring-system"
# Kinds of others, of which the API server of a lab does not know.
FOREIGN = {"ServiceMonitor", "PrometheusRule", "HTTPRoute"}
VALUES = {
    "default": {},
    "sidecar": SIDECAR,
    "namespaced": {"watchNamespaces": [SYSTEM]},
    "everything": everything(),
    "everything separate": merged(everything(), {"gateway": {"mode": "Separate"}}),
}
# By API version and kind: the path, and whether it is in namespaces.
Places = dict[tuple[str, str], tuple[str, bool]]


def places(kube: Kube) -> Places:
    """Return where each kind is served."""
    found = {}
    status, groups = kube.request("GET", "/apis")
    assert status == 200
    roots = {"v1": "/api/v1"} | {
        version["groupVersion"]: f"/apis/{version['groupVersion']}"
        for group in groups["groups"]
        for version in group["versions"]
    }
    for version, root in roots.items():
        _, served = kube.request("GET", root)
        for resource in served["resources"]:
            if "/" not in resource["name"]:
                found[version, resource["kind"]] = (f"{root}/{{}}{resource['name']}", resource["namespaced"])
    return found


def tried(kube: Kube, paths: Places, document: dict[str, Any]) -> tuple[int, Any]:
    """Apply an object without keeping it; unknown and doubled fields are errors."""
    path, namespaced = paths[document["apiVersion"], document["kind"]]
    namespace = document["metadata"].get("namespace", SYSTEM)
    place = path.format(f"namespaces/{namespace}/" if namespaced else "")
    query = "fieldManager=chart&force=true&dryRun=All&fieldValidation=Strict"
    return kube.request(
        "PATCH", f"{place}/{document['metadata']['name']}?{query}", document, "application/apply-patch+yaml"
    )


def refusals(kube: Kube, paths: Places, documents: Documents) -> dict[str, str]:
    """Try all of them, and return what is said of those that are not taken."""
    found = {}
    for name, document in documents.items():
        if document["kind"] in FOREIGN:
            assert (document["apiVersion"], document["kind"]) not in paths, "it can be tried now"
            continue
        status, answer = tried(kube, paths, document)
        if status not in {200, 201}:
            found[name] = str(answer.get("message"))
    return found
