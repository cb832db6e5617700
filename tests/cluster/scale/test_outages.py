"""O2, in whole: each outage of the API server and of GitHub, while everything happens that people and time may do.

All outages are at the same time, each in a namespace of its own. Each trouble of the API server has an operator of its
own behind it; those of GitHub share one, because one tenant's trouble must not be another's.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab import Lab
from tests.cluster.conftest import Kube
from tests.cluster.harness import Hub
from tests.cluster.outage_run import Outages
from tests.cluster.outages import API_TROUBLES, GITHUB_TROUBLES

pytestmark = pytest.mark.scale

# Seconds that installation tokens live that are there before the outages: all are due in their course, which so takes
# longer than the minute after which Kopf would give up.
LIFE = 100
# Seconds from the end of an outage until everything is as it must be. Where nothing tells that it is over, delays have
# doubled: as long again as the outage, five minutes at most. Where watches come back, that tells. A watch that says
# nothing is given up after two minutes and a half. Where a Lease was lost, the next process waits for its end, and
# starts: that takes 20 s, and more on a machine that is slow at that moment.
PROMISE = dict.fromkeys((*API_TROUBLES, *GITHUB_TROUBLES), 75.0)
PROMISE |= dict.fromkeys(("watches-cut", "expired", "conflicts", "slow"), 25.0)
PROMISE |= dict.fromkeys(("gone", "no-backend", "too-busy"), 40.0)
PROMISE |= {"github-limits": 25.0, "github-slow": 25.0, "watches-silent": 170.0}


@pytest.fixture(scope="module")
def hub(lab: Lab) -> Iterator[Hub]:
    """Return the lab's GitHub."""
    hub = Hub(lab.env)
    hub.seed(users=[{"login": "alice"}])
    yield hub
    assert hub.violations() == []
    hub.close()


@pytest.fixture
def outages(lab: Lab, kube: Kube, hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outages]:
    """Return the outages."""
    outages = Outages(lab, kube, hub, tmp_path_factory.mktemp("outages"))
    yield outages
    outages.close()


def test_after_any_outage_everything_is_as_it_must_be(outages: Outages, hub: Hub, kube: Kube) -> None:
    outages.begin([*API_TROUBLES, *GITHUB_TROUBLES], LIFE)
    with outages.strike(redirect=f"{kube.server}/elsewhere"):
        outages.last()
    took = outages.recover(max(PROMISE.values()))
    asked = {operated.name: len(operated.asked) for operated in outages.operated}
    print({name: round(seconds, 1) for name, seconds in sorted(took.items())}, asked)  # noqa: T201 - the figures
    for life in outages.lives:
        life.check(revoked="github" not in life.name, lost_answers="truncates" in life.name)
    for operated in outages.operated:
        operated.check()
    late = {name: seconds for name, seconds in took.items() if seconds > PROMISE[name]}
    assert not late, late
