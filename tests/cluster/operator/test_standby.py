"""One operator works, the others stand by: how one takes over from another, and that two never write at once."""

from __future__ import annotations

import json
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from lab import Lab
from lab.kubernetes.identity import service_account_kubeconfig
from lab.kubernetes.kubeconfig import Access
from tests.cluster.conftest import PATIENCE, Kube
from tests.cluster.cutting import CuttingProxy
from tests.cluster.harness import Hub, People, rollouts_of
from tests.cluster.operator.apps import data_of, install, make_app, put_app
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.process import (
    SYSTEM,
    Mooring,
    free_lease,
    install_roles,
    operator_environment,
    start_operator,
    wait_ready,
)
from tests.cluster.token_life import proven_long_ago

GLOBAL = "user-default-global-secrets"
WORKLOAD = {"image": "nginx", "replicas": 0}
# Seconds: the promise.
AFTER_CRASH = 20.0
LEASE_SECONDS = 15
BEGINS = "reconciling begins"
MANY, SOME = 100, 40


@dataclass
class Replica:
    """One of several operators, with a way to the API server of its own, which shows what it asks for."""

    mooring: Mooring
    proxy: CuttingProxy

    def changes(self, namespace: str) -> list[str]:
        """Return what it asked to be changed in a namespace; those of other tests are being deleted."""
        return [change for change in self.proxy.changes if f"/namespaces/{namespace}/" in change]

    def lines(self, text: str) -> list[dict[str, Any]]:
        """Return the lines of its log with a text."""
        found = (json.loads(line) for line in self.mooring.log.splitlines() if line.startswith("{"))
        return [line for line in found if text in line["message"]]

    def when(self, text: str) -> datetime:
        """Return when it logged something."""
        (line,) = self.lines(text)
        return datetime.fromisoformat(line["ts"])

    def metric(self, name: str) -> float:
        """Return the sum of a metric over its labels."""
        text = self.mooring.ask("/metrics").text
        # One that was never counted has a description and no value.
        assert f"# TYPE {name} " in text, name
        return sum(map(float, re.findall(rf"^{name}(?:\{{.*\}})? (\S+)$", text, re.MULTILINE)))

    def until_done(self, objects: int) -> None:
        """Wait until it has looked at so many objects, and nothing is left to do."""
        deadline = time.monotonic() + PATIENCE
        while self.metric("mooring_reconcile_results_total") < objects or self.metric("mooring_queue_depth"):
            assert time.monotonic() < deadline, self.mooring.log[-4000:]
            time.sleep(0.1)


Start = Callable[[], Replica]


@pytest.fixture
def start(lab: Lab, kube: Kube, hub: Hub, tmp_path: Path) -> Iterator[Start]:
    """Return what starts one more operator. The first one is waited for, so that it leads; the others stand by."""
    install_roles(kube)
    started: list[Replica] = []
    with ExitStack() as stack:

        def one() -> Replica:
            folder = tmp_path / f"replica-{len(started)}"
            folder.mkdir()
            kubeconfig = service_account_kubeconfig(lab.env, SYSTEM, "mooring-operator", folder / "kubeconfig")
            proxy = CuttingProxy(Access.load(kubeconfig))
            proxy.start()
            stack.callback(proxy.stop)
            proxy.lead_here(kubeconfig)
            mooring = start_operator(operator_environment(lab, kubeconfig), folder)
            stack.callback(end, mooring)
            started.append(Replica(mooring, proxy))
            if len(started) == 1:
                wait_ready(mooring)
            return started[-1]

        yield one
    free_lease(kube)


def end(mooring: Mooring) -> None:
    """End an operator at once, also one that is stopped."""
    if mooring.process.poll() is None:
        mooring.kill()


def lease(kube: Kube) -> dict[str, Any]:
    """Return the Lease's spec."""
    found = People(kube, SYSTEM).get("Lease", "mooring-operator")
    assert found is not None
    return dict(found["spec"])


def make_projects(people: People, number: int, token: str) -> list[str]:
    """Make Projects that inherit a token, and wait until they have it."""
    people.secret(GLOBAL, token)
    people.apply("GitHubUser", "default", {})
    names = [f"p{one}" for one in range(number)]
    for name in names:
        people.apply("Project", name, {"workload": WORKLOAD})
    until_ready(people, names)
    return names


def until_counted(people: People, number: int) -> None:
    """Wait for the last write: the user's counts, which come some seconds later, together."""
    people.until("GitHubUser", "default", lambda user: counted(user) >= number, "its counts")


def counted(user: dict[str, Any] | None) -> int:
    """Return how many Projects inherit from a user."""
    status = (user or {}).get("status") or {}
    return int((status.get("projects") or {}).get("global", 0))


def until_ready(people: People, names: list[str]) -> None:
    """Wait until Projects are done with their newest spec, and Kubernetes with their Deployments."""

    def ready(obj: dict[str, Any] | None) -> bool:
        conditions = ((obj or {}).get("status") or {}).get("conditions") or []
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    people.until_every("Project", dict.fromkeys(names, ready))


def decoded(secret: dict[str, Any] | None) -> dict[str, str]:
    """Return what a Secret holds, nothing where there is none."""
    return {} if secret is None else data_of(secret)


def rollouts(people: People) -> dict[str, int]:
    """Return how often each workload was rolled out."""
    return {found["metadata"]["name"]: rollouts_of(found) for found in people.list("Deployment")}


def test_one_works_and_a_graceful_end_hands_over(
    start: Start, kube: Kube, hub: Hub, namespace: str, fresh: TokenMaker
) -> None:
    people, app = People(kube, namespace), make_app(hub)
    install(hub, app)
    first, second = start(), start()
    put_app(people, app)
    output = {"secretName": "ci", "format": "Token", "repositories": ["acme/shop"]}
    people.apply(
        "GitHubInstallation", "acme", {"account": "acme", "appSecretRef": {"name": "app"}, "outputs": [output]}
    )
    source = {"source": {"github": {"repository": "acme/shop"}}, "installationRef": {"name": "acme"}}
    people.apply("Project", "shop", {**source, "workload": WORKLOAD})
    make_projects(people, 5, fresh())
    people.settled("acme", kind="GitHubInstallation")
    people.settled("shop")
    until_counted(people, 6)
    wait_ready(second.mooring, leads=False)
    proven_long_ago(people, "shop")

    # One of the two did all of it; the other is as ready as the first, and did nothing at all.
    assert [replica.metric("mooring_leader") for replica in (first, second)] == [1, 0]
    assert second.mooring.ask("/readyz").status_code == second.mooring.ask("/healthz").status_code == 200
    assert second.proxy.changes == []
    assert second.metric("mooring_github_requests_total") == 0
    assert second.metric("mooring_objects") == 0
    before, mark, rolled = lease(kube), hub.mark(), rollouts(people)
    assert before["leaseDurationSeconds"] == LEASE_SECONDS
    assert before["acquireTime"] <= before["renewTime"]

    assert first.mooring.stop() == 0
    second.mooring.until_logged(BEGINS)
    took = (second.when(BEGINS) - first.when("is released")).total_seconds()
    assert took < LEASE_SECONDS / 3, "nobody waits for the end of a Lease that was released"
    second.until_done(8)
    # Everything was looked at again, and nothing done again: no write, no token, no rollout.
    assert second.changes(namespace) == []
    assert [entry for entry in hub.journal(mark) if entry["method"] != "GET"] == []
    assert rollouts(people) == rolled
    assert [replica.metric("mooring_leader") for replica in (second,)] == [1]
    after = lease(kube)
    assert after["leaseTransitions"] == before["leaseTransitions"] + 1
    assert after["holderIdentity"] != before["holderIdentity"]
    # And it works.
    people.secret(GLOBAL, token := fresh())
    people.until("Secret", "p0-default-token", lambda found: token in decoded(found).values())
    # Nobody stands by: who ends leaves the Lease to whoever comes.
    assert second.mooring.stop() == 0
    assert not lease(kube).get("holderIdentity")


def test_after_a_crash_one_of_the_others_takes_over(
    start: Start, kube: Kube, hub: Hub, namespace: str, fresh: TokenMaker
) -> None:
    people = People(kube, namespace)
    first, *others = start(), start(), start()
    make_projects(people, MANY, fresh())
    until_counted(people, MANY)
    for other in others:
        wait_ready(other.mooring, leads=False)
    before, mark, rolled = lease(kube), hub.mark(), rollouts(people)
    killed = time.monotonic()
    first.mooring.kill()
    deadline = killed + AFTER_CRASH
    while not (heirs := [other for other in others if other.lines(BEGINS)]):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    (heir,) = heirs
    assert time.monotonic() - killed > LEASE_SECONDS - PATIENCE / 6, "nobody may know sooner that it is dead"
    heir.until_done(MANY + 1)
    (idle,) = (other for other in others if other is not heir)
    assert heir.changes(namespace) == idle.changes(namespace) == []
    # It may have reached for the Lease as well, and been too late.
    assert [change for change in idle.proxy.changes if not change.endswith("/leases/mooring-operator")] == []
    assert [entry for entry in hub.journal(mark) if entry["method"] != "GET"] == []
    assert rollouts(people) == rolled
    assert [replica.metric("mooring_leader") for replica in (heir, idle)] == [1, 0]
    assert lease(kube)["leaseTransitions"] == before["leaseTransitions"] + 1
    assert idle.mooring.stop() == 0


def test_who_was_stopped_for_longer_than_the_lease_writes_nothing_more(
    start: Start, kube: Kube, hub: Hub, namespace: str, fresh: TokenMaker
) -> None:
    people = People(kube, namespace)
    first, second = start(), start()
    names = make_projects(people, SOME, fresh())
    wait_ready(second.mooring, leads=False)
    # It is stopped in the middle of its work.
    done = len(first.changes(namespace))
    people.secret(GLOBAL, token := fresh())
    deadline = time.monotonic() + PATIENCE
    while len(first.changes(namespace)) < done + 10:
        assert time.monotonic() < deadline
    first.mooring.process.send_signal(signal.SIGSTOP)
    second.mooring.until_logged(BEGINS)
    people.until_every("Secret", {f"{name}-default-token": lambda s: token in decoded(s).values() for name in names})
    until_ready(people, names)
    second.until_done(SOME + 1)
    stopped = len(first.proxy.changes)
    assert len(first.changes(namespace)) < done + 3 * SOME, "it was done before it was stopped"
    versions = {found["metadata"]["name"]: found["metadata"]["resourceVersion"] for found in people.list("Project")}
    mark, quiet = hub.mark(), len(first.lines(""))

    first.mooring.process.send_signal(signal.SIGCONT)
    assert first.mooring.process.wait(PATIENCE) == 1
    assert first.proxy.changes[stopped:] == []
    assert [entry for entry in hub.journal(mark) if entry["method"] != "GET"] == []
    assert "Traceback" not in first.mooring.log
    loud = [line for line in first.lines("")[quiet:] if line["level"] in {"warning", "error", "critical"}]
    # What was under way may be told of as well, such as a renewal or a look at GitHub; single objects are not.
    assert not [line for line in loud if "object" in line]
    (told,) = [line for line in loud if line["level"] == "error"]
    assert f"Lease {SYSTEM}/mooring-operator is lost" in told["message"]
    assert second.metric("mooring_leader") == 1
    found = {found["metadata"]["name"]: found["metadata"]["resourceVersion"] for found in people.list("Project")}
    assert found == versions


@pytest.mark.scale
def test_a_leader_without_an_api_server_ends_and_a_short_outage_changes_nothing(
    start: Start, kube: Kube, namespace: str, fresh: TokenMaker
) -> None:
    people = People(kube, namespace)
    first, second = start(), start()
    make_projects(people, 5, fresh())
    wait_ready(second.mooring, leads=False)
    before = lease(kube)
    first.proxy.closed = True
    first.mooring.until_logged("could not be reached")
    # Longer than a renewal takes, shorter than the Lease.
    time.sleep(LEASE_SECONDS / 2)
    first.proxy.closed = False
    first.mooring.until_logged("is renewed again")
    people.secret(GLOBAL, token := fresh())
    people.until("Secret", "p0-default-token", lambda found: token in decoded(found).values())
    assert lease(kube)["holderIdentity"] == before["holderIdentity"]
    assert second.proxy.changes == []

    first.proxy.closed = True
    assert first.mooring.process.wait(PATIENCE) == 1
    assert "is lost: it was not renewed" in first.mooring.log
    assert "Traceback" not in first.mooring.log
    second.mooring.until_logged(BEGINS)
    people.secret(GLOBAL, token := fresh())
    people.until("Secret", "p0-default-token", lambda found: token in decoded(found).values())
