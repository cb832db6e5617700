"""What the operator may do: all that it needs, and nothing beside it, in the whole cluster or in some namespaces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import Lab
from lab.kubernetes.identity import service_account_kubeconfig
from tests.cluster.accounts import Account, shipped
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub, People, condition
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.process import (
    ROLE_PLACES,
    SYSTEM,
    Mooring,
    free_lease,
    install_role,
    install_roles,
    operator_environment,
    policy,
    running_operator,
    start_operator,
    wait_ready,
)

LACKING = "lacks the right"
GLOBAL = "user-default-global-secrets"
OPEN = {"github": {"repository": "acme/open"}}
PUBLISHED = {"image": "nginx", "ports": [{"containerPort": 8080}]}
MOORING, CORE, RBAC = "mooring.dev", "", "rbac.authorization.k8s.io"
# Verb, group, resource, name. In each namespace, and in the whole cluster.
OWN_KINDS, ROLES = ("projects", "githubusers"), ("roles", "clusterroles")
REFUSED = [
    *((verb, MOORING, kind, "") for verb in ("create", "update", "delete") for kind in OWN_KINDS),
    ("patch", MOORING, "githubusers", ""),
    *((verb, "apps", "deployments", "") for verb in ("delete", "deletecollection", "update")),
    *((verb, CORE, "pods", "") for verb in ("get", "create", "delete")),
    *(("create", CORE, f"pods/{what}", "") for what in ("exec", "attach", "portforward", "ephemeralcontainers")),
    *((verb, CORE, "nodes", "") for verb in ("get", "list", "patch")),
    *((verb, CORE, "namespaces", "") for verb in ("create", "patch", "delete")),
    *(
        (verb, RBAC, kind, "")
        for verb in ("get", "create", "patch", "bind", "escalate")
        for kind in ("roles", "clusterroles")
    ),
    *((verb, RBAC, kind, "") for verb in ("create", "patch") for kind in ("rolebindings", "clusterrolebindings")),
    *((verb, CORE, "serviceaccounts", "") for verb in ("create", "patch", "impersonate")),
    *(("impersonate", CORE, kind, "") for kind in ("users", "groups")),
    ("create", CORE, "serviceaccounts/token", ""),
    *((verb, CORE, "configmaps", "") for verb in ("list", "create", "patch", "delete")),
    ("deletecollection", CORE, "secrets", ""),
    *((verb, "events.k8s.io", "events", "") for verb in ("get", "list", "delete")),
    *((verb, "coordination.k8s.io", "leases", "another") for verb in ("get", "update", "delete")),
    *((verb, "apiextensions.k8s.io", "customresourcedefinitions", "") for verb in ("create", "patch", "delete")),
    ("create", "admissionregistration.k8s.io", "validatingwebhookconfigurations", ""),
    ("create", "certificates.k8s.io", "certificatesigningrequests", ""),
    ("*", "*", "*", ""),
]


def refused(account: Account, *namespaces: str) -> list[str]:
    """Return what is allowed and should not be; an empty namespace stands for all."""
    return [
        f"{verb} {group}/{resource} {name} in {namespace or 'all namespaces'}"
        for namespace in namespaces
        for verb, group, resource, name in REFUSED
        if account.may(verb, group, resource, name, namespace)
    ]


# --- in some namespaces: first, while no other operator runs ---


@pytest.fixture
def places(kube: Kube, namespace: str) -> Iterator[dict[str, People]]:
    """Return people of three namespaces: two that Mooring is to work in, and one that it is not."""
    names = {role: f"{namespace}-{role}" for role in ("first", "second", "outside")}
    for name in names.values():
        status, body = kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": {"team": "a"}}})
        assert status == 201, body
    yield {role: People(kube, name) for role, name in names.items()}
    for name in names.values():
        kube.request("DELETE", f"/api/v1/namespaces/{name}")


@contextmanager
def confined_operator(lab: Lab, kube: Kube, folder: Path, *namespaces: str) -> Iterator[Mooring]:
    """Run the operator without any right in the whole cluster. Where it works it has no Role yet."""
    install_roles(kube)
    for kind in ("ClusterRoleBinding", "ClusterRole"):
        status, body = kube.request("DELETE", f"{ROLE_PLACES[kind]}/mooring-operator")
        assert status == 200, body
    kubeconfig = service_account_kubeconfig(lab.env, SYSTEM, "mooring-operator", folder / "operator.kubeconfig")
    environment = operator_environment(lab, kubeconfig, MOORING_WATCH_NAMESPACES=",".join(namespaces))
    free_lease(kube)
    mooring = start_operator(environment, folder)
    try:
        yield mooring
    finally:
        if mooring.process.poll() is None:
            mooring.stop()
        install_roles(kube)


def test_confined_to_some_namespaces(
    lab: Lab, kube: Kube, hub: Hub, places: dict[str, People], tmp_path: Path, fresh: TokenMaker
) -> None:
    first, second, outside = places.values()
    with confined_operator(lab, kube, tmp_path, first.namespace, second.namespace) as mooring:
        # A Role that is missing is told of by its right; with the Role the operator goes on by itself.
        mooring.until_logged(f"{LACKING} to list on secrets in namespace {first.namespace}")
        for people in (first, second):
            install_role(kube, "namespaced.yaml", people.namespace)
        wait_ready(mooring)
        before = len(mooring.log)
        with Account(tmp_path / "operator.kubeconfig") as account:
            assert account.rules(first.namespace) == shipped("namespaced.yaml", "Role")
            assert account.rules(outside.namespace) == set()
            assert refused(account, first.namespace, SYSTEM, outside.namespace, "") == []
        token = fresh()
        for people in places.values():
            people.secret(GLOBAL, token)
        grants = [{"namespaces": {"selector": {"matchLabels": {"team": "a"}}}}]
        first.apply("GitHubUser", "default", {"grants": grants})
        first.apply("GitHubUser", "named", {"grants": [{"namespaces": {"names": [second.namespace]}}]})
        first.secret("user-named-global-secrets", named := fresh("bob"))
        outside.apply("GitHubUser", "default", {})
        told = first.until_condition("default", "Ready", "True", "GrantUnreadable", kind="GitHubUser")
        assert "Grant by name" in condition(told, "Ready")["message"]
        first.until_condition("named", "Ready", "True", "Ready", kind="GitHubUser")

        outside.apply("Project", "shop", {"source": OPEN, "workload": PUBLISHED})
        first.apply("Project", "shop", {"source": OPEN, "workload": PUBLISHED, "expose": {}})
        for name, user in (("selected", "default"), ("named", "named")):
            ref = {"name": user, "namespace": first.namespace}
            second.apply("Project", name, {"userRef": ref, "workload": {"image": "nginx"}})
        second.until_condition("selected", "Stalled", "True", "UserNotFound")
        second.until_condition("named", "Ready", "True", "Ready")
        first.until_condition("shop", "Ready", "True", "Ready")
        assert first.workload_token("shop") == token
        assert second.workload_token("named") == named
        assert LACKING not in mooring.log[before:]
        untouched = [obj for kind in ("Project", "GitHubUser") for obj in outside.list(kind)]
        assert [obj.get("status") for obj in untouched] == [None, None]
        assert outside.list("Deployment") == []


# --- in the whole cluster ---


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the operator's home."""
    return tmp_path_factory.mktemp("identity")


@pytest.fixture(scope="module")
def mooring(lab: Lab, kube: Kube, hub: Hub, folder: Path) -> Iterator[Mooring]:
    """Run the operator with a policy under which Projects may be reached from outside."""
    with policy(kube, {"ingress": {"hostSuffixes": ["example.com"]}}), running_operator(lab, kube, folder) as running:
        yield running


def test_the_shipped_role_is_enough_and_no_more(
    people: People, mooring: Mooring, folder: Path, fresh: TokenMaker
) -> None:
    with Account(folder / "operator.kubeconfig") as account:
        # It notices a right: this one is given.
        assert account.may("get", CORE, "secrets", "", people.namespace)
        assert refused(account, people.namespace, SYSTEM, "") == []
        # Secrets can be read in all namespaces, because Projects may come in all; namespaced.yaml is the narrow way.
        assert account.rules(people.namespace) == shipped("cluster-wide.yaml", "ClusterRole")
        everywhere = shipped("cluster-wide.yaml", "ClusterRole")
        assert account.rules(SYSTEM) == everywhere | shipped("operator.yaml", "Role")
    live_a_life(people, fresh)
    assert LACKING not in mooring.log
    # What Kopf would say of it.
    assert "Forbidden" not in mooring.log


def live_a_life(people: People, fresh: TokenMaker) -> None:
    """Have the operator do everything that it can do with an object."""
    account = {"metadata": {"name": "robot", "annotations": {"mooring.dev/allow-projects": "true"}}}
    people.create("ServiceAccount", account)
    people.secret("global", fresh())
    people.secret("own", fresh("bob"))
    people.apply("GitHubUser", "default", {"tokenSecretRef": {"name": "global"}})
    workload = {**PUBLISHED, "serviceAccountName": "robot"}
    expose = {"host": f"{people.namespace}.example.com"}
    people.apply("Project", "shop", {"source": OPEN, "workload": workload, "expose": expose})
    people.apply("Project", "own", {"token": {"secretRef": {"name": "own"}}, "workload": {"image": "nginx"}})
    for name in ("shop", "own"):
        people.until_condition(name, "Ready", "True", "Ready")
    # A change of each child, and its end.
    people.secret("global", fresh())
    people.patch("Service", "shop-default", {"spec": {"ports": [{"port": 81, "protocol": "TCP"}]}})
    people.delete("Deployment", "own-default")
    people.until("Deployment", "own-default", lambda deployment: deployment is not None, "its return")
    people.apply("Project", "shop", {"token": {"source": "none"}, "workload": {"image": "nginx"}})
    for kind, name in (("Service", "shop-default"), ("Ingress", "shop-default"), ("Secret", "shop-default-token")):
        people.until(kind, name, lambda child: child is None, "its end")
    people.patch("GitHubUser", "default", {"spec": {"tokenSecretRef": None}})
    people.until("Secret", GLOBAL, lambda copy: copy is None, "its end")
    people.delete("Project", "own")
    people.until("Project", "own", lambda project: project is None, "its end")
