"""The operator is killed at every change that it makes, one after the other: the end is always the same.

Each crash has a namespace of its own, and the operator that is killed there is the one that mends the crashes before.
So a run costs one start of the operator a crash; what came of all of them is looked at in the end.
"""

from __future__ import annotations

import base64
import itertools
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lab import Lab
from lab.kubernetes.identity import service_account_kubeconfig
from lab.kubernetes.kubeconfig import Access
from tests.cluster.conftest import PATIENCE, Kube
from tests.cluster.cutting import Cut, CuttingProxy, When
from tests.cluster.harness import Hub, People, condition
from tests.cluster.process import (
    SYSTEM,
    Mooring,
    free_lease,
    install_roles,
    operator_environment,
    policy,
    start_operator,
    wait_ready,
)

LOGINS = {"first": "alice", "second": "alice", "own": "bob"}
GLOBAL = "user-default-global-secrets"
# No flow makes more changes than this; a flow that does never ends.
MOST_CHANGES = 60
# Told of a moment, or made from a uid, so that they differ between any two namespaces.
TIMES = {"provenAt", "readAt", "since", "lastTransitionTime", "deployedAt", "updatedAt"}
VOLATILE = TIMES | {"proof", "fingerprint", "mooring.dev/token-checksum", "clusterIP", "clusterIPs"}
# Kubernetes itself removes what belonged to something that was deleted. It learns of new kinds every 30 seconds.
COLLECTED = 2 * PATIENCE
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Tokens:
    """What everybody uses."""

    first: str
    second: str
    own: str


@dataclass(frozen=True)
class Flow:
    """Something that people do, to what was there before."""

    name: str
    act: Callable[[People, Tokens], None]
    # Which token each Project has in the end; one that is not listed is gone.
    tokens: Mapping[str, str | None]
    # What the user's own Secret holds in the end.
    copy: str | None = "first"
    # Whether what the story begins with is there already.
    prepared: bool = True
    users: tuple[str, ...] = ("default",)

    def secrets(self, tokens: Tokens) -> dict[str, str | None]:
        """Return the tokens in the Secrets that Mooring keeps, None for those that are not there."""
        roles = {GLOBAL: self.copy} | {f"{project}-default-token": role for project, role in self.tokens.items()}
        return {name: getattr(tokens, role) if role else None for name, role in roles.items()}


def make_everything(people: People, tokens: Tokens) -> None:
    """Make a user and two Projects."""
    make_user(people, tokens)
    make_projects(people)


def make_user(people: People, tokens: Tokens) -> None:
    """Make a user, and all Secrets."""
    people.secret("global", tokens.first)
    people.secret("own", tokens.own)
    people.apply("GitHubUser", "default", {"tokenSecretRef": {"name": "global"}})


def make_projects(people: People) -> None:
    """Make two Projects that between them have every sort of child."""
    people.apply("Project", "inherits", inheriting(people))
    people.apply("Project", "own", owning())


def inheriting(people: People, **more: Any) -> dict[str, Any]:
    """Return the spec of a Project with a source, that is reached from outside and inherits its token."""
    return {
        "source": {"github": {"repository": "acme/open"}},
        "workload": {"image": "nginx", "ports": [{"containerPort": 8080}]},
        "expose": {"host": f"{people.namespace}.example.com"},
        **more,
    }


def owning(**more: Any) -> dict[str, Any]:
    """Return the spec of a Project with a token of its own."""
    return {"token": {"secretRef": {"name": "own"}}, "workload": {"image": "nginx"}, **more}


def rotate(people: People, tokens: Tokens) -> None:
    """Replace the global token."""
    people.secret("global", tokens.second)


def to_own_token(people: People, tokens: Tokens) -> None:
    """Have the inheriting Project use a token of its own."""
    people.apply("Project", "inherits", inheriting(people, token={"secretRef": {"name": "own"}}))


def to_no_token(people: People, tokens: Tokens) -> None:
    """Have both Projects opt out."""
    people.apply("Project", "inherits", inheriting(people, token={"source": "none"}))
    people.apply("Project", "own", owning(token={"source": "none"}))


def new_image(people: People, tokens: Tokens) -> None:
    """Change what runs."""
    for name in ("inherits", "own"):
        people.patch("Project", name, {"spec": {"workload": {"image": "nginx:2"}}})


def suspend(people: People, tokens: Tokens) -> None:
    """Stop the Projects."""
    for name in ("inherits", "own"):
        people.patch("Project", name, {"spec": {"suspend": True}})


def hide(people: People, tokens: Tokens) -> None:
    """Take a Project from the net."""
    people.patch("Project", "inherits", {"spec": {"expose": None}})


def remove_token(people: People, tokens: Tokens) -> None:
    """Remove the global token, and the reference to it."""
    people.patch("GitHubUser", "default", {"spec": {"tokenSecretRef": None}})
    people.secret("global", None)


def delete(people: People, tokens: Tokens) -> None:
    """Delete the user and one Project."""
    people.delete("GitHubUser", "default")
    people.delete("Project", "own")


BEGIN = {"inherits": "first", "own": "own"}
CREATE = Flow("create", make_everything, BEGIN, prepared=False)
ROTATE = Flow("rotate", rotate, {"inherits": "second", "own": "own"}, copy="second")
FLOWS = (
    CREATE,
    ROTATE,
    Flow("to-own-token", to_own_token, {"inherits": "own", "own": "own"}),
    Flow("to-no-token", to_no_token, {"inherits": None, "own": None}),
    Flow("new-image", new_image, BEGIN),
    Flow("suspend", suspend, BEGIN),
    Flow("hide", hide, BEGIN),
    Flow("remove-token", remove_token, {"inherits": None, "own": "own"}, copy=None),
    Flow("delete", delete, {"inherits": None}, copy=None, users=()),
)


@dataclass
class Cluster:
    """A cluster whose operator is killed now and then."""

    lab: Lab
    kube: Kube
    folder: Path
    tokens: Tokens
    proxy: CuttingProxy
    environment: dict[str, str]

    @contextmanager
    def operator(self) -> Iterator[Mooring]:
        """Run the operator to the end of the block, or of its life."""
        mooring = start_operator(self.environment, self.folder)
        try:
            yield mooring
        finally:
            if mooring.process.poll() is None:
                mooring.kill()
            mooring.process.wait(PATIENCE)
            free_lease(self.kube)

    def people(self, flow: Flow) -> People:
        """Return somebody in a fresh namespace."""
        name = f"crash-{next(_numbers)}-{flow.name}"
        status, body = self.kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        assert status == 201, body
        return People(self.kube, name)


@pytest.fixture(scope="module")
def cluster(lab: Lab, kube: Kube, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return the cluster, with a policy under which Projects may be reached from outside."""
    folder = tmp_path_factory.mktemp("crash")
    install_roles(kube)
    kubeconfig = service_account_kubeconfig(lab.env, SYSTEM, "mooring-operator", folder / "operator.kubeconfig")
    proxy = CuttingProxy(Access.load(kubeconfig))
    proxy.start()
    proxy.lead_here(kubeconfig)
    tokens = Tokens(*(hub.token(f"crash-{name}", login) for name, login in LOGINS.items()))
    with policy(kube, {"ingress": {"hostSuffixes": ["example.com"]}}):
        yield Cluster(lab, kube, folder, tokens, proxy, operator_environment(lab, kubeconfig))
    proxy.stop()


def test_a_crash_while_everything_is_made_or_a_token_is_rotated(cluster: Cluster) -> None:
    crash_everywhere(cluster, (CREATE, ROTATE), alternately=True)


def test_a_start_while_github_is_away_or_limits_rolls_nothing(cluster: Cluster, hub: Hub) -> None:
    people = cluster.people(CREATE)
    cluster.proxy.armed = None
    with cluster.operator() as mooring:
        wait_ready(mooring)
        begin(cluster, [people])
    before = templates(people)
    hub.control("POST", "/faults", [{"kind": "status", "status": 503, "path": "*", "credential": "crash-first"}])
    hub.control("POST", "/faults", [{"kind": "primary-limit", "path": "*", "credential": "crash-own"}])
    try:
        with cluster.operator() as mooring:
            wait_ready(mooring)
            people.until_condition("inherits", "TokenResolved", "Unknown", "GitHubUnavailable")
            people.until_condition("own", "TokenResolved", "Unknown", "RateLimited")
    finally:
        hub.control("DELETE", "/faults")
    assert templates(people) == before
    assert [people.rollouts(name) for name in BEGIN] == [1, 1]


def templates(people: People) -> dict[str, Any]:
    """Return what the pods of a namespace are made of."""
    return {found["metadata"]["name"]: found["spec"]["template"] for found in people.list("Deployment")}


@pytest.mark.scale
def test_a_crash_at_any_change_of_any_flow(cluster: Cluster, hub: Hub) -> None:
    # Each start asks GitHub about the tokens anew, more often than an hour's quota allows.
    hub.control("POST", "/limits", {"authenticated": 1_000_000, "points_per_minute": 1_000_000})
    crash_everywhere(cluster, FLOWS, alternately=False)


def crash_everywhere(cluster: Cluster, flows: tuple[Flow, ...], *, alternately: bool) -> None:
    """Crash at each change of each flow, and hold what comes of it against a life without a crash."""
    references, changes = live_without_a_crash(cluster, flows)
    assert references["create"]["rollouts"] == {"inherits-default": 1, "own-default": 1}
    assert references["rotate"]["rollouts"] == {"inherits-default": 2, "own-default": 1}
    waiting = prepare(cluster, flows, changes, ways=1 if alternately else 2)
    crashed: list[tuple[str, Flow, People]] = []
    for flow in flows:
        for number in range(1, changes[flow.name] + 1):
            ways: tuple[When, ...] = ("before", "after")
            for when in (ways[number % 2],) if alternately else ways:
                people = waiting[flow.name].pop()
                struck = crash(cluster, flow, people, number, when)
                crashed.append((f"{flow.name}, killed {when} change {number}: {struck}", flow, people))
    with cluster.operator() as mooring:
        wait_ready(mooring)
        for what, flow, people in crashed:
            wait_for_end(people, references[flow.name], what)
        # Nothing came afterwards.
        for what, flow, people in crashed:
            assert not differences(people, references[flow.name]), what


def live_without_a_crash(cluster: Cluster, flows: tuple[Flow, ...]) -> tuple[dict[str, Any], dict[str, int]]:
    """Go through the flows; return how each ends, and how many changes it takes."""
    lives: list[tuple[Flow, People]] = [(flow, cluster.people(flow)) for flow in flows]
    changes: dict[str, int] = {}
    cluster.proxy.armed = None
    with cluster.operator() as mooring:
        wait_ready(mooring)
        begin(cluster, [people for flow, people in lives if flow.prepared])
        for flow, people in lives:
            cut = cluster.proxy.armed = Cut(people.namespace, 0, "before", mooring.process)
            flow.act(people, cluster.tokens) if flow.prepared else begin(cluster, [people])
            settle(flow, people, cluster.tokens)
            changes[flow.name] = len(cut.seen)
            assert 0 < len(cut.seen) <= MOST_CHANGES, cut.seen
        for flow, people in lives:
            settle_counts(flow, people)
        return {flow.name: end(people) for flow, people in lives}, changes


def prepare(cluster: Cluster, flows: tuple[Flow, ...], changes: dict[str, int], ways: int) -> dict[str, list[People]]:
    """Return somebody for each crash, with what the flow begins with."""
    waiting = {flow.name: [cluster.people(flow) for _ in range(ways * changes[flow.name])] for flow in flows}
    cluster.proxy.armed = None
    with cluster.operator() as mooring:
        wait_ready(mooring)
        begin(cluster, [people for flow in flows if flow.prepared for people in waiting[flow.name]])
    return waiting


def begin(cluster: Cluster, everybody: list[People]) -> None:
    """Make what the flows begin with, for all at once.

    The operator runs, and sees each kind by itself: a Project that it saw before its user would begin without a token.
    """
    for people in everybody:
        make_user(people, cluster.tokens)
    for people in everybody:
        people.until("GitHubUser", "default", is_ready, "Ready")
        make_projects(people)
    for people in everybody:
        settle(CREATE, people, cluster.tokens)


def crash(cluster: Cluster, flow: Flow, people: People, number: int, when: When) -> str:
    """Start the operator, have it do something, and kill it; return at which change, if it came so far.

    It finds the work when it is up: people do theirs while it starts.
    """
    with cluster.operator() as mooring:
        cut = cluster.proxy.armed = Cut(people.namespace, number, when, mooring.process)
        flow.act(people, cluster.tokens)
        # Two lives seldom make the very same changes: a write or two more or less, where conditions pass by unseen.
        while not cut.done.wait(0.1):
            if is_settled(flow, people, cluster.tokens):
                break
        cluster.proxy.armed = None
    return cut.seen[-1] if cut.done.is_set() else "not reached"


# --- how a flow ends ---


def settle(flow: Flow, people: People, tokens: Tokens) -> None:
    """Wait for the end of a flow, but for the counts, which come some seconds later."""
    for name, token in flow.secrets(tokens).items():
        people.until("Secret", name, partial(holds, token), "the right token", seconds=COLLECTED)
    for name in flow.tokens:
        people.until("Project", name, is_ready, "Ready")
    for name in flow.users:
        people.until("GitHubUser", name, is_ready, "Ready")
    for name in BEGIN.keys() - flow.tokens.keys():
        people.until(
            "Deployment", f"{name}-default", lambda deployment: deployment is None, "its end", seconds=COLLECTED
        )


def settle_counts(flow: Flow, people: People) -> None:
    """Wait until the user's counts are right."""
    counts = {"global": 0, "project": 0, "none": 0}
    for name in flow.tokens:
        project = people.get("Project", name)
        assert project is not None
        counts[project["status"]["token"]["source"]] += 1
    for name in flow.users:
        people.until("GitHubUser", name, partial(counts_as, counts), f"{counts}")


def wait_for_end(people: People, reference: dict[str, Any], what: str) -> None:
    """Wait until everything is as it should be. No single watch tells of it, so it is looked at again and again."""
    deadline = time.monotonic() + COLLECTED
    while time.monotonic() < deadline:
        if not differences(people, reference):
            return
    assert not differences(people, reference), what


def is_settled(flow: Flow, people: People, tokens: Tokens) -> bool:
    """Tell whether everything has the right token and, then, is Ready: a new token makes it unready first."""
    return all(holds(token, people.get("Secret", name)) for name, token in flow.secrets(tokens).items()) and all(
        is_ready(people.get(kind, name))
        for kind, names in (("Project", flow.tokens), ("GitHubUser", flow.users))
        for name in names
    )


def holds(token: str | None, secret: dict[str, Any] | None) -> bool:
    """Tell whether a Secret has a token, or, for None, is not there."""
    if secret is None or token is None:
        return secret is None and token is None
    return token in {base64.b64decode(value).decode() for value in (secret.get("data") or {}).values()}


def counts_as(counts: Mapping[str, int], user: dict[str, Any] | None) -> bool:
    """Tell whether a GitHubUser is Ready and its counts are right."""
    return is_ready(user) and (user or {})["status"].get("projects") == counts


def is_ready(obj: dict[str, Any] | None) -> bool:
    """Tell whether an object is Ready with its newest spec."""
    ready = condition(obj or {}, "Ready")
    generation = (obj or {}).get("metadata", {}).get("generation")
    return ready.get("status") == "True" and ready.get("observedGeneration") == generation


def end(people: People) -> dict[str, Any]:
    """Return all that matters of a namespace, without what differs between any two."""
    found: dict[str, Any] = {}
    for kind in ("GitHubUser", "Project", "Deployment", "Service", "Ingress"):
        for obj in people.list(kind):
            found[f"{kind} {obj['metadata']['name']}"] = [lasting(obj.get("spec"))]
            if kind in {"GitHubUser", "Project"}:
                found[f"{kind} {obj['metadata']['name']}"].append(lasting(obj["status"]))
    for secret in people.list("Secret"):
        data = {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
        found[f"Secret {secret['metadata']['name']}"] = data
    found["ReplicaSets"] = len(people.list("ReplicaSet"))
    found["rollouts"] = {
        deployment["metadata"]["name"]: people.rollouts(deployment["metadata"]["name"].removesuffix("-default"))
        for deployment in people.list("Deployment")
    }
    shown: dict[str, Any] = json.loads(json.dumps(found, sort_keys=True).replace(people.namespace, "<namespace>"))
    return shown


def differences(people: People, reference: dict[str, Any]) -> list[str]:
    """Return what a namespace came to and should not have, beside what it should have come to."""
    found = end(people)
    others = [name for name in sorted(found.keys() | reference.keys()) if found.get(name) != reference.get(name)]
    return [f"{name}: {json.dumps(found.get(name))}, not {json.dumps(reference.get(name))}" for name in others]


def lasting(value: Any) -> Any:
    """Return a value without what is volatile in it."""
    if isinstance(value, dict):
        return {key: lasting(entry) for key, entry in value.items() if key not in VOLATILE}
    return [lasting(entry) for entry in value] if isinstance(value, list) else value
