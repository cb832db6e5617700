"""The work queue: one run at a time for an object, many objects at once, each when it is due.

It knows no kinds: a key is anything hashable. What is asked for twice before it runs, runs once; what is asked for
while it runs, runs again. Time comes from a clock.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import random
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from datetime import datetime, timedelta

from mooring.domain.errors import Stalled, Trouble, Waiting
from mooring.ports import Changed, Clock

log = logging.getLogger(__name__)

# Runs at once. Each waits for the network nearly all of its time; more would only queue at the API server.
RUNS_AT_ONCE = 32
# Delay after the first failure, and its ceiling, in seconds. Doubled each time, then spread by jitter.
FIRST_DELAY = 1.0
LAST_DELAY = 300.0
# Superseded entries of the heap that are not worth the clearing.
SPARE_ENTRIES = 1024
# Delay after a conflict in seconds: what we saw was old, and the news is under way.
CONFLICT_DELAY = 0.2


@dataclass(frozen=True, slots=True)
class Again:
    """What a run answers when it wants to be called again by itself."""

    at: datetime


Run = Callable[[Hashable], Awaitable[Again | None]]


class WorkQueue:
    """Keys that are due, and the runs of them."""

    def __init__(self, run: Run, clock: Clock, *, runs_at_once: int = RUNS_AT_ONCE) -> None:
        self._run = run
        self._clock = clock
        self._runs_at_once = runs_at_once
        self._numbers = itertools.count()
        self._due: dict[Hashable, datetime] = {}
        self._heap: list[tuple[datetime, int, Hashable]] = []
        self._running: set[Hashable] = set()
        self._again: dict[Hashable, datetime] = {}
        self._failures: dict[Hashable, int] = {}
        self._wake = asyncio.Event()
        # The last time that the loop turned, for the health check.
        self.turned = clock.now()

    def __len__(self) -> int:
        """Count the keys that wait or run."""
        return len(self._due) + len(self._running)

    @property
    def overdue(self) -> int:
        """Count the keys that could run now."""
        now = self._clock.now()
        return sum(at <= now for at in self._due.values()) + len(self._running)

    def add(self, key: Hashable, *, after: float = 0.0) -> None:
        """Ask for a run in `after` seconds at the latest."""
        self._add_at(key, self._clock.now() + timedelta(seconds=after))

    def _add_at(self, key: Hashable, at: datetime) -> None:
        book = self._again if key in self._running else self._due
        planned = book.get(key)
        if planned is not None and planned <= at:
            return
        book[key] = at
        if book is self._due:
            self._push(at, key)
            self._wake.set()

    def _push(self, at: datetime, key: Hashable) -> None:
        if len(self._heap) > SPARE_ENTRIES + 2 * len(self._due):
            # Entries that were superseded wait for their time; where many runs are asked for, they would pile up.
            self._heap = [entry for entry in self._heap if self._due.get(entry[2]) == entry[0] and entry[2] != key]
            heapq.heapify(self._heap)
        heapq.heappush(self._heap, (at, next(self._numbers), key))

    def _next_due(self) -> Hashable | None:
        """Take the next key that is due now; heap entries that were superseded are dropped on the way."""
        now = self._clock.now()
        while self._heap:
            at, _, key = self._heap[0]
            if self._due.get(key) != at:
                heapq.heappop(self._heap)
                continue
            if at > now:
                return None
            heapq.heappop(self._heap)
            del self._due[key]
            return key
        return None

    def _seconds_to_next(self) -> float | None:
        return (self._heap[0][0] - self._clock.now()).total_seconds() if self._heap else None

    async def serve(self) -> None:
        """Run what is due until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                self.turned = self._clock.now()
                self._wake.clear()
                while len(self._running) < self._runs_at_once and (key := self._next_due()) is not None:
                    self._running.add(key)
                    group.create_task(self._one(key), name=f"reconcile {key}")
                await self._pause()

    async def _pause(self) -> None:
        # A full house is woken by whoever leaves it; a turn now and then shows that the loop is alive.
        wait = 5.0
        if len(self._running) < self._runs_at_once and (seconds := self._seconds_to_next()) is not None:
            wait = min(wait, max(seconds, 0.0))
        try:
            async with asyncio.timeout(wait):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _one(self, key: Hashable) -> None:
        again: datetime | None = None
        try:
            answer = await self._run(key)
            self._failures.pop(key, None)
            again = answer.at if answer is not None else None
        except Changed:
            again = self._clock.now() + timedelta(seconds=CONFLICT_DELAY)
        except Trouble as trouble:
            again = self.after_trouble(key, trouble)
        except Exception:
            # The edge of the loop: a defect in one object's run must not stop the others. It is logged with its trace
            # and retried ever more slowly.
            log.exception("reconcile failed", extra={"key": str(key)})
            again = self.after_trouble(key, None)
        finally:
            self._running.discard(key)
            asked = self._again.pop(key, None)
            for at in (again, asked):
                if at is not None:
                    self._add_at(key, at)
            self._wake.set()

    def after_trouble(self, key: Hashable, trouble: Trouble | None) -> datetime | None:
        """Say when to try again: never by itself, at a known time, or after a growing delay with jitter."""
        if isinstance(trouble, Stalled):
            self._failures.pop(key, None)
            return None
        if isinstance(trouble, Waiting):
            return trouble.until
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(FIRST_DELAY * 2 ** min(failures, 16), LAST_DELAY)
        return self._clock.now() + timedelta(seconds=delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
