"""The lives of installation tokens, as tests follow them: in Secrets, and at the lab's GitHub, by its clock."""

from __future__ import annotations

import itertools
import json
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from mooring.domain.manifests import checkout
from tests.cluster.conftest import PATIENCE
from tests.cluster.harness import Hub, Object, People, condition
from tests.cluster.operator.apps import data_of, install, make_app, put_app

INSTALLATION = "GitHubInstallation"
OUTPUT, PROJECT = "ci", "shop"
ISSUED, EXPIRES = "mooring.dev/issued-at", "mooring.dev/expires-at"
# The part of its life in which a token is replaced.
EARLIEST, LATEST = 1 / 2, 2 / 3
# As an operator writes it.
LONG_AGO = "2026-01-01T00:00:00Z"
_hints = itertools.count(1)


def lifetime(hub: Hub, seconds: int = 3600) -> None:
    """Have tokens that are made from now on live this long."""
    hub.control("POST", "/token-lifetime", {"seconds": seconds})


def advance(hub: Hub, seconds: float) -> None:
    """Move GitHub's clock."""
    hub.control("POST", "/clock", {"advance": seconds})


def time_there(hub: Hub) -> datetime:
    """Return the time by GitHub's clock."""
    return datetime.fromisoformat(hub.control("GET", "/clock")["now"])


@contextmanager
def moved_clock(hub: Hub, seconds: float = 0.0) -> Iterator[None]:
    """Move GitHub's clock until the end of the block, and set the lives of tokens back as well."""
    advance(hub, seconds)
    try:
        yield
    finally:
        hub.control("POST", "/clock", {"reset": True})
        lifetime(hub)


@contextmanager
def fault(hub: Hub, **spec: Any) -> Iterator[None]:
    """Have GitHub go wrong until the end of the block."""
    made = hub.control("POST", "/faults", spec)
    try:
        yield
    finally:
        for one in made["faults"]:
            hub.control("DELETE", f"/faults/{one['id']}")


@dataclass(frozen=True)
class Holder:
    """A namespace with an App of its own, installed on acme, and what uses it."""

    people: People
    hub: Hub
    app_id: int
    number: int

    @classmethod
    def begin(cls, people: People, hub: Hub, *, output: bool = True, project: bool = True) -> Holder:
        """Make everything, and wait until it works."""
        app = make_app(hub)
        number = install(hub, app)
        put_app(people, app)
        holder = cls(people, hub, app.app_id, number)
        if output:
            holder.apply(outputs=[wanted()])
        else:
            holder.apply()
        if project:
            holder.make_project()
            holder.people.until_condition(PROJECT, "Ready", "True", "Ready")
        holder.people.until_ready("acme", kind=INSTALLATION)
        if project:
            # That it has a clone credential is told by another run.
            holder.people.until(INSTALLATION, "acme", _counts_clones, "a clone Secret")
        return holder

    def apply(self, **more: Any) -> None:
        """Apply the GitHubInstallation."""
        self.people.apply(INSTALLATION, "acme", {"account": "acme", "appSecretRef": {"name": "app"}, **more})

    def make_project(self, name: str = PROJECT, repository: str = "acme/shop") -> None:
        """Apply a Project that fetches with the installation."""
        self.people.apply(
            "Project",
            name,
            {
                "source": {"github": {"repository": repository}},
                "installationRef": {"name": "acme"},
                "workload": {"image": "nginx"},
            },
        )

    def hint(self) -> None:
        """Say that something happened at GitHub, as the gateway does."""
        told = {"event": "installation", "delivery": f"hint-{next(_hints)}", "receivedAt": LONG_AGO}
        self.people.patch(INSTALLATION, "acme", {"status": {"hint": told}}, subresource="status")

    def clone_name(self) -> str:
        """Return the name of the clone Secret that the Project's pods mount."""
        deployment = self.people.get("Deployment", f"{PROJECT}-default")
        assert deployment is not None
        return str(checkout.credential_in(deployment["spec"]["template"]["spec"]))

    def token(self, name: str = OUTPUT) -> str:
        """Return the token in a Secret."""
        return data_of(self.people.get("Secret", name))["token"]

    def until_replaced(self, name: str, before: str, seconds: float = 30.0) -> Object:
        """Wait until a Secret has another token."""
        found = self.people.until(
            "Secret",
            name,
            lambda secret: secret is not None and data_of(secret)["token"] != before,
            "a new token",
            seconds=seconds,
        )
        assert found is not None
        return found

    def until_ready(self, status: str, reason: str) -> str:
        """Wait for the condition Ready; return its message."""
        found = self.people.until_condition("acme", "Ready", status, reason, kind=INSTALLATION)
        return str(condition(found, "Ready")["message"])

    def until_read(self, since: int) -> None:
        """Wait until the operator has asked GitHub what the installation is, after a mark."""
        path = f"/app/installations/{self.number}"

        def read() -> bool:
            answered = [entry["path"] for entry in self.hub.journal(since) if entry["status"] == 200]
            return any(asked.endswith((path, "/orgs/acme/installation")) for asked in answered)

        until(read, f"a look at installation {self.number}")

    def conditions_since(self, version: str) -> list[tuple[str, str]]:
        """Return each state of the condition Ready that anybody could see after a version of the object."""
        newest = self.people.get(INSTALLATION, "acme")
        assert newest is not None
        path = f"{self.people.path(INSTALLATION)}?watch=true&timeoutSeconds=10&resourceVersion={version}"
        states: list[tuple[str, str]] = []
        with self.people.kube.watch(path) as events:
            for event in events:
                ready = condition(event["object"], "Ready")
                if ready:
                    states.append((ready["status"], ready["reason"]))
                if event["object"]["metadata"]["resourceVersion"] == newest["metadata"]["resourceVersion"]:
                    return states
        raise AssertionError("the watch ended before the newest version")

    def mints(self, since: int) -> list[Object]:
        """Return what was minted of this installation after a mark."""
        return minted(self.hub, since, self.number)

    def secrets(self) -> list[Object]:
        """Return the Secrets with an installation token."""
        return [secret for secret in self.people.list("Secret") if ISSUED in told_on(secret)]


def _counts_clones(installation: Object | None) -> bool:
    return "clone Secrets: 1." in condition(installation or {}, "TokenResolved").get("message", "")


def until(holds: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Wait for something that no watch tells of: in a journal, or in a process."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"there was not {what} in {seconds:.0f} s"
        time.sleep(0.05)


def wanted(name: str = OUTPUT) -> dict[str, Any]:
    """Return an output that reads one repository."""
    return {
        "secretName": name,
        "format": "Token",
        "repositories": ["acme/shop"],
        "permissions": {"contents": "read"},
    }


def minted(hub: Hub, since: int, installation: int | None = None) -> list[Object]:
    """Return the tokens that GitHub made after a mark, of one installation or of all."""
    which = f"/installations/{installation}/" if installation is not None else "/installations/"
    return [entry for entry in hub.journal(since) if entry.get("minted") and which in entry["path"]]


def asked_for(entries: list[Object]) -> Counter[str]:
    """Count mints by installation and what was asked for."""
    return Counter(f"{entry['path']} {json.dumps(entry['asked'], sort_keys=True)}" for entry in entries)


def proven_long_ago(people: People, project: str = PROJECT) -> None:
    """Have no start read a Project's branch: one whose source was proven just now is looked at again, with a token."""
    people.patch("Project", project, {"status": {"source": {"provenAt": LONG_AGO}}}, subresource="status")


def version_of(people: People) -> str:
    """Return the present version of everything."""
    status, body = people.kube.request("GET", people.path(INSTALLATION))
    assert status == 200, body
    return str(body["metadata"]["resourceVersion"])


def once_each(mints: list[Object]) -> None:
    """See that the output and the clone credential were made once, and what reads names at most once."""
    counts = asked_for(mints)
    assert set(counts.values()) == {1}, counts
    assert sum("repository_ids" in sort for sort in counts) == 2, counts


def told_on(secret: Object) -> dict[str, str]:
    """Return what is remembered on a Secret."""
    return dict(secret["metadata"].get("annotations") or {})


def life(secret: Object) -> tuple[datetime, datetime]:
    """Return when the token in a Secret was issued and when it ends."""
    told = told_on(secret)
    return moment(told[ISSUED]), moment(told[EXPIRES])


def moment(text: str) -> datetime:
    """Read a time of Kubernetes'."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)


def at(entry: Object) -> datetime:
    """Return when an entry of the journal was written, by GitHub's clock."""
    return datetime.fromisoformat(entry["time"])


def is_live(hub: Hub, token: str) -> bool:
    """Ask GitHub whether it takes a token."""
    with httpx.Client(verify=ssl.create_default_context(cafile=hub.ca_file), trust_env=False) as client:
        answer = client.get(
            f"{hub.api_url}/installation/repositories", headers={"Authorization": f"Bearer {token}"}, timeout=10
        )
    assert answer.status_code in {200, 401}, answer.text
    return answer.status_code == 200


def revoked(hub: Hub, since: int) -> set[str]:
    """Return the tokens, by their public ids, that were ended after a mark."""
    return {
        entry["credential"]
        for entry in hub.journal(since)
        if entry["method"] == "DELETE" and entry["path"].endswith("/installation/token") and entry["status"] == 204
    }
