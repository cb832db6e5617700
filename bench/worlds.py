"""What is there before the clock starts: accounts and repositories at GitHub, namespaces, and many objects in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench import floor
from bench.floor import Request, request
from bench.site import Site
from tests.cluster.harness import GROUPS, People
from tests.cluster.operator.apps import LabApp, put_app

Object = dict[str, Any]
ACCOUNT, REPOSITORIES = "acme", 200
# GitHub's limits, and ours, are for a namespace: so many new Projects in each stay below them, however many there are.
EACH = 500
# What was pushed a moment ago is looked at again after a minute, and that is not what is measured (seconds).
AHEAD = 180
INSTALLATION, USER, GLOBAL, APP_SECRET = "it", "default", "user-default-global-secrets", "app"
WEBHOOK_SECRET = "the-webhook-secret-of-the-benchmark"  # noqa: S105 - of the lab alone
AT_ONCE = 32
OURS = "/apis/mooring.dev/v1alpha1"


@dataclass
class World:
    """Apps that are installed on accounts with repositories, and a person's token."""

    site: Site
    apps: list[LabApp] = field(repr=False)
    token: str = field(repr=False)
    repositories: dict[str, int] = field(repr=False)

    def furnish(self, prefix: str, count: int) -> list[People]:
        """Make so many namespaces, each with a person's global token and an installation of an App of its own."""
        spaces = [self.site.people(f"{prefix}-{number}") for number in range(count)]
        for people, app in zip(spaces, self.apps, strict=True):
            people.secret(GLOBAL, self.token)
            people.apply("GitHubUser", USER, {})
            put_app(people, app, APP_SECRET, webhookSecret=WEBHOOK_SECRET)
            people.apply("GitHubInstallation", INSTALLATION, {"account": ACCOUNT, "appSecretRef": {"name": APP_SECRET}})
        return spaces


def make(site: Site, repositories: int = REPOSITORIES, apps: int = 1) -> World:
    """Make what is at GitHub: an account with repositories, and Apps that are installed on it."""
    seeded = site.hub.seed(
        users=[{"login": "alice"}],
        organizations=[{"login": ACCOUNT, "members": {"alice": "admin"}}],
        apps=[app(number) for number in range(apps)],
        repositories=[
            {"owner": ACCOUNT, "name": "app-{n}", "count": repositories, "private": True, "files": {"a": "x"}}
        ],
        installations=[{"app": slug(number), "account": ACCOUNT, "repositories": "all"} for number in range(apps)],
    )
    return of(site, seeded)


def slug(number: int) -> str:
    """Name an App."""
    return f"ship-{number}"


def app(number: int) -> Object:
    """Return an App as it is made at GitHub."""
    permissions = {"contents": "read", "metadata": "read"}
    return {"slug": slug(number), "owner": "alice", "permissions": permissions, "events": ["push", "repository"]}


def of(site: Site, seeded: Object) -> World:
    """Return a world of what was made at GitHub."""
    site.hub.control("POST", "/clock", {"advance": AHEAD})
    apps = [LabApp(name, int(one["id"]), str(one["private_key"])) for name, one in seeded["apps"].items()]
    ids = {name: int(one["id"]) for name, one in seeded["repositories"].items()}
    return World(site, apps, site.hub.token("global", "alice"), ids)


def image(_: int) -> Object:
    """Return the spec of a Project that is an image and no more."""
    return {"workload": {"image": "nginx"}}


def sourced(number: int, repositories: int = REPOSITORIES) -> Object:
    """Return the spec of a Project that follows one of the repositories."""
    return {
        "source": {"github": {"repository": f"{ACCOUNT}/app-{number % repositories + 1}"}},
        "installationRef": {"name": INSTALLATION},
        "workload": {"image": "nginx"},
    }


def own(site: Site, kind: str, namespace: str, name: str, spec: Mapping[str, Any]) -> Request:
    """Return what makes an object of one of the three kinds, as its owner does."""
    body = {
        "apiVersion": "mooring.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }
    path = f"{GROUPS[kind].format(namespace)}/{name}?fieldManager=people&force=true"
    return request(
        "PATCH",
        site.access.server + path,
        json.dumps(body).encode(),
        content_type="application/apply-patch+yaml",
        headers=site.authorization(),
    )


def send(site: Site, requests: list[Request]) -> None:
    """Send many requests to the API server, as quickly as it takes them."""

    async def all_of_them() -> None:
        async with floor.session(site.access.ca) as client:
            await floor.drive(client, requests, AT_ONCE)

    floor.run(all_of_them())
