"""The work queue, with a clock that the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from mooring.domain.errors import Stalled, Transient, Trouble, Waiting
from mooring.domain.reasons import Reason
from mooring.ports import Changed
from mooring.services.work import BACK_WITHIN, LAST_DELAY, SPARE_ENTRIES, Again, WorkQueue


class FakeClock:
    def __init__(self) -> None:
        self.time = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)


class Runs:
    """Records runs, and lets the test decide when each one ends and how."""

    def __init__(self, answer: Callable[[Hashable], Again | None] = lambda _: None) -> None:
        self.started: list[Hashable] = []
        self.at_once = self.most_at_once = 0
        self.of_one_key: dict[Hashable, int] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self._answer = answer

    async def __call__(self, key: Hashable) -> Again | None:
        self.started.append(key)
        self.at_once += 1
        self.of_one_key[key] = self.of_one_key.get(key, 0) + 1
        assert self.of_one_key[key] == 1, "two runs for one object at once"
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
            return self._answer(key)
        finally:
            self.at_once -= 1
            self.of_one_key[key] -= 1


@asynccontextmanager
async def serving(queue: WorkQueue) -> AsyncIterator[None]:
    task = asyncio.create_task(queue.serve())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def settle() -> None:
    """Let everything that is ready run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_is_asked_for_twice_runs_once_and_what_is_asked_for_meanwhile_runs_again() -> None:
    runs = Runs()
    queue = WorkQueue(runs, FakeClock())
    queue.add("a")
    queue.add("a")
    runs.gate.clear()
    async with serving(queue):
        await settle()
        queue.add("a")
        queue.add("a")
        await settle()
        assert runs.started == ["a"]
        runs.gate.set()
        await settle()
        assert runs.started == ["a", "a"]
    assert len(queue) == 0


async def test_many_objects_run_at_once_up_to_the_bound() -> None:
    runs = Runs()
    queue = WorkQueue(runs, FakeClock(), runs_at_once=3)
    runs.gate.clear()
    for number in range(10):
        queue.add(number)
    async with serving(queue):
        await settle()
        assert runs.most_at_once == 3
        runs.gate.set()
        await settle()
        assert sorted(map(str, runs.started)) == [str(n) for n in range(10)]


async def test_a_later_time_waits_and_an_earlier_one_wins() -> None:
    clock, runs = FakeClock(), Runs()
    queue = WorkQueue(runs, clock)
    queue.add("a", after=60)
    queue.add("a", after=30)
    queue.add("a", after=90)
    async with serving(queue):
        await settle()
        assert runs.started == []
        clock.advance(31)
        queue.add("b")
        await settle()
        assert runs.started == ["a", "b"]
        clock.advance(100)
        queue.add("c")
        await settle()
        assert runs.started == ["a", "b", "c"]


async def test_what_was_superseded_does_not_pile_up() -> None:
    clock, runs = FakeClock(), Runs()
    queue = WorkQueue(runs, clock)
    queue.add("b", after=1_000_000)
    for step in range(10 * SPARE_ENTRIES):
        queue.add("a", after=900_000 - step)
    assert len(queue._heap) < 2 * SPARE_ENTRIES  # noqa: SLF001 - what must stay small is seen nowhere else
    async with serving(queue):
        clock.advance(900_000)
        queue.add("c")
        await settle()
        assert runs.started == ["a", "c"]
        clock.advance(100_000)
        queue.add("d")
        await settle()
    assert runs.started == ["a", "c", "b", "d"]


async def test_one_that_fails_stops_no_other() -> None:
    def answer(key: Hashable) -> None:
        if key == "bad":
            raise RuntimeError("a defect")

    runs = Runs(answer)
    queue = WorkQueue(runs, FakeClock())
    async with serving(queue):
        queue.add("bad")
        queue.add("good")
        await settle()
        assert set(runs.started) == {"bad", "good"}
        assert len(queue) == 1


async def test_an_answer_is_called_again_at_its_time() -> None:
    clock = FakeClock()
    runs = Runs(lambda _: Again(clock.now() + timedelta(seconds=5)))
    queue = WorkQueue(runs, clock)
    async with serving(queue):
        queue.add("a")
        await settle()
        clock.advance(6)
        queue.add("b", after=1000)
        queue.add("c")
        await settle()
        assert runs.started.count("a") == 2


def test_each_trouble_comes_back_as_it_should() -> None:
    clock = FakeClock()
    queue = WorkQueue(Runs(), clock)
    until = clock.now() + timedelta(hours=1)
    assert queue.after_trouble("a", Stalled(Reason.SECRET_NOT_FOUND, "m")) is None
    assert queue.after_trouble("a", Waiting(Reason.RATE_LIMITED, "m", until=until)) == until
    delays = []
    for _ in range(15):
        at = queue.after_trouble("a", Transient(Reason.GITHUB_UNAVAILABLE, "m"))
        assert at is not None
        delays.append((at - clock.now()).total_seconds())
    assert all(0.5 <= delay <= LAST_DELAY for delay in delays)
    assert delays[0] <= 1.0
    assert delays[-1] >= LAST_DELAY / 2


async def test_a_conflict_comes_back_soon_and_is_no_failure() -> None:
    clock = FakeClock()
    answers: list[Exception | None] = [Changed("moved"), None]

    def answer(_: Hashable) -> None:
        if (error := answers.pop(0)) is not None:
            raise error

    runs = Runs(answer)
    queue = WorkQueue(runs, clock)
    async with serving(queue):
        queue.add("a")
        await settle()
        clock.advance(0.3)
        queue.add("b", after=1000)
        await settle()
        assert runs.started == ["a", "a"]
    assert not answers


async def test_conflicts_without_an_end_come_ever_more_slowly() -> None:
    clock = FakeClock()

    def answer(_: Hashable) -> None:
        raise Changed("moved")

    runs = Runs(answer)
    queue = WorkQueue(runs, clock)
    async with serving(queue):
        queue.add("a")
        await settle()
        for _second in range(60):
            clock.advance(1.0)
            queue.add("b", after=10_000)
            queue._wake.set()  # noqa: SLF001 - the clock was moved, which no timer notices
            await settle()
    # A minute of them: six until the longest delay, then one each five seconds.
    assert 10 <= len(runs.started) <= 20


async def test_what_the_api_server_kept_back_runs_soon_after_it_is_back() -> None:
    clock = FakeClock()
    troubles: dict[Hashable, Trouble] = {
        "cluster": Transient(Reason.CLUSTER_UNAVAILABLE, "m"),
        "busy": Waiting(Reason.CLUSTER_UNAVAILABLE, "m", until=clock.now() + timedelta(hours=1)),
        "github": Waiting(Reason.RATE_LIMITED, "m", until=clock.now() + timedelta(hours=1)),
    }

    def answer(key: Hashable) -> None:
        if key in troubles:
            raise troubles[key]

    runs = Runs(answer)
    queue = WorkQueue(runs, clock)
    async with serving(queue):
        for key in ("cluster", "busy", "github"):
            for _failure in range(12):
                queue.after_trouble(key, troubles[key])
            queue.add(key)
        await settle()
        del troubles["cluster"]
        runs.started.clear()
        queue.cluster_is_back()
        planned = queue._due["cluster"]  # noqa: SLF001 - drawn at random: nothing else shows it
        for _watch in range(50):
            queue.cluster_is_back()
        assert queue._due["cluster"] == planned, "each watch that comes back made it sooner"  # noqa: SLF001 - as above
        clock.advance(BACK_WITHIN)
        queue.add("other")
        await settle()
        assert set(runs.started) == {"cluster", "other"}
        # A time that the API server named is kept; and what is well by now is left alone.
        queue.after_trouble("cluster", Transient(Reason.CLUSTER_UNAVAILABLE, "m"))
        queue.add("cluster")
        await settle()
        runs.started.clear()
        queue.cluster_is_back()
        clock.advance(BACK_WITHIN)
        queue.add("other")
        await settle()
        assert runs.started == ["other"]


def namespace_of(key: Hashable) -> Hashable:
    return str(key).split("/", maxsplit=1)[0]


async def test_a_group_leaves_places_for_others() -> None:
    runs = Runs()
    queue = WorkQueue(runs, FakeClock(), group=namespace_of, runs_at_once=4, runs_of_a_group=3)
    runs.gate.clear()
    for number in range(10):
        queue.add(f"busy/{number}")
    async with serving(queue):
        await settle()
        assert len(runs.started) == 3
        queue.add("other/1")
        await settle()
        assert runs.started[3:] == ["other/1"]
        assert not queue.calm.is_set()
        runs.gate.set()
        await settle()
        assert len(runs.started) == 11
        assert queue.calm.is_set()
    assert len(queue) == 0


class Counted:
    """A key that counts how often it is looked up."""

    looked_up = 0

    def __init__(self, number: int) -> None:
        self.number = number

    def __hash__(self) -> int:
        Counted.looked_up += 1
        return hash(self.number)


async def test_a_crowd_is_served_in_its_order_and_costs_no_more_than_its_size() -> None:
    """Each end of a run chooses the next ones; to go through all that wait each time would cost the square."""
    runs, crowd = Runs(), [Counted(number) for number in range(500)]
    queue = WorkQueue(runs, FakeClock(), group=lambda _: "all", runs_at_once=8, runs_of_a_group=6)
    for key in crowd:
        queue.add(key)
    Counted.looked_up = 0
    async with serving(queue):
        while len(runs.started) < len(crowd):
            await settle()
    assert [key.number for key in runs.started if isinstance(key, Counted)] == list(range(500))
    assert Counted.looked_up < 25 * len(crowd)


async def test_runs_that_hang_give_their_places_to_others() -> None:
    runs = Runs()
    # Each run is one that hangs, from the first turn of the loop on.
    queue = WorkQueue(
        runs,
        FakeClock(),
        group=namespace_of,
        runs_at_once=4,
        runs_of_a_group=3,
        lingering_of_a_group=6,
        lingers_after=0,
    )
    runs.gate.clear()
    for number in range(20):
        queue.add(f"a/{number}")
        queue.add(f"b/{number}")
    async with serving(queue):
        await settle()
        await settle()
        # As many of each as may hang, and both groups alike: neither waits for the other.
        assert sum(namespace_of(key) == "a" for key in runs.started) in range(6, 9)
        assert sum(namespace_of(key) == "b" for key in runs.started) in range(6, 9)
        queue.add("c/1")
        await settle()
        assert runs.started[-1] == "c/1"
        runs.gate.set()
        for _ in range(10):
            await settle()
        assert len(runs.started) == 41
    assert len(queue) == 0
    assert not queue._shares  # noqa: SLF001 - what must stay small is seen nowhere else


async def test_at_the_end_runs_are_let_through_and_none_begins() -> None:
    runs = Runs()
    queue = WorkQueue(runs, FakeClock())
    runs.gate.clear()
    async with serving(queue):
        queue.add("a")
        await settle()
        draining = asyncio.create_task(queue.drain(60))
        queue.add("b")
        await settle()
        assert not draining.done()
        runs.gate.set()
        await settle()
        assert draining.done()
        assert runs.started == ["a"]


async def test_a_run_that_hangs_holds_the_end_up_for_a_while_only(caplog: pytest.LogCaptureFixture) -> None:
    runs = Runs()
    queue = WorkQueue(runs, FakeClock())
    runs.gate.clear()
    async with serving(queue):
        queue.add("a")
        await settle()
        await queue.drain(0)
    assert "1 runs are cut off" in caplog.text
