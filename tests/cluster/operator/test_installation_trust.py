"""Who gets a token of an installation: whoever has the App's own key, or whom the administrator bound to the account.

What others do is held against the journal of the lab's GitHub: no request with another's App, and none about what it
is installed on.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from lab import Lab
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub, People, condition
from tests.cluster.operator.apps import (
    Account,
    LabApp,
    asked_about,
    clone_secret,
    clone_secrets,
    data_of,
    install,
    make_account,
    make_app,
    minted_by,
    mints,
    output,
    put_app,
    reaches,
    refer,
    signed_by,
)
from tests.cluster.process import SYSTEM, Mooring, policy, running_operator
from tests.cluster.token_life import proven_long_ago

KIND = "GitHubInstallation"
OPERATORS_APP = "mooring-github-app"
READ = {"contents": "read"}
# Withdrawn within this many seconds.
SECONDS = 10.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the operator's home."""
    return tmp_path_factory.mktemp("trust")


@pytest.fixture(scope="module")
def mooring(lab: Lab, kube: Kube, hub: Hub, folder: Path) -> Iterator[Mooring]:
    """Run the operator."""
    with running_operator(lab, kube, folder) as running:
        yield running


# --- an App of one's own ---


@dataclass
class Owner:
    """Somebody with an App of its own, and what others may know of it."""

    people: People
    hub: Hub
    app: LabApp
    account: Account
    number: int

    def settle(self) -> str:
        """Make one of everything; return the token of its output."""
        put_app(self.people, self.app)
        narrow: dict[str, Any] = {"repositories": [f"{self.account.login}/shop"], "permissions": READ}
        spec = {"account": self.account.login, "appSecretRef": {"name": "app"}, "outputs": [output("ci", **narrow)]}
        self.people.apply(KIND, "it", spec)
        refer(self.people, "shop", f"{self.account.login}/shop")
        for kind, name in ((KIND, "it"), ("Project", "shop")):
            self.people.until_ready(name, kind=kind)
        return data_of(self.people.get("Secret", "ci"))["token"]


@pytest.fixture
def owner(people: People, hub: Hub) -> Owner:
    """Return an owner who has not begun yet."""
    app, account = make_app(hub), make_account(hub, "shop", "vault")
    return Owner(people, hub, app, account, install(hub, app, account.login))


def attempts(owner: Owner) -> dict[str, dict[str, Any]]:
    """Return specs that mean the owner's installation, by each of the three ways, with each App that one may name."""
    account = owner.account.login
    ways: dict[str, dict[str, Any]] = {
        "id": {"installationId": owner.number},
        "account": {"account": account},
        "repository": {"repository": f"{account}/shop"},
    }
    apps: dict[str, dict[str, Any]] = {
        "junk": {"appSecretRef": {"name": "junk"}},
        "absent": {"appSecretRef": {"name": "app"}},
        "operators": {},
    }
    granted = {
        "namespaces": {"names": [owner.people.namespace]},
        "repositories": [f"{account}/*"],
        "permissions": {"contents": "write"},
    }
    wished = {"outputs": [output("ci"), output("wide", permissions=READ)], "grants": [granted]}
    return {f"{way}-{app}": {**ways[way], **apps[app], **wished} for way in ways for app in apps}


def intrude(owner: Owner, intruder: People, other: LabApp) -> None:
    """Try all that somebody may try who administers another namespace, and wait until the operator is done with it."""
    # A key that is one, and another App's.
    put_app(intruder, LabApp(owner.app.slug, owner.app.app_id, other.private_key), "junk")
    status = {
        "installationId": owner.number,
        "appId": owner.app.app_id,
        "account": {"login": owner.account.login, "id": owner.account.id, "type": "Organization"},
        "phase": "Active",
        "permissions": {"contents": "write"},
    }
    for name, spec in attempts(owner).items():
        intruder.apply(KIND, name, spec)
    for name in attempts(owner):
        intruder.settled(name, kind=KIND)
        intruder.patch(KIND, name, {"status": {**status, "conditions": []}}, subresource="status")
        # What it wrote is overruled, which is how one knows that it was looked at.
        found = intruder.settled(name, kind=KIND)
        assert condition(found, "Ready")["status"] == "False", found["status"]
        assert found["status"].get("phase") != "Active"
        refer(intruder, f"own-{name}", f"{owner.account.login}/shop", installation=name)
    refer(intruder, "theirs", f"{owner.account.login}/shop", namespace=owner.people.namespace)
    for project in (*(f"own-{name}" for name in attempts(owner)), "theirs"):
        found = intruder.settled(project)
        assert condition(found, "Ready")["status"] == "False", found["status"]


def disguise(owner: Owner, intruder: People) -> None:
    """Make Secrets that look as if the operator had written them for the owner."""
    for name in ("ci", str(clone_secret(owner.people, "shop"))):
        secret = owner.people.get("Secret", name)
        assert secret is not None
        kept = {field: secret["metadata"][field] for field in ("name", "labels", "annotations", "ownerReferences")}
        wrong = base64.b64encode(b"ghs_" + b"x" * 36).decode()
        # Without blockOwnerDeletion, which not everybody may set.
        for reference in kept["ownerReferences"]:
            reference["blockOwnerDeletion"] = False
        intruder.create("Secret", {"metadata": kept, "type": "Opaque", "data": {"token": wrong}})


def gained_nothing(owner: Owner, intruder: People, since: int) -> None:
    """Hold the journal against what the intruder may do: show its junk key, and be refused."""
    asked = asked_about(owner.hub, since, f"/installations/{owner.number}", owner.account.login)
    # What the owner follows is swept meanwhile, with a token of the owner's: nobody else here has one.
    tip = f"/{owner.account.login}/shop.git/info/refs?service=git-upload-pack"
    swept = [entry for entry in asked if re.fullmatch(rf"GET {re.escape(tip)} installation-\d+ 200", entry)]
    assert [entry for entry in asked if entry not in swept] == []
    assert len(swept) <= 2
    assert set(signed_by(owner.hub, since, owner.app)) <= {"GET /api/v3/app 401"}
    assert minted_by(owner.hub, since, owner.app) == []
    texts = json.dumps(intruder.list("Secret"))
    token = owner.people.get("Secret", "ci")
    assert token is None or token["data"]["token"] not in texts


def test_a_stranger_gets_nothing_of_what_is_warm(owner: Owner, more_people: Callable[..., People], hub: Hub) -> None:
    intruder, other = more_people(), make_app(hub)
    token = owner.settle()
    disguise(owner, intruder)
    since = hub.mark()
    intrude(owner, intruder, other)
    gained_nothing(owner, intruder, since)
    # Nine objects with one junk key: one refusal is remembered for all of them.
    refused = [asked for asked in signed_by(hub, since, owner.app) if asked.endswith(" 401")]
    assert 1 <= len(refused) <= 3, refused
    # Nor did the owner lose anything by it.
    assert reaches(hub, token) == [f"{owner.account.login}/shop"]
    assert data_of(owner.people.get("Secret", "ci"))["token"] == token
    assert owner.people.rollouts("shop") == 1


def test_a_stranger_who_comes_first_gets_nothing_and_takes_nothing(
    owner: Owner, more_people: Callable[..., People], hub: Hub
) -> None:
    intruder, other = more_people(), make_app(hub)
    since = hub.mark()
    intrude(owner, intruder, other)
    gained_nothing(owner, intruder, since)
    token = owner.settle()
    assert reaches(hub, token) == [f"{owner.account.login}/shop"]
    # The owner's coming changes nothing for the other.
    since = hub.mark()
    for name in attempts(owner):
        intruder.patch(KIND, name, {"spec": {"outputs": []}})
        found = intruder.settled(name, kind=KIND)
        assert condition(found, "Ready")["status"] == "False"
    gained_nothing(owner, intruder, since)


# --- the operator's App ---


@dataclass
class Operators:
    """The operator's own App, on two accounts."""

    app: LabApp
    first: Account
    second: Account
    numbers: dict[str, int]
    system: People

    def binding(self, account: Account, *namespaces: str, **more: Any) -> dict[str, Any]:
        """Return a binding for the policy."""
        api = more.pop("api", None) or self.api
        return {
            "apiUrl": api,
            "appId": more.pop("app_id", self.app.app_id),
            "accountId": account.id,
            "namespaces": list(namespaces),
            **more,
        }

    api: str = ""


@pytest.fixture(scope="module")
def operators(mooring: Mooring, kube: Kube, hub: Hub) -> Iterator[Operators]:
    """Give the operator an App."""
    app = make_app(hub, permissions={"contents": "write", "metadata": "read", "issues": "write"})
    first, second = make_account(hub, "shop", "vault"), make_account(hub, "shop")
    numbers = {account.login: install(hub, app, account.login) for account in (first, second)}
    system = People(kube, SYSTEM)
    put_app(system, app, OPERATORS_APP)
    yield Operators(app, first, second, numbers, system, hub.api_url)
    system.delete("Secret", OPERATORS_APP)


def wish(account: Account, **more: Any) -> dict[str, Any]:
    """Return a spec that uses the operator's App."""
    return {"account": account.login, **more}


def test_the_operators_app_in_its_own_namespace(operators: Operators, hub: Hub) -> None:
    system = operators.system
    try:
        system.apply(KIND, "it", wish(operators.first, outputs=[output("ci", permissions=READ)]))
        system.until_ready("it", kind=KIND)
        assert reaches(hub, data_of(system.get("Secret", "ci"))["token"]) == [
            f"{operators.first.login}/{name}" for name in ("shop", "vault")
        ]
    finally:
        system.delete(KIND, "it")
        system.until(KIND, "it", lambda obj: obj is None, "its end")


def test_unbound_it_is_not_asked_for_anybody(operators: Operators, people: People, kube: Kube, hub: Hub) -> None:
    first = operators.first
    elsewhere = [
        operators.binding(first, "somebody-else"),
        operators.binding(first, people.namespace, app_id=operators.app.app_id + 1),
        operators.binding(first, people.namespace, api="https://ghes.example.com/api/v3"),
    ]
    with policy(kube, {"bindings": elsewhere}):
        since = hub.mark()
        ways: tuple[dict[str, Any], ...] = (
            {"account": first.login},
            {"installationId": operators.numbers[first.login]},
            {"repository": f"{first.login}/shop"},
        )
        for number, spec in enumerate(ways):
            people.apply(KIND, f"it-{number}", {**spec, "outputs": [output("ci")]})
        for number in range(len(ways)):
            found = people.until_condition(f"it-{number}", "Stalled", "True", "AppNotBound", kind=KIND)
            assert "spec.appSecretRef" in condition(found, "Ready")["message"]
            # Nothing is told that only GitHub knows.
            assert set(found["status"]) <= {"conditions", "observedGeneration"}, found["status"]
        assert signed_by(hub, since, operators.app) == []
        assert (
            asked_about(hub, since, first.login, *(f"/installations/{it}" for it in operators.numbers.values())) == []
        )


def test_bound_to_one_account_nothing_is_asked_about_another(
    operators: Operators, people: People, kube: Kube, hub: Hub
) -> None:
    first, second = operators.first, operators.second
    with policy(kube, {"bindings": [operators.binding(first, people.namespace)]}):
        since = hub.mark()
        people.apply(KIND, "mine", wish(first, outputs=[output("ci", permissions=READ)]))
        number = operators.numbers[second.login]
        others: dict[str, dict[str, Any]] = {
            "by-account": {"account": second.login},
            "by-id": {"installationId": number},
            "by-repository": {"repository": f"{second.login}/shop"},
            "of-nobody": {"account": "nobody-at-all"},
        }
        for name, spec in others.items():
            people.apply(KIND, name, {**spec, "outputs": [output(name)]})
        mine = people.until_condition("mine", "Ready", "True", "Ready", kind=KIND)
        assert mine["status"]["account"]["id"] == first.id
        told = set()
        for name in others:
            found = people.until_condition(name, "Stalled", "True", "InstallationNotFound", kind=KIND)
            told.add(condition(found, "Ready")["message"])
            assert "installationId" not in found["status"]
            assert people.get("Secret", name) is None
        assert len(told) == 1
        assert asked_about(hub, since, f"/installations/{number}", second.login, "nobody-at-all") == []
        assert mints(hub, since, operators.numbers[first.login])


def test_an_unbound_account_is_withdrawn_and_the_others_stay(
    operators: Operators, people: People, more_people: Callable[..., People], kube: Kube, hub: Hub
) -> None:
    first, other = operators.first, more_people()
    both = [people, other]
    spec = wish(first, outputs=[output("ci", permissions=READ)])
    with policy(kube, {"bindings": [operators.binding(first, *(it.namespace for it in both))]}):
        for each in both:
            each.apply(KIND, "it", spec)
            refer(each, "shop", f"{first.login}/shop")
        for each in both:
            each.until_ready("it", kind=KIND)
            each.until_ready("shop")
        held = {
            each.namespace: [
                data_of(each.get("Secret", name))["token"] for name in ("ci", str(clone_secret(each, "shop")))
            ]
            for each in both
        }
        # Equal wishes of two namespaces share nothing.
        assert not set(held[people.namespace]) & set(held[other.namespace])
        with policy(kube, {"bindings": [operators.binding(first, other.namespace)]}):
            for name in ("ci", str(clone_secret(people, "shop"))):
                people.until("Secret", name, lambda secret: secret is None, "its end", seconds=SECONDS)
            people.until_condition("it", "Stalled", "True", "AppNotBound", kind=KIND, seconds=SECONDS)
            assert [reaches(hub, token) for token in held[people.namespace]] == [401, 401]
            assert all(isinstance(reaches(hub, token), list) for token in held[other.namespace])
            assert people.rollouts("shop") == 1


def test_the_ceilings_of_a_binding_hold(operators: Operators, people: People, kube: Kube, hub: Hub) -> None:
    first = operators.first
    shop, vault = f"{first.login}/shop", f"{first.login}/vault"
    ceiling = {"repositories": [shop], "permissions": {"contents": "read", "metadata": "read"}}
    with policy(kube, {"bindings": [operators.binding(first, people.namespace, **ceiling)]}):
        since = hub.mark()
        outputs = [
            output("plain"),
            output("permissions", permissions={"contents": "write"}),
            output("repositories", repositories=[vault]),
        ]
        people.apply(KIND, "it", wish(first, outputs=outputs))
        found = people.until_condition("it", "Stalled", "True", "NotAllowed", kind=KIND)
        assert "administrator" in condition(found, "Ready")["message"]
        assert reaches(hub, data_of(people.get("Secret", "plain"))["token"]) == [shop]
        assert people.get("Secret", "permissions") is None
        assert people.get("Secret", "repositories") is None
        refer(people, "shop", shop)
        refer(people, "vault", vault)
        people.until_condition("vault", "Ready", "False", "RepositoryNotCovered")
        people.until_ready("shop")
        assert reaches(hub, data_of(people.get("Secret", str(clone_secret(people, "shop"))))["token"]) == [shop]
        asked = [entry["asked"] for entry in mints(hub, since, operators.numbers[first.login])]
        # What is given out is narrow; what looks up may see all, and stays with the operator.
        given = [it for it in asked if "repository_ids" in it]
        assert all(it["repository_ids"] == [first.repositories["shop"]] for it in given)
        assert all(it["permissions"] == {"contents": "read", "metadata": "read"} for it in given)
        # A ceiling that comes down takes what is there with it.
        token = data_of(people.get("Secret", "plain"))["token"]
        lower = {**ceiling, "permissions": {"metadata": "read"}}
        with policy(kube, {"bindings": [operators.binding(first, people.namespace, **lower)]}):
            people.until(
                "Secret",
                "plain",
                lambda secret: secret is None or data_of(secret)["token"] != token,
                "another token",
                seconds=SECONDS,
            )
            for name in clone_secrets(people):
                people.until("Secret", name, lambda secret: secret is None, "its end", seconds=SECONDS)
            people.settled("it", kind=KIND)
            assert reaches(hub, token) == 401


def test_without_an_app_the_operator_says_so(operators: Operators, people: People, kube: Kube, hub: Hub) -> None:
    with policy(kube, {"bindings": [operators.binding(operators.first, people.namespace)]}):
        people.apply(KIND, "it", wish(operators.first, outputs=[output("ci", permissions=READ)]))
        people.until_ready("it", kind=KIND)
        operators.system.delete("Secret", OPERATORS_APP)
        try:
            people.until_condition("it", "Stalled", "True", "AppNotConfigured", kind=KIND)
        finally:
            put_app(operators.system, operators.app, OPERATORS_APP)
        people.until_condition("it", "Ready", "True", "Ready", kind=KIND)


# --- the last test: it restarts the operator ---


def test_after_a_restart_nobody_gets_what_another_had(
    owner: Owner,
    more_people: Callable[..., People],
    mooring: Mooring,
    lab: Lab,
    kube: Kube,
    folder: Path,
    hub: Hub,
) -> None:
    intruder, other = more_people(), make_app(hub)
    token = owner.settle()
    disguise(owner, intruder)
    intrude(owner, intruder, other)
    before = owner.people.get("Secret", "ci")
    consumer = more_people()
    account = owner.account.login
    granted = {"namespaces": {"names": [consumer.namespace]}, "repositories": [f"{account}/vault"]}
    owner.people.patch(KIND, "it", {"spec": {"grants": [granted]}})
    refer(consumer, "vault", f"{account}/vault", namespace=owner.people.namespace)
    consumer.until_ready("vault")
    lent = data_of(consumer.get("Secret", str(clone_secret(consumer, "vault"))))["token"]
    mooring.kill()
    proven_long_ago(consumer, "vault")
    proven_long_ago(owner.people, "shop")
    since = hub.mark()
    with running_operator(lab, kube, folder) as second:
        owner.people.patch(KIND, "it", {"metadata": {"annotations": {"looked": "at"}}})
        for name in attempts(owner):
            intruder.patch(KIND, name, {"spec": {"outputs": []}})
            intruder.settled(name, kind=KIND)
        assert minted_by(hub, since, owner.app) == []
        assert owner.people.get("Secret", "ci") == before
        assert reaches(hub, token) == [f"{account}/shop"]
        # Whose Project says by now that its source is another one, which is granted, keeps nothing by it.
        owner.people.patch(KIND, "it", {"spec": {"grants": [{**granted, "repositories": [f"{account}/shop"]}]}})
        source = {"fullName": f"{account}/shop"}
        consumer.patch("Project", "vault", {"status": {"source": source}}, subresource="status")
        for name in clone_secrets(consumer):
            consumer.until("Secret", name, lambda secret: secret is None, "its end", seconds=SECONDS)
        owner.people.settled("it", kind=KIND)
        assert reaches(hub, lent) == 401
        assert second.process.poll() is None
