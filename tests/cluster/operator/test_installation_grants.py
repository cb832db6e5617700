"""What an installation's owner grants is lent, what it does not looks like nothing, and what it takes back goes."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster.harness import Hub, Object, People, condition
from tests.cluster.operator.apps import (
    Account,
    LabApp,
    clone_secret,
    clone_secrets,
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
    signed_by,
)

# Withdrawn within this many seconds.
SECONDS = 10.0
MorePeople = Callable[..., People]


@dataclass
class Lender:
    """The owner of an installation, with its App and account."""

    people: People
    hub: Hub
    app: LabApp
    account: Account
    number: int

    def apply(self, *grants: dict[str, Any], **more: Any) -> None:
        """Apply the GitHubInstallation."""
        spec = {"account": self.account.login, "appSecretRef": {"name": "app"}, "grants": list(grants), **more}
        self.people.apply("GitHubInstallation", "it", spec)

    def name(self, repository: str) -> str:
        """Return the full name of a repository."""
        return f"{self.account.login}/{repository}"

    def refer(self, people: People, project: str, repository: str, **more: Any) -> None:
        """Apply a Project of somebody's that uses it."""
        refer(people, project, self.name(repository), namespace=self.people.namespace, **more)


@pytest.fixture
def lender(people: People, hub: Hub) -> Lender:
    """Return an owner whose App is installed on an account with four repositories."""
    app, account = make_app(hub), make_account(hub, "shop", "open", "vault", "own")
    number = install(hub, app, account.login)
    put_app(people, app)
    return Lender(people, hub, app, account, number)


def grant(*repositories: str, names: tuple[str, ...] = (), team: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a grant to namespaces by name, or by a label."""
    chosen: dict[str, Any] = {"names": list(names)} if names else {"selector": {"matchLabels": {"team": str(team)}}}
    return {"namespaces": chosen, "repositories": list(repositories), **more}


def working(people: People, project: str, seconds: float = SECONDS) -> str:
    """Wait until a Project is Ready; return the token that it clones with."""
    people.until_ready(project, seconds=seconds)
    return data_of(people.get("Secret", str(clone_secret(people, project))))["token"]


def without(people: People, namespace: str = "") -> None:
    """Wait until a namespace has no clone credential."""
    for name in clone_secrets(people):
        people.until("Secret", name, lambda secret: secret is None, "its end", seconds=SECONDS)


def test_by_name_and_by_label_and_no_more_than_is_granted(lender: Lender, more_people: MorePeople, hub: Hub) -> None:
    named, selected = more_people(), more_people(team="blue")
    lender.apply(
        grant(lender.name("shop"), names=(named.namespace,)),
        grant(lender.name("open"), team="blue", permissions={"contents": "read", "metadata": "read"}),
    )
    since = hub.mark()
    lender.refer(named, "shop", "shop")
    lender.refer(selected, "open", "open")
    lender.refer(lender.people, "own", "own")
    assert reaches(hub, working(named, "shop")) == [lender.name("shop")]
    assert reaches(hub, working(selected, "open")) == [lender.name("open")]
    assert reaches(hub, working(lender.people, "own")) == [lender.name("own")]
    asked = [entry["asked"] for entry in mints(hub, since, lender.number)]
    # Nobody's credential may do more than to fetch; those of everything are for looking up, and in no Secret.
    assert all(entry["permissions"] == {"contents": "read", "metadata": "read"} for entry in asked)
    ids = lender.account.repositories
    narrowed = sorted(entry["repository_ids"] for entry in asked if "repository_ids" in entry)
    assert narrowed == sorted([[ids["shop"]], [ids["open"]], [ids["own"]]])


def test_what_is_not_granted_reads_like_what_does_not_exist(lender: Lender, more_people: MorePeople, hub: Hub) -> None:
    granted, stranger = more_people(), more_people()
    lender.apply(grant(lender.name("shop"), names=(granted.namespace,)))
    lender.people.settled("it", kind="GitHubInstallation")
    lender.refer(granted, "shop", "shop")
    working(granted, "shop")
    since = hub.mark()
    # A repository that is there, and one that is not; an installation that is there, and one that is not.
    pairs = [(granted, "vault", "it", "nowhere", "it"), (stranger, "shop", "it", "shop", "that")]
    told = []
    for people, real, name, absent, other in pairs:
        at = lender.people.namespace
        refer(people, "real", lender.name(real), installation=name, namespace=at)
        refer(people, "absent", lender.name(absent), installation=other, namespace=at)
        for project, repository, installation in (("real", real, name), ("absent", absent, other)):
            found = people.settled(project)
            words = json.dumps([(it["type"], it["status"], it["reason"], it["message"]) for it in conditions(found)])
            told.append(words.replace(lender.name(repository), "<repository>").replace(f"/{installation} ", "/<it> "))
            assert people.get("Deployment", f"{project}-default") is None
    assert told[0] == told[1]
    assert told[2] == told[3]
    assert "RepositoryNotCovered" in told[0]
    assert "InstallationNotFound" in told[2]
    # Nor does GitHub's answer, or the time that it takes, tell them apart: nothing was asked.
    # (What other tests have left is looked at and ended meanwhile.)
    secrets = {lender.name(name) for name in ("vault", "nowhere")}
    secrets |= {f"repositories/{lender.account.repositories['vault']}/"}
    asked = [entry["path"] for entry in hub.journal(since)]
    assert [path for path in asked if any(secret in path for secret in secrets)] == []
    # The owner's App is asked for nothing by a stranger, nor by who may have another repository.
    assert [line for line in signed_by(hub, since, lender.app) if "/app/hook/" not in line] == []


def conditions(found: Object) -> list[dict[str, Any]]:
    """Return all conditions."""
    return list(found["status"]["conditions"])


# --- taken back ---


def no_grant(lender: Lender, consumer: People) -> None:
    """Remove the grant."""
    lender.apply(grant(lender.name("open"), names=("somebody-else",)), outputs=own_output(lender))


def other_repository(lender: Lender, consumer: People) -> None:
    """Take the repository out of it."""
    lender.apply(grant(lender.name("vault"), team="red"), others_grant(lender), outputs=own_output(lender))


def relabelled(lender: Lender, consumer: People) -> None:
    """Take the label from the namespace."""
    body = {"metadata": {"labels": {"team": None}}}
    path = f"/api/v1/namespaces/{consumer.namespace}"
    status, answer = consumer.kube.request("PATCH", path, body, "application/merge-patch+json")
    assert status == 200, answer


def suspended(lender: Lender, consumer: People) -> None:
    """Suspend the object."""
    lender.people.patch("GitHubInstallation", "it", {"spec": {"suspend": True}})


def deleted(lender: Lender, consumer: People) -> None:
    """Delete the object."""
    lender.people.delete("GitHubInstallation", "it")


def own_output(lender: Lender) -> list[dict[str, Any]]:
    """Return the owner's own output."""
    return [output("ci", repositories=[lender.name("own")], permissions={"contents": "read"})]


def others_grant(lender: Lender) -> dict[str, Any]:
    """Return what stays granted to the other namespace."""
    return grant(lender.name("shop"), team="blue")


# How it is taken back; whether the owner's own output stays; whether the other namespace's credential does.
WITHDRAWALS: dict[Callable[[Lender, People], None], tuple[bool, bool]] = {
    no_grant: (True, False),
    other_repository: (True, True),
    relabelled: (True, True),
    suspended: (False, False),
    deleted: (False, False),
}


@pytest.mark.parametrize("how", WITHDRAWALS, ids=lambda how: how.__name__)
def test_what_is_taken_back_is_gone_and_ended(
    how: Callable[[Lender, People], None], lender: Lender, more_people: MorePeople, hub: Hub
) -> None:
    output_stays, other_stays = WITHDRAWALS[how]
    consumer, other = more_people(team="red"), more_people(team="blue")
    lender.apply(grant(lender.name("shop"), team="red"), others_grant(lender), outputs=own_output(lender))
    lender.refer(consumer, "shop", "shop")
    lender.refer(other, "shop", "shop")
    taken, kept = working(consumer, "shop"), working(other, "shop")
    assert taken != kept
    lender.people.settled("it", kind="GitHubInstallation")
    own = data_of(lender.people.get("Secret", "ci"))["token"]

    how(lender, consumer)
    without(consumer)
    consumer.until_condition("shop", "Ready", "False", MISSING[how], seconds=SECONDS)
    # Running pods are not rolled by it: they have what they fetched, and the Secret is gone.
    assert consumer.rollouts("shop") == 1
    if how is deleted:
        lender.people.until("GitHubInstallation", "it", lambda obj: obj is None, "its end", seconds=SECONDS)
    else:
        lender.people.settled("it", kind="GitHubInstallation")
    assert reaches(hub, taken) == 401
    assert reaches(hub, own) == ([lender.name("own")] if output_stays else 401)
    assert (lender.people.get("Secret", "ci") is not None) == output_stays
    if not other_stays:
        without(other)
    assert reaches(hub, kept) == ([lender.name("shop")] if other_stays else 401)
    ready = "True" if other_stays else "False"
    other.until("Project", "shop", lambda it: condition(it or {}, "Ready")["status"] == ready, f"Ready={ready}")


MISSING: dict[Callable[[Lender, People], None], str] = {
    no_grant: "InstallationNotFound",
    other_repository: "RepositoryNotCovered",
    relabelled: "InstallationNotFound",
    suspended: "InstallationNotReady",
    deleted: "InstallationNotFound",
}


# --- who says what it is not ---


def faked(people: People, project: str, repository: str, number: int) -> None:
    """Write into a Project's status that its source is resolved, as another one than it is."""
    found = people.get("Project", project)
    assert found is not None
    condition_ = {
        "type": "SourceResolved",
        "status": "True",
        "reason": "Resolved",
        "message": "",
        "observedGeneration": found["metadata"]["generation"],
        "lastTransitionTime": "2030-01-01T00:00:00Z",
    }
    source = {
        "provider": "GitHub",
        "repositoryId": number,
        "nodeId": "R_1",
        "fullName": repository,
        "specName": repository,
        "private": True,
        "branch": "main",
        "headSha": "1" * 40,
        "decidedSha": "1" * 40,
    }
    people.patch("Project", project, {"status": {"source": source, "conditions": [condition_]}}, subresource="status")


def test_a_faked_status_gets_no_token_for_what_is_not_granted(
    lender: Lender, more_people: MorePeople, hub: Hub
) -> None:
    consumer = more_people()
    lender.apply(grant(lender.name("shop"), names=(consumer.namespace,)))
    lender.people.settled("it", kind="GitHubInstallation")
    since = hub.mark()
    for project, repository in (("honest", "shop"), ("liar", "shop")):
        lender.refer(consumer, project, repository)
    working(consumer, "honest")
    working(consumer, "liar")
    # Under the name that is granted: GitHub is asked, since nobody signed that, and another repository was meant.
    faked(consumer, "liar", lender.name("shop"), lender.account.repositories["vault"])
    consumer.until_condition("liar", "Ready", "False", "RepositoryChanged", seconds=SECONDS)
    # Under its own, which is not the one that the spec names: what GitHub says takes its place.
    faked(consumer, "liar", lender.name("vault"), lender.account.repositories["vault"])
    consumer.until(
        "Project",
        "liar",
        lambda found: (found or {})["status"]["source"]["repositoryId"] == lender.account.repositories["shop"],
        "the truth",
        seconds=SECONDS,
    )
    assert reaches(hub, working(consumer, "honest")) == [lender.name("shop")]
    vault = lender.account.repositories["vault"]
    asked = [entry["asked"] for entry in mints(hub, since, lender.number)]
    assert not [one for one in asked if vault in one.get("repository_ids", [])]


def test_a_public_repository_that_is_not_selected_takes_nothing_from_the_others(
    people: People, more_people: MorePeople, hub: Hub
) -> None:
    app, account = make_app(hub), make_account(hub, "shop")
    hub.seed(repositories=[{"owner": account.login, "name": "known", "files": {"a": "b"}}])
    number = install(hub, app, account.login, repositories=["shop"])
    put_app(people, app)
    people.apply("GitHubInstallation", "it", {"account": account.login, "appSecretRef": {"name": "app"}})
    people.settled("it", kind="GitHubInstallation")
    since = hub.mark()
    # The first is seen with the token that looks up: everybody sees it.
    refer(people, "known", f"{account.login}/known")
    people.until_condition("known", "Ready", "False", "RepositoryNotCovered")
    refer(people, "shop", f"{account.login}/shop")
    assert reaches(hub, working(people, "shop")) == [f"{account.login}/shop"]
    assert len(mints(hub, since, number)) <= 3


def test_many_projects_of_one_repository_share_a_credential_and_contest_nothing(lender: Lender, hub: Hub) -> None:
    lender.apply()
    lender.people.settled("it", kind="GitHubInstallation")
    since = hub.mark()
    for number in range(6):
        lender.refer(lender.people, f"shop-{number}", "shop")
        working(lender.people, f"shop-{number}")
    found = lender.people.settled("it", kind="GitHubInstallation")
    assert condition(found, "Ready")["reason"] == "Ready", found["status"]
    assert len(clone_secrets(lender.people)) == 1
    assert len(mints(hub, since, lender.number)) == 1


def test_a_repository_that_took_another_name_is_not_granted_under_the_former(
    lender: Lender, more_people: MorePeople, hub: Hub
) -> None:
    consumer = more_people()
    lender.apply(grant(lender.name("shop"), names=(consumer.namespace,)))
    lender.people.settled("it", kind="GitHubInstallation")
    hub.control("POST", f"/repositories/{lender.account.repositories['shop']}/rename", {"name": "hidden"})
    lender.refer(consumer, "shop", "shop")
    found = consumer.until_condition("shop", "Ready", "False", "RepositoryNotCovered", seconds=SECONDS)
    # Where it went is for those to know who may see it.
    assert "hidden" not in json.dumps(found["status"])
    assert clone_secrets(consumer) == []


def test_two_installations_of_one_output(lender: Lender) -> None:
    people = lender.people
    lender.apply(outputs=own_output(lender))
    people.until_ready("it", kind="GitHubInstallation")
    before = people.get("Secret", "ci")
    spec = {"account": lender.account.login, "appSecretRef": {"name": "app"}, "outputs": own_output(lender)}
    people.apply("GitHubInstallation", "second", spec)
    found = people.until_condition("second", "Stalled", "True", "Conflict", kind="GitHubInstallation")
    assert "spec.outputs" in condition(found, "Ready")["message"]
    hint(people, "it")
    assert people.get("Secret", "ci") == before
    # It is free as soon as the first one lets go of it.
    lender.apply()
    people.until_condition("second", "Ready", "True", "Ready", kind="GitHubInstallation", seconds=SECONDS)
    assert people.get("Secret", "ci") != before


def test_what_is_taken_back_ends_also_where_nobody_asks_for_it_any_more(
    lender: Lender, more_people: MorePeople, hub: Hub
) -> None:
    consumer = more_people()
    lender.apply(grant(lender.name("shop"), lender.name("open"), names=(consumer.namespace,)))
    lender.people.settled("it", kind="GitHubInstallation")
    for name in ("open", "shop"):
        lender.refer(consumer, name, name)
        working(consumer, name)
    both = working(consumer, "open")
    assert reaches(hub, both) == [lender.name("open"), lender.name("shop")]
    consumer.delete("Project", "shop")
    consumer.until("Project", "shop", lambda project: project is None, "its end")
    lender.apply(grant(lender.name("open"), names=(consumer.namespace,)))
    consumer.until(
        "Secret",
        str(clone_secret(consumer, "open")),
        lambda secret: secret is not None and data_of(secret)["token"] != both,
        "a narrower token",
        seconds=SECONDS,
    )
    lender.people.settled("it", kind="GitHubInstallation")
    assert reaches(hub, working(consumer, "open")) == [lender.name("open")]
    assert reaches(hub, both) == 401
