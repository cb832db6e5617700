"""Processes that want to lead, in a world whose time is made: each has a clock of its own, and may be stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from mooring.domain.errors import Transient
from mooring.domain.leadership import Lease
from mooring.domain.reasons import Reason
from mooring.ports import Changed
from mooring.services.election import Election

# Turns of the event loop after which everybody waits.
TURNS = 12


class World:
    """The one Lease, and the time."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.lease: Lease | None = None
        self.followers: list[Callable[[Lease | None], None]] = []
        self.dues: set[float] = set()
        self._tick = asyncio.Event()
        self._versions = 0

    def write(self, seen: Lease | None, lease: Lease | None) -> Lease | None:
        """Write onto a version, as the API server does."""
        if (seen and seen.version) != (self.lease and self.lease.version):
            raise Changed("somebody was faster")
        self._versions += 1
        self.lease = None if lease is None else replace(lease, version=str(self._versions))
        for tell in list(self.followers):
            tell(self.lease)
        return self.lease

    async def next_tick(self) -> None:
        """Wait until something may have changed."""
        await self._tick.wait()

    async def settle(self) -> None:
        """Let everybody do what they can do now."""
        for _ in range(TURNS):
            self._tick.set()
            self._tick = asyncio.Event()
            await asyncio.sleep(0)

    async def run(self, seconds: float, each: Callable[[], None] = lambda: None) -> None:
        """Let time pass, from one moment at which somebody wants to go on to the next."""
        end = self.now + seconds
        await self.settle()
        while self.now < end:
            self.now = min((due for due in self.dues if due > self.now), default=end)
            self.now = min(self.now, end)
            self.dues = {due for due in self.dues if due > self.now}
            each()
            await self.settle()
            each()


@dataclass
class Process:
    """One process: its own clock, its own way to the API server."""

    world: World
    name: str
    clock_ahead: float = 0.0
    away: bool = False
    deaf: bool = False
    stopped: bool = False
    # Each write is refused as a conflict, though nobody else wrote.
    refused: bool = False
    # Seconds until it hears what came of a write.
    slow: float = 0.0
    reads: int = 0
    was_told: bool = False
    election: Election = field(init=False)
    task: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        self.election = Election(self, self.name, lambda: self.world.now + self.clock_ahead, waiting=self.wait)

    def __str__(self) -> str:
        return "Lease a/b"

    def leads(self) -> bool:
        """Tell whether it could write now."""
        return self.election.leads

    def ended(self) -> bool:
        """Tell whether it lost the Lease, and was told."""
        return self.was_told

    def start(self) -> None:
        """Stand by, then lead until the Lease is lost."""
        self.task = asyncio.create_task(self._live())

    async def _live(self) -> None:
        await self.election.win()
        await self.election.keep(self._end)

    def _end(self) -> None:
        self.was_told = True

    async def finish(self) -> None:
        """End as a signal makes it."""
        await self.kill()
        await self.election.end()

    async def kill(self) -> None:
        """End as a crash does."""
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait in the world's time; who is stopped does not see that it has come."""
        due = self.world.now + seconds
        self.world.dues.add(due)
        while (self.world.now < due and not event.is_set()) or self.stopped:
            await self.world.next_tick()

    # --- ports.Leases ---

    async def _ask(self) -> None:
        await asyncio.sleep(0)
        if self.away:
            raise Transient(Reason.CLUSTER_UNAVAILABLE, "The API server could not be reached.")

    async def _answer(self, lease: Lease | None) -> Lease:
        await self.wait(asyncio.Event(), self.slow)
        if self.deaf:
            raise Transient(Reason.CLUSTER_UNAVAILABLE, "The API server did not answer in time.")
        assert lease is not None
        return lease

    def _stamp(self) -> str:
        return f"{self.name} {self.world.now}"

    def _refuse(self) -> None:
        if self.refused:
            raise Changed("the API server says so")

    async def read(self, *, seconds: float) -> Lease | None:
        self.reads += 1
        await self._ask()
        return self.world.lease

    async def take(self, seen: Lease | None, holder: str, lasting: int, transitions: int, *, seconds: float) -> Lease:
        await self._ask()
        self._refuse()
        return await self._answer(self.world.write(seen, Lease(holder, lasting, transitions, self._stamp(), "")))

    async def renew(self, held: Lease, *, seconds: float) -> Lease:
        await self._ask()
        self._refuse()
        return await self._answer(self.world.write(held, replace(held, renewed=self._stamp())))

    async def release(self, held: Lease, *, seconds: float) -> Lease:
        await self._ask()
        return await self._answer(self.world.write(held, replace(held, holder="", renewed=self._stamp())))

    async def follow(self, saw: Callable[[Lease | None], None]) -> None:
        def tell(lease: Lease | None) -> None:
            if not (self.away or self.stopped):
                saw(lease)

        self.world.followers.append(tell)
        try:
            saw(self.world.lease)
            await asyncio.Event().wait()
        finally:
            self.world.followers.remove(tell)
