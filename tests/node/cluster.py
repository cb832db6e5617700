"""All that there is in a cluster, of whatever kind: what belongs to people, and what is left of Mooring."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.cluster.conftest import Kube
from tests.cluster.harness import Object, rollouts_of
from tests.lab.kubernetes.support import until
from tests.node.install import PATIENCE, SYSTEM

PROJECT = "mooring.dev/project"
MADE = "app.kubernetes.io/managed-by"
KINDS = ("projects", "githubusers", "githubinstallations")
# What is there by others: Kubernetes' own in every namespace and for every kind, and people's.
OF_OTHERS = {
    f"namespaces/{SYSTEM}",
    "apiservices/v1alpha1.mooring.dev",
    "configmaps/kube-root-ca.crt",
    "serviceaccounts/default",
    "configmaps/github-ca",
}
# What an API server answers for a kind that it has only just heard of.
BUSY = 429
# They tell of what is gone, and go by themselves.
PASSING = {"events"}


def own(kube: Kube) -> list[Object]:
    """Every object of Mooring's kinds."""
    return [obj for kind in KINDS for obj in _items(kube, f"/apis/mooring.dev/v1alpha1/{kind}")]


def standing(kube: Kube) -> dict[str, Any]:
    """What must be the same before and after: people's objects, their children, and how often each was rolled."""
    found: dict[str, Any] = {_name(obj): (obj["metadata"]["uid"], _revision(obj)) for obj in own(kube)}
    for path in ("/api/v1/secrets", "/api/v1/services"):
        found |= {_name(obj): obj["metadata"]["uid"] for obj in _items(kube, path) if _is_child(obj)}
    for obj in _items(kube, "/apis/apps/v1/deployments"):
        if _is_child(obj):
            found[_name(obj)] = (obj["metadata"]["uid"], obj["metadata"]["generation"], rollouts_of(obj))
    for pod in _items(kube, "/api/v1/pods"):
        # One that is about to end says nothing: whoever ended it has another in its place.
        if PROJECT in pod["metadata"].get("labels", {}) and "deletionTimestamp" not in pod["metadata"]:
            restarts = [one["restartCount"] for one in pod["status"].get("containerStatuses", ())]
            found[_name(pod)] = (pod["metadata"]["uid"], restarts)
    return found


def held(kube: Kube) -> set[str]:
    """The objects of Mooring's kinds that wait for an operator when they are deleted."""
    return {_name(obj) for obj in own(kube) if obj["metadata"].get("finalizers")}


def left(kube: Kube) -> set[str]:
    """What is there of Mooring, of every kind that the API server knows: by label, by name, and by its namespace."""
    found = set()
    for path, resource in _resources(kube):
        for obj in _items(kube, path) if resource not in PASSING else ():
            meta = obj["metadata"]
            ours = "mooring" in meta["name"] and not meta.get("namespace")
            labelled = meta.get("labels", {}).get("app.kubernetes.io/part-of") == "mooring"
            if ours or labelled or meta.get("namespace") == SYSTEM:
                found.add(f"{resource}/{meta['name']}")
    return found - OF_OTHERS


def _resources(kube: Kube) -> Iterator[tuple[str, str]]:
    """Where each kind's objects are listed, in all namespaces at once."""
    groups = kube.request("GET", "/apis")[1]["groups"]
    places = ["/api/v1", *(f"/apis/{group['preferredVersion']['groupVersion']}" for group in groups)]
    for place in places:
        # A group may go between the two requests.
        for resource in (_served(kube, place) or {}).get("resources", ()):
            if "list" in resource["verbs"]:
                yield f"{place}/{resource['name']}", resource["name"]


def _items(kube: Kube, path: str) -> list[Object]:
    """All objects of a kind; none where the kind went since it was named."""
    body = _served(kube, path)
    return list(body["items"]) if body is not None else []


def _served(kube: Kube, path: str) -> Object | None:
    """What is there, None where there is nothing; a server that is busy with its kinds is waited for."""
    answers: list[tuple[int, Object]] = []

    def served() -> bool:
        answers.append(kube.request("GET", path))
        return answers[-1][0] != BUSY

    until(served, f"{path} is served", PATIENCE)
    status, body = answers[-1]
    assert status in {200, 404}, (path, body)
    return body if status == 200 else None


def _is_child(obj: Object) -> bool:
    meta = obj["metadata"]
    made_by: str | None = meta.get("labels", {}).get(MADE)
    return made_by == "mooring" and meta["namespace"] != SYSTEM


def _revision(obj: Object) -> Any:
    return (obj.get("status") or {}).get("revision")


def _name(obj: Object) -> str:
    meta = obj["metadata"]
    kind = meta.get("ownerReferences", [{}])[0].get("kind", "")
    return f"{kind} {meta['namespace']}/{meta['name']} {meta['uid']}"
