"""What the gateway is told, and what people at GitHub send: documents, Projects with proofs, signed requests."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mooring.domain.names import WEBHOOK_KEY
from mooring.domain.webhooks.following import proven_facts
from mooring.domain.webhooks.keys import (
    AppHook,
    Document,
    app_path_id,
    dump,
    from_master,
    hook_path_id,
    hook_secrets,
    prove,
)
from tests.cluster.conftest import PATIENCE
from tests.cluster.harness import Object, People

KEYS = from_master({1: b"a master key of thirty-two bytes"})
ZERO = "0" * 40
OWN = "/webhooks/github"
_numbers = itertools.count(1)


@dataclass
class Site:
    """The folder that gateways share, and the GitHub that they mean."""

    folder: Path
    api_url: str
    apps: list[AppHook] = field(default_factory=list)

    def write(self, *apps: AppHook) -> None:
        """Mount the document anew, as kubelet does: what was there is replaced as a whole."""
        self.apps = list(apps)
        beside = self.folder / "next"
        beside.write_text(dump(Document(KEYS, apps)))
        beside.rename(self.folder / WEBHOOK_KEY)

    def hook_path(self, repository_id: int, namespace: str) -> str:
        """Return the address of a repository's hook."""
        return f"{OWN}/" + hook_path_id(KEYS, origin=self.api_url, repository_id=repository_id, namespace=namespace)

    def hook_secret(self, repository_id: int, namespace: str) -> str:
        """Return what signs the deliveries of a repository's hook."""
        return hook_secrets(KEYS, origin=self.api_url, repository_id=repository_id, namespace=namespace)[0]

    def app_path(self, installation: Object) -> str:
        """Return the address of a tenant's App."""
        metadata = installation["metadata"]
        path = app_path_id(KEYS, origin=self.api_url, installation_uid=metadata["uid"], namespace=metadata["namespace"])
        return f"{OWN}/{path}"

    def prove(self, project: Object, installation: Object | None, repository_id: int, branch: str) -> dict[str, Any]:
        """Return what the operator writes into status.source when it has read a repository."""
        facts = proven_facts(
            project, installation, KEYS, default_api=self.api_url, repository_id=repository_id, branch=branch
        )
        assert facts is not None
        return {"repositoryId": repository_id, "branch": branch, "proof": prove(KEYS, facts)}


def make_installation(people: People, name: str, installation_id: int, secret: str | None = None) -> Object:
    """Make a GitHubInstallation that the operator has looked up."""
    spec = {"account": "acme", **({"appSecretRef": {"name": secret}} if secret else {})}
    people.apply("GitHubInstallation", name, spec)
    return people.patch("GitHubInstallation", name, status(installationId=installation_id), subresource="status")


def make_project(
    people: People, site: Site, name: str, repository_id: int, by: Object | None, branch: str = "main"
) -> Object:
    """Make a Project whose source the operator has proven."""
    spec: dict[str, Any] = {"source": {"github": {"repository": "acme/shop"}}, "workload": {"image": "nginx"}}
    if by is not None:
        spec["installationRef"] = {"name": by["metadata"]["name"], "namespace": by["metadata"]["namespace"]}
    made = people.apply("Project", name, spec)
    proven = site.prove(made, by, repository_id, branch)
    return people.patch("Project", name, status(source=proven), subresource="status")


def status(**fields: Any) -> dict[str, Any]:
    """Return a patch of a status."""
    return {"status": fields}


def sha(number: int) -> str:
    """Return a commit."""
    return f"{number:040x}"


def push(repository_id: int, number: int, **more: Any) -> dict[str, Any]:
    """Return what a push says; each is a second after the one before."""
    return {
        "ref": "refs/heads/main",
        "before": sha(number - 1),
        "after": sha(number),
        "repository": {"id": repository_id, "pushed_at": 1_700_000_000 + number},
        "sender": {"login": "alice"},
        **more,
    }


def signed(
    payload: Any, secret: str, event: str = "push", delivery: str | None = None
) -> tuple[bytes, Mapping[str, str]]:
    """Return a body as GitHub sends it, and its headers."""
    body = json.dumps(payload).encode()
    return body, {
        "Content-Type": "application/json",
        "X-GitHub-Event": event,
        "X-GitHub-Delivery": delivery or str(uuid.uuid4()),
        "X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(),
    }


def post(
    gateway_url: str, payload: Any, secret: str, event: str = "push", path: str = OWN, delivery: str | None = None
) -> tuple[int, str]:
    """Send a delivery; return status and outcome. Raises OSError where nobody listens any more."""
    body, headers = signed(payload, secret, event, delivery)
    where = urlsplit(gateway_url)
    connection = HTTPConnection(where.hostname or "", where.port, timeout=PATIENCE)
    try:
        connection.request("POST", path, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, str(json.loads(answer.read())["outcome"])
    finally:
        connection.close()


def repository_id() -> int:
    """Return the id of a repository that nobody else in these tests has."""
    return 500_000 + next(_numbers)
