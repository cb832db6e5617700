"""What is known already, and what is being asked at this moment: so that a thousand equal questions are one request.

Keys carry the origin and a fingerprint of the credential: an answer is only given to who holds the same credential.
"""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from mooring.ports import Clock

T = TypeVar("T")
Ask = Callable[[], Awaitable[T]]


class Fingerprints:
    """Short names for credentials. The key lives as long as the process, so that a name is worth nothing elsewhere."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def of(self, token: str | None) -> str:
        """Return a credential's name; no credential has a name too."""
        if token is None:
            return "anonymous"
        return hashlib.blake2b(token.encode("utf-8", "surrogatepass"), key=self._key, digest_size=16).hexdigest()


class Memory(Generic[T]):
    """Answers, each for its own time; the least recently used goes first."""

    def __init__(self, clock: Clock, most: int) -> None:
        self._clock = clock
        self._most = most
        self._kept: OrderedDict[Hashable, tuple[datetime, T]] = OrderedDict()

    def get(self, key: Hashable) -> T | None:
        """Return what is known and still holds."""
        found = self._kept.get(key)
        if found is None:
            return None
        if found[0] <= self._clock.now():
            del self._kept[key]
            return None
        self._kept.move_to_end(key)
        return found[1]

    def keep(self, key: Hashable, value: T, lasting: timedelta, *, until: datetime | None = None) -> None:
        """Remember an answer for a while, and not beyond a certain time."""
        end = self._clock.now() + lasting
        self._kept[key] = (min(end, until) if until is not None else end, value)
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)

    def forget(self, key: Hashable) -> None:
        """Drop an answer that turned out wrong."""
        self._kept.pop(key, None)

    def __len__(self) -> int:
        """Return how many answers are kept."""
        return len(self._kept)


class Flights:
    """Questions under way. Who asks the same joins; who gives up does not end it for the others."""

    def __init__(self) -> None:
        self._flying: dict[Hashable, asyncio.Task[Any]] = {}
        self._queued: dict[Hashable, asyncio.Task[Any]] = {}

    async def join(self, key: Hashable, ask: Ask[T]) -> T:
        """Take the answer of the question under way, or ask it."""
        task = self._flying.get(key) or self._queued.get(key)
        return await self._result(task or self._start(key, ask))

    async def join_next(self, key: Hashable, ask: Ask[T]) -> T:
        """Take an answer that is not older than this call: of the next question, shared by all who wait for it."""
        task = self._queued.get(key)
        if task is None:
            flying = self._flying.get(key)
            task = self._start(key, ask) if flying is None else self._queue(key, ask, flying)
        return await self._result(task)

    async def aclose(self) -> None:
        """End what is under way."""
        tasks = [*self._flying.values(), *self._queued.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _start(self, key: Hashable, ask: Ask[T]) -> asyncio.Task[T]:
        task = asyncio.ensure_future(ask())
        self._fly(key, task)
        return task

    def _queue(self, key: Hashable, ask: Ask[T], flying: asyncio.Task[Any]) -> asyncio.Task[T]:
        async def later() -> T:
            await asyncio.wait({flying})
            del self._queued[key]
            self._fly(key, task)
            return await ask()

        task = asyncio.create_task(later())
        self._queued[key] = task
        task.add_done_callback(lambda done: self._queued.pop(key) if self._queued.get(key) is done else None)
        return task

    def _fly(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        self._flying[key] = task
        task.add_done_callback(lambda done: self._landed(key, done))

    def _landed(self, key: Hashable, task: asyncio.Task[Any]) -> None:
        if self._flying.get(key) is task:
            del self._flying[key]
        if not task.cancelled():
            task.exception()  # taken note of, also where everybody who asked has given up

    @staticmethod
    async def _result(task: asyncio.Task[T]) -> T:
        return await asyncio.shield(task)
