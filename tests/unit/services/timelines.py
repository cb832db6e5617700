"""A time that is made: tasks wait in it, and it passes from one moment at which somebody wants to go on to the next."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta

from tests.unit.objects import NOW

# Turns of the event loop after which everybody waits.
TURNS = 20


class Timeline:
    """A clock, and the waiting by it."""

    def __init__(self) -> None:
        self.moment = NOW
        self._dues: set[datetime] = set()
        self._tick = asyncio.Event()

    def now(self) -> datetime:
        """Return the time."""
        return self.moment

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        """Wait for an event, and not longer than so many seconds."""
        due = self.moment + timedelta(seconds=seconds)
        self._dues.add(due)
        while self.moment < due and not event.is_set():
            await self._tick.wait()

    async def settle(self) -> None:
        """Let everybody do what they can do now."""
        for _ in range(TURNS):
            self._tick.set()
            self._tick = asyncio.Event()
            await asyncio.sleep(0)

    async def run(self, seconds: float) -> None:
        """Let time pass."""
        end = self.moment + timedelta(seconds=seconds)
        await self.settle()
        while self.moment < end:
            self.moment = min((due for due in self._dues if due > self.moment), default=end)
            self.moment = min(self.moment, end)
            self._dues = {due for due in self._dues if due > self.moment}
            await self.settle()
