"""The intake: who is asked to look again after an event, and who is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from mooring.services.intake import Intake
from mooring.services.store import Key
from tests.unit.objects import raw_project, raw_user
from tests.unit.services.platforms import platform

OURS = {"app.kubernetes.io/managed-by": "mooring", "mooring.dev/project": "shop"}
SHOP, OTHER = Key("Project", "team-a", "shop"), Key("Project", "team-a", "other")
DEFAULT, JANE = Key("GitHubUser", "team-a", "default"), Key("GitHubUser", "team-a", "jane")


@dataclass(frozen=True)
class Seen:
    """What a watch tells of an object."""

    kind: str
    name: str
    event: str = "MODIFIED"
    namespace: str = "team-a"
    resource_version: str = "50"
    labels: Mapping[str, str] = field(default_factory=dict)


class Desk:
    """An intake with its store, and the keys that were asked for since one last looked."""

    def __init__(self, *objects: dict[str, Any], **changes: Any) -> None:
        self.platform = platform(**changes)
        self._asked: list[Key] = []
        self.intake = Intake(self.platform, self._asked.append)
        for obj in objects:
            self.intake.own_kind(None, obj)
        self.asked()

    def asked(self) -> set[Key]:
        """Take what was asked for."""
        found = set(self._asked)
        self._asked.clear()
        return found

    def own(self, event: str | None, obj: dict[str, Any]) -> set[Key]:
        self.intake.own_kind(event, obj)
        return self.asked()

    def see(self, seen: Seen) -> set[Key]:
        self.intake.sighting(seen)
        return self.asked()


def newer(obj: dict[str, Any], version: int = 11, **changes: Any) -> dict[str, Any]:
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(version)}, **changes}


# --- the three kinds ---


def test_an_object_that_comes_is_looked_at_and_one_that_says_nothing_new_is_not() -> None:
    desk = Desk()
    assert desk.own(None, raw_project()) == {SHOP}
    assert desk.own("ADDED", raw_project()) == set()
    assert desk.own("MODIFIED", newer(raw_project())) == {SHOP}


def test_a_user_that_comes_changes_or_goes_concerns_its_projects_and_its_rivals() -> None:
    far = raw_project("far", {"userRef": {"name": "default", "namespace": "team-a"}}, namespace="team-b")
    desk = Desk(raw_project(), raw_project("other", {"userRef": {"name": "jane"}}), far, raw_user("jane"))
    concerned = {DEFAULT, JANE, SHOP, Key("Project", "team-b", "far")}
    assert desk.own("ADDED", raw_user()) == concerned
    # Its status alone concerns nobody else.
    assert desk.own("MODIFIED", newer(raw_user(), 12, status={"login": "x"})) == {DEFAULT}
    assert desk.own("MODIFIED", newer(raw_user(), 13, spec={"suspend": True})) == concerned
    assert desk.own("DELETED", newer(raw_user(), 14, spec={"suspend": True})) == concerned
    assert desk.own("DELETED", newer(raw_user(), 14)) == set()


def test_a_host_that_is_given_up_or_taken_concerns_whoever_wants_it() -> None:
    hosts = {name: {"expose": {"host": f"{name}.example.com"}} for name in ("a", "b")}
    desk = Desk(raw_project("shop", hosts["a"]), raw_project("other", hosts["a"]), raw_project("third", hosts["b"]))
    moved = newer(raw_project("shop", hosts["b"]))
    assert desk.own("MODIFIED", moved) == {SHOP, OTHER, Key("Project", "team-a", "third")}
    assert desk.own("DELETED", newer(raw_project("third", hosts["b"]))) == {Key("Project", "team-a", "third"), SHOP}


def test_whoever_is_on_no_list_any_more_is_gone_unless_he_came_back() -> None:
    desk = Desk(raw_project(), raw_user(), raw_project("far", namespace="team-b"))
    known = desk.intake.known("GitHubUser", None)
    assert known == {"uid-default": DEFAULT}
    assert desk.intake.known("Project", "team-a") == {"uid-shop": SHOP}
    assert set(desk.intake.known("Project", None)) == {"uid-shop", "uid-far"}
    desk.intake.missing(DEFAULT, "uid-of-one-before")
    assert desk.asked() == set()
    desk.intake.missing(DEFAULT, "uid-default")
    assert desk.asked() == {DEFAULT, SHOP}
    assert DEFAULT not in desk.platform.store
    desk.intake.missing(DEFAULT, "uid-default")
    assert desk.asked() == set()


# --- Secrets and other things that are referred to ---


def test_a_secret_concerns_whoever_names_it_and_the_projects_of_a_user_that_does() -> None:
    named = raw_project("other", {"token": {"secretRef": {"name": "pat"}}})
    desk = Desk(raw_project(), named, raw_user())
    for event in ("ADDED", "MODIFIED", "DELETED"):
        assert desk.see(Seen("Secret", "pat", event)) == {OTHER}
        # `other` inherits from nobody, but refers to the default user as long as it names no other.
        assert desk.see(Seen("Secret", "user-default-global-secrets", event)) == {DEFAULT, SHOP, OTHER}
    assert desk.see(Seen("Secret", "else")) == set()
    assert desk.see(Seen("Secret", "pat", namespace="team-b")) == set()


def test_which_names_of_secrets_are_taken_is_known_of_all_that_come_and_go() -> None:
    desk = Desk()
    known = []
    for event in ("ADDED", "MODIFIED", "DELETED"):
        desk.see(Seen("Secret", "else", event))
        known.append(desk.platform.secrets.is_taken("team-a", "else"))
    assert known == [True, True, False]


def test_a_service_account_concerns_whoever_names_it() -> None:
    desk = Desk(
        raw_project("shop", {"workload": {"image": "a", "serviceAccountName": "builder"}}), raw_project("other")
    )
    assert desk.see(Seen("ServiceAccount", "builder")) == {SHOP}


# --- children ---


@pytest.mark.parametrize("kind", ["Deployment", "Service", "Ingress"])
def test_a_child_concerns_its_project_unless_we_wrote_it(kind: str) -> None:
    desk = Desk(raw_project(), raw_project("other"))
    child = Seen(kind, "shop-default", labels=OURS)
    assert desk.see(child) == {SHOP}
    desk.platform.wrote(
        {"kind": kind, "metadata": {"name": "shop-default", "namespace": "team-a", "resourceVersion": "50"}}
    )
    assert desk.see(child) == set()
    assert desk.see(Seen(kind, "shop-default", labels=OURS, resource_version="51")) == {SHOP}
    assert desk.see(Seen(kind, "shop-default", "DELETED", labels=OURS)) == {SHOP}


def test_a_child_of_nobody_or_of_another_manager_concerns_nobody() -> None:
    desk = Desk(raw_project())
    assert desk.see(Seen("Deployment", "gone-default", labels={**OURS, "mooring.dev/project": "gone"})) == set()
    assert desk.see(Seen("Deployment", "shop-default", labels={"mooring.dev/project": "shop"})) == set()
    assert desk.see(Seen("Secret", "shop-default-token")) == set()


@pytest.mark.parametrize("labels", [{}, {"mooring.dev/project": "shop"}, {**OURS, "mooring.dev/project": "other"}])
@pytest.mark.parametrize(("kind", "name"), [("Secret", "shop-default-token"), ("Service", "shop-default")])
def test_a_child_is_known_by_its_place_whatever_becomes_of_its_labels(
    kind: str, name: str, labels: dict[str, str]
) -> None:
    desk = Desk(raw_project())
    assert desk.see(Seen(kind, name, "ADDED", labels=OURS)) == {SHOP}
    assert desk.see(Seen(kind, name, labels=labels)) == {SHOP}
    assert desk.see(Seen(kind, name, "DELETED", labels=labels)) == {SHOP}
    assert desk.platform.seen_children == set()
    # Now nothing is known of it.
    assert desk.see(Seen(kind, name, labels={})) == set()


# --- namespaces ---


def test_a_namespace_that_becomes_known_or_is_relabelled_concerns_its_projects() -> None:
    desk = Desk(raw_project(), raw_project("far", namespace="team-b"))

    def namespace(event: str, **labels: str) -> Seen:
        return Seen("Namespace", "team-a", event, "", labels=labels)

    # A Project may have been looked at before its namespace was seen.
    assert desk.see(namespace("ADDED", team="a")) == {SHOP}
    assert desk.see(namespace("MODIFIED", team="a")) == set()
    assert desk.see(namespace("MODIFIED", team="b")) == {SHOP}
    assert desk.platform.labels_of("team-a") == {"team": "b"}
    assert desk.see(namespace("DELETED")) == set()
    assert desk.platform.labels_of("team-a") == {}


def test_a_confined_operator_knows_no_labels() -> None:
    desk = Desk(raw_project(), namespaces=None)
    assert desk.see(Seen("Namespace", "team-a", "ADDED", "", labels={"team": "a"})) == set()
    assert desk.platform.labels_of("team-a") is None
