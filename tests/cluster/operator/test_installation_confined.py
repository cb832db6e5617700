"""Installations under the Roles for some namespaces: nothing more is needed, and nothing outside is touched."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab import Lab
from lab.kubernetes.identity import service_account_kubeconfig
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub, People, condition
from tests.cluster.operator.apps import (
    Account,
    clone_secret,
    data_of,
    install,
    make_account,
    make_app,
    output,
    put_app,
    reaches,
    refer,
)
from tests.cluster.process import (
    ROLE_PLACES,
    SYSTEM,
    Mooring,
    free_lease,
    install_role,
    install_roles,
    operator_environment,
    policy,
    start_operator,
    wait_ready,
)

KIND = "GitHubInstallation"
OPERATORS_APP = "mooring-github-app"
READ = {"contents": "read"}


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
def confined(lab: Lab, kube: Kube, folder: Path, *people: People) -> Iterator[Mooring]:
    """Run the operator without any right in the whole cluster, with a Role in these namespaces."""
    install_roles(kube)
    for kind in ("ClusterRoleBinding", "ClusterRole"):
        assert kube.request("DELETE", f"{ROLE_PLACES[kind]}/mooring-operator")[0] == 200
    for each in people:
        install_role(kube, "namespaced.yaml", each.namespace)
    kubeconfig = service_account_kubeconfig(lab.env, SYSTEM, "mooring-operator", folder / "operator.kubeconfig")
    watched = ",".join(each.namespace for each in people)
    free_lease(kube)
    mooring = start_operator(operator_environment(lab, kubeconfig, MOORING_WATCH_NAMESPACES=watched), folder)
    try:
        wait_ready(mooring)
        yield mooring
    finally:
        if mooring.process.poll() is None:
            mooring.stop()
        People(kube, SYSTEM).delete("Secret", OPERATORS_APP)
        install_roles(kube)


def test_in_some_namespaces_with_an_own_app_and_the_operators(
    lab: Lab, kube: Kube, hub: Hub, places: dict[str, People], tmp_path: Path
) -> None:
    first, second, outside = places.values()
    account = make_account(hub, "shop", "open")
    shop = f"{account.login}/shop"
    shared = make_app(hub)
    install(hub, shared, account.login)
    binding = {
        "apiUrl": hub.api_url,
        "appId": shared.app_id,
        "accountId": account.id,
        "namespaces": [first.namespace, outside.namespace],
    }
    with policy(kube, {"bindings": [binding]}), confined(lab, kube, tmp_path, first, second) as mooring:
        bound = {"account": account.login, "outputs": [output("ci", permissions=READ, repositories=[shop])]}
        for people in (first, outside):
            people.apply(KIND, "bound", bound)
        # Its Secret comes later, in a namespace that is not watched but for this one name.
        first.until_condition("bound", "Stalled", "True", "AppNotConfigured", kind=KIND)
        put_app(People(kube, SYSTEM), shared, OPERATORS_APP)
        first.until_condition("bound", "Ready", "True", "Ready", kind=KIND)
        assert reaches(hub, data_of(first.get("Secret", "ci"))["token"]) == [shop]

        lend(hub, account, first, second)
        for name in ("named", "labelled"):
            refer(first, name, shop, installation=name, namespace=second.namespace)
        first.until_condition("named", "Ready", "True", "Ready")
        first.until_condition("labelled", "Stalled", "True", "InstallationNotFound")
        token = data_of(first.get("Secret", str(clone_secret(first, "named"))))["token"]
        assert reaches(hub, token) == [shop]
        for people, name in ((second, "named"), (first, "bound")):
            people.delete(KIND, name)
            people.until(KIND, name, lambda obj: obj is None, "its end")
        assert reaches(hub, token) == 401
        assert "lacks the right" not in mooring.log
        # What Kopf would say of it.
        assert "Forbidden" not in mooring.log
        assert (outside.get(KIND, "bound") or {}).get("status") is None
        assert outside.get("Secret", "ci") is None


def lend(hub: Hub, account: Account, first: People, second: People) -> None:
    """Have the second namespace, with an App of its own, grant something to the first by name and by label."""
    own = make_app(hub)
    install(hub, own, account.login)
    put_app(second, own)
    granted = {"repositories": [f"{account.login}/shop"]}
    by_name = {**granted, "namespaces": {"names": [first.namespace]}}
    by_label = {**granted, "namespaces": {"selector": {"matchLabels": {"team": "a"}}}}
    spec = {"account": account.login, "appSecretRef": {"name": "app"}}
    second.apply(KIND, "named", {**spec, "grants": [by_name]})
    second.apply(KIND, "labelled", {**spec, "grants": [by_label]})
    second.until_condition("named", "Ready", "True", "Ready", kind=KIND)
    told = second.until_condition("labelled", "Ready", "True", "GrantUnreadable", kind=KIND)
    assert "Grant by name" in condition(told, "Ready")["message"]
