"""The work queue: one run at a time for an object, many objects at once, each when it is due.

It knows no kinds: a key is anything hashable. What is asked for twice before it runs, runs once; what is asked for
while it runs, runs again. Time comes from a clock.

Keys belong to groups (namespaces), and no group's trouble delays another (D8): a run that hangs gives its place to the
next one, and a group has a bound of its own.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mooring.domain.errors import Stalled, Trouble, Waiting
from mooring.domain.reasons import Reason
from mooring.ports import Changed, Clock

log = logging.getLogger(__name__)

# Runs at once. Each waits for the network nearly all of its time; more would only queue at the API server.
RUNS_AT_ONCE = 32
# Places of these that one group may have: another one always finds some free.
RUNS_OF_A_GROUP = 24
# Seconds after which a run waits for something that is away, and does not count among those at once any more.
LINGERS_AFTER = 2.0
# Such runs of one group; it gets no further ones until some end. GitHub is asked sixteen things at once for a group.
LINGERING_OF_A_GROUP = 32
# Delay after the first failure, and its ceiling, in seconds. Doubled each time, then spread by jitter.
FIRST_DELAY = 1.0
LAST_DELAY = 300.0
# Superseded entries of the heap that are not worth the clearing.
SPARE_ENTRIES = 1024
# Delay after a conflict in seconds: what we saw was old, and the news is under way. Where one follows another,
# something else is wrong: the delay is doubled, up to the last one.
CONFLICT_DELAY = 0.2
LAST_CONFLICT_DELAY = 5.0
# Seconds over which runs are spread that failed while the API server was away, once it is back.
BACK_WITHIN = 3.0


@dataclass(frozen=True, slots=True)
class Again:
    """What a run answers when it wants to be called again by itself."""

    at: datetime


Run = Callable[[Hashable], Awaitable[Again | None]]
Group = Callable[[Hashable], Hashable]


@dataclass(slots=True)
class _Share:
    """What a group has under way, and what of it is due and has to wait."""

    young: int = 0
    lingering: int = 0
    # A heap, as that of all groups.
    held: list[tuple[datetime, int, Hashable]] = field(default_factory=list)


class WorkQueue:
    """Keys that are due, and the runs of them."""

    def __init__(
        self,
        run: Run,
        clock: Clock,
        *,
        group: Group = lambda key: key,
        runs_at_once: int = RUNS_AT_ONCE,
        runs_of_a_group: int = RUNS_OF_A_GROUP,
        lingering_of_a_group: int = LINGERING_OF_A_GROUP,
        lingers_after: float = LINGERS_AFTER,
    ) -> None:
        self._run = run
        self._clock = clock
        self._group = group
        self._runs_at_once = runs_at_once
        self._runs_of_a_group = runs_of_a_group
        self._lingering_of_a_group = lingering_of_a_group
        self._lingers_after = lingers_after
        self._shares: defaultdict[Hashable, _Share] = defaultdict(_Share)
        # Keys whose run is not lingering.
        self._young: set[Hashable] = set()
        self._numbers = itertools.count()
        self._due: dict[Hashable, datetime] = {}
        self._heap: list[tuple[datetime, int, Hashable]] = []
        self._running: set[Hashable] = set()
        self._again: dict[Hashable, datetime] = {}
        self._failures: dict[Hashable, int] = {}
        self._conflicts: dict[Hashable, int] = {}
        # Keys whose last run failed because the API server did not answer as it should.
        self._cut_off: set[Hashable] = set()
        self._wake = asyncio.Event()
        self._ended = asyncio.Event()
        self._closing = False
        # Set while whatever is due finds a place at once: what can wait waits for that.
        self.calm = asyncio.Event()
        # The last time that the loop turned, for the health check.
        self.turned = clock.now()

    def touch(self) -> None:
        """Note that the loop is well, though it does not turn yet."""
        self.turned = self._clock.now()

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

    def cluster_is_back(self) -> None:
        """Ask for runs that failed while the API server was away: their delays have grown meanwhile."""
        for key in self._cut_off:
            self.add(key, after=random.uniform(0.0, BACK_WITHIN))  # noqa: S311 - jitter
        self._cut_off.clear()

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
            entry = heapq.heappop(self._heap)
            share = self._shares[self._group(key)]
            if not self._places(share):
                heapq.heappush(share.held, entry)
                continue
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
                while (
                    not self._closing
                    and len(self._young) < self._runs_at_once
                    and (key := self._next_due()) is not None
                ):
                    self._running.add(key)
                    self._young.add(key)
                    self._shares[self._group(key)].young += 1
                    group.create_task(self._one(key), name=f"reconcile {key}")
                if len(self._young) >= self._runs_at_once or any(share.held for share in self._shares.values()):
                    self.calm.clear()
                else:
                    self.calm.set()
                await self._pause()

    def _linger(self, key: Hashable) -> None:
        """Give the place of a run that takes long to others."""
        self._young.discard(key)
        share = self._shares[self._group(key)]
        share.young -= 1
        share.lingering += 1
        self._release(share)

    def _end(self, key: Hashable) -> None:
        """Take note of the end of a run."""
        self._running.discard(key)
        self._ended.set()
        group = self._group(key)
        share = self._shares[group]
        if key in self._young:
            self._young.discard(key)
            share.young -= 1
        else:
            share.lingering -= 1
        self._release(share)
        if not share.young and not share.lingering and not share.held:
            del self._shares[group]

    def _places(self, share: _Share) -> int:
        """Count the runs that a group may begin now."""
        return 0 if share.lingering >= self._lingering_of_a_group else max(0, self._runs_of_a_group - share.young)

    def _release(self, share: _Share) -> None:
        """Let as many of a group be chosen again as find a place: all of them each time would cost their square."""
        places = self._places(share)
        while places and share.held:
            entry = heapq.heappop(share.held)
            if self._due.get(entry[2]) == entry[0]:
                heapq.heappush(self._heap, entry)
                places -= 1
        self._wake.set()

    async def drain(self, seconds: float) -> None:
        """Begin nothing more, and let what is under way come to its end for a while.

        A request that is cut off may be carried out all the same: a token that nobody knows of, a write after the Lease
        was given away.
        """
        self._closing = True
        try:
            async with asyncio.timeout(seconds):
                while self._running:
                    self._ended.clear()
                    await self._ended.wait()
        except TimeoutError:
            log.warning("%d runs are cut off: they did not end in %.0f s", len(self._running), seconds)

    async def _pause(self) -> None:
        # A full house is woken by whoever leaves it; a turn now and then shows that the loop is alive.
        wait = 5.0
        if len(self._young) < self._runs_at_once and (seconds := self._seconds_to_next()) is not None:
            wait = min(wait, max(seconds, 0.0))
        try:
            async with asyncio.timeout(wait):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _one(self, key: Hashable) -> None:
        again: datetime | None = None
        conflicts = self._conflicts.pop(key, 0)
        self._cut_off.discard(key)
        timer = asyncio.get_running_loop().call_later(self._lingers_after, self._linger, key)
        try:
            answer = await self._run(key)
            self._failures.pop(key, None)
            again = answer.at if answer is not None else None
        except Changed:
            self._conflicts[key] = conflicts + 1
            delay = min(CONFLICT_DELAY * 2 ** min(conflicts, 16), LAST_CONFLICT_DELAY)
            again = self._clock.now() + timedelta(seconds=delay)
        except Trouble as trouble:
            again = self.after_trouble(key, trouble)
        except Exception:
            # The edge of the loop: a defect in one object's run must not stop the others. It is logged with its trace
            # and retried ever more slowly.
            log.exception("reconcile failed", extra={"key": str(key)})
            again = self.after_trouble(key, None)
        finally:
            timer.cancel()
            self._end(key)
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
        if trouble is not None and trouble.reason is Reason.CLUSTER_UNAVAILABLE:
            self._cut_off.add(key)
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        delay = min(FIRST_DELAY * 2 ** min(failures, 16), LAST_DELAY)
        return self._clock.now() + timedelta(seconds=delay * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
