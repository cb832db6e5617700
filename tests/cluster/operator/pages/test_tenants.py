"""The page for several tenants, from the first ClusterRole to the checklist: what is given works, no more than that."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub, People, condition
from tests.cluster.operator.apps import Account, clone_secret, install, make_app, output, put_app, reaches, refer
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.operator.pages.conftest import Place, decoded, until
from tests.cluster.operator.pushes import GLOBAL
from tests.cluster.reading import Desk

PAGE = "docs/guide/tenants.md"
RUN_HERE = {
    "docs/guide/tenants.md": (
        "Who may do what",
        "A user's token",
        "An installation",
        "The operator's App",
        "Quotas of the cluster",
        "A checklist",
    )
}
KIND = "GitHubInstallation"
MorePeople = Callable[..., People]
WORKLOAD = {"image": "nginx", "replicas": 1}


@pytest.fixture
def team_a(kube: Kube, namespace: str) -> Iterator[People]:
    """Return a team whose namespace the page makes."""
    name = f"{namespace}-team"
    yield People(kube, name)
    kube.request("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture(autouse=True)
def clean(kube: Kube, place: Place) -> Iterator[None]:
    """Take away what the page makes beside namespaces."""
    yield
    for name in ("mooring-view", "mooring-edit"):
        kube.request("DELETE", f"/apis/rbac.authorization.k8s.io/v1/clusterroles/{name}")
    place.system.delete("ConfigMap", "mooring-policy")
    place.system.delete("Secret", "mooring-github-app")


def test_the_page(
    place: Place, desk: Desk, team_a: People, more_people: MorePeople, hub: Hub, acme: Account, fresh: TokenMaker
) -> None:
    team_b, platform = more_people(), more_people()
    app = make_app(hub, permissions={"contents": "read", "metadata": "read", "checks": "write"})
    install(hub, app, acme.login)
    words = {
        **place.github,
        "team-a": team_a.namespace,
        "team-b": team_b.namespace,
        "platform": platform.namespace,
        "acme": acme.login,
        "123456": str(app.app_id),
        "9919": str(acme.id),
    }
    with place.reader(desk, RUN_HERE, PAGE, words) as reader:
        for words_of_it in ("clusterrole mooring-view", "to-view", "clusterrole mooring-edit", "to-edit"):
            reader.types(words_of_it)
        for words_of_it in ("create namespace", "label namespace", "clusterrole=edit", "clusterrole=view"):
            reader.types(words_of_it)
        roles_do_what_is_said(desk, team_a)

        reader.types("kind: GitHubUser")
        a_token_is_shared_with_whom_it_is_granted(team_a, team_b, platform, fresh())

        put_app(platform, app, "acme-github-app")
        reader.types("kind: GitHubInstallation")
        an_installation_is_shared_as_granted(hub, acme, platform, team_a, team_b)

        put_app(place.system, app, "mooring-github-app")
        reader.types("kind: ConfigMap")
        assert reader.types("gh api users") == f"{acme.id}\n"
        the_operators_app_is_lent_as_bound(acme, platform, team_a, team_b)

        reader.types("create quota")
        (quota,) = team_a.list("ResourceQuota")
        assert quota["spec"]["hard"]["count/projects.mooring.dev"] == "50"

        bound = reader.types("get rolebindings").split()
        assert {name for name in bound if name.startswith("mooring")} >= {"mooring-operator"}
        assert reader.is_refused("auth can-i update namespaces").startswith("no\n")


def roles_do_what_is_said(desk: Desk, team: People) -> None:
    """Ask what a member of the team and an onlooker may do."""

    def may(verb: str, what: str, group: str) -> bool:
        person = f"--as=jane --as-group={group}"
        return desk.run(f"kubectl auth can-i {verb} {what} -n {team.namespace} {person}").stdout == "yes\n"

    # Kubernetes adds up the roles a moment later.
    until(lambda: may("create", "projects.mooring.dev", team.namespace), "the team's right")
    until(lambda: may("get", "projects.mooring.dev", "everybody"), "the onlookers' right")
    for kind in ("projects", "githubusers", "githubinstallations"):
        assert may("patch", f"{kind}.mooring.dev", team.namespace)
        assert may("watch", f"{kind}.mooring.dev", "everybody")
        assert not may("patch", f"{kind}.mooring.dev", "everybody")
    assert not may("patch", "projects.mooring.dev --subresource=status", team.namespace)
    assert may("get", "secrets", team.namespace)
    assert not may("get", "secrets", "everybody")
    assert may("get", "pods/log", "everybody")


def a_token_is_shared_with_whom_it_is_granted(owner: People, granted: People, stranger: People, token: str) -> None:
    """Have two others ask for the owner's token; then take the grant away."""
    owner.secret(GLOBAL, token)
    spec = {"userRef": {"name": "default", "namespace": owner.namespace}, "workload": WORKLOAD}
    for people in (granted, stranger):
        people.apply("Project", "shop", spec)
    granted.until_ready("shop")
    assert granted.workload_token("shop") == token
    refused = stranger.until_condition("shop", "TokenResolved", "False", "UserNotFound")
    assert stranger.workload_token("shop") is None
    owner.patch("GitHubUser", "default", {"spec": {"grants": None}})
    withdrawn = granted.until_condition("shop", "TokenResolved", "False", "UserNotFound")
    # As if it had never been.
    assert told(withdrawn, "TokenResolved") == told(refused, "TokenResolved")
    for people in (granted, stranger):
        people.delete("Project", "shop")


def told(obj: dict[str, object], kind: str) -> str:
    """Return what a condition says."""
    return str(condition(obj, kind)["message"])


def an_installation_is_shared_as_granted(
    hub: Hub, acme: Account, owner: People, team_a: People, team_b: People
) -> None:
    """Have both teams ask for what they were granted and for what the other was; then take the grants away."""
    allowed = {"api": (team_a, "api"), "shop": (team_a, "shop"), "site": (team_b, "site")}
    for name, (people, repository) in allowed.items():
        refer(people, name, f"{acme.login}/{repository}", acme.login, owner.namespace)
    refer(team_a, "not-site", f"{acme.login}/site", acme.login, owner.namespace)
    tokens = []
    for name, (people, repository) in allowed.items():
        people.until_ready(name)
        token = decoded(people, str(clone_secret(people, name)))["token"]
        reached = reaches(hub, token)
        assert isinstance(reached, list)
        assert f"{acme.login}/{repository}" in reached
        assert set(reached) <= {f"{acme.login}/{one}" for who, one in allowed.values() if who is people}
        tokens.append(token)
    team_a.until_condition("not-site", "SourceResolved", "False", "RepositoryNotCovered")
    # Never the key.
    assert "privateKey" not in str([secret["data"] for secret in team_a.list("Secret") if "data" in secret])

    owner.patch(KIND, acme.login, {"spec": {"grants": None}})
    for name, (people, _) in allowed.items():
        people.until_condition(name, "SourceResolved", "False", "InstallationNotFound")
    until(lambda: [reaches(hub, token) for token in tokens] == [401, 401, 401], "all revoked")
    for name, (people, _) in allowed.items():
        people.delete("Project", name)


def the_operators_app_is_lent_as_bound(acme: Account, stranger: People, team_a: People, team_b: People) -> None:
    """Have each ask for the operator's App, and for more than the policy binds."""

    def ask(people: People, name: str, repository: str, leads_to: str, **permissions: str) -> None:
        wish = output(f"of-{name}", repositories=[f"{acme.login}/{repository}"], permissions=permissions)
        people.apply(KIND, name, {"account": acme.login, "outputs": [wish]})
        # What the policy says may become known a moment after it.
        people.until_condition(name, "Ready", str(leads_to == "Ready"), leads_to, kind=KIND)

    ask(team_a, "reads", "api", "Ready", contents="read")
    ask(team_a, "checks", "api", "NotAllowed", checks="write")
    ask(team_b, "checks", "site", "Ready", checks="write")
    ask(team_b, "reads", "shop", "NotAllowed", contents="read")
    ask(stranger, "reads", "site", "AppNotBound", contents="read")
    assert {"of-reads"} == {secret["metadata"]["name"] for secret in team_a.list("Secret")} & {"of-reads", "of-checks"}

    for host, reason in (("shop.apps.example.com", "Ready"), ("shop.example.com", "NotAllowed")):
        ports = [{"name": "http", "containerPort": 8080}]
        spec = {"token": {"source": "none"}, "workload": {**WORKLOAD, "ports": ports}, "expose": {"host": host}}
        team_b.apply("Project", "exposed", spec)
        assert condition(team_b.settled("exposed"), "Ready")["reason"] == reason
