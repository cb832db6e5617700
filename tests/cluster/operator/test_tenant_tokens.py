"""No token that one tenant can lay hands on fetches the repository of another, whatever its objects name.

Both use the operator's own App, whose key reaches both accounts: what keeps them apart is Mooring alone. What is in the
intruder's Secrets, and what its pods get, is really tried, by the API, by git and by a checkout.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab import Lab
from tests.cluster.bounds import Prize, checkout_as_the_pod, fetching, tagged
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub, Object, People, condition
from tests.cluster.operator.apps import clone_secret, data_of, install, make_app, output, put_app
from tests.cluster.process import SYSTEM, Mooring, policy, running_operator

KIND, OPERATORS_APP = "GitHubInstallation", "mooring-github-app"
IMAGE = {"image": "nginx"}
TREASURE = "the treasure of the other tenant"


@pytest.fixture(scope="module")
def mooring(lab: Lab, kube: Kube, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mooring]:
    """Run the operator."""
    with running_operator(lab, kube, tmp_path_factory.mktemp("tenants"), MOORING_SWEEP_INTERVAL="8h") as running:
        yield running


@dataclass
class Tenant:
    """A namespace, an account at GitHub that one person administers, and that person's token."""

    people: People
    login: str
    account_id: int
    token: str
    repositories: dict[str, Prize]

    def name(self, repository: str) -> str:
        """Return the full name of a repository."""
        return self.repositories[repository].full_name

    def project(self, name: str, **spec: Any) -> None:
        """Apply a Project."""
        self.people.apply("Project", name, {"workload": IMAGE, **spec})

    def looked_at(self, *names: str, kind: str = "Project") -> None:
        """Wait until the operator has come to a verdict about each."""
        for name in names:
            self.people.until(kind, name, _is_judged, "a verdict", seconds=60)

    def tokens(self) -> dict[str, str]:
        """Return every token in a Secret of the namespace, and which Secret that is."""
        values = ((value, secret) for secret in self.people.list("Secret") for value in data_of(secret).values())
        return {value: secret["metadata"]["name"] for value, secret in values if value.startswith("gh")}


def _is_judged(obj: Object | None) -> bool:
    ready = condition(obj or {}, "Ready")
    current = ready.get("observedGeneration") == (obj or {}).get("metadata", {}).get("generation")
    return current and ready.get("status") in {"True", "False"} and ready.get("reason") != "Progressing"


def make_tenant(hub: Hub, people: People, person: str, **files: dict[str, str]) -> Tenant:
    """Make somebody with an account of its own."""
    login = f"{people.namespace}-{person}"
    repositories = [{"owner": login, "name": name, "private": True, "files": each} for name, each in files.items()]
    made = hub.seed(
        users=[{"login": person}],
        organizations=[{"login": login, "members": {person: "admin"}}],
        repositories=repositories,
    )
    prizes = {name: Prize(hub, f"{login}/{name}", made["repositories"][f"{login}/{name}"]["id"]) for name in files}
    token = hub.token(f"token-of-{login}", person)
    return Tenant(people, login, int(made["organizations"][login]["id"]), token, prizes)


@pytest.fixture
def tenants(
    mooring: Mooring, kube: Kube, hub: Hub, namespace: str, people: People, more_people: Any
) -> Iterator[tuple[Tenant, Tenant]]:
    """Give the intruder and the owner; the operator's App is on both accounts, and each is bound to its own."""
    intruder = make_tenant(hub, people, "ada", shop={"a.txt": "a shop"}, site={"a.txt": "a site"})
    owner = make_tenant(hub, more_people(), "bea", vault={"a.txt": TREASURE})
    shared, system = make_app(hub), People(kube, SYSTEM)
    bindings = []
    for tenant in (intruder, owner):
        install(hub, shared, tenant.login)
        place = {"accountId": tenant.account_id, "namespaces": [tenant.people.namespace]}
        bindings.append({"apiUrl": hub.api_url, "appId": shared.app_id, **place})
    put_app(system, shared, OPERATORS_APP)
    with policy(kube, {"bindings": bindings}):
        yield intruder, owner
    system.delete("Secret", OPERATORS_APP)


def settle(owner: Tenant, hub: Hub) -> set[str]:
    """Give the owner one of everything; return the tokens that its pods fetch with."""
    people, source = owner.people, {"github": {"repository": owner.name("vault")}}
    app = make_app(hub)
    install(hub, app, owner.login)
    put_app(people, app)
    people.secret("pat", owner.token)
    people.apply("GitHubUser", "user", {"tokenSecretRef": {"name": "pat"}})
    people.apply(KIND, "shared", {"account": owner.login})
    people.apply(KIND, "own-app", {"account": owner.login, "appSecretRef": {"name": "app"}})
    owner.project("by-shared", source=source, installationRef={"name": "shared"})
    owner.project("by-own", source=source, installationRef={"name": "own-app"})
    owner.project("by-user", source=source, userRef={"name": "user"})
    found = set()
    for name in ("by-shared", "by-own", "by-user"):
        people.until_condition(name, "Ready", "True", "Ready")
        told = fetching(people, name)
        assert told is not None
        assert told.token is not None
        found.add(told.token)
    return found


def settle_intruder(intruder: Tenant) -> None:
    """Give the intruder what is its own."""
    people = intruder.people
    people.secret("pat", intruder.token)
    people.apply("GitHubUser", "default", {"tokenSecretRef": {"name": "pat"}})
    people.apply(KIND, "mine", {"account": intruder.login, "outputs": [output("ci")]})
    for name in ("shop", "site"):
        source = {"github": {"repository": intruder.name(name)}}
        intruder.project(name, source=source, installationRef={"name": "mine"})
    for name in ("shop", "site"):
        people.until_condition(name, "Ready", "True", "Ready")


def installations(intruder: Tenant, owner: Tenant) -> dict[str, dict[str, Any]]:
    """Return specs of installations that name what is the owner's."""
    theirs, ours, mine = owner.name("vault"), intruder.name("shop"), {"account": intruder.login}
    number = (owner.people.get(KIND, "shared") or {})["status"]["installationId"]
    secret = str(clone_secret(owner.people, "by-shared"))
    return {
        "by-account": {"account": owner.login, "outputs": [output("by-account")]},
        "by-id": {"installationId": number, "outputs": [output("by-id")]},
        "by-repository": {"repository": theirs, "outputs": [output("by-repository")]},
        "by-key": {"account": owner.login, "appSecretRef": {"name": "app"}, "outputs": [output("by-key")]},
        "ceiling": {**mine, "repositories": [theirs], "outputs": [output("ceiling")]},
        "output": {**mine, "outputs": [output("output", repositories=[theirs])]},
        "outputs": {**mine, "outputs": [output("outputs", repositories=[ours, theirs])]},
        "bare-name": {**mine, "outputs": [output("bare-name", repositories=[f"{intruder.login}/vault"])]},
        "secret": {**mine, "outputs": [output(secret)]},
    }


def projects(intruder: Tenant, owner: Tenant) -> dict[str, dict[str, Any]]:
    """Return specs of Projects that name what is the owner's, beside what is the intruder's own."""
    theirs = {"github": {"repository": owner.name("vault")}}
    ours = {"github": {"repository": intruder.name("shop")}}
    number, own_number = owner.repositories["vault"].number, intruder.repositories["shop"].number
    url, there = owner.repositories["vault"].url, owner.people.namespace
    mine, own = {"installationRef": {"name": "mine"}}, {"token": {"secretRef": {"name": "pat"}}}
    shared, own_app = ({"installationRef": {"name": name, "namespace": there}} for name in ("shared", "own-app"))
    sha = (owner.people.get("Project", "by-shared") or {})["status"]["revision"]["sha"]
    return {
        "mine-theirs": {"source": theirs, **mine},
        "mine-id": {"source": {"github": {**ours["github"], "repositoryId": number}}, **mine},
        "mine-own-id": {"source": {"github": {**theirs["github"], "repositoryId": own_number}}, **mine},
        "mine-pin": {"source": {**ours, "revision": sha}, **mine},
        "mine-account": {"source": theirs, "installationRef": {"name": "by-account"}},
        "there-shared": {"source": theirs, **shared},
        "there-own-app": {"source": theirs, **own_app},
        "there-ours": {"source": ours, **shared},
        "user-there": {"source": theirs, "userRef": {"name": "user", "namespace": there}},
        "user-own": {"source": theirs, "token": {"source": "global"}},
        "token-own": {"source": theirs, **own},
        "url-own": {"source": {"git": {"url": url}}, **own},
        "url-global": {"source": {"git": {"url": url}}},
    }


def test_nothing_that_a_tenant_names_gets_it_anothers_repository(
    tenants: tuple[Tenant, Tenant], hub: Hub, tmp_path: Path
) -> None:
    intruder, owner = tenants
    people, vault = intruder.people, owner.repositories["vault"]
    held = settle(owner, hub)
    assert len(held) == 3
    # The tries are worth something: whoever has the owner's tokens gets all, and the intruder's own open its own.
    for token in held:
        assert len(vault.gives_way(token, tmp_path)) == 9
    settle_intruder(intruder)
    sha = (owner.people.get("Project", "by-shared") or {})["status"]["revision"]["sha"]
    push_submodule(intruder, "site", f"../../{owner.name('vault')}", sha, tmp_path / "push")
    wanted, named = installations(intruder, owner), projects(intruder, owner)
    for name, spec in wanted.items():
        people.apply(KIND, name, spec)
    for name, spec in named.items():
        intruder.project(name, **spec)
    below = {"github": {"repository": intruder.name("site")}, "submodules": True, "lfs": True}
    intruder.project("below", source=below, installationRef={"name": "mine"})
    intruder.looked_at(*wanted, kind=KIND)
    intruder.looked_at(*named, "below")
    forge(intruder, owner)

    found = intruder.tokens()
    own = intruder.repositories["shop"]
    assert sum("git" in own.gives_way(token, tmp_path) for token in found) >= 3, found.values()
    for token, secret in found.items():
        assert vault.gives_way(token, tmp_path) == [], secret
    tags = {tag["credential"]: tag for tag in hub.control("GET", "/tags")["tags"]}
    reached = {name for token in found for name in tagged(hub, token)}
    assert {tags[name]["account"] for name in reached} == {intruder.login, "ada"}
    repositories = {full for name in reached for full in tags[name]["repositories"] or ()}
    assert repositories == {intruder.name("shop"), intruder.name("site")}
    pods_get_nothing(intruder, [*named, "below", "shop"], hub, tmp_path / "pod")


def push_submodule(tenant: Tenant, repository: str, url: str, commit: str, folder: Path) -> None:
    """Push a commit with a submodule, as anybody may into a repository of theirs."""
    folder.mkdir()
    (folder / ".gitmodules").write_text(f'[submodule "below"]\n\tpath = below\n\turl = {url}.git\n')
    prize = tenant.repositories[repository]
    for command in (
        ("init", "--quiet", "--initial-branch=main"),
        ("add", ".gitmodules"),
        ("update-index", "--add", "--cacheinfo", f"160000,{commit},below"),
        ("-c", "user.name=x", "-c", "user.email=x@example.com", "commit", "--quiet", "--message=x"),
        ("push", "--quiet", "--force", prize.url.replace("://", f"://x:{tenant.token}@"), "main"),
    ):
        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "GIT_SSL_CAINFO": prize.hub.ca_file}
        subprocess.run(["git", *command], cwd=folder, env=environment, check=True, timeout=60)


def forge(intruder: Tenant, owner: Tenant) -> None:
    """Write the owner's status and annotations over the intruder's own, and wait until that was looked at."""
    people = intruder.people
    theirs = (owner.people.get("Project", "by-shared") or {})["status"]["source"]
    people.patch("Project", "shop", {"status": {"source": theirs}}, subresource="status")
    mine, other = str(clone_secret(people, "shop")), str(clone_secret(owner.people, "by-shared"))
    claimed = (owner.people.get("Secret", other) or {})["metadata"]["annotations"]
    for name in (mine, "ci"):
        people.patch("Secret", name, {"metadata": {"annotations": claimed}})
        people.until("Secret", name, lambda obj: not _claims(obj, claimed), "its own annotations", seconds=60)
    people.until("Project", "shop", lambda obj: _is_judged(obj) and _source(obj) != theirs, "another status")


def _claims(obj: Object | None, claimed: dict[str, str]) -> bool:
    annotations = (obj or {}).get("metadata", {}).get("annotations") or {}
    return any(annotations.get(key) == value for key, value in claimed.items() if key.endswith("repository-ids"))


def _source(obj: Object | None) -> Any:
    return (obj or {}).get("status", {}).get("source")


def pods_get_nothing(intruder: Tenant, names: list[str], hub: Hub, folder: Path) -> None:
    """Do what the init containers do: one works, and none leaves anything of the owner's."""
    worked = []
    for name in names:
        told = fetching(intruder.people, name)
        if told is None:
            continue
        code, said, files = checkout_as_the_pod(told, folder, hub.ca_file)
        assert TREASURE not in "".join(files.values()), name
        worked += [name] if code == 0 else []
        if name == "below":
            assert "give it access to that repository" in said, said
            assert files == {}
    assert worked == ["shop"]
