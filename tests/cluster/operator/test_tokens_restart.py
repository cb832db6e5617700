"""A restart loses nothing and costs nothing: tokens are read back from where they were written (C3, C4)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from lab import Lab
from lab.kubernetes.identity import service_account_kubeconfig
from lab.kubernetes.kubeconfig import Access
from tests.cluster.conftest import PATIENCE, Kube
from tests.cluster.cutting import Cut, CuttingProxy
from tests.cluster.harness import Hub, Object, People
from tests.cluster.process import (
    SYSTEM,
    Mooring,
    free_lease,
    install_roles,
    operator_environment,
    start_operator,
    wait_ready,
)
from tests.cluster.token_life import (
    INSTALLATION,
    OUTPUT,
    PROJECT,
    Holder,
    fault,
    is_live,
    life,
    moved_clock,
    once_each,
    proven_long_ago,
    time_there,
    until,
    version_of,
)

SKEW = 120.0


class Place:
    """An operator that can be killed and started again, and whose writes are seen."""

    def __init__(self, lab: Lab, kube: Kube, folder: Path) -> None:
        self._folder = folder
        self._kube = kube
        kubeconfig = service_account_kubeconfig(lab.env, SYSTEM, "mooring-operator", folder / "operator.kubeconfig")
        self.proxy = CuttingProxy(Access.load(kubeconfig))
        self.proxy.start()
        self.proxy.lead_here(kubeconfig)
        self._environment = operator_environment(lab, kubeconfig)
        self.mooring = self.start()

    def start(self) -> Mooring:
        """Start it, and wait until its caches are filled."""
        free_lease(self._kube)
        self.mooring = start_operator(self._environment, self._folder)
        wait_ready(self.mooring)
        return self.mooring

    def watched(self, namespace: str) -> Cut:
        """Note each write to a namespace from now on."""
        self.proxy.armed = Cut(namespace, 0, "before", self.mooring.process)
        return self.proxy.armed

    def close(self) -> None:
        """End everything."""
        if self.mooring.process.poll() is None:
            self.mooring.kill()
        self.proxy.stop()


@pytest.fixture(scope="module")
def place(lab: Lab, kube: Kube, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    install_roles(kube)
    place = Place(lab, kube, tmp_path_factory.mktemp("tokens"))
    yield place
    place.close()


@pytest.fixture(scope="module")
def mooring(place: Place) -> Mooring:
    """Run the operator behind a proxy."""
    return place.mooring


def test_a_restart_with_fresh_tokens_makes_and_writes_nothing(
    people: People, more_people: Callable[..., People], hub: Hub, place: Place
) -> None:
    holder = Holder.begin(people, hub)
    names = (OUTPUT, holder.clone_name())
    tokens = {name: holder.token(name) for name in names}
    place.mooring.kill()
    proven_long_ago(people)
    since = hub.mark()
    # Nothing is let through unseen.
    cut = place.watched(people.namespace)
    place.start()
    holder.until_read(since)
    idle(place.mooring, more_people())
    assert holder.mints(since) == []
    assert cut.seen == []
    assert {name: holder.token(name) for name in names} == tokens

    # And one that was away for too long makes them anew at once.
    place.mooring.kill()
    with moved_clock(hub, 45 * 60):
        place.start()
        for name in names:
            assert life(holder.until_replaced(name, tokens[name]))[1] > time_there(hub)
        once_each(holder.mints(since))
        assert all(is_live(hub, token) for token in tokens.values())
    assert people.rollouts(PROJECT) == 1


def idle(mooring: Mooring, others: People) -> None:
    """Wait until the operator has come to rest: somebody who came last has been served, and nothing else is due."""
    others.apply("Project", "last", {"workload": {"image": "nginx"}, "suspend": True})
    others.settled("last")
    until(lambda: "\nmooring_queue_depth 0.0\n" in mooring.ask("/metrics").text, "rest")


@pytest.mark.parametrize("skew", [SKEW, -SKEW])
def test_another_clock_at_github_is_no_trouble_from_the_first_request_on(
    people: People, hub: Hub, place: Place, skew: float
) -> None:
    place.mooring.kill()
    with moved_clock(hub, skew):
        place.start()
        since, version = hub.mark(), version_of(people)
        holder = Holder.begin(people, hub, project=False)
        assert set(holder.conditions_since(version)) == {("True", "Ready")}
        secret = people.get("Secret", OUTPUT)
        issued, ends = life(secret or {})
        assert abs((time_there(hub) - issued).total_seconds()) < PATIENCE
        assert (ends - issued).total_seconds() == pytest.approx(3600, abs=1)
        assert is_live(hub, holder.token())
        # Whoever asks before the first answer is refused once, and asks again at once: an installation, and who looks
        # for its App's failed deliveries; so do those of other tests.
        refused = [entry for entry in hub.journal(since) if entry["status"] == 401]
        assert len(refused) <= 2 * len(everywhere(people)), refused


def everywhere(people: People) -> list[Object]:
    """Return the installations of all namespaces."""
    status, body = people.kube.request("GET", "/apis/mooring.dev/v1alpha1/githubinstallations")
    assert status == 200, body
    return list(body["items"])


def test_a_kill_in_the_middle_of_a_deletion_loses_no_revocation(people: People, hub: Hub, place: Place) -> None:
    holder = Holder.begin(people, hub)
    tokens = [holder.token(name) for name in (OUTPUT, holder.clone_name())]
    with fault(hub, kind="latency", seconds=30, path="*/installation/token"):
        people.delete(INSTALLATION, "acme")
        # It is ending the tokens, and has not removed the Secrets, from which the next one knows them.
        people.until(INSTALLATION, "acme", lambda obj: "deletionTimestamp" in (obj or {})["metadata"], "a deletion")
        place.mooring.kill()
    assert people.get("Secret", OUTPUT) is not None
    assert all(is_live(hub, token) for token in tokens)
    place.start()
    people.until(INSTALLATION, "acme", lambda obj: obj is None, "its end")
    assert people.get("Secret", OUTPUT) is None
    assert not any(is_live(hub, token) for token in tokens)


class LateProjects:
    """An API server that lists Projects long after everything else."""

    async def meet(self, request: web.Request) -> web.StreamResponse | None:
        """Hold the list back."""
        is_list = "watch" not in request.query or "sendInitialEvents" in request.query
        if request.path.endswith("/projects") and is_list:
            await asyncio.sleep(2.0)
        return None


def test_a_deletion_that_is_found_before_the_projects_are_ends_their_credential(
    people: People, hub: Hub, place: Place
) -> None:
    holder = Holder.begin(people, hub)
    name = holder.clone_name()
    token = holder.token(name)
    place.mooring.kill()
    people.delete(INSTALLATION, "acme")
    place.proxy.trouble = LateProjects()
    try:
        place.start()
        people.until(INSTALLATION, "acme", lambda obj: obj is None, "its end")
    finally:
        place.proxy.trouble = None
    assert people.get("Secret", name) is None
    assert not is_live(hub, token)
