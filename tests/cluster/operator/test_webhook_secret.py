"""What the gateway is told: keys that stay, Apps that GitHub has accepted, and nothing that anybody else writes."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import Lab
from mooring.domain.webhooks.keys import AppHook, app_path_id
from tests.cluster import leaks
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub, Object, People
from tests.cluster.operator.apps import install, make_app, put_app, put_secret
from tests.cluster.operator.webhooks import (
    BASE,
    KEY,
    KIND,
    MADE,
    NAME,
    OWN,
    add,
    app_of,
    document,
    drop,
    empty,
    forge,
    freeze,
    made,
    relabel,
    running_with_app,
    until_told,
    url_of,
    version_of,
)
from tests.cluster.process import SYSTEM, Mooring


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the operator's home."""
    return tmp_path_factory.mktemp("webhooks")


@pytest.fixture(scope="module")
def system(kube: Kube) -> People:
    """Return the administrator."""
    return People(kube, SYSTEM)


@pytest.fixture(scope="module")
def mooring(lab: Lab, kube: Kube, hub: Hub, folder: Path, system: People) -> Iterator[Mooring]:
    """Run the operator with an App of its own."""
    with running_with_app(lab, kube, hub, folder, system) as running:
        yield running


def test_the_operators_own_app_is_told(system: People, mooring: Mooring, hub: Hub) -> None:
    found = until_told(system, lambda it: any(app.namespace is None for app in it.apps), "the operator's own App")
    secret = system.get("Secret", NAME)

    assert [app for app in found.apps if app.namespace is None] == [AppHook(hub.api_url, (OWN,))]
    assert secret is not None
    assert (secret["type"], list(secret["data"])) == ("Opaque", [KEY])
    assert secret["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "mooring"
    # Keys first: an object that is looked at without them would be proven by nothing.
    assert 0 < mooring.log.index(f"{SYSTEM}/{NAME} is written") < mooring.log.index("reconciling begins")
    assert made(mooring) == 1
    assert next(line for line in mooring.audit if line["action"] == MADE)["object"]["name"] == NAME


@pytest.mark.parametrize("spoil", [drop, empty, forge, add, relabel, freeze])
def test_it_is_repaired_with_the_same_keys(system: People, mooring: Mooring, spoil: Callable[[People], None]) -> None:
    before = until_told(system, lambda it: bool(it.apps), "what is right")
    spoiled = version_of(system)
    spoil(system)

    def right(secret: Object | None) -> bool:
        return (
            document(secret) == before
            and set((secret or {})["data"]) == {KEY}
            and (secret or {})["metadata"]["resourceVersion"] != spoiled
            and ((secret or {})["metadata"].get("labels") or {}).get("app.kubernetes.io/managed-by") == "mooring"
        )

    system.until("Secret", NAME, right, "what it was")
    assert made(mooring) == 1


def test_a_tenants_app_comes_changes_and_goes(people: People, system: People, mooring: Mooring, hub: Hub) -> None:
    app = make_app(hub)
    install(hub, app)
    put_app(people, app)
    people.apply(KIND, "it", {"account": "acme", "appSecretRef": {"name": "app"}})
    # Without a webhook secret there is nothing that could sign.
    assert url_of(people.settled("it", kind=KIND)) is None

    put_app(people, app, webhookSecret="the-first-webhook-secret-of-a-tenant")
    found = until_told(system, lambda it: app_of(it, people) is not None, "the tenant's App")
    assert app_of(found, people) == AppHook(
        hub.api_url, ("the-first-webhook-secret-of-a-tenant",), people.namespace, "app"
    )
    obj = people.until(KIND, "it", lambda it: url_of(it) is not None, "an address")
    assert obj is not None
    uid = obj["metadata"]["uid"]
    path = app_path_id(found.keys, origin=hub.api_url, installation_uid=uid, namespace=people.namespace)
    assert url_of(obj) == f"{BASE}/webhooks/github/{path}"

    put_app(people, app, webhookSecret="the-first-webhook-secret-of-a-tenant", webhookSecretNext="the-next-one")
    both = ("the-next-one", "the-first-webhook-secret-of-a-tenant")
    until_told(system, lambda it: (app_of(it, people) or AppHook("", ())).secrets == both, "both secrets")

    put_secret(people, "app", app.data())
    until_told(system, lambda it: app_of(it, people) is None, "no App without a secret")
    people.until(KIND, "it", lambda it: url_of(it) is None, "no address")

    put_app(people, app, webhookSecret="the-last-webhook-secret-of-a-tenant")
    until_told(system, lambda it: app_of(it, people) is not None, "the App again")
    people.delete(KIND, "it")
    until_told(system, lambda it: app_of(it, people) is None, "no App without its object")


def test_a_key_that_github_refuses_tells_nothing(people: People, system: People, mooring: Mooring, hub: Hub) -> None:
    app, others = make_app(hub), make_app(hub)
    install(hub, app)
    install(hub, others)
    # Somebody else's App by its id, with a key of one's own.
    put_secret(people, "theirs", {**app.data(), "appId": str(others.app_id), "webhookSecret": "a-secret-of-my-own"})
    put_app(people, app, "mine", webhookSecret="a-secret-of-my-own-app")
    for name in ("theirs", "mine"):
        people.apply(KIND, name, {"account": "acme", "appSecretRef": {"name": name}})
    assert url_of(people.settled("theirs", kind=KIND)) is None
    found = until_told(system, lambda it: app_of(it, people, "mine") is not None, "one's own App")
    assert app_of(found, people, "theirs") is None

    # What was accepted once counts no longer when it is refused.
    put_secret(people, "mine", {**others.data(), "appId": str(app.app_id), "webhookSecret": "a-secret-of-my-own-app"})
    until_told(system, lambda it: app_of(it, people, "mine") is None, "no App with a wrong key")


def test_no_key_and_no_secret_is_told_to_anybody_else(
    people: People, system: People, mooring: Mooring, hub: Hub, folder: Path
) -> None:
    app, secret = make_app(hub), "leaky/webhook+secret=of&a:tenant's"
    install(hub, app)
    put_app(people, app, webhookSecret=secret)
    people.apply(KIND, "it", {"account": "acme", "appSecretRef": {"name": "app"}})
    keys = until_told(system, lambda it: app_of(it, people) is not None, "the App").keys
    put_secret(people, "app", {**app.data(), "webhookSecret": secret, "webhookSecretNext": "x" * 2000})
    people.until_condition("it", "Ready", "False", "AppKeyMalformed", kind=KIND)
    secrets = {
        "own": OWN,
        "tenant": secret,
        **{
            f"{name} in {form}": text
            for name, key in (("id", keys.id_key), ("proof", keys.proof_keys[0]), ("hook", keys.hook_keys[1]))
            for form, text in (("hex", key.hex()), ("base64", base64.b64encode(key).decode()))
        },
    }
    outputs = leaks.Outputs(
        folder, frozenset({"operator.kubeconfig"}), mooring.admin, mooring.process.pid, [people, system]
    )
    assert leaks.scan(outputs, secrets) == []
