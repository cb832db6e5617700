"""How much a namespace may ask, and when a credential must rest. Counts only: nothing here waits or sends.

A namespace that has spent its share is told when to come back; the times that are handed out are spread as the share
refills, so that a thousand Projects do not come back in one moment and are not refused twice.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto

from mooring.github.limits import Limits
from mooring.ports import Clock

# Past this many buckets, the full ones are let go: they say the same as none.
_KEPT_BUCKETS = 1000


@dataclass(slots=True)
class Bucket:
    """So many at once, and so many a second."""

    burst: int
    rate: float
    level: float
    at: datetime
    # The last time that was handed out to somebody who came too early.
    promised: datetime

    def take(self, now: datetime) -> datetime | None:
        """Take one; or return when to come back."""
        self._refill(now)
        if self.level >= 1:
            self.level -= 1
            return None
        soonest = now + timedelta(seconds=(1 - self.level) / self.rate)
        self.promised = max(soonest, self.promised + timedelta(seconds=1 / self.rate))
        return self.promised

    def is_full(self, now: datetime) -> bool:
        """Tell whether it is as good as new."""
        self._refill(now)
        return self.level >= self.burst

    def _refill(self, now: datetime) -> None:
        # A clock that is set back refills nothing.
        passed = max(0.0, (now - self.at).total_seconds())
        self.level = min(float(self.burst), self.level + passed * self.rate)
        self.at = now


class Allowance(Enum):
    """What GitHub counts requests against, where several namespaces draw on the same."""

    # The operator's address.
    ANONYMOUS = auto()
    INSTALLATION = auto()
    # An App's own requests, with its JWT.
    APP = auto()


@dataclass(frozen=True, slots=True)
class Pool:
    """One such allowance, by its name."""

    allowance: Allowance
    name: Hashable = None


class Budget:
    """Every namespace's share of requests: one for all, and one of each allowance that it has in common with others."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self._clock = clock
        self._own = limits.namespace_burst, limits.namespace_rate
        self._shares = {
            Allowance.ANONYMOUS: (limits.anonymous_burst, limits.anonymous_rate),
            Allowance.INSTALLATION: (limits.installation_burst, limits.installation_rate),
            Allowance.APP: (limits.app_burst, limits.app_rate),
        }
        self._buckets: dict[tuple[str, Pool | None], Bucket] = {}
        self._sweep_at = _KEPT_BUCKETS

    def take(self, namespace: str, pool: Pool | None = None) -> datetime | None:
        """Take one request of a namespace's share; or return when there will be one."""
        now = self._clock.now()
        later = self._bucket(namespace, None, now).take(now)
        if later is None and pool is not None:
            later = self._bucket(namespace, pool, now).take(now)
        return later

    def _bucket(self, namespace: str, pool: Pool | None, now: datetime) -> Bucket:
        key = (namespace, pool)
        if key not in self._buckets:
            if len(self._buckets) >= self._sweep_at:
                self._buckets = {k: bucket for k, bucket in self._buckets.items() if not bucket.is_full(now)}
                # Where few could go, the next look comes later: else each new namespace would look at all.
                self._sweep_at = max(_KEPT_BUCKETS, 2 * len(self._buckets))
            burst, rate = self._own if pool is None else self._shares[pool.allowance]
            self._buckets[key] = Bucket(burst, rate, float(burst), now, now)
        return self._buckets[key]


class Rests:
    """Until when a credential must not be used at an origin, because GitHub said so."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self._clock = clock
        self._most = limits.remembered
        self._until: OrderedDict[Hashable, datetime] = OrderedDict()

    def until(self, credential: Hashable) -> datetime | None:
        """Return until when to wait, or None."""
        until = self._until.get(credential)
        if until is not None and until <= self._clock.now():
            del self._until[credential]
            return None
        return until

    def begin(self, credential: Hashable, until: datetime) -> None:
        """Note a rest; a longer one that is under way stays."""
        self._until[credential] = max(until, self._until.get(credential, until))
        self._until.move_to_end(credential)
        while len(self._until) > self._most:
            self._until.popitem(last=False)


@dataclass(slots=True)
class _Lane:
    slots: asyncio.Semaphore
    users: int = 0


class Lanes:
    """A bounded number of requests under way for each namespace and host. Who waits holds nothing that others need."""

    def __init__(self, limits: Limits) -> None:
        self._width = limits.namespace_in_flight
        self._patience = limits.total_timeout
        self._lanes: dict[Hashable, _Lane] = {}

    @asynccontextmanager
    async def slot(self, key: Hashable) -> AsyncIterator[None]:
        """Wait for one's turn in a lane, as long as one request may take; raises TimeoutError."""
        lane = self._lanes.setdefault(key, _Lane(asyncio.Semaphore(self._width)))
        lane.users += 1
        try:
            async with asyncio.timeout(self._patience):
                await lane.slots.acquire()
            try:
                yield
            finally:
                lane.slots.release()
        finally:
            lane.users -= 1
            if not lane.users:
                del self._lanes[key]
