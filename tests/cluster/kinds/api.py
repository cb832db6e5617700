"""How these tests speak to the API server: the few requests they make, over the session's `kube` fixture."""

import re
from typing import Any, Protocol

from tests.cluster.kinds.objects import API_VERSION, PLURALS, Object

Answer = tuple[int, dict[str, Any]]
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


class Kube(Protocol):
    """What is used of the `kube` fixture."""

    kubeconfig: str

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Answer:
        """One request with the administrator's rights: status and decoded body."""
        ...


class Objects:
    """The three kinds in one namespace; unknown fields are refused, never dropped in silence."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube, self._namespace = kube, namespace

    def create(self, body: Object, *, dry_run: bool = False) -> Answer:
        """Create an object."""
        return self._kube.request("POST", self._url(body["kind"], dry_run=dry_run), body)

    def apply(self, body: Object, manager: str) -> Answer:
        """Apply an object on the server's side, without force."""
        url = self._url(body["kind"], body["metadata"]["name"]) + f"&fieldManager={manager}"
        return self._kube.request("PATCH", url, body, APPLY)

    def apply_status(self, body: Object, manager: str) -> Answer:
        """Apply an object's status on the server's side, without force."""
        url = self._url(body["kind"], f"{body['metadata']['name']}/status") + f"&fieldManager={manager}"
        return self._kube.request("PATCH", url, body, APPLY)

    def replace(self, body: Object, *, dry_run: bool = False) -> Answer:
        """Replace an object."""
        return self._kube.request("PUT", self._url(body["kind"], body["metadata"]["name"], dry_run=dry_run), body)

    def patch_status(self, kind: str, name: str, status: Object, *, dry_run: bool = False) -> Answer:
        """Merge into an object's status."""
        body = {"apiVersion": API_VERSION, "kind": kind, "status": status}
        return self._kube.request("PATCH", self._url(kind, f"{name}/status", dry_run=dry_run), body, MERGE)

    def read(self, kind: str, name: str) -> Object:
        """An object as it is stored."""
        status, body = self._kube.request("GET", self._url(kind, name))
        assert status == 200, body
        return body

    def _url(self, kind: str, name: str = "", *, dry_run: bool = False) -> str:
        path = f"/apis/{API_VERSION}/namespaces/{self._namespace}/{PLURALS[kind]}"
        query = "fieldValidation=Strict" + ("&dryRun=All" if dry_run else "")
        return f"{path}/{name}?{query}" if name else f"{path}?{query}"


def refusals(body: dict[str, Any]) -> list[tuple[str, str]]:
    """Field and message of each cause of a refusal, the field written as everywhere in these tests."""
    causes = body.get("details", {}).get("causes", [])
    return [(_plain(cause.get("field", "")), cause["message"]) for cause in causes]


def _plain(field: str) -> str:
    without_keys = re.sub(r"\[([^\]\d][^\]]*)\]", r".\1", field)
    return "" if without_keys == "<nil>" else without_keys
