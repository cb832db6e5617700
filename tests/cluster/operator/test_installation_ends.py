"""What ends with what: the last Project's credential, a repository that was made anew, a namespace without a grant."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.cluster.conftest import PATIENCE
from tests.cluster.harness import Hub, People, condition
from tests.cluster.operator.apps import (
    clone_secret,
    data_of,
    hint,
    install,
    make_account,
    make_app,
    output,
    put_app,
    reaches,
    refer,
)
from tests.cluster.process import Mooring

KIND = "GitHubInstallation"
READ = {"contents": "read"}


def soon(holds: Callable[[], bool]) -> None:
    """Wait until something holds that no watch tells of."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it did not come to it in time"
        time.sleep(0.1)


def refused(hub: Hub, token: str) -> bool:
    """Tell whether GitHub does not take a token any more."""
    return reaches(hub, token) == 401


def revoked(mooring: Mooring, namespace: str) -> list[str]:
    """Return the fingerprints of the tokens that were ended for the installations of a namespace."""
    return [
        str(line["fingerprint"])
        for line in mooring.audit
        if line["action"] == "token.revoked" and line["object"]["namespace"] == namespace
    ]


def test_the_credential_of_the_last_project_ends_with_it(people: People, hub: Hub, mooring: Mooring) -> None:
    app, account = make_app(hub), make_account(hub, "shop")
    install(hub, app, account.login)
    put_app(people, app)
    people.apply(KIND, "it", {"account": account.login, "appSecretRef": {"name": "app"}})
    refer(people, "shop", f"{account.login}/shop")
    people.until_ready("shop")
    secret = clone_secret(people, "shop")
    assert secret is not None
    token = data_of(people.get("Secret", secret))["token"]
    assert reaches(hub, token) == [f"{account.login}/shop"]
    people.delete("Project", "shop")
    # Whoever is faster takes the Secret away, Mooring or the garbage collector: the token ends all the same.
    people.until("Secret", secret, lambda found: found is None, "to be gone")
    people.until("Project", "shop", lambda found: found is None, "to be gone")
    soon(lambda: refused(hub, token))


def test_a_repository_that_was_made_anew_is_another_one(people: People, hub: Hub) -> None:
    app, account = make_app(hub), make_account(hub, "shop")
    install(hub, app, account.login)
    put_app(people, app)
    wanted = [output("ci", permissions=READ, repositories=[f"{account.login}/shop"])]
    spec = {"account": account.login, "appSecretRef": {"name": "app"}, "outputs": wanted}
    people.apply(KIND, "it", spec)
    people.until_condition("it", "Ready", "True", "Ready", kind=KIND)
    hub.control("POST", f"/repositories/{account.repositories['shop']}/delete", {})
    hub.seed(repositories=[{"owner": account.login, "name": "shop", "private": True, "files": {"a": "b"}}])
    hint(people, "it", "repository")
    found = people.until_condition("it", "Ready", "False", "RepositoryChanged", kind=KIND)
    assert "Change the spec" in condition(found, "Ready")["message"]
    assert people.get("Secret", "ci") is None
    # Whoever writes the spec anew means the new one.
    people.apply(KIND, "it", {**spec, "permissions": READ})
    people.until_condition("it", "Ready", "True", "Ready", kind=KIND)
    token = data_of(people.get("Secret", "ci"))["token"]
    assert reaches(hub, token) == [f"{account.login}/shop"]


def test_the_reading_token_of_a_namespace_ends_with_its_grant(
    people: People, more_people: Callable[..., People], hub: Hub, mooring: Mooring
) -> None:
    consumer = more_people()
    app, account = make_app(hub), make_account(hub, "shop")
    install(hub, app, account.login)
    put_app(people, app)
    spec = {"account": account.login, "appSecretRef": {"name": "app"}}
    grant = {"namespaces": {"names": [consumer.namespace]}, "repositories": [f"{account.login}/shop"]}
    people.apply(KIND, "it", {**spec, "grants": [grant]})
    people.until_condition("it", "Ready", "True", "Ready", kind=KIND)
    refer(consumer, "shop", f"{account.login}/shop", installation="it", namespace=people.namespace)
    consumer.until_ready("shop")
    made = [
        str(line["fingerprint"])
        for line in mooring.audit
        if line["action"] == "token.minted" and line.get("consumer") == consumer.namespace
    ]
    assert len(made) == 2, "one to read with, and the clone credential"
    people.apply(KIND, "it", spec)
    consumer.until_condition("shop", "SourceResolved", "False", "InstallationNotFound")
    soon(lambda: set(made) <= set(revoked(mooring, people.namespace)))
