"""What becomes of Projects and users over their lives, one change after the other, and what each change costs."""

from __future__ import annotations

import base64
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from lab import binaries
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub, Object, People, condition, rollouts_of
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.process import Mooring, policy

GLOBAL = "user-default-global-secrets"
SUFFIX = "life.example.com"
WORKLOAD = {"image": "nginx", "replicas": 1}
OPEN = {"github": {"repository": "acme/open"}}
# Within this a grant that is withdrawn has its effect.
WITHDRAWAL_SECONDS = 10
# Kubernetes' garbage collector learns of a new kind within 30 s, and collects at once afterwards.
COLLECTION_SECONDS = 60


@pytest.fixture(scope="module", autouse=True)
def publishing(mooring: Mooring, kube: Kube) -> Iterator[None]:
    """Let Projects publish."""
    with policy(kube, {"ingress": {"hostSuffixes": [SUFFIX]}}):
        yield


def is_ready(reason: str = "Ready") -> Callable[[Object | None], bool]:
    """Tell whether an object is Ready with its newest spec, for this reason."""

    def there(obj: Object | None) -> bool:
        found = condition(obj or {}, "Ready")
        current = found.get("observedGeneration") == ((obj or {}).get("metadata") or {}).get("generation")
        return current and (found.get("status"), found.get("reason")) == ("True", reason)

    return there


def newest(project: Object | None) -> dict[str, Any]:
    """Return the newest entry of a Project's history."""
    history = ((project or {}).get("status") or {}).get("history") or [{}]
    return dict(history[0])


def has_rolled(trigger: str, entries: int) -> Callable[[Object | None], bool]:
    """Tell whether a Project is Ready again after a rollout with this trigger, its so manieth entry."""

    def there(project: Object | None) -> bool:
        history = ((project or {}).get("status") or {}).get("history") or []
        return is_ready()(project) and newest(project).get("trigger") == trigger and len(history) == entries

    return there


def template(people: People, project: str) -> dict[str, Any]:
    """Return the pod template of a Project."""
    found = people.get("Deployment", f"{project}-default")
    assert found is not None
    return dict(found["spec"]["template"])


def test_kubectl_waits_for_ready(people: People, fresh: TokenMaker) -> None:
    people.secret(GLOBAL, fresh())
    people.apply("GitHubUser", "default", {})
    people.apply("Project", "shop", {"source": OPEN, "workload": WORKLOAD})
    done = subprocess.run(
        [
            str(binaries.find("kubectl")),
            f"--kubeconfig={people.kube.kubeconfig}",
            f"--namespace={people.namespace}",
            "wait",
            "--for=condition=Ready",
            "--timeout=20s",
            "projects.mooring.dev/shop",
            "githubusers.mooring.dev/default",
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("condition met") == 2
    project = people.get("Project", "shop")
    # kstatus: the newest generation was looked at, and none of the abnormal conditions holds.
    assert project is not None
    assert project["status"]["observedGeneration"] == project["metadata"]["generation"]
    assert {condition(project, kind)["status"] for kind in ("Reconciling", "Stalled")} == {"False"}

    # A terminal failure is Failed to it: Stalled for the newest generation. What ran goes on.
    people.apply("Project", "shop", {"source": {**OPEN, "branch": "absent"}, "workload": WORKLOAD})
    failed = people.until_condition("shop", "Stalled", "True", "BranchNotFound")
    assert failed["status"]["observedGeneration"] == failed["metadata"]["generation"]
    assert condition(failed, "Stalled")["observedGeneration"] == failed["metadata"]["generation"]
    assert people.rollouts("shop") == 1


@dataclass
class Shop:
    """A Project with a source and a global token."""

    people: People

    def begin(self, token: str, **workload: Any) -> Object:
        """Make it, and wait for it."""
        self.people.secret(GLOBAL, token)
        self.people.apply("GitHubUser", "default", {})
        self.people.apply("Project", "shop", {"source": OPEN, "workload": {**WORKLOAD, **workload}})
        return self.rolled("Create", 1)

    def change(self, **spec: Any) -> None:
        """Merge something into its spec."""
        self.people.patch("Project", "shop", {"spec": spec})

    def rolled(self, trigger: str, entries: int) -> Object:
        """Wait until it is Ready after its so manieth rollout, and see that there was no other."""
        found = self.people.until("Project", "shop", has_rolled(trigger, entries), f"entry {entries}, {trigger}")
        assert found is not None
        assert self.people.rollouts("shop") == entries
        return found

    def settled(self, ready: int | None = None) -> Object:
        """Wait until it is Ready, with this number of pods."""

        def there(project: Object | None) -> bool:
            return is_ready()(project) and ready in {None, (project or {})["status"]["replicas"]["ready"]}

        found = self.people.until("Project", "shop", there, f"Ready with {ready} pods")
        assert found is not None
        return found


@pytest.fixture
def shop(people: People) -> Shop:
    return Shop(people)


def test_what_rolls_the_pods_and_what_does_not(people: People, shop: Shop, fresh: TokenMaker) -> None:
    env = [{"name": "GREETING", "value": "hello"}, {"name": "NAME", "value": "you"}]
    first = shop.begin(fresh(), env=env, ports=[{"containerPort": 8080}])
    shop.change(workload={"env": env[:1]})
    shop.rolled("Spec", 2)
    names = [e["name"] for e in template(people, "shop")["spec"]["containers"][0]["env"]]
    assert names == ["GREETING", "GITHUB_TOKEN"]

    # Neither the number of pods nor what stands in front of them is part of them.
    shop.change(workload={"replicas": 2})
    shop.settled(ready=2)
    shop.change(expose={"host": f"shop.{SUFFIX}"})
    people.until("Ingress", "shop-default", lambda ingress: ingress is not None)
    shop.settled()
    assert people.get("Service", "shop-default") is not None
    shop.change(expose={"host": None})
    people.until("Ingress", "shop-default", lambda ingress: ingress is None)
    shop.settled()
    assert people.get("Service", "shop-default") is not None
    shop.change(expose=None)
    people.until("Service", "shop-default", lambda service: service is None)
    shop.settled()
    assert people.rollouts("shop") == 2

    # A person asks for new pods of the same revision.
    people.patch("Project", "shop", {"metadata": {"annotations": {"mooring.dev/restart": "once"}}})
    restarted = shop.rolled("Manual", 3)
    assert restarted["status"]["revision"]["sha"] == first["status"]["revision"]["sha"]

    # An autoscaler's number is its own, once the spec names none.
    shop.change(workload={"replicas": None})
    shop.settled()
    people.patch("Deployment", "shop-default", {"spec": {"replicas": 3}})
    shop.settled(ready=3)
    people.patch("Deployment", "shop-default", {"metadata": {"labels": {"mooring.dev/project": None}}})
    mended = people.until(
        "Deployment", "shop-default", lambda d: "mooring.dev/project" in (d or {})["metadata"]["labels"]
    )
    assert mended is not None
    assert mended["spec"]["replicas"] == 3
    assert rollouts_of(mended) == 3


def test_suspend_and_resume(people: People, shop: Shop, fresh: TokenMaker) -> None:
    """No pods, everything else kept, and a rotated token still arrives. Then it goes on."""
    shop.begin(fresh(), replicas=2)
    shop.change(suspend=True)
    people.until("Project", "shop", is_ready("Suspended"))
    people.until("Deployment", "shop-default", lambda d: d is not None and d["spec"]["replicas"] == 0)
    assert people.rollouts("shop") == 1
    rotated = fresh()
    people.secret(GLOBAL, rotated)
    people.until("Project", "shop", lambda p: newest(p).get("trigger") == "Token", "an entry for the token")
    assert people.workload_token("shop") == rotated
    shop.change(suspend=None)
    shop.settled(ready=2)
    shop.rolled("Token", 2)


def test_branches_pins_and_a_lost_status(people: People, shop: Shop, fresh: TokenMaker, hub: Hub) -> None:
    first = shop.begin(fresh())["status"]["revision"]["sha"]
    push = {"repository": "acme/open", "user": "alice", "branch": "next", "files": {"new": people.namespace}}
    hub.control("POST", "/push", {**push, "parent": first})
    shop.change(source={"branch": "next"})
    branched = shop.rolled("Spec", 2)
    assert branched["status"]["source"]["branch"] == "next"
    assert branched["status"]["revision"]["sha"] != first
    shop.change(source={"revision": first})
    assert shop.rolled("Rollback", 3)["status"]["revision"]["sha"] == first
    shop.change(source={"revision": None})
    unpinned = shop.rolled("Spec", 4)["status"]["revision"]
    assert unpinned["sha"] == branched["status"]["revision"]["sha"]

    # The status is wiped by hand: it comes back from what runs, and nothing rolls, though the branch has moved on.
    hub.control("POST", "/push", {**push, "files": {"newer": people.namespace}, "parent": unpinned["sha"]})
    people.patch("Project", "shop", {"status": None}, subresource="status")
    back = shop.settled()["status"]["revision"]
    assert (back["sha"], back["trigger"]) == (unpinned["sha"], "Spec")
    assert people.rollouts("shop") == 4


def _counts(counts: dict[str, int]) -> Callable[[Object | None], bool]:
    return lambda user: ((user or {}).get("status") or {}).get("projects") == counts


def test_tokens_of_a_user(people: People, fresh: TokenMaker, hub: Hub) -> None:
    """One for an organisation, a copy of the global one, its expiry, and a suspension that takes them all away."""
    hub.seed(users=[{"login": "erin"}])
    plain, special = fresh("bob"), fresh("alice")
    ending = fresh("carol", expires_in=3 * 24 * 3600)
    people.secret("plain", plain)
    people.secret("special", special)
    people.secret("user-ending-global-secrets", ending)
    tokens = [{"name": "acme", "owners": ["ac*"], "secretRef": {"name": "special"}}]
    spec = {"tokenSecretRef": {"name": "plain"}, "tokens": tokens}
    people.apply("GitHubUser", "default", spec)
    people.apply("GitHubUser", "ending", {})
    people.apply("Project", "theirs", {"source": OPEN, "workload": WORKLOAD})
    people.apply("Project", "image", {"workload": WORKLOAD})
    people.until_every("Project", dict.fromkeys(("theirs", "image"), is_ready()))
    assert (people.workload_token("theirs"), people.workload_token("image")) == (special, plain)

    # Expiry is told of while there is time, and keeps nobody from being Ready.
    soon = people.until_condition("ending", "TokenResolved", "True", "TokenExpiring", kind="GitHubUser")
    assert condition(soon, "Ready")["status"] == "True"
    assert soon["status"]["token"]["expiresAt"]

    # The copy: kept, repaired, followed, and taken away.
    people.until("Secret", GLOBAL, _holds(plain))
    people.delete("Secret", GLOBAL)
    people.until("Secret", GLOBAL, _holds(plain), seconds=2)
    people.patch("Secret", GLOBAL, {"data": {"github-token": "eA==", "more": "eA=="}})
    people.until("Secret", GLOBAL, _holds(plain), seconds=2)
    rotated = fresh("bob")
    people.secret("plain", rotated)
    people.until("Secret", GLOBAL, _holds(rotated))
    people.until("Project", "image", lambda p: is_ready()(p) and newest(p).get("trigger") == "Token")
    assert people.workload_token("image") == rotated

    # Suspended: the tokens are given to nobody, and the pods lose them.
    people.apply("GitHubUser", "default", {**spec, "suspend": True})
    people.until("GitHubUser", "default", is_ready("Suspended"))
    for name in ("theirs", "image"):
        people.until_condition(name, "TokenResolved", "False", "UserSuspended")
        people.until("Secret", f"{name}-default-token", lambda secret: secret is None, "its end")
        assert people.workload_token(name) is None
    people.until("Secret", GLOBAL, lambda secret: secret is None, "its end")
    people.apply("GitHubUser", "default", spec)
    people.until_every("Project", dict.fromkeys(("theirs", "image"), is_ready()))
    assert (people.workload_token("theirs"), people.workload_token("image")) == (special, rotated)

    # A foreign Secret where the copy should be is left alone, and said so.
    people.secret("user-foreign-global-secrets", "theirs")
    people.apply("GitHubUser", "foreign", {"tokenSecretRef": {"name": "input"}})
    people.secret("input", fresh("erin"))
    people.until_condition("foreign", "Ready", "False", "Conflict", kind="GitHubUser")
    assert _holds("theirs")(people.get("Secret", "user-foreign-global-secrets"))
    people.delete("Secret", "user-foreign-global-secrets")
    people.until("GitHubUser", "foreign", is_ready())


def _holds(token: str) -> Callable[[Object | None], bool]:
    return lambda secret: secret is not None and secret["data"] == {"github-token": _encoded(token)}


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_one_identity_for_one_user(people: People, fresh: TokenMaker) -> None:
    """The older of two users with the same identity keeps it; the other takes over when that one goes."""
    people.secret("user-older-global-secrets", fresh())
    people.secret("user-younger-global-secrets", fresh())
    older = people.apply("GitHubUser", "older", {})
    people.until("GitHubUser", "older", is_ready())
    _next_second(older)
    people.apply("GitHubUser", "younger", {})
    people.apply("Project", "shop", {"userRef": {"name": "younger"}, "workload": WORKLOAD})
    found = people.until_condition("younger", "Ready", "False", "Conflict", kind="GitHubUser")
    assert "alice" in condition(found, "Ready")["message"]
    people.until_condition("shop", "TokenResolved", "False", "UserNotReady")
    assert is_ready()(people.get("GitHubUser", "older"))
    people.delete("GitHubUser", "older")
    people.until("GitHubUser", "younger", is_ready())
    people.until("Project", "shop", is_ready())
    assert people.workload_token("shop") is not None


def _next_second(obj: Object) -> None:
    """Let the second of an object's creation pass: the age of objects is known to the second only."""
    made = obj["metadata"]["creationTimestamp"]
    while time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()) <= made:
        time.sleep(0.05)


def test_grants(people: People, more_people: Callable[..., People], fresh: TokenMaker, kube: Kube) -> None:
    """By name and by selector; what is withdrawn is gone from Secrets and pods within seconds."""
    token = fresh()
    named, selected, stranger = more_people(), more_people(team="a"), more_people(team="b")
    people.secret("user-lender-global-secrets", token)
    by_name = {"namespaces": {"names": [named.namespace]}}
    by_selector = {"namespaces": {"selector": {"matchLabels": {"team": "a"}}}}
    people.apply("GitHubUser", "lender", {"grants": [by_name, by_selector]})
    spec = {"userRef": {"name": "lender", "namespace": people.namespace}, "workload": WORKLOAD}
    for borrower in (named, selected, stranger):
        borrower.apply("Project", "shop", spec)
    for borrower in (named, selected):
        borrower.until("Project", "shop", is_ready())
        assert borrower.workload_token("shop") == token
    # A watch that shows a namespace's labels late has a Project begin without.
    before = {borrower.namespace: borrower.rollouts("shop") for borrower in (named, selected)}
    stranger.until_condition("shop", "TokenResolved", "False", "UserNotFound")
    people.until("GitHubUser", "lender", _counts({"global": 2, "project": 0, "none": 0}))

    began = time.monotonic()
    people.apply("GitHubUser", "lender", {"grants": [by_selector]})
    status, answer = kube.request(
        "PATCH",
        f"/api/v1/namespaces/{selected.namespace}",
        {"metadata": {"labels": {"team": "c"}}},
        "application/merge-patch+json",
    )
    assert status == 200, answer
    for borrower in (named, selected):
        borrower.until("Secret", "shop-default-token", lambda secret: secret is None, "its end")
        borrower.until_condition("shop", "TokenResolved", "False", "UserNotFound")
        assert borrower.workload_token("shop") is None
        once_more = before[borrower.namespace] + 1
        borrower.until("Deployment", "shop-default", partial(_has_rolled, once_more))
    assert time.monotonic() - began < WITHDRAWAL_SECONDS


def _has_rolled(times: int, deployment: Object | None) -> bool:
    return rollouts_of(deployment) == times


def test_deletion_takes_everything_along(people: People, fresh: TokenMaker) -> None:
    people.secret(GLOBAL, fresh())
    people.apply("GitHubUser", "default", {})
    exposed = {"workload": {**WORKLOAD, "ports": [{"containerPort": 8080}]}}
    for name in ("goes", "stays"):
        people.apply("Project", name, {**exposed, "expose": {"host": f"{name}.{SUFFIX}"}})
    people.until_every("Project", dict.fromkeys(("goes", "stays"), is_ready()))
    people.until("GitHubUser", "default", _counts({"global": 2, "project": 0, "none": 0}))
    people.delete("Project", "goes")
    gone = {"Secret": "goes-default-token", "Deployment": "goes-default", "Service": "goes-default"}
    for kind, name in {**gone, "Ingress": "goes-default"}.items():
        people.until(kind, name, lambda obj: obj is None, "its end", seconds=COLLECTION_SECONDS)
        assert people.get(kind, name.replace("goes", "stays")) is not None
    people.until("GitHubUser", "default", _counts({"global": 1, "project": 0, "none": 0}))
