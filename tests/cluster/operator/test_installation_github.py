"""What changes at GitHub takes effect as soon as the gateway gives a hint: there and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster.harness import Hub, Object, People, condition
from tests.cluster.operator.apps import (
    Account,
    LabApp,
    clone_secret,
    data_of,
    hint,
    install,
    make_account,
    make_app,
    mints,
    output,
    put_app,
    reaches,
    refer,
)

KIND = "GitHubInstallation"
SECONDS = 10.0
READ = {"contents": "read"}


@dataclass
class Side:
    """One namespace with an output and a Project; what happens to its account happens to no other."""

    people: People
    hub: Hub
    app: LabApp
    account: Account
    number: int

    def begin(self) -> dict[str, str]:
        """Make everything; return the tokens by what holds them."""
        put_app(self.people, self.app)
        login = self.account.login
        outputs = [
            output("narrow", permissions=READ, repositories=[f"{login}/shop"]),
            output("issues", permissions={"issues": "write"}, repositories=[f"{login}/open"]),
        ]
        self.people.apply(KIND, "it", {"account": login, "appSecretRef": {"name": "app"}, "outputs": outputs})
        refer(self.people, "shop", f"{login}/shop")
        self.ready()
        self.people.until_ready("shop")
        return self.tokens()

    def ready(self) -> Object:
        """Wait until all is well."""
        return self.people.until_condition("it", "Ready", "True", "Ready", kind=KIND)

    def tokens(self) -> dict[str, str]:
        """Return the tokens that are in Secrets."""
        names = {"narrow": "narrow", "issues": "issues", "clone": str(clone_secret(self.people, "shop"))}
        secrets = {what: self.people.get("Secret", name) for what, name in names.items()}
        return {what: data_of(secret)["token"] for what, secret in secrets.items() if secret is not None}

    def control(self, what: str, **body: Any) -> None:
        """Do something to the installation, as its account's owner does."""
        self.hub.control("POST", f"/installations/{self.number}/{what}", body)

    def told(self, type_: str, reason: str) -> Object:
        """Give a hint, and wait for what is said of it."""
        hint(self.people, "it")
        status = "True" if type_ == "Stalled" else "False"
        found = self.people.until_condition("it", type_, status, reason, kind=KIND, seconds=SECONDS)
        # Somebody knows what to do now.
        assert len(condition(found, "Ready")["message"].split(". ")) > 1
        return found

    def left(self, *whats: str) -> dict[str, str]:
        """Return the tokens that are in Secrets once only these are left."""
        names = {"narrow": "narrow", "issues": "issues", "clone": str(clone_secret(self.people, "shop"))}
        for what in names.keys() - set(whats):
            self.people.until(
                "Secret", names[what], lambda secret: secret is None, f"the end of {what}", seconds=SECONDS
            )
        found = self.tokens()
        assert found.keys() == set(whats)
        return found


@pytest.fixture
def side(people: People, hub: Hub) -> Side:
    """Return somebody with an App of its own on an account of its own."""
    app, account = make_app(hub), make_account(hub, "shop", "open")
    return Side(people, hub, app, account, install(hub, app, account.login))


@pytest.fixture
def neighbour(side: Side, more_people: Callable[..., People], hub: Hub) -> Side:
    """Return somebody else with the same App on another account."""
    account = make_account(hub, "shop", "open")
    return Side(more_people(), hub, side.app, account, install(hub, side.app, account.login))


def test_a_permission_that_is_taken_away_and_given_back(side: Side, hub: Hub) -> None:
    before = side.begin()
    side.control("permissions", permissions={"contents": "read", "metadata": "read"})
    found = side.told("Stalled", "PermissionMissing")
    assert "issues: write" in condition(found, "Ready")["message"]
    assert side.left("narrow", "clone") == {what: before[what] for what in ("narrow", "clone")}
    assert found["status"]["permissions"] == {"contents": "read", "metadata": "read"}
    assert reaches(hub, before["issues"]) == 401
    side.control("permissions", permissions={"contents": "read", "metadata": "read", "issues": "write"})
    hint(side.people, "it")
    side.ready()
    assert side.tokens()["narrow"] == before["narrow"]
    assert isinstance(reaches(hub, side.tokens()["issues"]), list)


def test_a_repository_that_is_taken_out_and_put_back(side: Side, hub: Hub) -> None:
    side.control("repositories", selection="selected", add=["shop", "open"])
    before = side.begin()
    side.control("repositories", remove=["shop"])
    side.told("Stalled", "RepositoryNotCovered")
    assert side.left("issues") == {"issues": before["issues"]}
    assert [reaches(hub, before[what]) for what in ("narrow", "clone")] == [401, 401]
    # It is not covered, and what was proven of it is taken back; whoever looks again is not shown it at all.
    lost = {"RepositoryNotCovered", "RepositoryNotFound"}
    side.people.until(
        "Project", "shop", lambda found: condition(found or {}, "Ready").get("reason") in lost, seconds=SECONDS
    )
    assert side.people.rollouts("shop") == 1
    side.control("repositories", add=["shop"])
    hint(side.people, "it")
    side.ready()
    side.people.until_condition("shop", "Ready", "True", "Ready", seconds=SECONDS)
    assert reaches(hub, side.tokens()["clone"]) == [f"{side.account.login}/shop"]
    assert side.tokens()["issues"] == before["issues"]
    assert side.people.rollouts("shop") == 1


def test_suspended_and_resumed(side: Side, neighbour: Side, hub: Hub) -> None:
    before = side.begin()
    others = neighbour.begin()
    side.control("suspend")
    found = side.told("Stalled", "InstallationSuspended")
    assert found["status"]["phase"] == "Suspended"
    assert side.left() == {}
    assert neighbour.tokens() == others
    since = hub.mark()
    side.control("unsuspend")
    hint(side.people, "it")
    found = side.ready()
    assert found["status"]["phase"] == "Active"
    side.people.until_condition("shop", "Ready", "True", "Ready", seconds=SECONDS)
    assert side.tokens().keys() == {"narrow", "issues", "clone"}
    # They would work again, whoever kept a copy.
    assert {reaches(hub, token) for token in before.values()} == {401}
    assert 3 <= len(mints(hub, since, side.number)) <= 4
    assert neighbour.tokens() == others


def test_uninstalled_and_installed_again(side: Side, neighbour: Side, hub: Hub) -> None:
    before = side.begin()
    others = neighbour.begin()
    side.control("delete")
    found = side.told("Stalled", "InstallationDeleted")
    assert found["status"]["phase"] == "Deleted"
    assert side.left() == {}
    assert {reaches(hub, token) for token in before.values()} == {401}
    number = install(hub, side.app, side.account.login)
    hint(side.people, "it")
    found = side.ready()
    assert number != side.number
    assert found["status"]["installationId"] == number
    assert found["status"]["account"]["id"] == side.account.id
    side.people.until_condition("shop", "Ready", "True", "Ready", seconds=SECONDS)
    assert side.tokens().keys() == {"narrow", "issues", "clone"}
    assert neighbour.tokens() == others
    neighbour.ready()


def test_an_account_that_takes_another_name(side: Side, hub: Hub) -> None:
    before = side.begin()
    login = f"{side.account.login}-renamed"
    hub.control("POST", f"/accounts/{side.account.id}/rename", {"login": login})
    # The object's spec speaks of the former name in its outputs: that is for its owner to correct.
    hint(side.people, "it")
    found = side.people.until(
        KIND, "it", lambda obj: (obj or {})["status"]["account"]["login"] == login, "the new name", seconds=SECONDS
    )
    assert found is not None
    assert found["status"]["account"]["id"] == side.account.id
    assert found["status"]["installationId"] == side.number
    assert condition(found, "Ready")["reason"] == "RepositoryNotCovered"
    outputs = [output("narrow", permissions=READ, repositories=[f"{login}/shop"])]
    side.people.patch(KIND, "it", {"spec": {"outputs": outputs}})
    side.ready()
    assert reaches(hub, data_of(side.people.get("Secret", "narrow"))["token"]) == [f"{login}/shop"]
    assert reaches(hub, before["issues"]) == 401


def test_another_account_behind_the_name(side: Side, neighbour: Side, hub: Hub) -> None:
    before = side.begin()
    others = neighbour.begin()
    login = side.account.login
    hub.control("POST", f"/accounts/{side.account.id}/delete", {})
    made = hub.seed(
        organizations=[{"login": login, "members": {"bob": "admin"}}],
        repositories=[
            {"owner": login, "name": name, "private": True, "files": {"a": "b"}} for name in ("shop", "open")
        ],
    )
    number = install(hub, side.app, login)
    since = hub.mark()
    found = side.told("Stalled", "AccountChanged")
    assert found["status"]["account"]["id"] == side.account.id != made["organizations"][login]["id"]
    assert found["status"].get("installationId") != number
    assert side.left() == {}
    assert mints(hub, since, number) == []
    assert {reaches(hub, token) for token in before.values()} == {401}
    side.people.until_condition("shop", "Ready", "False", "AccountChanged", seconds=SECONDS)
    assert neighbour.tokens() == others
