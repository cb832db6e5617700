"""What cluster tests hold in their hands: people at the API server, the lab's GitHub, and the operator as a process.

Nothing here waits by sleeping: `People.until` reads a watch until what is expected is there.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import httpx
import pytest
import yaml

from tests.cluster.conftest import PATIENCE, Kube

Object = dict[str, Any]
# How long a watch may say nothing before it is begun anew: less than the client waits for a byte.
QUIET = PATIENCE / 2

GROUPS = {
    "GitHubUser": "/apis/mooring.dev/v1alpha1/namespaces/{}/githubusers",
    "GitHubInstallation": "/apis/mooring.dev/v1alpha1/namespaces/{}/githubinstallations",
    "Project": "/apis/mooring.dev/v1alpha1/namespaces/{}/projects",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "ResourceQuota": "/api/v1/namespaces/{}/resourcequotas",
    "Service": "/api/v1/namespaces/{}/services",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "Pod": "/api/v1/namespaces/{}/pods",
    "Event": "/apis/events.k8s.io/v1/namespaces/{}/events",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "ReplicaSet": "/apis/apps/v1/namespaces/{}/replicasets",
    "Lease": "/apis/coordination.k8s.io/v1/namespaces/{}/leases",
    "Ingress": "/apis/networking.k8s.io/v1/namespaces/{}/ingresses",
}


class People:
    """Whoever works in one namespace, with the rights of its administrator."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.kube = kube
        self.namespace = namespace

    def path(self, kind: str, name: str = "") -> str:
        """Return where a kind's objects are, or one of them."""
        return GROUPS[kind].format(self.namespace) + (f"/{name}" if name else "")

    def get(self, kind: str, name: str) -> Object | None:
        """Return an object, or None."""
        status, body = self.kube.request("GET", self.path(kind, name))
        assert status in {200, 404}, body
        return body if status == 200 else None

    def list(self, kind: str) -> list[Object]:
        """Return all objects of a kind."""
        status, body = self.kube.request("GET", self.path(kind))
        assert status == 200, body
        return list(body["items"])

    def apply(self, kind: str, name: str, spec: Mapping[str, Any], **more: Any) -> Object:
        """Apply one of our kinds as kubectl does, with its spec alone; `metadata` adds annotations and labels."""
        metadata = {**more.get("metadata", {}), "name": name}
        body = {"apiVersion": "mooring.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": dict(spec)}
        path = f"{self.path(kind, name)}?fieldManager=people&force=true"
        status, answer = self.kube.request("PATCH", path, body, "application/apply-patch+yaml")
        assert status in {200, 201}, answer
        return answer

    def create(self, kind: str, body: Mapping[str, Any]) -> Object:
        """Make any object."""
        status, answer = self.kube.request("POST", self.path(kind), dict(body))
        assert status == 201, answer
        return answer

    def patch(self, kind: str, name: str, body: Any, *, subresource: str = "") -> Object:
        """Merge something into an object, as an editor would."""
        path = self.path(kind, name) + (f"/{subresource}" if subresource else "")
        status, answer = self.kube.request("PATCH", path, body, "application/merge-patch+json")
        assert status == 200, answer
        return answer

    def delete(self, kind: str, name: str) -> None:
        """Delete an object; one that is gone is fine."""
        status, answer = self.kube.request("DELETE", self.path(kind, name))
        assert status in {200, 202, 404}, answer

    def secret(self, name: str, token: str | None, *, key: str = "github-token", kind: str = "Opaque") -> None:
        """Write a Secret with a token, or take it away."""
        self.delete("Secret", name) if token is None else self._put_secret(name, {key: token}, kind)

    def _put_secret(self, name: str, texts: Mapping[str, str], kind: str) -> None:
        data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": kind, "data": data}
        status, answer = self.kube.request(
            "PATCH",
            f"{self.path('Secret', name)}?fieldManager=people&force=true",
            body,
            "application/apply-patch+yaml",
        )
        assert status in {200, 201}, answer

    def until(
        self,
        kind: str,
        name: str,
        holds: Callable[[Object | None], bool],
        what: str = "",
        *,
        seconds: float = PATIENCE,
    ) -> Object | None:
        """Return the object (None: it is gone) as soon as something holds; fail, showing it, if it does not in time."""
        deadline = time.monotonic() + seconds
        seen: Object | None = None
        while (left := deadline - time.monotonic()) > 0:
            status, body = self.kube.request("GET", f"{self.path(kind)}?fieldSelector=metadata.name={name}")
            assert status == 200, body
            seen = next(iter(body["items"]), None)
            if holds(seen):
                return seen
            query = f"watch=true&fieldSelector=metadata.name={name}&timeoutSeconds={max(1, round(min(left, QUIET)))}"
            query += f"&resourceVersion={body['metadata']['resourceVersion']}"
            with self.kube.watch(f"{self.path(kind)}?{query}") as events:
                for event in events:
                    if event["type"] == "ERROR":
                        break
                    seen = None if event["type"] == "DELETED" else event["object"]
                    if holds(seen):
                        return seen
        pytest.fail(f"{kind} {self.namespace}/{name} did not come to {what or holds}: {_shown(seen)}")

    def until_every(
        self, kind: str, checks: Mapping[str, Callable[[Object | None], bool]], *, seconds: float = PATIENCE
    ) -> dict[str, Object]:
        """Return all objects of a kind as soon as every check of a name holds at once; fail, showing those that don't.

        One watch serves them all, so that many objects take no longer than the slowest.
        """
        deadline = time.monotonic() + seconds
        seen: dict[str, Object] = {}

        def open_checks(names: Iterable[str]) -> set[str]:
            return {name for name in names if not checks[name](seen.get(name))}

        left = set(checks)
        while (patience := deadline - time.monotonic()) > 0:
            status, body = self.kube.request("GET", self.path(kind))
            assert status == 200, body
            seen = {obj["metadata"]["name"]: obj for obj in body["items"]}
            if not (left := open_checks(checks)):
                return seen
            query = f"watch=true&timeoutSeconds={max(1, round(patience))}"
            query += f"&resourceVersion={body['metadata']['resourceVersion']}"
            with self.kube.watch(f"{self.path(kind)}?{query}") as events:
                for event in events:
                    if event["type"] == "ERROR":
                        break
                    name = event["object"]["metadata"]["name"]
                    if event["type"] == "DELETED":
                        seen.pop(name, None)
                    else:
                        seen[name] = event["object"]
                    if name in checks:
                        left = (left - {name}) | open_checks({name})
                    if not left:
                        return seen
        shown = "\n".join(f"{name}: {_shown(seen.get(name))}" for name in sorted(left)[:3])
        pytest.fail(f"{len(left)} of {len(checks)} {kind}s of {self.namespace} did not come to their end:\n{shown}")

    def settled(self, name: str, *, kind: str = "Project", seconds: float = PATIENCE) -> Object:
        """Wait until an object is done with its newest spec: Ready, or Stalled and waiting for a person."""

        def done(obj: Object | None) -> bool:
            if obj is None:
                return False
            current = obj["metadata"]["generation"]
            ready, stalled = condition(obj, "Ready"), condition(obj, "Stalled")
            fresh = bool(ready) and ready["observedGeneration"] == current
            return fresh and (ready["status"] == "True" or stalled.get("status") == "True")

        found = self.until(kind, name, done, "Ready or Stalled", seconds=seconds)
        assert found is not None
        return found

    def until_condition(
        self, name: str, type_: str, status: str, reason: str, *, kind: str = "Project", seconds: float = PATIENCE
    ) -> Object:
        """Wait for a condition."""

        def there(obj: Object | None) -> bool:
            found = condition(obj or {}, type_)
            return (found.get("status"), found.get("reason")) == (status, reason)

        found = self.until(kind, name, there, f"{type_}={status} ({reason})", seconds=seconds)
        assert found is not None
        return found

    def until_ready(self, name: str, *, kind: str = "Project", seconds: float = PATIENCE) -> Object:
        """Wait until an object is Ready by its newest spec, whatever was said of it before."""

        def there(obj: Object | None) -> bool:
            told = condition(obj or {}, "Ready")
            return told.get("status") == "True" and told["observedGeneration"] == (obj or {})["metadata"]["generation"]

        found = self.until(kind, name, there, "Ready", seconds=seconds)
        assert found is not None
        return found

    def until_event(self, name: str, reason: str, *parts: str) -> None:
        """Wait for an Event about an object whose message has all these parts."""

        def is_it(event: Object) -> bool:
            of_it = (event.get("reason"), event.get("regarding", {}).get("name")) == (reason, name)
            return of_it and all(part in event.get("note", "") for part in parts)

        path = self.path("Event")
        status, body = self.kube.request("GET", path)
        assert status == 200, body
        if any(is_it(event) for event in body["items"]):
            return
        query = f"watch=true&timeoutSeconds={round(PATIENCE)}&resourceVersion={body['metadata']['resourceVersion']}"
        with self.kube.watch(f"{path}?{query}") as events:
            if any(is_it(event["object"]) for event in events):
                return
        pytest.fail(f"there was no Event {reason} about {self.namespace}/{name} with {parts}")

    def workload_token(self, project: str) -> str | None:
        """Return the token that the pods of a Project get, by way of the Deployment and the Secret that it names."""
        deployment = self.get("Deployment", f"{project}-default")
        ref = token_reference(deployment)
        if ref is None:
            return None
        secret = self.get("Secret", ref["name"])
        assert secret is not None, f"the Deployment of {project} names Secret {ref['name']}, which is not there"
        return base64.b64decode(secret["data"][ref["key"]]).decode()

    def rollouts(self, project: str) -> int:
        """Count how often a Project's pods were rolled."""
        return rollouts_of(self.get("Deployment", f"{project}-default"))


def token_reference(deployment: Mapping[str, Any] | None) -> dict[str, str] | None:
    """Return the Secret and key that a Deployment's pods get as GITHUB_TOKEN."""
    if deployment is None:
        return None
    env = deployment["spec"]["template"]["spec"]["containers"][0].get("env") or []
    return next((e["valueFrom"]["secretKeyRef"] for e in env if e["name"] == "GITHUB_TOKEN"), None)


def rollouts_of(deployment: Mapping[str, Any] | None) -> int:
    """Count how often pods were rolled: each time makes the Deployment's revision one higher."""
    annotations = (deployment or {}).get("metadata", {}).get("annotations", {})
    return int(annotations.get("deployment.kubernetes.io/revision", 0))


def is_observed(deployment: Mapping[str, Any] | None) -> bool:
    """Tell whether Kubernetes' own controller has seen a Deployment's newest spec, so that its rollouts are counted."""
    if deployment is None:
        return False
    seen = (deployment.get("status") or {}).get("observedGeneration", 0)
    return bool(seen >= deployment["metadata"]["generation"])


def condition(obj: Mapping[str, Any], type_: str) -> dict[str, Any]:
    """Return a condition, empty where there is none."""
    found = (obj.get("status") or {}).get("conditions") or []
    return next((c for c in found if c["type"] == type_), {})


def _shown(obj: Object | None) -> str:
    if obj is None:
        return "it is not there"
    kept = {name: value for name, value in obj.items() if name != "data"}
    kept["metadata"] = {k: v for k, v in obj["metadata"].items() if k != "managedFields"}
    return yaml.safe_dump(kept)[:4000]


class Hub:
    """The lab's GitHub, through its control API."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.api_url = env["MOORING_GITHUB_API_URL"]
        self.web_url = env["LAB_GITHUB_GIT_URL"]
        self.ca_file = env["MOORING_GITHUB_CA_FILE"]
        self._client = httpx.Client(
            base_url=env["LAB_GITHUB_CONTROL_URL"],
            headers={"Authorization": f"Bearer {env['LAB_ADMIN_TOKEN']}"},
            timeout=PATIENCE,
            trust_env=False,
        )

    def control(self, method: str, path: str, body: Any = None) -> Any:
        """Call the control API."""
        answer = self._client.request(method, path, json=body)
        assert answer.status_code < 300, (answer.status_code, answer.text)
        return answer.json()

    def seed(self, **document: Any) -> Any:
        """Make what a document describes."""
        return self.control("POST", "/seed", document)

    def token(self, name: str, user: str, **more: Any) -> str:
        """Return a fresh token of a user."""
        made = self.seed(tokens=[{"name": name, "user": user, "scopes": ["repo"], **more}])
        return str(made["tokens"][name]["value"])

    def journal(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the requests after a number."""
        entries: list[dict[str, Any]] = []
        while True:
            page = self.control("GET", f"/journal?since={since}&limit=1000")
            entries += page["entries"]
            if not page["entries"]:
                return entries
            since = page["next"]

    def mark(self) -> int:
        """Return the journal's present end."""
        return int(self.control("GET", "/journal?limit=0")["last"])

    def find(self, data: bytes) -> list[dict[str, str]]:
        """Return which of its secrets stand in some bytes, by public id and form."""
        answer = self._client.post("/tags/find", content=data)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["found"])

    def strays(self, since: int) -> list[dict[str, Any]]:
        """Return the requests after a number whose credential is for another origin or repository, or of nobody."""
        return list(self.control("GET", f"/tags?since={since}")["strays"])

    def violations(self) -> list[str]:
        """Return where the lab broke GitHub's own descriptions."""
        found = self.control("GET", "/violations")
        return list(found["violations"])

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
