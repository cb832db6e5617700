"""What the gateway is told: keys that stay, Apps that GitHub has accepted, and nothing that anybody else writes."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab import Lab
from mooring.domain.webhooks.keys import AppHook, BadDocument, Document, app_path_id, from_master, parse
from tests.cluster import leaks
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub, Object, People
from tests.cluster.operator.apps import install, make_app, put_app, put_secret
from tests.cluster.operator.test_installation_confined import confined
from tests.cluster.process import SYSTEM, Mooring, running_operator

KIND = "GitHubInstallation"
NAME, KEY = "mooring-webhook", "webhooks.json"
OPERATORS_APP = "mooring-github-app"
OWN = "the-webhook-secret-of-the-operators-own-app"
BASE = "https://hooks.example.com"
MADE = "webhook.keys_made"


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


@contextmanager
def running_with_app(lab: Lab, kube: Kube, hub: Hub, folder: Path, system: People, **more: str) -> Iterator[Mooring]:
    """Run the operator from nothing, with an App of its own."""
    kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": SYSTEM}})
    system.delete("Secret", NAME)
    put_app(system, make_app(hub), OPERATORS_APP, webhookSecret=OWN)
    try:
        with running_operator(lab, kube, folder, MOORING_PUBLIC_BASE_URL=BASE, **more) as running:
            yield running
    finally:
        system.delete("Secret", OPERATORS_APP)
        system.delete("Secret", NAME)


def document(secret: Object | None) -> Document | None:
    """Return what the Secret tells; None where it tells nothing."""
    text = ((secret or {}).get("data") or {}).get(KEY)
    try:
        return parse(base64.b64decode(text)) if text else None
    except (BadDocument, ValueError):
        return None


def until_told(system: People, holds: Callable[[Document], bool], what: str) -> Document:
    """Wait until the gateway is told something."""

    def there(secret: Object | None) -> bool:
        found = document(secret)
        return found is not None and holds(found)

    found = document(system.until("Secret", NAME, there, what))
    assert found is not None
    return found


def app_of(found: Document, people: People, name: str = "app") -> AppHook | None:
    """Return what is told of an App of a namespace."""
    return next((app for app in found.apps if (app.namespace, app.secret) == (people.namespace, name)), None)


def version_of(system: People) -> str:
    """Return the version of the Secret."""
    secret = system.get("Secret", NAME)
    assert secret is not None
    return str(secret["metadata"]["resourceVersion"])


def made(mooring: Mooring) -> int:
    """Count how often keys were made."""
    return sum(line["action"] == MADE for line in mooring.audit)


def url_of(obj: Object | None) -> str | None:
    """Return what a GitHubInstallation says to enter at GitHub."""
    return (((obj or {}).get("status") or {}).get("webhook") or {}).get("url")


def test_the_operators_own_app_is_told(system: People, mooring: Mooring, hub: Hub) -> None:
    found = until_told(system, lambda it: any(app.namespace is None for app in it.apps), "the operator's own App")
    secret = system.get("Secret", NAME)

    assert [app for app in found.apps if app.namespace is None] == [AppHook(hub.api_url, (OWN,))]
    assert secret is not None
    assert (secret["type"], list(secret["data"])) == ("Opaque", [KEY])
    assert secret["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "mooring"
    assert made(mooring) == 1
    assert next(line for line in mooring.audit if line["action"] == MADE)["object"]["name"] == NAME


def drop(system: People) -> None:
    system.delete("Secret", NAME)


def empty(system: People) -> None:
    system.patch("Secret", NAME, {"data": {KEY: None}})


def forge(system: People) -> None:
    """Tell of another App, as somebody would who wants to sign for it."""
    content = json.loads(base64.b64decode((system.get("Secret", NAME) or {})["data"][KEY]))
    content["apps"].append({"origin": "https://x", "secrets": ["forged"], "namespace": "a", "secret": "b"})
    content["idKey"] = base64.b64encode(bytes(32)).decode()
    system.patch("Secret", NAME, {"data": {KEY: base64.b64encode(json.dumps(content).encode()).decode()}})


def add(system: People) -> None:
    system.patch("Secret", NAME, {"data": {"more": "YQ=="}})


def relabel(system: People) -> None:
    system.patch("Secret", NAME, {"metadata": {"labels": {"app.kubernetes.io/managed-by": None}}})


def freeze(system: People) -> None:
    system.patch("Secret", NAME, {"immutable": True, "data": {KEY: "YQ=="}})


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


# --- operators of their own ---


def test_a_restart_writes_nothing_and_knows_the_apps(
    lab: Lab, kube: Kube, hub: Hub, tmp_path: Path, system: People, namespace: str
) -> None:
    people, app = People(kube, namespace), make_app(hub)
    install(hub, app)
    put_app(people, app, webhookSecret="a-secret-that-outlives-a-restart")
    people.apply(KIND, "it", {"account": "acme", "appSecretRef": {"name": "app"}})
    with running_with_app(lab, kube, hub, tmp_path, system) as first:
        until_told(system, lambda it: app_of(it, people) is not None, "the App")
        before = people.until(KIND, "it", lambda it: url_of(it) is not None, "an address")
        first.stop()
        version = version_of(system)
        with running_operator(lab, kube, tmp_path, MOORING_PUBLIC_BASE_URL=BASE) as second:
            people.patch(KIND, "it", {"spec": {"permissions": {"contents": "read"}}})
            after = people.settled("it", kind=KIND)
            assert version_of(system) == version
            assert url_of(after) == url_of(before)
            assert made(second) == 1  # the record of both


def test_a_foreign_secret_is_left_alone(lab: Lab, kube: Kube, hub: Hub, tmp_path: Path, system: People) -> None:
    with running_with_app(lab, kube, hub, tmp_path, system) as first:
        first.stop()
        system.delete("Secret", NAME)
        put_secret(system, NAME, {KEY: "somebody's"})
        version = version_of(system)
        with running_operator(lab, kube, tmp_path) as mooring:
            mooring.until_logged("was not made by Mooring")
            people_can_work(mooring)
            assert version_of(system) == version
            system.delete("Secret", NAME)
            until_told(system, lambda it: bool(it.apps), "keys of Mooring's own")
            assert mooring.log.count("was not made by Mooring") == 1


def test_one_that_cannot_be_read_is_told_and_left(
    lab: Lab, kube: Kube, hub: Hub, tmp_path: Path, system: People
) -> None:
    with running_with_app(lab, kube, hub, tmp_path, system) as first:
        first.stop()
        system.patch("Secret", NAME, {"data": {KEY: "YQ=="}})
        version = version_of(system)
        with running_operator(lab, kube, tmp_path) as mooring:
            mooring.until_logged("cannot be used, and no webhooks are taken")
            people_can_work(mooring)
            assert version_of(system) == version


def people_can_work(mooring: Mooring) -> None:
    """Expect the operator to be in service."""
    mooring.until_logged("reconciling begins")
    assert mooring.ask("/readyz").status_code == 200


def test_keys_are_derived_and_the_addresses_stay(
    lab: Lab, kube: Kube, hub: Hub, tmp_path: Path, system: People
) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    masters = {version: bytes([version]) * 32 for version in (1, 2)}
    (keys / "1").write_bytes(masters[1])
    home = tmp_path / "home"
    home.mkdir()
    with running_with_app(lab, kube, hub, home, system, MOORING_MASTER_KEY_DIR=str(keys)) as mooring:
        first = until_told(system, lambda it: bool(it.apps), "keys").keys
        assert first == from_master({1: masters[1]})
        (keys / "new").write_bytes(masters[2])
        (keys / "new").rename(keys / "2")
        second = until_told(system, lambda it: 2 in it.keys.hook_keys, "a second version").keys
        assert second == from_master(masters)
        assert second.id_key == first.id_key
        mooring.stop()
        assert made(mooring) == 2
        # The first version goes: the ids of addresses would come from the second one now.
        (keys / "1").unlink()
        with running_operator(lab, kube, home, MOORING_MASTER_KEY_DIR=str(keys)):
            third = until_told(system, lambda it: 1 not in it.keys.hook_keys, "the second version alone").keys
            assert third.id_key == first.id_key


def test_it_is_kept_without_a_right_outside_its_namespaces(
    lab: Lab, kube: Kube, tmp_path: Path, system: People, namespace: str
) -> None:
    system.delete("Secret", NAME)
    with confined(lab, kube, tmp_path, People(kube, namespace)) as mooring:
        before = until_told(system, lambda it: bool(it.keys.hook_keys), "keys")
        for spoil in (drop, forge, add):
            spoil(system)
            system.until("Secret", NAME, lambda it: whole(it) == before, "what it was")
        assert "lacks the right" not in mooring.log
    system.delete("Secret", NAME)


def whole(secret: Object | None) -> Document | None:
    """Return what the Secret tells, where nothing else is in it."""
    data: dict[str, Any] = (secret or {}).get("data") or {}
    return document(secret) if set(data) == {KEY} else None
