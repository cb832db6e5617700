"""GitHub Apps for cluster tests: made at the lab's GitHub, and put into Secrets as people do."""

from __future__ import annotations

import base64
import itertools
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from tests.cluster.harness import Hub, Object, People

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class LabApp:
    """An App at the lab's GitHub."""

    slug: str
    app_id: int
    private_key: str

    def data(self, **more: str) -> dict[str, str]:
        """Return what its Secret holds."""
        return {"appId": str(self.app_id), "privateKey": self.private_key, **more}


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


def data_of(secret: Object | None) -> dict[str, str]:
    """Return what a Secret holds, as text."""
    assert secret is not None, "the Secret is not there"
    return {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}


def reaches(hub: Hub, token: str) -> list[str] | int:
    """Return the repositories that a token reaches, or the status with which GitHub refuses it."""
    with httpx.Client(verify=ssl.create_default_context(cafile=hub.ca_file), trust_env=False) as client:
        answer = client.get(
            f"{hub.api_url}/installation/repositories", headers={"Authorization": f"Bearer {token}"}, timeout=10
        )
    if answer.status_code != 200:
        return answer.status_code
    return sorted(one["full_name"] for one in answer.json()["repositories"])
