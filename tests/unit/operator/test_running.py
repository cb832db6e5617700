"""What runs together: what can wait is begun when all objects have had their first run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from mooring.running import FIRST_RUNS_SECONDS, serve_behind
from mooring.services.clock import SystemClock
from mooring.services.work import WorkQueue
from mooring.wiring import LOOP_SECONDS

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


class Queues:
    """A queue with more to do than it has places for, and one beside it; what ran in either."""

    def __init__(self) -> None:
        self.ran: list[Hashable] = []
        self.may_end = asyncio.Event()
        self.first = WorkQueue(self._run, SystemClock(), runs_at_once=2)
        self.beside = WorkQueue(self._run, SystemClock())
        for number in range(4):
            self.first.add(number)
        self.beside.add("beside")

    async def _run(self, key: Hashable) -> None:
        self.ran.append(key)
        if key != "beside":
            await self.may_end.wait()

    async def until(self, key: Hashable) -> None:
        """Wait until something runs."""
        async with asyncio.timeout(10):
            while key not in self.ran:  # noqa: ASYNC110 - it has no event of its own
                await asyncio.sleep(0)


@asynccontextmanager
async def served(seconds: float) -> AsyncIterator[Queues]:
    queues = Queues()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(serve_behind(queues.first, queues.beside, seconds)),
            group.create_task(queues.first.serve()),
        ]
        yield queues
        for task in tasks:
            task.cancel()


async def test_what_can_wait_waits_for_the_first_runs_of_all() -> None:
    async with served(seconds=60) as queues:
        # A process that has stood by for long.
        queues.beside.turned = LONG_AGO
        await queues.until(1)
        assert queues.beside.turned > LONG_AGO
        for _ in range(50):
            await asyncio.sleep(0)
        assert queues.ran == [0, 1]
        queues.may_end.set()
        await queues.until("beside")
        assert set(queues.ran) == {0, 1, 2, 3, "beside"}


@pytest.mark.parametrize("seconds", [0, 0.01])
async def test_but_no_longer_than_some_seconds(seconds: float) -> None:
    async with served(seconds) as queues:
        await queues.until("beside")
        assert queues.ran == [0, 1, "beside"]
        queues.may_end.set()


def test_a_loop_that_waits_is_not_taken_for_dead() -> None:
    assert FIRST_RUNS_SECONDS < LOOP_SECONDS / 1.5
