"""Tokens are replaced by their real end, in time, once, and without a rollout (C3); by GitHub's clock, whatever ours is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import Lab
from lab.kubernetes.identity import service_account_kubeconfig
from lab.kubernetes.kubeconfig import Access
from tests.cluster.conftest import PATIENCE, Kube
from tests.cluster.cutting import Cut, CuttingProxy
from tests.cluster.harness import Hub, Object, People
from tests.cluster.process import SYSTEM, Mooring, install_roles, operator_environment, start_operator, wait_ready
from tests.cluster.token_life import (
    EARLIEST,
    LATEST,
    OUTPUT,
    PROJECT,
    Holder,
    advance,
    asked_for,
    at,
    is_live,
    life,
    lifetime,
    moved_clock,
    time_there,
    until,
    version_of,
)

# Seconds: long enough for a window that is wider than what a replacement takes.
SHORT_LIFE = 15
# What a replacement itself may take, on a busy machine.
TAKES = 1.5
SKEW = 120.0


class Place:
    """An operator that can be killed and started again, and whose writes are seen."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self._folder = folder
        kubeconfig = service_account_kubeconfig(lab.env, SYSTEM, "mooring-operator", folder / "operator.kubeconfig")
        self.proxy = CuttingProxy(Access.load(kubeconfig))
        self.proxy.start()
        self.proxy.lead_here(kubeconfig)
        self._environment = operator_environment(lab, kubeconfig)
        self.mooring = self.start()

    def start(self) -> Mooring:
        """Start it, and wait until its caches are filled."""
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
    place = Place(lab, tmp_path_factory.mktemp("tokens"))
    yield place
    place.close()


@pytest.fixture(scope="module")
def mooring(place: Place) -> Mooring:
    """Run the operator behind a proxy."""
    return place.mooring


def test_a_token_is_replaced_in_its_window_once_and_rolls_nothing(people: People, hub: Hub) -> None:
    with moved_clock(hub):
        lifetime(hub, SHORT_LIFE)
        since = hub.mark()
        holder = Holder.begin(people, hub)
        names = (OUTPUT, holder.clone_name())
        first = {name: people.get("Secret", name) for name in names}
        tokens = {name: holder.token(name) for name in names}
        for name in names:
            renewed = holder.until_replaced(name, tokens[name])
            issued, ends = life(first[name] or {})
            share = (life(renewed)[0] - issued).total_seconds() / (ends - issued).total_seconds()
            # What a Secret remembers is in whole seconds: one may be missing at either end.
            assert EARLIEST - 1 / SHORT_LIFE <= share <= LATEST + (TAKES + 1) / SHORT_LIFE, name
        # A clone may be running on the old one, which ends by itself.
        assert all(is_live(hub, token) for token in tokens.values())
        check_windows(holder, since)
        assert people.rollouts(PROJECT) == 1


def check_windows(holder: Holder, since: int) -> None:
    """See that of each sort of token none was made before the window of the one before it."""
    mints = holder.mints(since)
    counts = asked_for(mints)
    # What was asked for: to read with, the output, the clone credential.
    assert len(counts) == 3
    for sort in counts:
        moments = [at(entry) for entry in mints if sort in asked_for([entry])]
        gaps = [(later - before).total_seconds() for before, later in zip(moments, moments[1:], strict=False)]
        assert all(gap >= EARLIEST * SHORT_LIFE - 1 for gap in gaps), (sort, gaps)


def test_a_hint_finds_by_githubs_clock_that_tokens_are_due(people: People, hub: Hub) -> None:
    holder = Holder.begin(people, hub)
    names = (OUTPUT, holder.clone_name())
    tokens = {name: holder.token(name) for name in names}
    since = hub.mark()
    holder.hint()
    holder.until_read(since)
    assert holder.mints(since) == []
    with moved_clock(hub, 45 * 60):
        holder.hint()
        for name in names:
            holder.until_replaced(name, tokens[name])
        holder.until_ready("True", "Ready")
        assert set(asked_for(holder.mints(since)).values()) == {1}
        assert len(holder.mints(since)) == len(names)
        assert all(is_live(hub, token) for token in tokens.values())
    assert people.rollouts(PROJECT) == 1


def test_a_restart_with_fresh_tokens_makes_and_writes_nothing(
    people: People, more_people: Callable[..., People], hub: Hub, place: Place
) -> None:
    holder = Holder.begin(people, hub)
    names = (OUTPUT, holder.clone_name())
    tokens = {name: holder.token(name) for name in names}
    place.mooring.kill()
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
        assert len(holder.mints(since)) == len(names)
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
        # Whoever asks before the first answer is refused once, and asks again at once; so do those of other tests.
        refused = [entry for entry in hub.journal(since) if entry["status"] == 401]
        assert len(refused) <= len(everywhere(people)), refused


def everywhere(people: People) -> list[Object]:
    """Return the installations of all namespaces."""
    status, body = people.kube.request("GET", "/apis/mooring.dev/v1alpha1/githubinstallations")
    assert status == 200, body
    return list(body["items"])
