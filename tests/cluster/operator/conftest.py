"""The operator under test: one process for all tests of a module, and a GitHub with a few people and repositories."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import pytest

from lab import Lab
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub, People
from tests.cluster.process import Mooring, running_operator

_numbers = itertools.count(1)


class TokenMaker:
    """Makes tokens with names of their own."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        # The name of the newest one, by which the lab's control API knows it.
        self.last = ""

    def __call__(self, user: str = "alice", **more: object) -> str:
        """Make one."""
        self.last = f"token-{next(_numbers)}"
        return self._hub.token(self.last, user, **more)


@pytest.fixture(scope="session")
def hub(lab: Lab) -> Iterator[Hub]:
    """Return the lab's GitHub: alice administers acme, bob is in it, carol is a stranger."""
    hub = Hub(lab.env)
    hub.seed(
        users=[{"login": "alice"}, {"login": "bob"}, {"login": "carol"}],
        organizations=[{"login": "acme", "members": {"alice": "admin", "bob": "member"}}],
        repositories=[
            {"owner": "acme", "name": "shop", "private": True, "files": {"index.html": "hello"}},
            {"owner": "acme", "name": "open", "files": {"index.html": "hello"}},
            {"owner": "acme", "name": "empty"},
        ],
    )
    # All tests share one address and three people, to whom GitHub gives 60 and 5,000 requests an hour: too few by now.
    hub.control("POST", "/limits", {"anonymous": 1_000_000, "authenticated": 1_000_000})
    yield hub
    violations = hub.violations()
    hub.close()
    assert violations == []


@pytest.fixture(scope="module")
def mooring(lab: Lab, kube: Kube, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mooring]:
    """Run the operator. Its sweeps come once, and not again while tests count requests."""
    with running_operator(lab, kube, tmp_path_factory.mktemp("operator"), MOORING_SWEEP_INTERVAL="24h") as running:
        yield running


@pytest.fixture
def people(namespace: str, kube: Kube, mooring: Mooring) -> People:
    """Return somebody in a fresh namespace that the operator watches."""
    return People(kube, namespace)


@pytest.fixture
def more_people(kube: Kube, mooring: Mooring) -> Iterator[Callable[..., People]]:
    """Return a maker of people, each in a fresh namespace of their own."""
    made: list[str] = []

    def make(**labels: str) -> People:
        name = f"more-{next(_numbers)}"
        status, body = kube.request("POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels}})
        assert status == 201, body
        made.append(name)
        return People(kube, name)

    yield make
    for name in made:
        kube.request("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def fresh(hub: Hub) -> TokenMaker:
    """Return a maker of tokens that no other test uses."""
    return TokenMaker(hub)
