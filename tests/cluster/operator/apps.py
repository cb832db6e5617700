"""GitHub Apps for cluster tests: made at the lab's GitHub, and put into Secrets as people do."""

from __future__ import annotations

import base64
import itertools
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from mooring.domain.manifests import checkout
from tests.cluster.harness import Hub, Object, People

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Account:
    """An organisation at the lab's GitHub, which alice administers, and its private repositories by name."""

    login: str
    id: int
    repositories: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LabApp:
    """An App at the lab's GitHub."""

    slug: str
    app_id: int
    private_key: str

    def data(self, **more: str) -> dict[str, str]:
        """Return what its Secret holds."""
        return {"appId": str(self.app_id), "privateKey": self.private_key, **more}


def make_account(hub: Hub, *repositories: str) -> Account:
    """Make an organisation of its own, which a test may rename, delete, or take repositories from."""
    login = f"company-{next(_numbers)}"
    made = hub.seed(
        organizations=[{"login": login, "members": {"alice": "admin"}}],
        repositories=[
            {"owner": login, "name": name, "private": True, "files": {"a.txt": name}} for name in repositories
        ],
    )
    ids = {name.partition("/")[2]: int(one["id"]) for name, one in made["repositories"].items()}
    return Account(login, int(made["organizations"][login]["id"]), ids)


def make_app(hub: Hub, owner: str = "alice", **more: Any) -> LabApp:
    """Make an App with a name of its own."""
    slug = f"app-{next(_numbers)}"
    permissions = {"contents": "read", "metadata": "read", "issues": "write"}
    made = hub.seed(apps=[{"slug": slug, "owner": owner, "permissions": permissions, "events": ["push"], **more}])
    app = made["apps"][slug]
    return LabApp(slug, int(app["id"]), str(app["private_key"]))


def install(hub: Hub, app: LabApp, account: str = "acme", **more: Any) -> int:
    """Install an App on an account; return the installation's id."""
    made = hub.seed(installations=[{"app": app.slug, "account": account, "repositories": "all", **more}])
    return int(made["installations"][0]["id"])


def put_app(people: People, app: LabApp, name: str = "app", **more: str) -> None:
    """Write an App's Secret."""
    put_secret(people, name, app.data(**more))


def put_secret(people: People, name: str, texts: Mapping[str, str]) -> None:
    """Write an Opaque Secret, as somebody with kubectl does."""
    data = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "type": "Opaque", "data": data}
    path = f"{people.path('Secret', name)}?fieldManager=people&force=true"
    status, answer = people.kube.request("PATCH", path, body, "application/apply-patch+yaml")
    assert status in {200, 201}, answer


def mints(hub: Hub, since: int, installation: int | None = None) -> list[Object]:
    """Return the requests for tokens after a mark, for one installation or for all."""
    wanted = f"/installations/{installation}/" if installation is not None else "/installations/"
    return [
        entry
        for entry in hub.journal(since)
        if entry["method"] == "POST" and entry["path"].endswith("/access_tokens") and wanted in entry["path"]
    ]


def minted_by(hub: Hub, since: int, app: LabApp) -> list[int]:
    """Return how GitHub answered an App's requests for tokens after a mark."""
    return [entry["status"] for entry in mints(hub, since) if entry["credential"] == f"app-{app.app_id}"]


def data_of(secret: Object | None) -> dict[str, str]:
    """Return what a Secret holds, as text."""
    assert secret is not None, "the Secret is not there"
    return {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}


def refer(
    people: People, name: str, repository: str, installation: str = "it", namespace: str | None = None, **more: Any
) -> None:
    """Apply a Project that clones with an installation."""
    ref = {"name": installation, **({"namespace": namespace} if namespace else {})}
    spec = {"source": {"github": {"repository": repository}}, "installationRef": ref, "workload": {"image": "nginx"}}
    people.apply("Project", name, {**spec, **more})


def hint(people: People, name: str, event: str = "installation") -> None:
    """Say that GitHub sent something about an installation, as the gateway does."""
    told = {"event": event, "delivery": f"delivery-{next(_numbers)}", "receivedAt": "2030-01-02T03:04:05Z"}
    people.patch("GitHubInstallation", name, {"status": {"hint": told}}, subresource="status")


def output(name: str, form: str = "Token", **more: Any) -> dict[str, Any]:
    """Return what is written into spec.outputs."""
    return {"secretName": name, "format": form, **more}


def asked_about(hub: Hub, since: int, *needles: str) -> list[str]:
    """Return the requests after a mark whose path names one of something: an installation's id, an account."""
    return [
        f"{entry['method']} {entry['path']} {entry['credential']} {entry['status']}"
        for entry in hub.journal(since)
        if any(needle in entry["path"] for needle in needles)
    ]


def signed_by(hub: Hub, since: int, app: LabApp) -> list[str]:
    """Return the requests after a mark that came with the JWT of an App."""
    return [
        f"{entry['method']} {entry['path']} {entry['status']}"
        for entry in hub.journal(since)
        if entry["credential"] == f"app-{app.app_id}"
    ]


def clone_secret(people: People, project: str) -> str | None:
    """Return the Secret that the pods of a Project fetch its source with."""
    deployment = people.get("Deployment", f"{project}-default")
    return checkout.credential_in(deployment["spec"]["template"]["spec"]) if deployment is not None else None


def clone_secrets(people: People) -> list[str]:
    """Return all clone credentials of a namespace."""
    names = (secret["metadata"]["name"] for secret in people.list("Secret"))
    return sorted(name for name in names if name.startswith("mooring-clone-"))


def end(hub: Hub, token: str) -> None:
    """End a token, as whoever holds it may."""
    with httpx.Client(verify=ssl.create_default_context(cafile=hub.ca_file), trust_env=False) as client:
        answer = client.delete(
            f"{hub.api_url}/installation/token", headers={"Authorization": f"Bearer {token}"}, timeout=10
        )
    assert answer.status_code == 204, answer.text


def slow_mints(hub: Hub, seconds: float = 0.5) -> AbstractContextManager[Callable[[], bool]]:
    """Have GitHub take its time to make a token; what is given tells whether one was asked for."""
    return slow(hub, "*/access_tokens", seconds)


@contextmanager
def slow(hub: Hub, path: str, seconds: float = 0.5) -> Iterator[Callable[[], bool]]:
    """Have GitHub take its time to answer; what is given tells whether it was asked."""
    hub.control("POST", "/faults", {"kind": "latency", "path": path, "seconds": seconds})
    try:
        yield lambda: any(it["hits"] for it in hub.control("GET", "/faults")["faults"])
    finally:
        hub.control("DELETE", "/faults")


def reaches(hub: Hub, token: str) -> list[str] | int:
    """Return the repositories that a token reaches, or the status with which GitHub refuses it."""
    with httpx.Client(verify=ssl.create_default_context(cafile=hub.ca_file), trust_env=False) as client:
        answer = client.get(
            f"{hub.api_url}/installation/repositories", headers={"Authorization": f"Bearer {token}"}, timeout=10
        )
    if answer.status_code != 200:
        return answer.status_code
    return sorted(one["full_name"] for one in answer.json()["repositories"])
