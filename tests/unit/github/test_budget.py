"""Shares of requests and rests, by a clock of our own."""

import asyncio
from datetime import timedelta

import pytest

from mooring.github.budget import Allowance, Budget, Lanes, Pool, Rests
from mooring.github.limits import LIMITS, Limits
from tests.unit.github.fake_clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    """Return a standing clock."""
    return FakeClock()


def test_a_thousand_projects_start_at_once(clock: FakeClock) -> None:
    """Three questions for each of them, and one for each of 500 tokens, fit into one burst."""
    budget = Budget(clock, LIMITS)
    assert [budget.take("team-a") for _ in range(3 * 1000 + 500)] == [None] * 3500
    assert budget.take("team-a") is not None


def test_namespaces_do_not_share(clock: FakeClock) -> None:
    """One that has spent everything leaves the others theirs."""
    budget = Budget(clock, Limits(namespace_burst=2))
    for _ in range(50):
        budget.take("team-a")
    assert budget.take("team-b") is None


def test_who_comes_back_when_told_is_served(clock: FakeClock) -> None:
    """A hundred are refused with a hundred different times, and none of them is refused again."""
    budget = Budget(clock, Limits(namespace_burst=1, namespace_rate=2.0))
    assert budget.take("team-a") is None
    times = [budget.take("team-a") for _ in range(100)]
    start = clock.now()
    for time in times:
        assert time is not None
        clock.time = time
        assert budget.take("team-a") is None
    assert clock.now() - start == timedelta(seconds=50)


def test_without_a_credential_the_share_is_small(clock: FakeClock) -> None:
    """GitHub gives 60 an hour to all of us together."""
    budget = Budget(clock, LIMITS)
    assert [budget.take("team-a", Pool(Allowance.ANONYMOUS)) for _ in range(10)] == [None] * 10
    later = budget.take("team-a", Pool(Allowance.ANONYMOUS))
    assert later is not None
    assert later - clock.now() == timedelta(minutes=6)
    assert budget.take("team-a") is None


def test_a_clock_set_back_gives_nothing(clock: FakeClock) -> None:
    """Neither does it take anything."""
    budget = Budget(clock, Limits(namespace_burst=1, namespace_rate=1.0))
    budget.take("team-a")
    clock.move(-3600)
    assert budget.take("team-a") is not None
    clock.move(1)
    assert budget.take("team-a") is None


def test_many_namespaces_are_forgotten_without_loss(clock: FakeClock) -> None:
    """Only full shares are let go: whoever has spent his stays without."""
    budget = Budget(clock, Limits(namespace_burst=1, namespace_rate=0.001))
    budget.take("greedy")
    for number in range(3000):
        budget.take(f"n{number}")
    assert budget.take("greedy") is not None
    # Two thousand seconds later all shares but the greedy one's are full again, and are let go with the next sweep.
    clock.move(2000)
    for number in range(3000, 6000):
        budget.take(f"n{number}")
    assert len(budget._buckets) < 4000  # noqa: SLF001 - the bound is what is tested


def test_rests(clock: FakeClock) -> None:
    """A credential rests as long as the longest limit says, and alone."""
    rests = Rests(clock, Limits(remembered=2))
    rests.begin("a", clock.now() + timedelta(seconds=60))
    rests.begin("a", clock.now() + timedelta(seconds=5))
    assert rests.until("a") == clock.now() + timedelta(seconds=60)
    assert rests.until("b") is None
    clock.move(60)
    assert rests.until("a") is None
    for name in "cde":
        rests.begin(name, clock.now() + timedelta(seconds=60))
    assert [rests.until(name) is not None for name in "cde"] == [False, True, True]


async def test_lanes() -> None:
    """A namespace has so many requests under way; another one's are not held up."""
    lanes = Lanes(Limits(namespace_in_flight=2))
    running, most = 0, 0
    free = asyncio.Event()

    async def work(namespace: str) -> None:
        nonlocal running, most
        async with lanes.slot(namespace):
            running += 1
            most = max(most, running)
            await free.wait()
            running -= 1

    async with asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(work("team-a"))
        await asyncio.sleep(0)
        async with lanes.slot("team-b"):
            assert running == 2
        free.set()
    assert most == 2


async def test_a_full_lane_is_not_waited_for_without_end() -> None:
    """Who waits as long as a request may take gives up, and the lane goes on."""
    lanes = Lanes(Limits(namespace_in_flight=1, total_timeout=0.02))
    async with lanes.slot("team-a"):
        with pytest.raises(TimeoutError):
            async with lanes.slot("team-a"):
                pytest.fail("two in a lane for one")
    async with lanes.slot("team-a"):
        pass


@pytest.mark.parametrize(
    ("allowance", "at_once", "hourly"), [(Allowance.INSTALLATION, 2500, 4000), (Allowance.APP, 1000, 2000)]
)
def test_what_several_namespaces_have_in_common(
    clock: FakeClock, allowance: Allowance, at_once: int, hourly: int
) -> None:
    """In any hour one of them takes less than GitHub's 5,000, and never of another's share."""
    budget, pool = Budget(clock, LIMITS), Pool(allowance, "one")
    taken = 0
    for second in range(3600):
        while budget.take("team-a", pool) is None:
            taken += 1
        if not second:
            assert taken == at_once
        clock.move(1)
    assert hourly - 2 <= taken <= hourly
    assert budget.take("team-b", pool) is None
    assert budget.take("team-a", Pool(allowance, "two")) is None
    assert budget.take("team-a") is None
