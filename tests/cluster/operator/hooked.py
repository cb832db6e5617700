"""A real gateway beside a real operator, and GitHub's own deliveries between them: for tests of what events lead to."""

from __future__ import annotations

import base64
import ssl
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from lab import Lab
from mooring.domain.names import WEBHOOK_KEY, WEBHOOK_SECRET
from mooring.domain.webhooks.keys import hook_path_id, hook_secrets
from tests.cluster import quiet
from tests.cluster.conftest import PATIENCE, Kube
from tests.cluster.gateway.site import post
from tests.cluster.harness import Hub, Object
from tests.cluster.operator.apps import LabApp
from tests.cluster.operator.pushes import Shop, keys_of
from tests.cluster.operator.webhooks import BASE, url_of
from tests.cluster.process import SYSTEM, Gateway, Mooring, gateway_kubeconfig, running_gateways, running_operator
from tests.cluster.token_life import until

# Of a test's own probes, which GitHub does not make.
PROBE = "probe"


@dataclass
class Site:
    """An operator, a gateway, and the folder in which the gateway finds what the operator tells it."""

    kube: Kube
    hub: Hub
    operator: Mooring
    gateway: Gateway
    folder: Path

    def mount(self) -> None:
        """Bring the operator's Secret to the gateway, as kubelet does."""
        mount(self.kube, self.folder)

    def watch_repository(self, shop: Shop, *events: str) -> int:
        """Make a hook of a repository with its owner's token, as an operator does; return its id at GitHub."""
        keys, namespace = keys_of(self.kube), shop.people.namespace
        about: dict[str, Any] = {"origin": self.hub.api_url, "repository_id": shop.repository_id}
        path = f"/webhooks/github/{hook_path_id(keys, namespace=namespace, **about)}"
        (secret, *_) = hook_secrets(keys, namespace=namespace, **about)
        self._until_known(shop.repository, shop.repository_id, secret, path)
        config = {"url": self.gateway.url + path, "secret": secret, "content_type": "json"}
        body = {"events": list(events or ("push", "repository")), "config": config}
        with httpx.Client(verify=ssl.create_default_context(cafile=self.hub.ca_file), trust_env=False) as client:
            answer = client.post(
                f"{self.hub.api_url}/repos/{shop.repository}/hooks",
                json=body,
                headers={"Authorization": f"Bearer {shop.token}"},
                timeout=PATIENCE,
            )
        assert answer.status_code == 201, answer.text
        return int(answer.json()["id"])

    def watch_app(self, shop: Shop, app: LabApp, secret: str) -> None:
        """Enter at GitHub where the webhooks of an App go, once the gateway knows its installation `it`."""
        people = shop.people
        found = people.until("GitHubInstallation", "it", lambda obj: url_of(obj) is not None, "the address of webhooks")
        path = str(url_of(found)).removeprefix(BASE)
        self._until_known(shop.repository, shop.repository_id, secret, path)
        self.hub.control("POST", f"/apps/{app.slug}/webhook", {"url": self.gateway.url + path, "secret": secret})

    def _until_known(self, repository: str, repository_id: int, secret: str, path: str) -> None:
        """Wait until the gateway records what comes to an address about a repository.

        The operator asks GitHub what a recorded probe meant. That is over, too: a test counts such questions.
        """
        mark = self.hub.mark()
        probe = {"action": "edited", "repository": {"id": repository_id}}
        deadline = time.monotonic() + PATIENCE
        while (told := post(self.gateway.url, probe, secret, "repository", path, PROBE))[1] not in KNOWN:
            assert time.monotonic() < deadline, (told, self.gateway.log[-4000:])
            self.mount()
            time.sleep(0.1)
        until(lambda: _is_asked(self.hub, mark, repository), f"the question after {repository}")


KNOWN = frozenset({"recorded", "duplicate"})


def _is_asked(hub: Hub, since: int, repository: str) -> bool:
    return any(entry["path"].endswith(f"/repos/{repository}") for entry in hub.journal(since))


def mount(kube: Kube, folder: Path) -> None:
    """Write the Secret's content into a folder."""
    status, secret = kube.request("GET", f"/api/v1/namespaces/{SYSTEM}/secrets/{WEBHOOK_SECRET}")
    assert status == 200, secret
    beside = folder / f"next-{uuid.uuid4()}"
    beside.write_bytes(base64.b64decode(secret["data"][WEBHOOK_KEY]))
    beside.replace(folder / WEBHOOK_KEY)


@contextmanager
def running(lab: Lab, kube: Kube, hub: Hub, folder: Path) -> Iterator[Site]:
    """Run both until the end of the block, each under its own Role."""
    shared = folder / "webhook"
    shared.mkdir()
    # What a look of its own finds is not what an event leads to.
    with running_operator(lab, kube, folder, module=quiet.__name__, MOORING_PUBLIC_BASE_URL=BASE) as operator:
        mount(kube, shared)
        kubeconfig = gateway_kubeconfig(lab, folder)
        with running_gateways(lab, kubeconfig, shared, folder, "gateway") as (gateway,):
            yield Site(kube, hub, operator, gateway, shared)


def told(obj: Object | None) -> list[str]:
    """Return what a Project was told of its repository by GitHub, newest first."""
    lines: list[Mapping[str, str]] = ((obj or {}).get("status") or {}).get("deliveries") or []
    return [line["action"] for line in lines if line["event"] == "repository" and line["delivery"] != PROBE]
