"""Pushes for cluster tests: made at the lab's GitHub, and recorded in a Project's status as the gateway does."""

from __future__ import annotations

import base64
import itertools
import os
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lab import Lab
from lab.kubernetes.identity import service_account_kubeconfig
from mooring.domain.names import WEBHOOK_KEY, WEBHOOK_SECRET
from mooring.domain.webhooks.events import Push
from mooring.domain.webhooks.following import Followed, followed
from mooring.domain.webhooks.keys import Keys, parse
from mooring.domain.webhooks.recording import Arrival, record
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub, Object, People
from tests.cluster.process import (
    SYSTEM,
    Mooring,
    free_lease,
    install_roles,
    operator_environment,
    start_operator,
    wait_ready,
)
from tests.cluster.token_life import fault

GLOBAL, MAIN = "user-default-global-secrets", "refs/heads/main"
_numbers = itertools.count(1)


@contextmanager
def running(lab: Lab, kube: Kube, folder: Path) -> Iterator[Mooring]:
    """Run an operator that has keys for webhooks until the end of the block."""
    install_roles(kube)
    free_lease(kube)
    kubeconfig = service_account_kubeconfig(lab.env, SYSTEM, "mooring-operator", folder / "operator.kubeconfig")
    environment = operator_environment(lab, kubeconfig)
    mooring = start_operator(environment, folder)
    try:
        wait_ready(mooring)
        yield mooring
    finally:
        if mooring.process.poll() is None:
            mooring.stop()


def keys_of(kube: Kube) -> Keys:
    """Return the keys that the operator shares with gateways."""
    status, secret = kube.request("GET", f"/api/v1/namespaces/{SYSTEM}/secrets/{WEBHOOK_SECRET}")
    assert status == 200, secret
    return parse(base64.b64decode(secret["data"][WEBHOOK_KEY])).keys


@dataclass(frozen=True)
class Pushed:
    """A push that GitHub took."""

    sha: str
    before: str


@dataclass
class Shop:
    """A Project, and the repository that it follows."""

    people: People
    hub: Hub
    repository: str
    repository_id: int
    last: str
    token: str = field(repr=False)

    name: str = "shop"
    # The installation's id, where one covers the repository.
    installation: int = 0

    @classmethod
    def open(cls, people: People, hub: Hub, token: str, *, name: str = "shop", **spec: Any) -> Shop:
        """Make both, and wait until the Project runs."""
        shop = cls.make(people, hub, token, name=name, **spec)
        shop.ran("Create", 1, shop.last)
        return shop

    @classmethod
    def make(cls, people: People, hub: Hub, token: str, *, name: str = "shop", **spec: Any) -> Shop:
        """Make both."""
        repository = {
            "owner": "acme",
            "name": f"pushed-{next(_numbers)}",
            "private": True,
            "files": {"src/a": name},
            "hooks": spec.pop("hooks", []),
        }
        ((full_name, told),) = hub.seed(repositories=[repository])["repositories"].items()
        shop = cls(people, hub, full_name, int(told["id"]), str(told["head"]), token, name)
        people.secret(GLOBAL, token)
        people.apply("GitHubUser", "default", {})
        shop.apply(**spec)
        return shop

    def apply(self, *, annotations: Mapping[str, str] | None = None, **spec: Any) -> None:
        """Apply the Project anew."""
        source = {"github": {"repository": self.repository}, **spec.pop("source", {})}
        deploy = {"debounce": "200ms", **spec.pop("deploy", {})}
        workload = {"image": "nginx", "replicas": 1, **spec.pop("workload", {})}
        metadata = {"metadata": {"annotations": dict(annotations)}} if annotations else {}
        self.people.apply(
            "Project", self.name, {"source": source, "deploy": deploy, "workload": workload, **spec}, **metadata
        )

    def push(self, files: Mapping[str, str | None] | None = None, **more: Any) -> Pushed:
        """Push at GitHub, and record nothing."""
        body = {
            "repository": self.repository,
            "user": "alice",
            "files": dict(files or {"src/a": str(next(_numbers))}),
            **more,
        }
        told = self.hub.control("POST", "/push", body)
        if not more.get("delete"):
            self.last = told["after"]
        return Pushed(told["after"], told["before"])

    def announced(self, files: Mapping[str, str | None] | None = None, *, ref: str = MAIN, **more: Any) -> str:
        """Push and record it; return the delivery. Nobody who looks by himself finds it before it is recorded."""
        with self.unseen():
            return self.tell(self.push(files, **more), ref=ref)

    def delivered(self) -> Pushed:
        """Push, and wait until a gateway has recorded it, which nobody who looks by himself comes before."""
        with self.unseen():
            pushed = self.push()
            self.people.until("Project", self.name, _tells_of(pushed.sha), f"the record of {pushed.sha[:7]}")
        return pushed

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """Have GitHub show the repository as it was, until the end of the block."""
        with fault(self.hub, kind="lag", repository=self.repository):
            yield

    def back_to(self, sha: str) -> Pushed:
        """Put the branch back by force to a commit that it had, and record nothing."""
        basic = base64.b64encode(f"x-access-token:{self.token}".encode()).decode()
        settings = {"http.sslCAInfo": self.hub.ca_file, "http.extraHeader": f"Authorization: Basic {basic}"}
        environment = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_COUNT": str(len(settings))}
        for number, (key, value) in enumerate(settings.items()):
            environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
        url = f"{self.hub.web_url}/{self.repository}.git"
        with tempfile.TemporaryDirectory() as folder:
            for command in (("init", "-q", "--bare"), ("fetch", "-q", url, sha), ("push", "-qf", url, f"{sha}:main")):
                subprocess.run(["git", *command], cwd=folder, env={**environment, "HOME": folder}, check=True)
        before, self.last = self.last, sha
        return Pushed(sha, before)

    def tell(self, pushed: Pushed, *, delivery: str | None = None, ref: str = MAIN) -> str:
        """Record a push as the gateway does; return the delivery."""
        delivery = delivery or str(uuid.uuid4())
        now = datetime.now(UTC)
        push = Push(self.repository_id, ref, pushed.sha, pushed.before, now, "alice")
        # Also what a gateway would know again: the operator is to decide by itself.
        found = record({}, [Arrival(push, delivery, now)])
        assert found.fields is not None
        self.people.patch("Project", self.name, {"status": found.fields}, subresource="status")
        return delivery

    @property
    def status(self) -> dict[str, Any]:
        """Return the status."""
        return dict((self.project() or {}).get("status") or {})

    def project(self) -> Object:
        """Return the Project."""
        found = self.people.get("Project", self.name)
        assert found is not None
        return found

    def followed(self) -> Followed | None:
        """Return what a gateway would know to concern this Project."""
        ref = self.project()["spec"].get("installationRef")
        installation = self.people.get("GitHubInstallation", ref["name"]) if ref else None
        return followed(self.project(), installation, keys_of(self.people.kube), default_api=self.hub.api_url)

    def template(self) -> dict[str, str]:
        """Return the annotations of the pods."""
        found = self.people.get("Deployment", f"{self.name}-default")
        assert found is not None
        return dict(found["spec"]["template"]["metadata"]["annotations"])

    def ran(self, trigger: str, rollouts: int, sha: str) -> dict[str, Any]:
        """Wait until the Project is Ready after its so manieth rollout; return the revision."""

        def there(obj: Object | None) -> bool:
            status = (obj or {}).get("status") or {}
            newest = (status.get("history") or [{}])[0]
            ready: Object = next((c for c in status.get("conditions") or () if c["type"] == "Ready"), {})
            current = ready.get("observedGeneration") == (obj or {})["metadata"]["generation"]
            told = (newest.get("sha"), ready.get("status"), len(status.get("history") or ()))
            return current and told == (sha, "True", rollouts) and newest.get("trigger") == trigger

        found = self.people.until("Project", self.name, there, f"rollout {rollouts} of {sha[:7]} ({trigger})")
        assert found is not None
        assert self.people.rollouts(self.name) == rollouts
        return dict(found["status"]["revision"])

    def handled(self, delivery: str, rollouts: int) -> dict[str, Any]:
        """Wait until a delivery is decided on, and see that nothing was rolled out for it; return the status."""

        def there(obj: Object | None) -> bool:
            status = (obj or {}).get("status") or {}
            return (status.get("source") or {}).get("delivery") == delivery

        found = self.people.until("Project", self.name, there, f"an end of delivery {delivery}")
        assert found is not None
        assert self.people.rollouts(self.name) == rollouts
        return dict(found["status"])

    def until_told(self, reason: str, *parts: str) -> None:
        """Wait for an Event about the Project whose message has all these parts."""
        self.people.until_event(self.name, reason, *parts)

    def asked(self, since: int) -> list[str]:
        """Return what GitHub was asked about the repository after a mark, without what is the same in all paths."""
        place = f"/repositories/{self.repository_id}/"
        return [it["path"].partition(place)[2] for it in self.hub.journal(since) if place in it["path"]]


def _tells_of(sha: str) -> Callable[[Object | None], bool]:
    return lambda project: (((project or {}).get("status") or {}).get("push") or {}).get("sha") == sha
