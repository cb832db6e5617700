"""When pods are asked after: while a rollout takes long, ever more seldom, and only where there can be any."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from mooring.domain.errors import Transient
from mooring.domain.reasons import Reason
from mooring.domain.rollouts import rollout
from mooring.services.pods import Pods
from mooring.services.store import Key
from tests.unit.services.followed import MovableClock

KEY = Key("Project", "team", "shop")
CRASHED = {
    "metadata": {"name": "shop-new", "creationTimestamp": "2026-01-01T00:00:00Z"},
    "status": {
        "containerStatuses": [{"name": "workload", "state": {"terminated": {"exitCode": 3, "message": "boom"}}}]
    },
}


@dataclass
class World:
    """A clock, and pods that are counted by how often they are listed."""

    clock: MovableClock = field(default_factory=MovableClock)
    asked: int = 0
    away: bool = False

    @property
    def cluster(self) -> World:
        """Return what lists pods."""
        return self

    async def pods(self, namespace: str, project: str) -> list[dict[str, Any]]:
        """List them."""
        assert (namespace, project) == ("team", "shop")
        self.asked += 1
        if self.away:
            raise Transient(Reason.CLUSTER_UNAVAILABLE, "The API server is away.")
        return [CRASHED]


@pytest.fixture
def world() -> World:
    return World()


def deployment(*, generation: int = 1, seen: int = 1, available: int = 0) -> dict[str, Any]:
    counts = {"updatedReplicas": 1, "replicas": 1, "availableReplicas": available}
    return {"metadata": {"generation": generation}, "spec": {}, "status": {"observedGeneration": seen, **counts}}


async def look(pods: Pods, found: dict[str, Any]) -> tuple[str | None, Any]:
    judged, again = await pods.explain(KEY, found, rollout(found), [])
    return judged.why, again


async def test_a_rollout_has_its_time_and_is_looked_at_ever_more_seldom(world: World) -> None:
    platform: Any = world
    pods, start = Pods(platform), world.clock.now()
    assert await look(pods, deployment()) == (None, start + timedelta(seconds=5))
    for passed, times, next_after in ((4, 0, 5), (5, 1, 15), (14, 1, 15), (15, 2, 35)):
        world.clock.at = start + timedelta(seconds=passed)
        why, again = await look(pods, deployment())
        assert (world.asked, again) == (times, start + timedelta(seconds=next_after))
        assert (why is not None) == bool(times)
    # What was seen holds while nobody can be asked; another rollout begins anew, and one that is done is forgotten.
    world.away = True
    world.clock.at = start + timedelta(seconds=40)
    assert "boom" in str((await look(pods, deployment()))[0])
    assert (await look(pods, deployment(generation=2, seen=2)))[0] is None
    assert await look(pods, deployment(generation=2, seen=2, available=1)) == (None, None)


async def test_where_there_can_be_no_pods_yet_nobody_is_asked(world: World) -> None:
    platform: Any = world
    pods = Pods(platform)
    for _ in range(3):
        assert await look(pods, deployment(generation=2, seen=1)) == (None, None)
        world.clock.move(60)
    assert world.asked == 0
