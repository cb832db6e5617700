"""A status authorizes nothing: what it says is rolled out as far as GitHub, or what runs, bears it out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lab import Lab
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub, Object, People
from tests.cluster.operator import pushes
from tests.cluster.operator.conftest import TokenMaker
from tests.cluster.operator.pushes import Pushed, Shop
from tests.cluster.process import Mooring
from tests.cluster.token_life import proven_long_ago

GUIDS = ("00000000-0000-4000-8000-000000000001", "00000000-0000-4000-8000-000000000002")


@dataclass
class Operators:
    """One operator after the other."""

    lab: Lab
    kube: Kube
    folder: Path
    mooring: Mooring | None = None
    _stack: ExitStack = field(default_factory=ExitStack)

    def start(self) -> None:
        """Run one."""
        self.mooring = self._stack.enter_context(pushes.running(self.lab, self.kube, self.folder))

    def stop(self) -> None:
        """End it."""
        self._stack.close()

    @contextmanager
    def away(self, *, killed: bool = False) -> Iterator[None]:
        """Have none until the end of the block."""
        if killed and self.mooring is not None:
            self.mooring.kill()
        self.stop()
        yield
        self.start()


@pytest.fixture(scope="module")
def operators(lab: Lab, kube: Kube, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operators]:
    """Run operators, with keys."""
    made = Operators(lab, kube, tmp_path_factory.mktemp("operator"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def shop(namespace: str, kube: Kube, operators: Operators, hub: Hub, fresh: TokenMaker) -> Callable[..., Shop]:
    """Return a maker of Projects with a repository of its own each."""
    people, token = People(kube, namespace), fresh()
    return lambda **spec: Shop.make(people, hub, token, **spec)


def forge(it: Shop, fields: Mapping[str, Any]) -> None:
    """Write into the status, as whoever has that right and no other."""
    it.people.patch("Project", it.name, {"status": fields}, subresource="status")


def claims(good: Mapping[str, Any], evil: str, older: str) -> dict[str, dict[str, Any]]:
    """Return what somebody may write who wants a commit of a fork, or an old one, to be deployed."""
    source, revision = good["source"], good["revision"]
    run_evil, run_older = {**revision, "sha": evil, "shortSha": evil[:7]}, {**revision, "sha": older}
    decided = {**source, "decidedSha": evil, "headSha": evil}
    return {
        "decided": {"source": decided},
        "under-way": {"source": decided, "revision": run_evil},
        "unproven": {"source": {**decided, "proof": None}, "revision": run_evil},
        "concluded": {"revision": run_evil, "history": [run_evil]},
        "restored": {"revision": run_older, "history": [run_older], "source": {**source, "decidedSha": older}},
        "rewound": {"revision": run_older},
        "image": {"revision": {**revision, "checkoutImage": evil}},
        "lost-revision": {"revision": None, "source": {**decided, "proof": None}},
        "lost": {"revision": None, "source": None, "history": None, "conditions": None},
        "in-trouble": {"revision": run_evil, "source": {**decided, "repositoryId": 1}},
    }


def test_what_a_status_claims_is_not_rolled_out(shop: Callable[..., Shop], operators: Operators, hub: Hub) -> None:
    hub.seed(users=[{"login": "mallory"}])
    names = list(claims({"source": {}, "revision": {}}, "", ""))
    shops = {name: shop(name=name) for name in names}
    told: dict[str, dict[str, Any]] = {}
    firsts = {name: it.last for name, it in shops.items()}
    for it in shops.values():
        it.ran("Create", 1, it.last)
        it.announced()
    for name, it in shops.items():
        fork = {"owner": "mallory", "name": it.repository.partition("/")[2], "fork_of": it.repository}
        ((forked, _),) = hub.seed(repositories=[fork])["repositories"].items()
        pushed = hub.control("POST", "/push", {"repository": forked, "user": "mallory", "files": {"src/a": "evil"}})
        it.ran("Push", 2, it.last)
        told[name] = claims(it.status, str(pushed["after"]), firsts[name])[name]
    for name, it in shops.items():
        forge(it, told[name])
    are_as_they_were(shops)
    with operators.away():
        for name, it in shops.items():
            forge(it, told[name])
    are_as_they_were(shops)


def are_as_they_were(shops: Mapping[str, Shop]) -> None:
    """Have every Project looked at, and see that all run what they ran, in the pods that they had."""
    guids = {name: it.tell(Pushed(it.last, it.last)) for name, it in shops.items()}
    for name, it in shops.items():
        if name == "in-trouble":
            # The name may be another repository's by now: a person has to say which one is meant.
            it.people.until_condition(name, "Stalled", "True", "RepositoryChanged")
        else:
            it.handled(guids[name], 2)
            it.people.until("Project", name, is_ready_with(it.last), "what it was")
        assert it.template()["mooring.dev/revision"] == it.last, name
        deployment = it.people.get("Deployment", f"{name}-default")
        assert deployment is not None
        (checkout,) = deployment["spec"]["template"]["spec"]["initContainers"]
        assert f"--revision={it.last}" in checkout["args"]
        assert checkout["image"] == "registry.example.com/mooring:test"
        assert it.people.rollouts(name) == 2, name


def is_ready_with(sha: str) -> Callable[[Object | None], bool]:
    """Tell whether a Project is Ready, and its whole status says that it runs a commit."""

    def there(obj: Object | None) -> bool:
        status = (obj or {}).get("status") or {}
        source, revision = status.get("source") or {}, status.get("revision") or {}
        ready: Object = next((c for c in status.get("conditions") or () if c["type"] == "Ready"), {})
        image = revision.get("checkoutImage")
        said = (source.get("decidedSha"), source.get("headSha"), revision.get("sha"), ready.get("status"), image)
        return said == (sha, sha, sha, "True", "registry.example.com/mooring:test")

    return there


def test_a_person_mends_what_somebody_claimed(shop: Callable[..., Shop]) -> None:
    it = shop()
    it.ran("Create", 1, it.last)
    forge(it, {"source": {"repositoryId": 1}})
    it.people.until_condition(it.name, "Stalled", "True", "RepositoryChanged")
    assert it.followed() is None
    it.apply(source={"github": {"repository": it.repository, "repositoryId": it.repository_id}})
    it.ran("Create", 1, it.last)
    assert it.followed() is not None


def test_restarts_between_record_and_rollout(shop: Callable[..., Shop], operators: Operators, hub: Hub) -> None:
    """What was recorded while nobody was there, and what an operator left half done, comes to its end."""
    recorded, killed = shop(name="recorded"), shop(name="killed", deploy={"debounce": "1s"})
    stored, passed, idle = shop(name="stored"), shop(name="passed"), shop(name="idle")
    for it in (recorded, killed, stored, passed, idle):
        it.ran("Create", 1, it.last)
    guid = killed.announced()
    with operators.away(killed=True):
        told = recorded.announced()
        # A revision that was stored and not applied looks like what somebody may have made up: GitHub is asked.
        leave_under_way(stored, GUIDS[0])
        # The same, and the branch has moved on since: the push behind that is the next one.
        leave_under_way(passed, GUIDS[1])
        newer = passed.announced()
        # Long after every gateway has known its proof.
        proven_long_ago(idle.people, idle.name)
        version, mark = idle.project()["metadata"]["resourceVersion"], hub.mark()
    assert recorded.ran("Push", 2, recorded.last)["delivery"] == told
    assert killed.ran("Push", 2, killed.last)["delivery"] == guid
    assert stored.ran("Push", 2, stored.last)["delivery"] == GUIDS[0]
    assert passed.ran("Push", 2, passed.last)["delivery"] == newer
    # Where there was nothing new, nothing was asked and nothing written.
    assert idle.project()["metadata"]["resourceVersion"] == version
    assert idle.asked(mark) == []


def leave_under_way(it: Shop, delivery: str) -> None:
    """Leave a push as an operator does that ends after it stored the revision, and before it rolled that out."""
    pushed = it.push()
    it.tell(pushed, delivery=delivery)
    status = it.status
    revision = {
        **status["revision"],
        "sha": pushed.sha,
        "shortSha": pushed.sha[:7],
        "trigger": "Push",
        "delivery": delivery,
        "deployedAt": "2031-01-01T00:00:00Z",
    }
    source = {**status["source"], "headSha": pushed.sha, "decidedSha": pushed.sha, "delivery": delivery}
    forge(it, {"revision": revision, "source": source})
