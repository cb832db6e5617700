"""What recorders share: places for PATCHes, and room for what waits. No namespace takes all of either."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

# PATCHes at a time, over all objects: an API server gains nothing from more writes of status.
PATCHES_AT_ONCE = 16
# Of them, for the objects of one namespace: whoever else comes finds a place.
PATCHES_OF_ONE = 12
# What may wait to be recorded in all, and in the objects of one namespace.
WAITING_IN_ALL = 20_000
WAITING_IN_ONE = WAITING_IN_ALL // 4


@dataclass(slots=True)
class _Share:
    """The places of a namespace, while anybody wants one."""

    places: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PATCHES_OF_ONE))
    users: int = 0


class Room:
    """The places and the room of a process."""

    def __init__(self) -> None:
        self._places = asyncio.Semaphore(PATCHES_AT_ONCE)
        self._shares: dict[str, _Share] = {}
        self._waiting: Counter[str] = Counter()
        self._in_all = 0

    def is_there(self, namespace: str) -> bool:
        """Tell whether one more may wait to be recorded in an object of a namespace."""
        return self._in_all < WAITING_IN_ALL and self._waiting[namespace] < WAITING_IN_ONE

    def enter(self, namespace: str) -> None:
        """Count one that waits."""
        self._in_all += 1
        self._waiting[namespace] += 1

    def leave(self, namespace: str) -> None:
        """Count it no more."""
        self._in_all -= 1
        self._waiting[namespace] -= 1
        if not self._waiting[namespace]:
            del self._waiting[namespace]

    @asynccontextmanager
    async def place(self, namespace: str) -> AsyncIterator[None]:
        """Wait for a place, first among those of the namespace, then among all."""
        share = self._shares.setdefault(namespace, _Share())
        share.users += 1
        try:
            async with share.places, self._places:
                yield
        finally:
            share.users -= 1
            if not share.users:
                del self._shares[namespace]
